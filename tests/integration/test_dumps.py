"""A backup by a real pg_dump beside the migration: complete, or a loud failure; never one that silently lacks a table."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils import backup_guard
from ansible_collections.dbops.multischema.plugins.module_utils.backup_guard import RunningDump
from ansible_collections.dbops.multischema.plugins.module_utils.errors import JournalError, StepFailed
from ansible_collections.dbops.multischema.plugins.module_utils.journal import Journal
from ansible_collections.dbops.multischema.plugins.module_utils.readiness import Question, dumps
from ansible_collections.dbops.multischema.plugins.module_utils.relocation import Pace
from tests.integration.core import Core
from tests.integration.databases import Target, wait_until
from tests.integration.evidence import JOURNAL, journaled
from tests.integration.probes import Background

TABLES = 30
VALUES = {"schemas": [{"name": "past"}], "placement": [{"schema": "past", "tables": ["t_*"]}], "unplaced": "keep"}


UNSEEN = "nightly"  # what somebody has called his dump, so that nobody knows what it is


def start_dump(target: Target, name: str = "pg_dump") -> subprocess.Popen[str]:
    """A dump of the whole database, to be read from its output.

    :param name: as which it is seen in ``pg_stat_activity``.
    """
    server = target.server
    where = ["-h", server.host, "-p", str(server.port), "-U", server.user, "-d", target.name]
    environment = {**os.environ, "PGPASSWORD": server.password, "PGAPPNAME": name}
    return subprocess.Popen(
        [str(server.bin_dir / "pg_dump"), *where], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def rows_in(dump: str) -> dict[str, int]:
    """How many rows a dump holds of each table, wherever that stands."""
    found = {}
    for name, data in re.findall(r"^COPY \w+\.(\w+) \([^)]*\) FROM stdin;\n(.*?)^\\\.$", dump, re.MULTILINE | re.DOTALL):
        found[name] = data.count("\n")
    return found


def standing_still(target: Target, name: str = "pg_dump") -> subprocess.Popen[str]:
    """A dump in the middle of a big table: nobody reads its output yet."""
    target.execute("CREATE TABLE t_1 (id int)", "CREATE TABLE big (body text)")
    target.execute(
        "INSERT INTO t_1 SELECT generate_series(1, 5)", "INSERT INTO big SELECT repeat('x', 1000) FROM generate_series(1, 20000)"
    )
    dump = start_dump(target, name)
    wait_until(lambda: target.value("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY public.big%'") > 0, "it dumps")
    return dump


@pytest.mark.majors(15, 18)
def test_no_migration_begins_while_a_dump_runs(empty: Target) -> None:
    core = Core(empty, VALUES, Pace(50, 60))
    dump = standing_still(empty)
    try:
        with core.connect() as database:
            (check,) = dumps(Question(database, 50, [], 1))
        assert (check.status, "pg_dump of postgres" in check.detail) == ("fail", True)
        with pytest.raises(JournalError, match=r"A dump of this database is running: pg_dump of postgres, pid \d+.*Nothing was changed"):
            core.apply()
        assert empty.value(f"SELECT to_regnamespace('{JOURNAL}')") is None
        text, errors = dump.communicate(timeout=60)
    finally:
        dump.kill()
    assert (dump.returncode, errors) == (0, "")
    core.apply()
    assert core.left() == []
    dump = start_dump(empty, "pg_dump")
    try:
        wait_until(lambda: empty.value("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY public.big%'") > 0, "it dumps")
        with pytest.raises(JournalError, match="A dump of this database is running"):
            core.roll_back()
        dump.communicate(timeout=60)
    finally:
        dump.kill()
    core.roll_back()
    assert rows_in(text) == {"t_1": 5, "big": 20000}


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[RunningDump]:
    """What the product sees of dumps: one entry for each session at each look."""
    seen: list[RunningDump] = []

    def remembered(*row: Any) -> RunningDump:
        seen.append(RunningDump(*row))
        return seen[-1]

    monkeypatch.setattr(backup_guard, "RunningDump", remembered)
    return seen


@pytest.mark.majors(15, 18)
def test_a_dump_that_has_ended_but_whose_session_is_still_there_is_waited_for(
    empty: Target, looks: list[RunningDump], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the server has heard of its end or not: pg_dump leaves its transaction open. Also where it is seen in a transaction of
    ours, which otherwise sees the same sessions at every look."""
    monkeypatch.setattr(backup_guard, "SETTLE_S", 60.0)
    core = Core(empty, {"schemas": [{"name": "past"}], "placement": [], "unplaced": "keep"})
    for last in ("COMMIT", "SELECT 1"):
        for work in (core.apply, lambda: _in_a_transaction(core), core.roll_back):
            _waits_for_the_end(empty, last, work, looks)


