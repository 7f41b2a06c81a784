"""A real autovacuum worker in front: an ordinary one gives way, one that prevents wraparound is left alone and named."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.connection import parse_url
from ansible_collections.dbops.multischema.plugins.module_utils.errors import StepFailed
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.readiness import Question, blockers
from ansible_collections.dbops.multischema.plugins.module_utils.relocation import Pace
from tests.integration.core import Core
from tests.integration.databases import Target, wait_until
from tests.integration.evidence import disagreements, journaled
from tests.integration.probes import Reader

# So slow that it lasts; with an index, on which a vacuum holds another kind of lock than on the table.
SQL = """
CREATE TABLE notes (id int PRIMARY KEY, body text) WITH (autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1, autovacuum_analyze_threshold = 2000000000,
  autovacuum_vacuum_insert_threshold = -1);
INSERT INTO notes SELECT n, repeat('x', 500) FROM generate_series(1, 20000) n;
"""
WRAPAROUND_SQL = """
ALTER TABLE notes SET (autovacuum_freeze_max_age = 100000);
DO $$ BEGIN FOR n IN 1..100100 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$;
"""
pytestmark = pytest.mark.own_roles("its parameter says who connects: a superuser, or a role with this or that right")
ROLE = "vacuumed"
DEADLOCK_TIMEOUT_S = 3  # longer than the usual second: a pause of a busy machine is not taken for it
VALUES = {"schemas": [{"name": "past"}], "placement": [{"schema": "past", "tables": ["notes"]}]}
_WORKER = """
SELECT min(pid) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'autovacuum worker'
   AND query LIKE 'autovacuum: VACUUM%public.notes%'
