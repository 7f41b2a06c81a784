"""The database that a restore fills before it takes the live one's place.

It is known by its name and its comment: where the server has died in mid-restore nobody could drop it, and the next restore does.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Iterator

from ansible_collections.dbops.multischema.plugins.module_utils import database_mark
from ansible_collections.dbops.multischema.plugins.module_utils.connection import ConnectionSettings
from ansible_collections.dbops.multischema.plugins.module_utils.database_shape import beside, removal
from ansible_collections.dbops.multischema.plugins.module_utils.errors import MultischemaError, ServerRefused
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name, statement

MARK = "dbops.multischema: a restore that has not ended, of "  # how the comment begins
_NAME = re.compile(r".*_restoring_[0-9a-f]{8}\Z", re.DOTALL)
_CLASS = 0x6D73_7272  # of the advisory lock; the other half of its key is made of the live database's name


def new_name(live: str) -> str:
    """A name that nothing has."""
    return beside(live, f"_restoring_{secrets.token_hex(4)}")


def marking(name: str, live: str) -> str:
    """The statement by which it is known from now on."""
    return database_mark.marking(name, MARK + live)


def unmarking(name: str) -> str:
    """The statement after which it is a database like any other."""
    return statement("COMMENT ON DATABASE {} IS NULL", Name(name))


def left_behind(database: Database, live: str) -> list[str]:
    """Those that restores of a database have left.

    :param database: another database of that server.
    """
    return database_mark.marked(database, MARK + live, _NAME)


@contextlib.contextmanager
def only_one(other: ConnectionSettings, live: str) -> Iterator[None]:
    """Let no second restore of this database begin meanwhile; what an earlier one has left is dropped.

    :param other: another database of that server.
    :raises MultischemaError: when one is going on.
    """
    with Database(other, "restore") as database:
        if not database.value("SELECT pg_catalog.pg_try_advisory_lock(%s, pg_catalog.hashtext(%s))", (_CLASS, live)):
            raise MultischemaError(
                f"A restore of {live} is going on.", "Two at once would be in each other's way.", "Wait until it has ended."
            )
        for name in left_behind(database, live):
            with contextlib.suppress(ServerRefused):  # somebody else's: it takes room, and is in nobody's way
                database.execute(removal(name))
        yield


def dropped(name: str, other: ConnectionSettings) -> str:
    """Drop it, where that can be done. :returns: what has become of it, in words."""
    try:
        with Database(other, "restore") as database:
            database.execute(removal(name))
    except MultischemaError as error:
        return (
            f"what there is of the restore, {name}, could not be dropped, and the next restore drops it ({' '.join(error.found.split())})"
        )
    return "nothing of the restore is left"
