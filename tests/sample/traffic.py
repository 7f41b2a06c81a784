"""Traffic on the sample database while something happens to it: who failed, and how long did anyone wait?"""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg2
from psycopg2.extensions import connection as Connection

from tests.sample.loader import DEFAULT_PASSWORD
from tests.sample.workload import WEB_ACTIONS, WORKER_ACTIONS, Context, Row

_LIMITS = ("User", "tenants", "students", "courses", "course_sections", "lessons", "products", "order")


@dataclass(frozen=True)
class TrafficError:
    """A statement that failed: its text, the SQLSTATE (empty when the connection broke) and the message."""

    statement: str
    sqlstate: str
    message: str
    worker: int
    seconds: float  # since the traffic began


@dataclass
class TrafficReport:
    """What the traffic met."""

    statements: int = 0
    transactions: int = 0
    longest_ms: float = 0.0
    longest_statement: str = ""
    errors: list[TrafficError] = field(default_factory=list)


class _Stopped(Exception):
    """The rest of an action is given up: its transaction failed, or its connection is gone."""


class _Worker(threading.Thread):
    """One session: connects once, and runs one action after the other until told to stop."""

    def __init__(self, traffic: Traffic, number: int) -> None:
        super().__init__(name=f"traffic-{number}", daemon=True)
        self.traffic, self.number = traffic, number
        self.role, self.actions = ("app_worker", WORKER_ACTIONS) if number % 4 == 3 else ("app_web", WEB_ACTIONS)
        # Half of the sessions prepare their statements on the server, as most drivers do after a few executions.
        self.prepares = number % 2 == 0
        self.prepared: dict[str, str] = {}
        self.reconnect = threading.Event()
        self.connection: Connection | None = None
        self.in_transaction = False

    # What an action may do (workload.Session).

    def query(self, statement: str, *arguments: object) -> list[Row]:
        assert self.connection is not None
        report, started = self.traffic.report, time.monotonic()
        text: str | None = None
        try:
            with self.connection.cursor() as cursor:
                text, parameters = self._as_sent(cursor, statement, arguments)
                cursor.execute(text, parameters)
                rows: list[Row] = cursor.fetchall() if cursor.description else []
        except psycopg2.Error as error:
            self._failed(statement, error, started)
            raise _Stopped from error
        took = (time.monotonic() - started) * 1000
        with self.traffic.lock:
            report.statements += 1
            if took > report.longest_ms:
                report.longest_ms, report.longest_statement = took, statement
        return rows

    def begin(self) -> None:
        self.query("BEGIN")
        self.in_transaction = True

    def commit(self) -> None:
        self.query("COMMIT")
        self.in_transaction = False

    # Its life.

    def run(self) -> None:
        generator = random.Random(self.number)  # noqa: S311 - a reproducible mixture, not a secret
        context = Context(self.number, self.traffic.workers, self.traffic.run_id, self.traffic.limits, generator)
        while not self.traffic.stopping.is_set():
            try:
                if self.connection is None or self.connection.closed or self.reconnect.is_set():
                    self._connect()
                generator.choice(self.actions)(self, context)
                with self.traffic.lock:
                    self.traffic.report.transactions += 1
            except _Stopped:
                self._give_up()
            except AssertionError as error:
                self._failed("(assertion)", error, time.monotonic())
            self.traffic.stopping.wait(self.traffic.pause_s)
        if self.connection is not None:
            self.connection.close()

    def _connect(self) -> None:
        started = time.monotonic()
        if self.connection is not None and not self.connection.closed:
            self.connection.close()
        self.reconnect.clear()
        self.prepared, self.in_transaction = {}, False
        try:
            self.connection = psycopg2.connect(self.traffic.role_url(self.role), application_name=self.name)
            self.connection.autocommit = True
        except psycopg2.Error as error:
            self._failed("(connect)", error, started)
            raise _Stopped from error

    def _give_up(self) -> None:
        """Leave a failed transaction. A lost connection stays lost until ``Traffic.reconnect()``."""
        if self.connection is not None and not self.connection.closed:
            if self.in_transaction:
                with self.connection.cursor() as cursor:
                    cursor.execute("ROLLBACK")
            self.in_transaction = False
            return
        while not self.traffic.stopping.is_set() and not self.reconnect.wait(0.05):
            pass

    def _as_sent(self, cursor: Any, statement: str, arguments: tuple[object, ...]) -> tuple[str, tuple[object, ...]]:
        """Return statement and arguments as psycopg2 takes them, having prepared the statement if this worker does."""
        marks = ", ".join(["%s"] * len(arguments))
        if not self.prepares or not statement.startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")):
            return _with_marks(statement, arguments)
        name = self.prepared.get(statement)
        if name is None:
            name = f"s{len(self.prepared)}"
            cursor.execute(f"PREPARE {name} AS " + statement)
            self.prepared[statement] = name
        return (f"EXECUTE {name} ({marks})" if arguments else f"EXECUTE {name}"), arguments

    def _failed(self, statement: str, error: Exception, started: float) -> None:
        sqlstate = (error.pgcode or "") if isinstance(error, psycopg2.Error) else ""
        at = started - self.traffic.started
        with self.traffic.lock:
            self.traffic.report.errors.append(TrafficError(statement, sqlstate, str(error).strip(), self.number, at))


