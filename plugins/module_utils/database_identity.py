"""Which database it is, whatever it is called."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Server
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_queries import SYSTEM_IDENTIFIER
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database

_HERE = "SELECT d.oid::bigint, d.datname FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()"


@dataclass(frozen=True)
class DatabaseIdentity:
    """Which database it is. A physical copy of a server has the same; another server, or a database restored from a dump, has not.

    :param system_identifier: of its server (``pg_control_system()``); empty where this role may not ask for it.
    """

    system_identifier: str
    oid: int
    name: str

    def is_the_same_as(self, other: DatabaseIdentity) -> bool:
        """Whether both are one database, or physical copies of one; it may have been renamed."""
        return (self.system_identifier, self.oid) == (other.system_identifier, other.oid)


def identity_of(database: Database) -> DatabaseIdentity:
    """Which database we are connected to."""
    oid, name = database.rows(_HERE)[0]
    return DatabaseIdentity(str(database.value(SYSTEM_IDENTIFIER)), int(oid), str(name))


def observed_identity(server: Server) -> DatabaseIdentity:
    """Which database a catalog, or a plan, was made of."""
    return DatabaseIdentity(server.system_identifier, server.database_oid, server.database)
