"""Servers that tests share, and the database that each test has for itself."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from tests.sample import load
from tests.support.servers import Server, find_binaries

MAJORS = (15, 16, 18)
TEMPLATE = "sample_template"
PATIENCE_S = 60.0  # for what happens by itself; reached only when something is wrong
_numbers = itertools.count(1)


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
        """The database as a URL, as the mover unless said otherwise."""
        if user is None and self.mover is not None:
            user, password = self.mover.user, self.mover.password
        return self.server.url(self.name, user, password)

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
        """Run statements, each in a transaction of its own: as superuser, or as the owner where there is one."""
        options = {"options": f"-c role={self.owner}"} if self.owner else {}
        with self.session(**options) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def drop(self) -> None:
        """Drop the database, starting its server if a test has crashed it."""
        self.server.start()
        self.server.drop_database(self.name)


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


def wait_until(condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait for something that happens by itself.

    :raises AssertionError: when it doesn't within the patience.
    """
    until = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < until, f"waited {patience_s:g} s in vain: {what}"
        time.sleep(0.02)
