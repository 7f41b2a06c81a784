"""A real standby: what it has not replayed is waited for, and its readers never see a table missing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg2
import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.errors import StepFailed
from ansible_collections.dbops.multischema.plugins.module_utils.readiness import Question, standbys
from ansible_collections.dbops.multischema.plugins.module_utils.relocation import Pace
from tests.integration.core import Core
from tests.integration.databases import Target, wait_until
from tests.integration.evidence import disagreements, journaled
from tests.integration.placements import SHOP, SHOP_SQL, SHOP_TARGETS
from tests.integration.probes import Background, Reader

pytestmark = pytest.mark.majors(18)


@pytest.fixture
def pair(empty: Target) -> Iterator[tuple[Core, Target]]:
    """A database and its copy on a standby that replays what the first one does."""
    empty.execute(SHOP_SQL)
    with empty.server.standby(settings={**empty.server.settings, "max_standby_streaming_delay": "3s"}, fsync=False) as server:
        copy = Target(server, empty.name)
        core = Core(empty, SHOP, Pace(50, 30.0, max_replay_lag_s=0.5))
        streams = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND replay_lsn >= pg_current_wal_lsn()"
        wait_until(lambda: empty.value(streams) == 1, "the standby streams and has caught up")
        yield core, copy


def _let_time_pass(target: Target) -> None:
    """Write, so that a standby that replays nothing falls behind by more than is allowed."""

    def behind() -> bool:
        target.execute("SELECT pg_logical_emit_message(true, 'test', 'x')")
        return bool(target.value("SELECT COALESCE(max(replay_lag) > interval '0.6 s', false) FROM pg_stat_replication"))

    wait_until(behind, "the standby is behind")


def _resume(copy: Target) -> None:
    """Let replay go on; what is replayed first may cancel the very statement that has asked for it, and the next session as it begins."""

    def goes_on() -> bool:
        with contextlib.suppress(psycopg2.errors.SerializationFailure, psycopg2.OperationalError):
            copy.execute("SELECT pg_wal_replay_resume()")
        with contextlib.suppress(psycopg2.errors.SerializationFailure, psycopg2.OperationalError):
            return not copy.value("SELECT pg_is_wal_replay_paused()")
        return False

    wait_until(goes_on, "replay goes on")


def test_a_standby_that_is_behind_is_named_and_waited_for(pair: tuple[Core, Target]) -> None:
    core, copy = pair
    with core.connect() as database:
        (check,) = standbys(Question(database, 50, [], 1))
    assert (check.status, "walreceiver (streaming)" in check.detail) == ("warn", True)
    copy.execute("SELECT pg_wal_replay_pause()")
    _let_time_pass(core.target)

    core.pace = Pace(50, 30.0, max_replay_lag_s=0)  # nobody looks
    core.apply()
    core.roll_back()

    core.pace = Pace(50, 1.0, max_replay_lag_s=0.5)
    late = r"standbys have not caught up within 1 s: standby walreceiver at 127\.0\.0\.1 is \d+\.\d s"
    with pytest.raises(StepFailed, match=late):
        core.apply()
    assert journaled(core.target) == []

    core.pace, core.said = Pace(50, 60.0, max_replay_lag_s=0.5), []
    work = Background(core.apply)
    wait_until(lambda: any("walreceiver" in line for line in core.said), "the run says whom it waits for")
    assert journaled(core.target) == []
    _resume(copy)
    work.finish()
    assert core.left() == []
    assert disagreements(core.target, SHOP_TARGETS) == []


def _replayed(core: Core, copy: Target) -> bool:
    """Whether all has arrived. This question, too, may be in the way of replay and be cancelled, or its session as it begins; then it is
    asked again. Once all has arrived nothing is left that could cancel anything."""
    written = core.target.value("SELECT pg_current_wal_lsn()")
    try:
        replayed = copy.value(f"SELECT pg_last_wal_replay_lsn() >= '{written}'")
        return bool(replayed and copy.value("SELECT to_regclass('past.notes') IS NOT NULL"))
    except (psycopg2.errors.SerializationFailure, psycopg2.OperationalError):
        return False


def test_short_readers_on_a_standby_see_no_error_while_the_moves_are_replayed(pair: tuple[Core, Target]) -> None:
    """The lock of the move is replayed. Behind an old transaction replay stands still, until the standby ends that."""
    core, copy = pair
    connection = copy.server.connect(copy.name)
    with connection.cursor() as cursor, Reader(copy, "public", "orders") as reader:
        cursor.execute("SELECT count(*) FROM public.customers")
        core.apply()
        wait_until(lambda: _replayed(core, copy), "the standby has replayed everything")
    connection.close()
    # Once replay has waited for as long as it may, the standby cancels whoever is in its way at that moment, however short; that is
    # PostgreSQL's own, and says so. What a move must not cause is a name that is missing.
    assert [text for text in reader.errors if "conflict with recovery" not in text] == []
    assert reader.reads > 0
    views = "SELECT count(*) FROM pg_views WHERE schemaname = 'public' AND viewname IN ('customers', 'orders', 'visits')"
    assert copy.value(views) == 3
    assert copy.value("SELECT count(*) FROM public.orders") == 20
