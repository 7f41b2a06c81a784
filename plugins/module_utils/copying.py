"""A scratch copy of a database, on its own server under a name of its own: made by ``pg_dump | pg_restore``, and dropped again.

Nothing of what is there is touched: the name is new, and only what bears the mark of a copy is ever dropped. Roles belong to the
whole server and are there already; settings of the database and of roles in it are not part of a dump and are set on the copy.
"""

from __future__ import annotations

import re
import secrets
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ansible_collections.dbops.multischema.plugins.module_utils.backup_guard import announce_rehearsal
from ansible_collections.dbops.multischema.plugins.module_utils.client_tools import (
    NONE,
    PG_DUMP,
    PG_RESTORE,
    ClientTools,
    connection_string,
    libpq_environment,
)
from ansible_collections.dbops.multischema.plugins.module_utils.configuration import JOURNAL_SCHEMA
from ansible_collections.dbops.multischema.plugins.module_utils.connection import ConnectionSettings
from ansible_collections.dbops.multischema.plugins.module_utils.database_belongings import (
    Belongings,
    read_belongings,
    setting_statements,
)
from ansible_collections.dbops.multischema.plugins.module_utils.database_mark import marking
from ansible_collections.dbops.multischema.plugins.module_utils.database_shape import (
    DatabaseShape,
    beside,
    creation,
    read_shape,
    removal,
)
from ansible_collections.dbops.multischema.plugins.module_utils.disk_room import Room
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError, MultischemaError, ServerRefused
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.program_run import Program, wait
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name, role, statement

TOOLS = (PG_DUMP, PG_RESTORE)
MARK = "dbops.multischema: a scratch copy of "  # how the comment of a copy begins
DUMP_LOCK_WAIT_MS = 10_000  # a dump that waits for a lock lets nobody else have it
WATCH_S = 1.0
NEEDED_TIMES = 2  # the copy itself, and what is written to WAL of it
_NAME = re.compile(r".*_rehearsal_[0-9a-f]{8}\Z", re.DOTALL)
_MIB, _GIB = 1 << 20, 1 << 30

_CREATORS = """
SELECT DISTINCT COALESCE(r.rolname, 'PUBLIC')
  FROM pg_catalog.pg_namespace n CROSS JOIN LATERAL aclexplode(n.nspacl) a LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
 WHERE n.nspname = 'public' AND a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner
"""


class CopyFailed(MultischemaError):
    """The copy could not be made; what there was of it is dropped."""


@dataclass(frozen=True)
class Made:
    """A copy that was made. ``notes`` say what is not as in the original."""

    name: str
    seconds: float
    notes: tuple[str, ...] = ()


def new_name(database: str) -> str:
    """A name for a copy that nothing has.

    Of ASCII only: the names of databases are kept as the bytes of whoever has made them, in whatever encoding that was.
    """
    return beside(re.sub(r"[^ -~]", "_", database), f"_rehearsal_{secrets.token_hex(4)}")


def size_text(size: int) -> str:
    """Bytes as a person reads them."""
    return f"{size / _GIB:.1f} GiB" if size >= _GIB else f"{max(size // _MIB, 1)} MiB"


def space_needed(room: Room) -> int:
    """What a copy takes, in bytes."""
    return NEEDED_TIMES * room.size


def require_space(room: Room, checked: bool) -> None:
    """Refuse a copy that could fill the disk of a server that is in use.

    :param checked: whether a person has looked, where this cannot.
    :raises CopyFailed: when there is too little, or nobody knows.
    """
    needed = f"A copy takes up to {size_text(space_needed(room))} ({size_text(room.size)} for itself, as much for WAL)"
    elsewhere = "or hand over a copy on another server: rehearsal_database_url."
    if room.free is None and not checked:
        raise CopyFailed(
            f"Nobody can see from here how much space is free on the server's disk. {needed}.",
            "The copy lies beside the live database, and a full disk would stop that too.",
            "Look there, then say so: rehearsal_space_checked: true. Or run it on the server itself, as a role with pg_monitor, "
            f"{elsewhere}",
        )
    if room.free is not None and room.free < space_needed(room):
        raise CopyFailed(
            f"{needed}, and {size_text(room.free)} are free in {room.directory}.",
            "The copy lies beside the live database, and a full disk would stop that too.",
            "Free some space, " + elsewhere,
        )


# --- make it ---


class Watcher(Protocol):
    """Whom long work tells how far it is, and who may end it by an error (`background.Progress`)."""

    def say(self, **figures: Any) -> None:
        """Say how far it is."""

    def check(self) -> None:
        """Raise where the work should end."""


