"""A role that may migrate a database and is no superuser, as the README lists its rights; its password is in the vault."""

from __future__ import annotations

from collections.abc import Iterable

from psycopg2 import sql

from tests.integration.movers import of_the_sample
from tests.lab.credentials import credentials
from tests.lab.hosts import Host
from tests.lab.pictures import target


def let_migrate(hosts: Iterable[Host], database: str) -> None:
    """Make the role ``mover_<database>`` anew on each host and give it its rights in the sample of that database."""
    for host in hosts:
        server = host.server
        server.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(f"mover_{database}")))
        mover = of_the_sample(target(host, database)).mover
        assert mover is not None
        change = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(mover.user), sql.Literal(credentials().migrator))
        server.execute(change)
