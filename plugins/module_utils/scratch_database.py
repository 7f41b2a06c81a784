"""A scratch database: made on a server for one trial, and dropped afterwards.

Where the machine of a trial has died nobody could drop it. Such a one is known by its name, by its comment, and by a lock that
whoever has made it holds for as long as they live; the next trial on that server drops it.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Iterator

from ansible_collections.dbops.multischema.plugins.module_utils.connection import ConnectionSettings
from ansible_collections.dbops.multischema.plugins.module_utils.database_mark import marked, marking
from ansible_collections.dbops.multischema.plugins.module_utils.database_shape import DatabaseShape, creation, removal
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ServerRefused
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.restoring import SurroundingsFailed

PREFIX = "multischema_scratch_"
_NAME = re.compile(rf"{PREFIX}[0-9a-f]{{12}}\Z")
_MARK = "dbops.multischema: a trial that has not ended, locked from "  # how the comment begins; then the database that the lock is in
LOCK_CLASS = 0x6D73_7363  # of the advisory lock; the other half of its key is made of the scratch database's name
_LOCK = "SELECT pg_catalog.pg_try_advisory_lock(%s, pg_catalog.hashtext(%s))"
_UNLOCK = "SELECT pg_catalog.pg_advisory_unlock(%s, pg_catalog.hashtext(%s))"


def _comment(database: Database) -> str:
    return _MARK + str(database.value("SELECT pg_catalog.current_database()"))


def drop_abandoned(database: Database) -> list[str]:
    """Drop what trials have left whose machine has died. What a role may not drop stays: it takes room, and is in nobody's way.

    :param database: that the trials have connected to; locks are seen from there only.
    :returns: the names of those that are gone.
    """
    dropped = []
    for name in marked(database, _comment(database), _NAME):
        if database.value(_LOCK, (LOCK_CLASS, name)):
            with contextlib.suppress(ServerRefused):
                database.execute(removal(name))
                dropped.append(name)
            database.value(_UNLOCK, (LOCK_CLASS, name))
    return dropped


@contextlib.contextmanager
def scratch_database(settings: ConnectionSettings, shape: DatabaseShape) -> Iterator[tuple[ConnectionSettings, list[str]]]:
    """A new, empty database on a server, dropped afterwards.

    :param settings: another database of that server, as a role that may create databases.
    :returns: how to connect to it, and the names of what earlier trials had left, which is gone now.
    :raises SurroundingsFailed: when it cannot be made.
    """
    name = PREFIX + secrets.token_hex(6)
    with Database(settings, "scratch") as database:
        dropped = drop_abandoned(database)
        database.value(_LOCK, (LOCK_CLASS, name))
        try:
            database.execute(creation(name, shape))
        except ServerRefused as error:
            raise SurroundingsFailed(
                f"No scratch database can be made at {settings.label}: {error.found}",
                "The backup is restored into one of the same encoding and locale as the original.",
                "Give the role CREATEDB, install the locale on that machine, or name another server in backup_scratch_url.",
            ) from error
        try:
            database.execute(marking(name, _comment(database)))
            yield settings.in_database(name), dropped
        finally:
            database.execute(removal(name))
