"""How large a database is, and how much is free on the disk that it lies on, where that can be seen from here."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database

# pg_settings, because it leaves out what this role may not know, where current_setting() would fail. The directory is one of this
# machine only where both ends of the connection are.
_ROOM = """
SELECT pg_catalog.pg_database_size(d.oid),
       COALESCE(NULLIF(pg_catalog.pg_tablespace_location(d.dattablespace), ''),
                (SELECT s.setting FROM pg_catalog.pg_settings s WHERE s.name = 'data_directory')),
       inet_client_addr() IS NOT DISTINCT FROM inet_server_addr()
  FROM pg_catalog.pg_database d WHERE d.datname = current_database()
"""


@dataclass(frozen=True)
class Room:
    """What a database takes, and what is left.

    :param size: of the database, in bytes.
    :param directory: where it lies on the server; None where this role may not know.
    :param free: what is free there, in bytes; None where that cannot be seen from here.
    """

    size: int
    directory: str | None
    free: int | None


def read_room(database: Database) -> Room:
    """Of the connected database."""
    size, directory, here = database.rows(_ROOM)[0]
    return Room(int(size), directory, _free(directory) if directory and here else None)


def _free(directory: str) -> int | None:
    try:
        return shutil.disk_usage(directory).free
    except OSError:
        return None
