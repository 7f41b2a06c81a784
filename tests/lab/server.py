"""The PostgreSQL server of a host, seen from the machine: over the network, as superuser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from tests.lab.credentials import credentials

if TYPE_CHECKING:
    from tests.lab.hosts import Host

PORT = 5432


class LabServer:
    """Speaks like `tests.support.servers.Server`, so that what drives the core drives it on a host, too."""

    user = "postgres"
    port = PORT

    def __init__(self, host: Host) -> None:
        self._host = host
        self.major = host.release.postgres
        self.password = credentials().superuser

    @property
    def host(self) -> str:
        """The address."""
        return self._host.address

    def url(self, database: str, user: str | None = None, password: str | None = None) -> str:
        """Return a ``postgresql://`` URL; user and password default to the superuser's."""
        parts = [quote(part, safe="") for part in (user or self.user, password or self.password, database)]
        return f"postgresql://{parts[0]}:{parts[1]}@{self.host}:{self.port}/{parts[2]}"

    def connect(self, database: str = "postgres", **options: Any) -> Connection:
        """Return a psycopg2 connection; ``options`` (user, password, …) go before the superuser's."""
        given: dict[str, Any] = {"host": self.host, "port": self.port, "user": self.user, "password": self.password, "connect_timeout": 10}
        connection: Connection = psycopg2.connect(**(given | {"dbname": database} | options))
        return connection

    def rows(self, query: sql.Composable | str, parameters: object = None, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement outside a transaction block; return its rows, if it has any."""
        connection = self.connect(database)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(query, parameters)  # type: ignore[arg-type]
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def execute(self, query: sql.Composable | str, database: str = "postgres") -> None:
        """Run one statement outside a transaction block."""
        self.rows(query, database=database)

    def create_database(self, name: str, template: str | None = None, owner: str | None = None) -> None:
        """Create a database, by default a copy of ``template0`` owned by the superuser."""
        query = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {} STRATEGY file_copy")
        self.execute(query.format(*map(sql.Identifier, (name, template or "template0", owner or self.user))))

    def drop_database(self, name: str) -> None:
        """Drop a database if it exists, ending the sessions in it."""
        self.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def dump_schema(self, database: str) -> str:
        """Return ``pg_dump --schema-only`` by the host's own pg_dump, without its random ``\\restrict`` key."""
        lines = self.dump(database, "--schema-only").splitlines(keepends=True)
        return "".join(line for line in lines if not line.startswith(("\\restrict ", "\\unrestrict ")))

    def dump(self, database: str, *options: str) -> str:
        """Return what the host's own ``pg_dump`` writes; it needs no network."""
        return self._host.exec("pg_dump", *options, database, user="postgres")

    def start(self) -> Self:
        """Start the service, if a test has ended it, and wait until it answers."""
        self._host.exec("systemctl", "start", self._host.postgres_unit)
        return self
