"""Servers for the property tests: one of each version for each worker, with the roles that the cases speak of."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from psycopg2 import sql

from tests.property.laws import PASSWORD
from tests.property.model import MOVER, OWNERS, ROLES
from tests.support.servers import Server, find_binaries

SETTINGS = {"max_connections": "30", "autovacuum": "off", "synchronous_commit": "off", "shared_buffers": "64MB"}


def start(major: int) -> Server:
    """A throwaway server with the roles."""
    server = Server(major=major, fsync=False, settings=SETTINGS).start()
    for role in ROLES:
        server.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(PASSWORD)))
    server.execute(sql.SQL("GRANT {} TO {}").format(sql.SQL(", ").join(map(sql.Identifier, OWNERS)), sql.Identifier(MOVER)))
    return server


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was generated, and by which seeds."""
    terminalreporter.section("generated")
    for report in [*terminalreporter.stats.get("passed", []), *terminalreporter.stats.get("failed", [])]:
        if report.when == "call":
            found = [f"{value}" if name == "seen" else f"{name} {value}" for name, value in report.user_properties]
            terminalreporter.write_line(f"{report.nodeid.rpartition('[')[2].rstrip(']')} ({report.duration:.0f} s): {'; '.join(found)}")


class Pool:
    """Servers that start when they are first asked for."""

    def __init__(self) -> None:
        self._servers: dict[int, Server] = {}

    def get(self, major: int) -> Server:
        """Running; skips where that version is not installed."""
        if find_binaries(major) is None:
            pytest.skip(reason=f"PostgreSQL {major} is not installed here (tests/support/servers.py says how to get it)")
        if major not in self._servers:
            self._servers[major] = start(major)
        return self._servers[major].start()

    def close(self) -> None:
        """Stop and remove all of them."""
        for server in self._servers.values():
            server.remove()


@pytest.fixture(scope="session")
def pool() -> Iterator[Pool]:
    """Of this worker."""
    servers = Pool()
    yield servers
    servers.close()
