"""Restore a backup beside the live database, prove it there, and put it in its place in one transaction.

Until the swap (`database_swap.py`) nothing of the live database is touched. The old one is kept under another name, and takes no
connections, until somebody removes it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.backup_files import require_intact
from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import Manifest
from ansible_collections.dbops.multischema.plugins.module_utils.backup_verification import Trial, differences_of
from ansible_collections.dbops.multischema.plugins.module_utils.connection import ConnectionSettings
from ansible_collections.dbops.multischema.plugins.module_utils.database_belongings import Belongings, giving, read_belongings
from ansible_collections.dbops.multischema.plugins.module_utils.database_identity import DatabaseIdentity, identity_of
from ansible_collections.dbops.multischema.plugins.module_utils.database_shape import (
    DatabaseShape,
    beside,
    creation,
    read_shape,
)
from ansible_collections.dbops.multischema.plugins.module_utils.database_swap import SwapUnknown, sessions_of, swap
from ansible_collections.dbops.multischema.plugins.module_utils.disk_room import read_room
from ansible_collections.dbops.multischema.plugins.module_utils.errors import BackupRefused, MultischemaError, ServerRefused
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.recovery_target import RecoveryTarget
from ansible_collections.dbops.multischema.plugins.module_utils.restoring import RestoreFailed, SurroundingsFailed
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name, statement
from ansible_collections.dbops.multischema.plugins.module_utils.unfinished_restore import (
    dropped,
    left_behind,
    marking,
    new_name,
    only_one,
    unmarking,
)

_MAY = """
SELECT r.rolsuper OR (r.rolcreatedb AND pg_catalog.pg_has_role(d.datdba, 'USAGE')) FROM pg_catalog.pg_roles r, pg_catalog.pg_database d
 WHERE r.rolname = current_user AND d.datname = %s
