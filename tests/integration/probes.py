"""Other sessions: those that stand in the way, and those that must not notice anything."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from tests.integration.databases import PATIENCE_S, Target, wait_until

# In `pg_stat_activity`: the reader that the product has beside its work.
OUR_PROBE = "datname = current_database() AND application_name = 'dbops.multischema probe'"

LITTLE_ROOM = {"max_locks_per_transaction": "10", "max_connections": "60", "max_prepared_transactions": "0"}


@contextlib.contextmanager
def blocker(target: Target, statement: str, **options: Any) -> Iterator[tuple[int, Connection]]:
    """A session that runs a statement in a transaction and then does nothing; gives its pid."""
    connection = target.server.connect(target.name, **options)
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
        yield connection.info.backend_pid, connection
    finally:
        connection.close()


def fill_the_lock_table(target: Target) -> Connection:
    """A session that holds as many locks as the server has room for; few, where it has ``LITTLE_ROOM``."""
    connection = target.server.connect(target.name)
    connection.autocommit = True
    with contextlib.suppress(psycopg2.errors.OutOfMemory), connection.cursor() as cursor:
        cursor.execute("SELECT count(pg_advisory_lock(n)) FROM generate_series(1, 10000000) n")
        raise AssertionError("the lock table did not become full")
    return connection


class Reader:
    """Reads one table in a loop, and remembers how long the longest read took. When it is entered, it has read once.

    ``longest_s`` and ``errors`` are final after the ``with`` block.

    :param query: what it reads, instead of counting the rows.
    """

    def __init__(self, target: Target, schema: str, table: str, query: str | None = None) -> None:
        self.target = target
        self.query = query or sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table))
        self.longest_s = 0.0
        self.reads = 0
        self.pid: int | None = None
        self.errors: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def _work(self) -> None:
        try:
            with self.target.session() as connection, connection.cursor() as cursor:
                self.pid = connection.info.backend_pid
                while not connection.closed and not self._stop.wait(0.005):
                    self._read(cursor)
        except BaseException as error:
            self.errors.append(str(error))

    def _read(self, cursor: Any) -> None:
        started = time.monotonic()
        try:
            cursor.execute(self.query)
        except psycopg2.Error as error:
            self.errors.append(str(error))
        self.longest_s = max(self.longest_s, time.monotonic() - started)
        self.reads += 1

    def is_let_through(self, times: int = 3) -> None:
        """Wait until it has stood behind a run that waits for a lock, and got its answer all the same; so often.

        To be called while the one stands there whom the run waits for: a reader that has to wait for that one gets no answer. No time
        is measured for it, which on a busy machine would be the machine's own.
        """
        behind = "SELECT FROM pg_stat_activity WHERE pid = ANY (pg_blocking_pids(%s)) AND application_name LIKE 'dbops%%'"
        # On one connection: the run stands there for 50 ms, in which a look that has to connect first could come too late.
        with self.target.session() as connection, connection.cursor() as cursor:

            def stands_behind() -> bool:
                cursor.execute(behind, (self.pid,))
                return cursor.rowcount > 0

            for _ in range(times):
                wait_until(stands_behind, "a reader stands behind the run")
                self.goes_on()

    def goes_on(self) -> None:
        """Wait until it has got an answer after this moment."""
        answered = self.reads
        wait_until(lambda: self.reads > answered, "a reader gets its answer")

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: self.reads > 0 or bool(self.errors), "a reader has begun")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_S)
        assert error is not None or not self._thread.is_alive(), "a reader has not come back"


class Background(threading.Thread):
    """Runs something beside the test and keeps what it raises."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self.work = work
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        """Work."""
        try:
            self.work()
        except BaseException as error:
            self.error = error

    def finish(self) -> None:
        """Wait for the end, and raise what was raised."""
        self.join(2 * PATIENCE_S)
        assert not self.is_alive(), "the work beside the test does not end"
        if self.error is not None:
            raise self.error


def wait_for_an_attempt(target: Target) -> None:
    """Until a run waits for a lock.

    :raises AssertionError: when none does.
    """
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'dbops%' AND wait_event_type = 'Lock'"
    wait_until(lambda: target.value(waiting) > 0, "a run waits for a lock")


def wait_for_the_probe(target: Target, table: str) -> None:
    """Until the reader beside the move has read this table, or has been refused. It reads on for as long as the step is tried."""
    query = f"SELECT count(*) FROM pg_stat_activity WHERE {OUR_PROBE} AND state = 'idle' AND query LIKE %s"
    wait_until(lambda: target.value(query, (f"SELECT 1 FROM %{table}%",)) > 0, f"the probe reads {table}")


def our_sessions(target: Target) -> int:
    """How many sessions of the product work on the database."""
    return int(
        target.value(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'dbops.multischema%'"
        )
    )


def wait_until_alone(target: Target) -> None:
    """Until sessions whose programs have ended are gone as well, those of pg_dump among them."""
    others = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND backend_type = 'client backend'"
    )
    wait_until(lambda: target.value(others) == 0, "all other sessions have ended")
