"""What the application notices of locks: how long it waits, for what, and what it never notices."""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.connection import parse_url
from ansible_collections.dbops.multischema.plugins.module_utils.lock_budget import PER_STEP, PER_VIEW, SHARE
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.relocation import Pace
from tests.integration.core import Core
from tests.integration.databases import Target, wait_until
from tests.integration.evidence import disagreements, journaled
from tests.integration.probes import Reader, blocker

pytestmark = pytest.mark.majors(18)

PATIENT = Pace(50, 60)


def tables(target: Target, count: int) -> Core:
    """Tables t01, t02, … that all move to one schema."""
    names = [f"t{number:02}" for number in range(1, count + 1)]
    target.execute(*(f"CREATE TABLE {name} (id serial PRIMARY KEY, body text); INSERT INTO {name} VALUES (1)" for name in names))
    return Core(target, {"schemas": [{"name": "tenant"}], "placement": [{"schema": "tenant", "tables": names}]}, PATIENT)


@contextlib.contextmanager
def applying(core: Core) -> Iterator[list[BaseException]]:
    """The core at work beside the test; at the end it is waited for."""
    errors: list[BaseException] = []
    apply = core.applying()

    def work() -> None:
        try:
            apply()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    yield errors
    thread.join(60)
    assert errors == []
    assert not thread.is_alive()


def test_a_reader_behind_a_blocker_waits_for_an_attempt_and_not_for_the_blocker(empty: Target) -> None:
    core = tables(empty, 1)
    stood_s = 3.0
    with Reader(empty, "public", "t01") as reader, applying(core), blocker(empty, "SELECT * FROM t01"):
        time.sleep(stood_s)
        assert not [step for step in journaled(empty) if step["kind"] == "move_tables"]
    assert reader.errors == []
    assert reader.longest_s < stood_s / 2, "a reader waits for one attempt, which is 50 ms and what a busy machine adds"
    assert disagreements(empty, ["tenant"]) == []


def test_a_blocker_on_the_last_table_keeps_no_other_waiting(empty: Target) -> None:
    core, stood_s = tables(empty, 20), 3.0
    with Reader(empty, "public", "t01") as reader, applying(core), blocker(empty, "UPDATE t20 SET body = 'mine'"):
        wait_until(lambda: len([s for s in journaled(empty) if s["kind"] == "move_tables"]) == 19, "the others have moved")
        time.sleep(stood_s)
    assert reader.errors == []
    assert reader.longest_s < stood_s / 2
    assert core.left() == []


def test_a_tree_is_locked_within_one_limit_and_not_within_one_for_each_member(empty: Target) -> None:
    """Blockers that leave one after the other, each within ``lock_timeout``: their times must not add up."""
    names = [f"ev_{number}" for number in range(7)]
    empty.execute(
        "CREATE TABLE ev (id int) PARTITION BY LIST (id)",
        *(f"CREATE TABLE {name} PARTITION OF ev FOR VALUES IN ({number})" for number, name in enumerate(names)),
    )
    core = Core(empty, {"schemas": [{"name": "tenant"}], "placement": [{"schema": "tenant", "tables": ["ev"]}]}, Pace(900, 60))
    with contextlib.ExitStack() as standing, Reader(empty, "public", "ev_0") as reader:
        connections = [standing.enter_context(blocker(empty, f"SELECT * FROM {name}"))[1] for name in names[1:]]
        with applying(core):
            wait_until(lambda: empty.value("SELECT count(*) FROM pg_locks WHERE NOT granted") > 0, "the run waits for a lock")
            for connection in connections:
                time.sleep(0.7)
                connection.rollback()
    assert reader.errors == []
    assert reader.longest_s < len(connections) * 0.7 / 2, "the limits of the members have added up"
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
        return _Watched(parse_url(self.target.url()), "test")


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


def test_sessions_with_many_warm_tables_do_not_suffer_from_the_moves_of_others(empty: Target) -> None:
    """Each move invalidates what every session has cached; a session that uses 300 other tables must go on as before."""
    core = tables(empty, 60)
    empty.execute("DO $$ BEGIN FOR n IN 1..300 LOOP EXECUTE format('CREATE TABLE warm_%s AS SELECT 1 AS one', n); END LOOP; END $$")
    core.values = {**core.values, "unplaced": "keep"}
    apply = core.applying()
    passes: list[float] = []
    answers: set[int] = set()
    errors: list[Exception] = []
    ready, done = threading.Event(), threading.Event()

    def one_pass(cursor: Any) -> float:
        started = time.monotonic()
        for number in range(1, 301):
            cursor.execute(f"EXECUTE warm_{number}")
            answers.add(cursor.fetchone()[0])
        return time.monotonic() - started

    def bystander() -> None:
        try:
            with empty.session() as connection, connection.cursor() as cursor:
                for number in range(1, 301):
                    cursor.execute(f"PREPARE warm_{number} AS SELECT one FROM warm_{number}")
                passes.extend(one_pass(cursor) for _ in range(5))
                ready.set()
                while not done.is_set():
                    passes.append(one_pass(cursor))
        except psycopg2.Error as error:
            errors.append(error)
            ready.set()

    thread = threading.Thread(target=bystander)
    thread.start()
    assert ready.wait(30)
    before = statistics.median(passes)
    count = len(passes)
    apply()
    done.set()
    thread.join(30)
    during = passes[count:]
    assert errors == []
    assert answers == {1}
    assert len(during) >= 2, "nothing was measured meanwhile"
    # Everything is planned again for each move if this is wrong: a hundred times as long.
    assert statistics.median(during) < before * 20 + 0.1
    assert core.left() == []
