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

from tests.integration.databases import Target, wait_until


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


class Reader:
    """Reads one table in a loop, and remembers how long the longest read took.

    ``longest_s`` and ``errors`` are final after the ``with`` block.
    """

    def __init__(self, target: Target, schema: str, table: str) -> None:
        self.target = target
        self.query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table))
        self.longest_s = 0.0
        self.reads = 0
        self.errors: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def _read(self) -> None:
        with self.target.session() as connection, connection.cursor() as cursor:
            while not self._stop.wait(0.005):
                started = time.monotonic()
                try:
                    cursor.execute(self.query)
                except psycopg2.Error as error:
                    self.errors.append(str(error))
                self.longest_s = max(self.longest_s, time.monotonic() - started)
                self.reads += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(60)


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
        self.join(60)
        assert not self.is_alive()
        if self.error is not None:
            raise self.error


def wait_for_an_attempt(target: Target, seconds: float = 0.5) -> None:
    """Until a run waits for a lock; and then for so long again, in which it tries more often.

    :raises AssertionError: when none does.
    """
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'dbops%' AND wait_event_type = 'Lock'"
    wait_until(lambda: target.value(waiting) > 0, "a run waits for a lock")
    time.sleep(seconds)


def our_sessions(target: Target) -> int:
    """How many sessions of the product work on the database."""
    return int(
        target.value(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'dbops.multischema%'"
        )
    )