"""


@contextlib.contextmanager
def autovacuum(target: Target) -> Iterator[int]:
    """A worker that is at work on the table; gives its pid."""
    target.execute("ALTER SYSTEM SET autovacuum_naptime = '1s'", "SELECT pg_reload_conf()")
    try:
        wait_until(lambda: target.value(_WORKER) is not None, "an autovacuum works on the table")
        yield int(target.value(_WORKER))
    finally:
        target.execute("ALTER SYSTEM RESET autovacuum_naptime", "SELECT pg_reload_conf()")


class Limits(Core):
    """Remembers the limit of each attempt to move, and how long the attempt has lasted, in milliseconds."""

    def connect(self) -> Database:
        """A connection that keeps them."""
        return _Limited(parse_url(self.url()), "test")

    @property
    def long_attempts(self) -> list[float]:
        """How long those have lasted that go beyond deadlock_timeout."""
        return [lasted for limit, lasted in _Limited.attempts if limit > DEADLOCK_TIMEOUT_S * 1000]


class _Limited(Database):
    attempts: ClassVar[list[tuple[int, float]]] = []

    def rows(self, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        limit, started = re.search(r"SET LOCAL lock_timeout = (\d+)", query), time.monotonic()
        try:
            return super().rows(query, parameters)
        finally:
            if limit:
                _Limited.attempts.append((int(limit[1]), (time.monotonic() - started) * 1000))


def reading(target: Target) -> Reader:
    """A reader that holds its lock as briefly as the probe: whoever is in front each time one looks counts as one who stays."""
    return Reader(target, "public", "notes", "SELECT 1 FROM public.notes LIMIT 0")


def migration(target: Target, *granted: str) -> Limits:
    """Of the table, by a superuser; where roles are granted, by an ordinary role that has them."""
    target.execute(SQL, f"ALTER DATABASE {target.name} SET deadlock_timeout = '{DEADLOCK_TIMEOUT_S}s'")
    core = Limits(target, VALUES, Pace(50, 120, probe=True))
    _Limited.attempts.clear()
    if granted:
        target.execute(
            f"DROP ROLE IF EXISTS {ROLE}",
            f"CREATE ROLE {ROLE} LOGIN PASSWORD 'v'",
            f"ALTER TABLE notes OWNER TO {ROLE}",
            f"GRANT CREATE ON DATABASE {target.name} TO {ROLE}",
            f"GRANT CREATE ON SCHEMA public TO {ROLE}",
            *(f"GRANT {name} TO {ROLE}" for name in granted if name),
        )
        core.user, core.password = ROLE, "v"
    return core


MAY_CANCEL = [pytest.param((), id="superuser"), pytest.param(("pg_signal_autovacuum_worker",), id="pg_signal_autovacuum_worker")]
MAY_NOT = [pytest.param(("",), id="ordinary"), pytest.param(("pg_signal_backend", "pg_monitor"), id="pg_signal_backend")]


@pytest.mark.parametrize("granted", [*MAY_CANCEL, *MAY_NOT])
def test_an_ordinary_autovacuum_gives_way(empty: Target, granted: tuple[str, ...], record_property: Callable[[str, object], None]) -> None:
    if "pg_signal_autovacuum_worker" in granted and empty.server.major < 18:
        assert empty.value("SELECT count(*) FROM pg_roles WHERE rolname = 'pg_signal_autovacuum_worker'") == 0
        return
    core = migration(empty, *granted)
    empty.execute("DELETE FROM notes")
    with autovacuum(empty) as pid, reading(empty) as reader:
        work = core.apply()
        active = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND state = 'active'"
        wait_until(lambda: empty.value(active, (pid,)) == 0, "the worker has ended, after what it still had to do elsewhere")
    may = granted in [parameter.values[0] for parameter in MAY_CANCEL]
    stall = work.progress.stall.longest_ms
    record_property("longest_stall_ms", [round(stall), round(reader.longest_s * 1000)])
    assert core.left() == []
    assert disagreements(empty, ["past"]) == []
    assert reader.errors == []
    assert (work.progress.cancelled > 0) == may
    if may:
        assert core.long_attempts == [], "something has waited for deadlock_timeout"
    else:
        assert core.long_attempts, "no attempt has waited for deadlock_timeout"
        assert stall > max(core.long_attempts) / 2, "the probe has not seen it"


@pytest.mark.majors(18)
def test_a_worker_that_stands_still_when_the_server_tells_it_to_end_gives_way_a_moment_later(
    empty: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not taken for one that prevents wraparound, which a role without pg_monitor could not tell from it."""
    core = migration(empty, "")
    empty.execute("DELETE FROM notes")
    rows, stopped, looks = _Limited.rows, list[int](), list[str]()

    def beside_one_that_stands_still(database: _Limited, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        if f"SET LOCAL lock_timeout = {DEADLOCK_TIMEOUT_S}" in query and not stopped:
            stopped.append(pid)
            os.kill(pid, signal.SIGSTOP)
        elif "pg_stat_progress_vacuum" in query and stopped:
            looks.append(query)
            if len(looks) == 3:
                os.kill(pid, signal.SIGCONT)
        return rows(database, query, parameters)

    monkeypatch.setattr(_Limited, "rows", beside_one_that_stands_still)
    with autovacuum(empty) as pid:
        try:
            core.apply()
        finally:
            with contextlib.suppress(ProcessLookupError):  # it has ended
                os.kill(pid, signal.SIGCONT)
    assert stopped == [pid]
    assert core.long_attempts
    assert core.left() == []
    assert disagreements(empty, ["past"]) == []


@pytest.mark.parametrize("granted", [(), ("pg_monitor",), ("",)], ids=["superuser", "pg_monitor", "ordinary"])
def test_an_autovacuum_that_prevents_wraparound_is_named_and_goes_on(empty: Target, granted: tuple[str, ...]) -> None:
    core = migration(empty, *granted)
    empty.execute(*WRAPAROUND_SQL.strip().split(";\n", 1))
    with autovacuum(empty) as pid:
        assert "to prevent wraparound" in empty.value("SELECT query FROM pg_stat_activity WHERE pid = %s", (pid,))
        with core.connect() as database:
            checks = list(blockers(Question(database, 50, [empty.value("SELECT 'notes'::regclass::oid::bigint")], 1)))
        with reading(empty) as reader, pytest.raises(StepFailed) as failure:
            core.apply()
        assert f"pid {pid}" in failure.value.found
        assert f"pg_stat_progress_vacuum WHERE pid = {pid}" in failure.value.remedy
        assert "at work: VACUUM" in failure.value.found
        assert empty.value("SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND state = 'active'", (pid,)) == 1
    assert [step["kind"] for step in journaled(empty)] == ["create_schema"] * (len(journaled(empty)) > 0)
    assert reader.errors == []
    if granted == ("",):
        assert "does not give way" in failure.value.found, "all that this role can learn"
        assert [check.status for check in checks] == ["pass"]
        assert len(core.long_attempts) == 1
    else:
        assert "prevents transaction id wraparound" in failure.value.found
        assert [(check.status, f"pid {pid}" in check.detail, "pg_stat_progress_vacuum" in check.remedy) for check in checks] == [
            ("fail", True, True)
        ]
        assert core.long_attempts == []