def _waits_for_the_end(target: Target, last: str, work: Callable[[], Any], looks: list[RunningDump]) -> None:
    """:param last: what the session of the dump has done last."""
    with closing(target.server.connect(target.name, application_name="pg_dump")) as session, session.cursor() as cursor:
        cursor.execute(last)
        looks.clear()
        waiting = Background(work)
        wait_until(lambda: len(looks) > 2 or not waiting.is_alive(), "it looks again and again")
        session.close()
        waiting.finish()


@pytest.mark.majors(15, 18)
def test_a_dump_that_is_at_work_is_refused_at_the_first_look(empty: Target, looks: list[RunningDump]) -> None:
    dump = standing_still(empty)
    try:
        with pytest.raises(JournalError, match="A dump of this database is running"):
            Core(empty, VALUES).apply()
    finally:
        dump.kill()
    assert len(looks) == 1


def _in_a_transaction(core: Core) -> None:
    with core.connect() as database, database.snapshot():
        assert backup_guard.running_dumps(database) == []


@pytest.mark.majors(18)
@pytest.mark.no_role("the order of two looks, whoever looks")
def test_a_dump_that_begins_while_the_lease_is_taken_is_seen_too_and_the_lease_given_back(
    empty: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty.execute("CREATE TABLE t_1 (id int)")
    core, take_lease = Core(empty, VALUES), Journal.take_lease
    with ExitStack() as begun:

        def while_a_dump_begins(journal: Journal, *arguments: Any) -> Any:
            begun.enter_context(closing(empty.server.connect(empty.name, application_name="pg_dump")))
            return take_lease(journal, *arguments)

        monkeypatch.setattr(Journal, "take_lease", while_a_dump_begins)
        with pytest.raises(JournalError, match="A dump of this database is running"):
            core.apply()
    assert empty.value(f"SELECT count(*) FROM {JOURNAL}.lease") == 0
    assert journaled(empty) == []


@pytest.mark.majors(15, 18)
def test_a_dump_that_nobody_knows_for_one_is_named_and_waited_for_and_stays_complete(empty: Target) -> None:
    core = Core(empty, VALUES, Pace(50, 1.5))
    dump = standing_still(empty, UNSEEN)
    try:
        with pytest.raises(StepFailed, match=rf"no lock within 1\.5 s .*user postgres, {UNSEEN}, .* holds AccessShareLock on public.t_1"):
            core.apply()
        core.pace = Pace(50, 60)
        work = Background(core.apply)
        text, errors = dump.communicate(timeout=60)
    finally:
        dump.kill()
    work.finish()
    assert (dump.returncode, errors) == (0, "")
    assert rows_in(text) == {"t_1": 5, "big": 20000}
    assert core.left() == []


@pytest.mark.majors(15, 18)
def test_a_dump_that_begins_while_tables_move_is_complete_or_fails_loudly(
    empty: Target, record_property: Callable[[str, object], None]
) -> None:
    for number in range(TABLES):
        empty.execute(
            f"CREATE TABLE t_{number} (id serial PRIMARY KEY)", f"INSERT INTO t_{number} SELECT FROM generate_series(1, {number + 1})"
        )
    expected = {f"t_{number}": number + 1 for number in range(TABLES)}
    core = Core(empty, VALUES, Pace(50, 60))
    enough, rounds = threading.Event(), []

    def move_to_and_fro() -> None:
        while not enough.is_set():
            core.apply()
            core.roll_back()
            rounds.append(1)

    work = Background(move_to_and_fro)
    complete, failed = 0, []
    for _ in range(12):
        dump = start_dump(empty, UNSEEN)  # otherwise the next round would not begin
        text, errors = dump.communicate(timeout=60)
        if dump.returncode == 0:
            held = {name: count for name, count in rows_in(text).items() if name.startswith("t_")}
            assert held == expected, "it said that all went well"
            complete += 1
        else:
            assert "error" in errors
            failed.append(errors)
    enough.set()
    work.finish()
    record_property("dumps", {"complete": complete, "failed": len(failed), "rounds": len(rounds)})
    assert complete + len(failed) == 12
    assert rounds, "nothing has moved meanwhile"
    assert journaled(empty) == []
