"""What the application notices of locks: how long it waits, for what, and what it never notices."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.connection import parse_url
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ServerRefused
from ansible_collections.dbops.multischema.plugins.module_utils.lock_budget import PER_STEP, PER_VIEW, SHARE
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import QUERY_CANCELED, Database
from ansible_collections.dbops.multischema.plugins.module_utils.relocation import Pace
from tests.integration.core import Core
from tests.integration.databases import Target, wait_until
from tests.integration.evidence import disagreements, journaled
from tests.integration.probes import Background, Reader, blocker

pytestmark = pytest.mark.majors(18)

PATIENT = Pace(50, 120)


def patient(target: Target) -> str:
    """The statement after which nobody looks for a deadlock within a minute, so that a run may wait for a lock almost as long."""
    return f"ALTER DATABASE {target.name} SET deadlock_timeout = '60s'"


def tables(target: Target, count: int, kind: type[Core] = Core) -> Core:
    """Tables t01, t02, … that all move to one schema."""
    names = [f"t{number:02}" for number in range(1, count + 1)]
    target.execute(*(f"CREATE TABLE {name} (id serial PRIMARY KEY, body text); INSERT INTO {name} VALUES (1)" for name in names))
    return kind(target, {"schemas": [{"name": "tenant"}], "placement": [{"schema": "tenant", "tables": names}]}, PATIENT)


def test_a_reader_behind_a_blocker_waits_for_an_attempt_and_not_for_the_blocker(empty: Target) -> None:
    core = tables(empty, 1)
    with Reader(empty, "public", "t01") as reader:
        with blocker(empty, "SELECT * FROM t01"):
            work = Background(core.apply)
            reader.is_let_through()
            assert work.is_alive()
            assert not [step for step in journaled(empty) if step["kind"] == "move_tables"]
        work.finish()
    assert reader.errors == []
    assert core.left() == []
    assert disagreements(empty, ["tenant"]) == []


def test_a_blocker_on_the_last_table_keeps_no_other_waiting(empty: Target) -> None:
    """The step that waits holds nothing of those before it: whoever reads one of them stands behind nobody."""
    core = tables(empty, 20)
    ours = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.application_name LIKE 'dbops%' AND relation = {}"
    last, *others = (empty.value(f"SELECT 't{n:02}'::regclass::oid::bigint") for n in (20, 1, 19))
    with Reader(empty, "public", "t01") as reader:
        with blocker(empty, "UPDATE t20 SET body = 'mine'"):
            work = Background(core.apply)
            wait_until(lambda: len([s for s in journaled(empty) if s["kind"] == "move_tables"]) == 19, "the others have moved")
            wait_until(lambda: empty.value(ours.format(last) + " AND NOT granted") > 0, "the run waits for the last one")
            assert [empty.value(ours.format(oid)) for oid in others] == [0, 0]
            reader.goes_on()
            assert work.is_alive()
        work.finish()
    assert reader.errors == []
    assert core.left() == []


class _Refused(Database):
    """Remembers with which SQLSTATE the server has refused what holds a lock timeout, one for each attempt."""

    refusals: ClassVar[list[str]] = []

    def rows(self, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """As usual."""
        try:
            return super().rows(query, parameters)
        except ServerRefused as error:
            if "lock_timeout" in query:
                _Refused.refusals.append(error.sqlstate)
            raise


class _RefusedCore(Core):
    def connect(self) -> Database:
        return _Refused(parse_url(self.target.url()), "test")


def test_a_tree_is_locked_within_one_limit_and_not_within_one_for_each_member(empty: Target) -> None:
    """A blocker that leaves within ``lock_timeout``, and behind it one that stays: what was waited for the first one counts.

    Which of the two limits has ended the attempt, the server says; how long anyone waited need not be measured.
    """
    names = [f"ev_{number}" for number in range(7)]
    empty.execute(
        "CREATE TABLE ev (id int) PARTITION BY LIST (id)",
        *(f"CREATE TABLE {name} PARTITION OF ev FOR VALUES IN ({number})" for number, name in enumerate(names)),
        patient(empty),
    )
    values = {"schemas": [{"name": "tenant"}], "placement": [{"schema": "tenant", "tables": ["ev"]}]}
    core = _RefusedCore(empty, values, Pace(5000, 120))
    _Refused.refusals.clear()
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = %s::regclass"
    with Reader(empty, "public", "ev_0") as reader:
        with blocker(empty, "SELECT * FROM ev_6"):
            with blocker(empty, "SELECT * FROM ev_1"):
                work = Background(core.apply)
                wait_until(lambda: empty.value(waits, ("ev_1",)) > 0, "the run waits for the first blocker")
                time.sleep(0.5)  # longer than what the whole has beyond the limit of one member, and far shorter than that
            wait_until(lambda: len(_Refused.refusals) > 0, "the attempt has ended")
            reader.goes_on()
            assert work.is_alive()
        work.finish()
    assert _Refused.refusals[0] == QUERY_CANCELED, "the limit of the last member has begun anew"
    assert reader.errors == []
    assert disagreements(empty, ["tenant"]) == []


class _Watched(Database):
    """Calls back with its process id when a step that holds many locks is about to be committed."""

    at_commit: Callable[[int], None]

    def execute(self, statement: str, parameters: Any = None) -> int:
        """As usual, after the callback."""
        if statement.endswith("COMMIT"):  # alone, or behind the journal's row
            _Watched.at_commit(self.rows("SELECT pg_backend_pid()")[0][0])
        return super().execute(statement, parameters)


class _WatchedCore(Core):
    def connect(self) -> Database:
        # While the bystanders are at work the step is idle in its transaction, for which there is a limit: a quarter of this.
        return _Watched(parse_url(self.target.url() + "?tcp_user_timeout=240000"), "test")


def test_just_below_a_quarter_of_the_lock_table_nobody_else_runs_out_of_locks(empty: Target) -> None:
    slots = empty.value(
        "SELECT current_setting('max_locks_per_transaction')::int * "
        "(current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int)"
    )
    members = int((slots * SHARE - PER_STEP) / (1 + PER_VIEW)) - 2  # the largest tree that is not refused
    empty.execute(
        "CREATE TABLE ev (id int) PARTITION BY LIST (id)",
        f"DO $$ BEGIN FOR n IN 1..{members} LOOP EXECUTE format('CREATE TABLE ev_%s PARTITION OF ev FOR VALUES IN (%s)', n, n); "
        "END LOOP; FOR n IN 1..60 LOOP EXECUTE format('CREATE TABLE by_%s (id int PRIMARY KEY)', n); END LOOP; END $$",
    )
    values = {"schemas": [{"name": "tenant"}], "placement": [{"schema": "tenant", "tables": ["ev"]}], "unplaced": "keep"}
    shares: list[float] = []
    touched: list[str] = []
    one_after_the_other = "; ".join(f"SELECT count(*) FROM by_{n}" for n in range(1, 61))

    def bystanders(pid: int) -> None:
        held = empty.value("SELECT count(*) FROM pg_locks WHERE pid = %s AND NOT fastpath", (pid,))
        shares.append(held / slots)
        if held / slots > 0.1:  # the large step
            for _ in range(10):
                with empty.session() as connection, connection.cursor() as cursor:
                    cursor.execute(f"BEGIN; {one_after_the_other}; COMMIT")
                    touched.append(cursor.statusmessage or "")

    _Watched.at_commit = staticmethod(bystanders)
    core = _WatchedCore(empty, values, Pace(900, 60))
    core.apply()
    core.roll_back()
    assert 0.2 < max(shares) < 0.25, f"the largest step held {max(shares):.0%} of the lock table: the test says nothing"
    assert touched == ["COMMIT"] * 20


class _Between(Database):
    """Calls back when a step has been committed."""

    after_commit: Callable[[], None]

    def execute(self, statement: str, parameters: Any = None) -> int:
        """As usual, before the callback."""
        touched = super().execute(statement, parameters)
        if statement.endswith("COMMIT"):
            _Between.after_commit()
        return touched


class _BetweenCore(Core):
    def connect(self) -> Database:
        return _Between(parse_url(self.target.url()), "test")


def test_sessions_with_many_warm_tables_do_not_suffer_from_the_moves_of_others(empty: Target) -> None:
    """Each move invalidates what every session has cached; a session that uses 300 other tables must go on as before.

    It uses all of them between two moves: side by side, how much of one falls into the other would be the machine's own affair.
    """
    core = tables(empty, 60, _BetweenCore)
    empty.execute("DO $$ BEGIN FOR n IN 1..300 LOOP EXECUTE format('CREATE TABLE warm_%s AS SELECT 1 AS one', n); END LOOP; END $$")
    core.values = {**core.values, "unplaced": "keep"}
    during: list[float] = []
    answers: set[int] = set()
    with empty.session() as connection, connection.cursor() as cursor:
        for number in range(1, 301):
            cursor.execute(f"PREPARE warm_{number} AS SELECT one FROM warm_{number}")

        def one_pass() -> float:
            started = time.monotonic()
            for number in range(1, 301):
                cursor.execute(f"EXECUTE warm_{number}")
                answers.add((cursor.fetchone() or (0,))[0])
            return time.monotonic() - started

        _Between.after_commit = staticmethod(lambda: during.append(one_pass()))
        before = statistics.median([one_pass() for _ in range(7)][2:])  # the first ones plan
        core.apply()
    assert answers == {1}
    assert len(during) >= 60
    # Everything is planned again for each move if this is wrong: a hundred times as long.
    assert statistics.median(during) < before * 20 + 0.1
    assert core.left() == []