def _with_marks(statement: str, arguments: tuple[object, ...]) -> tuple[str, tuple[object, ...]]:
    """Turn ``$1 … $n``, which may occur in any order and number, into psycopg2's ``%s``."""
    text, values = "", []
    pieces = statement.replace("%", "%%").split("$")
    for piece in pieces[1:]:
        values.append(arguments[int(piece[0]) - 1])
        text += "%s" + piece[1:]
    return pieces[0] + text, tuple(values)


class Traffic:
    """Run the workload in threads from entry to exit of the ``with`` block.

    Args:
        url: of the database, as any user; the workers log in as ``app_web`` and ``app_worker`` instead.
        workers: number of threads and connections; every fourth is a background worker.
        password: of these roles.
        pause_s: seconds that a worker rests between two actions; 0 for as much as the machine gives.

    ``report`` may be read at any time, and is final after the block.
    """

    def __init__(self, url: str, workers: int = 4, *, password: str = DEFAULT_PASSWORD, pause_s: float = 0.0) -> None:
        self.url, self.workers, self.password, self.pause_s = url, workers, password, pause_s
        self.report = TrafficReport()
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.started = time.monotonic()
        self.run_id = 0
        self.limits: dict[str, int] = {}
        self._threads: list[_Worker] = []

    def role_url(self, role: str) -> str:
        """Return the URL with another role (and its password) in it."""
        parts = urlsplit(self.url)
        place = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=f"{role}:{quote(self.password, safe='')}@{place}"))

    def __enter__(self) -> Self:
        # Ids up to these existed in the beginning and stay: no action deletes from these tables.
        connection = psycopg2.connect(self.role_url("app_worker"))
        try:
            with connection.cursor() as cursor:
                for table in _LIMITS:
                    cursor.execute(f'SELECT max(id) FROM "{table}"')
                    row = cursor.fetchone()
                    assert row is not None
                    self.limits[table] = int(row[0])
                cursor.execute("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
                row = cursor.fetchone()
                assert row is not None
                self.run_id = int(row[0])
        finally:
            connection.close()
        self.started = time.monotonic()
        self._threads = [_Worker(self, number) for number in range(self.workers)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> TrafficReport:
        """End all workers after their present action and return the report."""
        self.stopping.set()
        for thread in self._threads:
            thread.join(timeout=60)
        alive = [thread.name for thread in self._threads if thread.is_alive()]
        if alive:
            raise RuntimeError(f"still busy 60 s after the end: {', '.join(alive)}")
        return self.report

    def reconnect(self) -> None:
        """Tell every worker to open a new connection before its next action, as when a pool is recycled."""
        for thread in self._threads:
            thread.reconnect.set()
