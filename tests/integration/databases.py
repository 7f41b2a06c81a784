"""Servers that tests share, and the database that each test has for itself."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from tests.integration import who_runs
from tests.sample import load
from tests.support.host import command_line
from tests.support.servers import Server, find_binaries

MAJORS = who_runs.MAJORS
TEMPLATE = "sample_template"
PATIENCE_S = 60.0  # for what happens by itself; reached only when something is wrong
_numbers = itertools.count(1)
never_as_superuser = False  # in a test's run as an ordinary role; see the fixture `mover`


@dataclass(frozen=True)
class Login:
    """A role that logs in."""

    user: str
    password: str


@dataclass(frozen=True)
class Target:
    """One database of one server.

    :param mover: whom the product connects as; the superuser by default.
    :param owner: a role whose the objects that a test makes are to be; the superuser's by default.
    """

    server: Server
    name: str
    mover: Login | None = None
    owner: str | None = None

    def url(self, user: str | None = None, password: str | None = None) -> str:
        """The database as a URL, as the mover unless said otherwise: what the product is given."""
        if user is None and self.mover is not None:
            user, password = self.mover.user, self.mover.password
        assert user is not None or not never_as_superuser, "this is a run as an ordinary role, and the product would be the superuser"
        return self.server.url(self.name, user, password)

    @property
    def superuser_url(self) -> str:
        """The same for somebody else, who is the superuser."""
        return self.server.url(self.name)

    @contextlib.contextmanager
    def session(self, **options: Any) -> Iterator[Connection]:
        """A connection in autocommit, closed at the end."""
        connection = self.server.connect(self.name, **options)
        try:
            connection.autocommit = True
            yield connection
        finally:
            connection.close()

    def rows(self, query: sql.Composable | str, parameters: object = None) -> list[tuple[Any, ...]]:
        """Run one statement as superuser and fetch what it returns."""
        with self.session() as connection, connection.cursor() as cursor:
            cursor.execute(query, parameters)  # type: ignore[arg-type]
            return list(cursor.fetchall()) if cursor.description else []

    def value(self, query: sql.Composable | str, parameters: object = None) -> Any:
        """The first column of the first row."""
        return self.rows(query, parameters)[0][0]

    def execute(self, *statements: sql.Composable | str) -> None:
        """Run statements, each in a transaction of its own: as superuser, or as the owner where there is one.

        What the owner has not got the right to do the superuser does, as an administrator would.
        """
        with contextlib.ExitStack() as stack:
            superuser = stack.enter_context(self.session()).cursor()
            owner = superuser if self.owner is None else stack.enter_context(self.session(options=f"-c role={self.owner}")).cursor()
            for statement in statements:
                if owner is superuser or not _may(owner, statement):
                    superuser.execute(statement)

    def drop(self) -> None:
        """Drop the database, starting its server if a test has crashed it."""
        self.server.start()
        self.server.drop_database(self.name)


def _may(cursor: Any, statement: sql.Composable | str) -> bool:
    """Run a statement. :returns: whether the role had the right to do it; a GRANT of what is not its own is only a warning."""
    notices = cursor.connection.notices
    notices.clear()
    try:
        cursor.execute(statement)
    except psycopg2.errors.InsufficientPrivilege:
        return False
    return not any("no privileges" in notice or "not all privileges" in notice for notice in notices)


class ServerPool:
    """Servers that start when they are first asked for and stop with the tests."""

    def __init__(self) -> None:
        self._servers: dict[int, Server] = {}

    def get(self, major: int) -> Server:
        """The server of a major version, running.

        :raises LookupError: where that version is not installed.
        """
        if find_binaries(major) is None:
            raise LookupError(f"PostgreSQL {major} is not installed here (tests/support/servers.py says how to get it)")
        if major not in self._servers:
            server = Server(major=major, fsync=False, settings={"max_connections": "60"}).start()
            self._servers[major] = server
            server.create_database(TEMPLATE)
            connection = server.connect(TEMPLATE)
            try:
                load(connection, "small")
            finally:
                connection.close()
        return self._servers[major].start()

    def close(self) -> None:
        """Stop and remove all of them."""
        for server in self._servers.values():
            server.remove()


def new_database(server: Server, template: str | None = None) -> Target:
    """A fresh database: a copy of the sample, or an empty one."""
    name = f"test_{next(_numbers)}"
    server.create_database(name, template)
    return Target(server, name)


def end_session(connection: Connection) -> None:
    """Close a connection to a server of this machine, and wait until its process is gone, and with it the last of its locks."""
    backend = connection.info.backend_pid
    connection.close()
    wait_until(lambda: not command_line(backend), "the session has ended")


def wait_until(condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait for something that happens by itself.

    :raises AssertionError: when it doesn't within the patience.
    """
    until = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < until, f"waited {patience_s:g} s in vain: {what}"
        time.sleep(0.02)