"""
_PREPARED = "SELECT gid FROM pg_catalog.pg_prepared_xacts WHERE database = %s ORDER BY 1"
_SLOTS = "SELECT slot_name::text FROM pg_catalog.pg_replication_slots WHERE database = %s ORDER BY 1"


@dataclass(frozen=True)
class Prospect:
    """What a restore is going to do.

    :param live: the database's name.
    :param kept: the name that the old one gets.
    :param size: of the live database, in bytes.
    :param free: in bytes, on the server's disk; None where that cannot be seen from here.
    :param sessions: who is connected now, and will be disconnected.
    :param notes: what else a person should know.
    :param target: until when a physical backup is recovered; None for the instant that was recorded.
    """

    manifest: Manifest
    live: str
    kept: str
    shape: DatabaseShape
    belongings: Belongings
    free: int | None
    sessions: tuple[str, ...]
    notes: tuple[str, ...]
    target: RecoveryTarget | None = None

    def to_dict(self) -> dict[str, Any]:
        """What a person is told of it, as plain data."""
        content = self.manifest.content
        return {
            "name": self.manifest.name,
            "database": self.live,
            "kept": self.kept,
            "engine": self.manifest.engine,
            "ended_at": self.manifest.ended_at,
            "until": self.target.words if self.target else "",
            "tables": len(content.tables),
            "rows": content.rows,
            "size": self.shape.size,
            "free": self.free,
            "sessions": list(self.sessions),
            "notes": list(self.notes),
        }


def look_ahead(
    directory: Path, settings: ConnectionSettings, maintenance: str, *, foreign: bool, seen: Callable[[int], None] | None = None
) -> Prospect:
    """Everything that would stop a restore, before anything is made.

    :param settings: the live database, as a role that may create databases.
    :param maintenance: another database of that server, to connect to while the live one is renamed.
    :param foreign: whether the backup may be of another database or server.
    :param seen: is told how many bytes of its files have been read, each time.
    :raises MultischemaError: saying what is in the way; nothing was changed then.
    """
    manifest, live = require_intact(directory, seen=seen), settings.parameters["dbname"]
    with Database(settings, "restore") as database:
        shape = read_shape(database)
        identity, room = identity_of(database), read_room(database)
    if not foreign:
        _require_own(manifest, identity)
    with Database(settings.in_database(maintenance), "restore") as database:
        belongings = read_belongings(database, live)
        _require_possible(database, live)
        sessions = tuple(sessions_of(database, live))
        slots = ", ".join(name for (name,) in database.rows(_SLOTS, (live,)))
        left = ", ".join(left_behind(database, live))
    if room.free is not None and room.free < shape.size:
        raise MultischemaError(
            f"There are {room.free // 2**20} MB free in {room.directory}, and the database takes {shape.size // 2**20} MB.",
            "The old database stays beside the restored one.",
            "Make room on the server's disk, then run it again. Nothing was changed.",
        )
    notes = [] if room.free is not None else ["How much is free on the server's disk cannot be seen from here."]
    notes += [f"Replication slots stay with the old database: {slots}."] if slots else []
    notes += [f"What an earlier restore has left is dropped first: {left}."] if left else []
    kept = beside(live, f"_before_restore_{datetime.now(timezone.utc):%Y%m%dT%H%M%S}")
    return Prospect(manifest, live, kept, shape, belongings, room.free, sessions, tuple(notes))


def restore(directory: Path, prospect: Prospect, settings: ConnectionSettings, maintenance: str, trial: Trial) -> int:
    """Do it. :returns: the OID of the restored database.

    :raises MultischemaError: when it has failed; the live database is as it was then, and nothing of the new one is left.
    :raises SwapUnknown: when the connection was lost while the names were swapped, and nobody could be asked; it says how to look.
    """
    new = new_name(prospect.live)
    other = settings.in_database(maintenance)
    with only_one(other, prospect.live), _dropped_on_error(prospect.live, new, other):
        _make(new, prospect, other)
        _fill(directory, prospect, settings.in_database(new), trial)
        with Database(other, "restore") as database, database.transaction():
            for text in (unmarking(new), *giving(new, prospect.belongings)):
                database.execute(text)
        return swap(other, prospect.live, new, prospect.kept)


@contextlib.contextmanager
def _dropped_on_error(live: str, new: str, other: ConnectionSettings) -> Iterator[None]:
    """Drop the new database where anything fails, and say that the live one was not touched: until the swap is committed, it was not."""
    try:
        yield
    except SwapUnknown:
        raise  # the new one may be the live one by now, or in a moment
    except BaseException as error:
        fate = dropped(new, other)
        if isinstance(error, MultischemaError):
            error.found += f"\nThe database {live} is as it was; {fate}."
        raise


def _make(new: str, prospect: Prospect, other: ConnectionSettings) -> None:
    with Database(other, "restore") as database:
        try:
            database.execute(creation(new, prospect.shape, prospect.belongings.owner, prospect.belongings.tablespace))
            database.execute(marking(new, prospect.live))
            # Until it has its name, nobody but us has a reason to be in it.
            database.execute(statement("REVOKE CONNECT ON DATABASE {} FROM PUBLIC", Name(new)))
        except ServerRefused as error:
            raise MultischemaError(
                f"The database to restore into cannot be made: {error.found}", error.why or "It is made beside the live one.", error.remedy
            ) from error


def _fill(directory: Path, prospect: Prospect, settings: ConnectionSettings, trial: Trial) -> None:
    try:
        trial.restoring.restore(directory, prospect.manifest, settings)
        differences = list(differences_of(directory, prospect.manifest, settings, trial))
    except RestoreFailed as error:
        differences = [str(error)]
    except SurroundingsFailed as error:
        raise MultischemaError(error.found, error.why, "See to what it says, then run the restore again.") from error
    if differences:
        raise BackupRefused(
            f"What {prospect.manifest.name} restores is not what it was made of:\n" + "\n".join(f"  {text}" for text in differences[:20]),
            "Nothing takes the place of a live database that was not proved.",
            "Choose another backup (backup_name); backup_info lists them.",
        )
    with Database(settings, "restore") as database:
        database.execute("ANALYZE")  # a restored table has no statistics, and the first queries would suffer


def _require_own(manifest: Manifest, here: DatabaseIdentity) -> None:
    there = manifest.database
    # By OID or by name: a database that was restored before has another OID than the one that the backup was taken of.
    same_server = there.system_identifier == here.system_identifier
    if same_server and (there.oid == here.oid or there.name == here.name):
        return
    where = "of this server" if same_server else f"of another server (system identifier {there.system_identifier})"
    raise BackupRefused(
        f"{manifest.name} is a backup of {there.name} {where}; this database is {here.name}.",
        "Restored here, it would take the place of a database that it was not taken of.",
        "Choose a backup of this one (backup_name). Where that is meant (a server was built anew, say), set backup_restore_foreign: true.",
    )


def _require_possible(database: Database, live: str) -> None:
    if not database.value(_MAY, (live,)):
        raise MultischemaError(
            f"This role may not create a database and rename {live}.",
            "The backup is restored into a new database, which then takes the place of the old one.",
            "Connect as a superuser, or as the database's owner with CREATEDB.",
        )
    prepared = ", ".join(repr(gid) for (gid,) in database.rows(_PREPARED, (live,)))
    if prepared:
        raise MultischemaError(
            f"There are prepared transactions in {live}: {prepared}.",
            "A database cannot be renamed as long as there are, and no session is left that could end them.",
            "COMMIT PREPARED or ROLLBACK PREPARED each, whichever its owner says.",
        )