def make_copy(
    settings: ConnectionSettings,
    name: str,
    tools: ClientTools,
    watcher: Watcher,
    restored: Callable[[ConnectionSettings], None] | None = None,
) -> Made:
    """Copy a database.

    :param settings: of the original, which is only read.
    :param name: of the copy, from :func:`new_name`.
    :param watcher: is told ``bytes`` and ``of``.
    :param restored: fills the copy instead of a dump of the original (`copied_backup.py`).
    :raises CopyFailed: when it cannot be made; nothing of it is left.
    :raises JournalError: when tables of the original are being moved.
    """
    started = time.monotonic()
    with Database(settings, "rehearsal's copy") as original:
        announce_rehearsal(original)  # for as long as this session lasts
        shape, belongings = read_shape(original), read_belongings(original)
        creators = [row[0] for row in original.rows(_CREATORS)]

        def watch() -> None:
            watcher.check()
            watcher.say(bytes=int(original.value("SELECT pg_catalog.pg_database_size(%s::name)", (name,))), of=shape.size)

        _create(original, name, shape, belongings)
        try:
            _mark(original, name)
            _prepare(settings.in_database(name), creators)
            if restored is None:
                _fill(settings, name, tools, watch)
            else:
                restored(settings.in_database(name))
            notes = list(_configure(original, name, belongings))
        except BaseException:
            original.execute(removal(name))
            raise
    return Made(name, time.monotonic() - started, tuple(notes))


def _create(original: Database, name: str, shape: DatabaseShape, belongings: Belongings) -> None:
    superuser = original.value("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user")
    try:
        original.execute(creation(name, shape, belongings.owner if superuser else None, belongings.tablespace))
    except ServerRefused as error:
        raise CopyFailed(
            f"The database {name} for the copy cannot be created. {error.found}",
            error.why,
            "Connect as a superuser or GRANT the role CREATEDB (ALTER ROLE … CREATEDB), or hand over a copy: rehearsal_database_url.",
        ) from error


def _mark(original: Database, name: str) -> None:
    # Whoever may connect to any database must not read in it what is closed to them in the original.
    original.execute(statement("REVOKE ALL ON DATABASE {} FROM PUBLIC", Name(name)))
    original.execute(marking(name, f"{MARK}{original.value('SELECT current_database()')}"))


def _prepare(copy: ConnectionSettings, creators: Sequence[str]) -> None:
    """Whoever may create in public there may do so here before anything is given to them: a role that is no superuser can only
    give away what the new owner could have made. The dump grants the same again at its end."""
    with Database(copy, "copy") as database:
        for name in creators:
            database.execute(statement("GRANT CREATE ON SCHEMA public TO {}", role(name)))


def _fill(settings: ConnectionSettings, name: str, tools: ClientTools, watch: Callable[[], None]) -> None:
    dump = [
        tools.program(PG_DUMP),
        "--format=custom",
        *tools.compression_options(NONE),
        "--no-subscriptions",  # its slot is one of another server, and a database with a subscription cannot be dropped
        f"--lock-wait-timeout={DUMP_LOCK_WAIT_MS}",
        f"--exclude-schema={JOURNAL_SCHEMA}",
        f"--dbname={connection_string(settings)}",
    ]
    restore = [tools.program(PG_RESTORE), "--exit-on-error", f"--dbname={connection_string(settings.in_database(name))}"]
    variables = libpq_environment(settings)
    with Program(dump, variables, stdout=subprocess.PIPE) as dumping:
        pipe = dumping.process.stdout
        assert pipe is not None  # noqa: S101  it was asked for
        with Program(restore, variables, stdin=pipe) as restoring:
            pipe.close()  # so that the first notices when the second has ended
            wait((dumping, restoring), watch, WATCH_S)
            for program in (restoring, dumping):
                if program.code != 0:
                    raise CopyFailed(
                        f"{program.name} ended with {program.code}: {_first_error(program.said)}",
                        "Only a complete copy is like the original.",
                        "Do what it says, or hand over a copy that was made otherwise: rehearsal_database_url.",
                    )


def _first_error(said: Iterable[str]) -> str:
    """What a program has said: from its first error on, on one line."""
    lines = [line.strip() for line in said if line.strip(" ^")]
    first = next((number for number, line in enumerate(lines) if "error:" in line.lower()), 0)
    return " ".join(lines[first : first + 4]) or "it says nothing"


def _configure(original: Database, name: str, belongings: Belongings) -> Iterator[str]:
    """Give the copy the original's settings. :returns: notes on those that this role may not set."""
    for who, setting, value in belongings.settings:
        try:
            with original.transaction():
                for text in setting_statements(name, who, setting, value):
                    original.execute(text)
        except ServerRefused as error:
            yield f"{setting} of {who or 'the database'} could not be set on the copy. {error.found}"


# --- and drop it ---


def copies_of(database: Database) -> list[str]:
    """Copies of the connected database that are there, by their mark and their name."""
    rows = database.rows(
        "SELECT d.datname FROM pg_catalog.pg_database d JOIN pg_catalog.pg_shdescription s ON s.objoid = d.oid "
        "AND s.classoid = 'pg_catalog.pg_database'::pg_catalog.regclass WHERE s.description = %s || current_database() ORDER BY 1",
        (MARK,),
    )
    return [name for (name,) in rows if _NAME.fullmatch(name)]


def drop_copy(database: Database, name: str) -> bool:
    """Drop a copy of the connected database.

    :returns: whether there was one.
    :raises ConfigurationError: when the database of that name does not bear the mark of a copy of this one.
    """
    if database.value("SELECT 1 FROM pg_catalog.pg_database WHERE datname = %s", (name,)) is None:
        return False
    if name not in copies_of(database):
        raise ConfigurationError(
            f"The database {name} is no scratch copy of this one, so it is not dropped.",
            "Only what a rehearsal has made is removed.",
            "Look at it: COMMENT ON DATABASE is missing or says something else.",
        )
    database.execute(removal(name))
    return True
