"""A scratch copy of a database, on its own server under a name of its own: made by ``pg_dump | pg_restore``, and dropped again.

Nothing of what is there is touched: the name is new, and only what bears the mark of a copy is ever dropped. Roles belong to the
whole server and are there already; settings of the database and of roles in it are not part of a dump and are set on the copy.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import IO, Any, Protocol

from ansible_collections.dbops.multischema.plugins.module_utils.client_tools import (
    NONE,
    PG_DUMP,
    PG_RESTORE,
    ClientTools,
    connection_string,
    find_tools,
    libpq_environment,
)
from ansible_collections.dbops.multischema.plugins.module_utils.configuration import JOURNAL_SCHEMA
from ansible_collections.dbops.multischema.plugins.module_utils.connection import ConnectionSettings
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError, MultischemaError, ServerRefused
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.search_path import parse, pieces
from ansible_collections.dbops.multischema.plugins.module_utils.search_path_step import restore_statements
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name, Piece, Text, fragment, keyword, role, statement

MARK = "dbops.multischema: a scratch copy of "  # how the comment of a copy begins
LONGEST_NAME = 63  # bytes, NAMEDATALEN - 1
DUMP_LOCK_WAIT_MS = 10_000  # a dump that waits for a lock lets nobody else have it
WATCH_S = 1.0
NEEDED_TIMES = 2  # the copy itself, and what is written to WAL of it
_NAME = re.compile(r".*_rehearsal_[0-9a-f]{8}\Z", re.DOTALL)
_MIB, _GIB = 1 << 20, 1 << 30

# Where a database lies, whether this process is on the server's own machine, and what decides how text is sorted in it.
_PLACE = """
SELECT pg_catalog.pg_database_size(d.oid), pg_catalog.pg_get_userbyid(d.datdba),
       inet_client_addr() IS NOT DISTINCT FROM inet_server_addr(),
       COALESCE(NULLIF(pg_catalog.pg_tablespace_location(d.dattablespace), ''),
                (SELECT s.setting FROM pg_catalog.pg_settings s WHERE s.name = 'data_directory')),
       t.spcname, pg_catalog.pg_encoding_to_char(d.encoding), d.datcollate, d.datctype, {locale}
  FROM pg_catalog.pg_database d JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace WHERE d.datname = current_database()
"""
_LOCALES = (
    (170000, "d.datlocprovider, d.datlocale, d.daticurules"),
    (160000, "d.datlocprovider, d.daticulocale, d.daticurules"),
    (150000, "d.datlocprovider, d.daticulocale, NULL"),
    (0, "'c', NULL, NULL"),
)
SETTINGS_HERE = """
SELECT r.rolname, split_part(c, '=', 1), substr(c, strpos(c, '=') + 1)
  FROM pg_catalog.pg_db_role_setting s LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
 CROSS JOIN LATERAL unnest(s.setconfig) WITH ORDINALITY AS u(c, place)
 WHERE s.setdatabase = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()) ORDER BY r.rolname NULLS FIRST, place
"""
# Settings that are lists of names, each quoted by itself (GUC_LIST_QUOTE in PostgreSQL's guc_tables.c).
_LISTS = ("local_preload_libraries", "session_preload_libraries", "temp_tablespaces")
_OWN_PROGRAMS = """
SELECT CASE WHEN has_function_privilege('pg_catalog.pg_config()', 'EXECUTE')
            THEN (SELECT setting FROM pg_catalog.pg_config() WHERE name = 'BINDIR') END
"""
_CREATORS = """
SELECT DISTINCT COALESCE(r.rolname, 'PUBLIC')
  FROM pg_catalog.pg_namespace n CROSS JOIN LATERAL aclexplode(n.nspacl) a LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
 WHERE n.nspname = 'public' AND a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner
"""


class CopyFailed(MultischemaError):
    """The copy could not be made; what there was of it is dropped."""


@dataclass(frozen=True)
class Place:
    """Where a database lies, and what another one needs in order to be like it.

    :param size: in bytes; ``free``, what is free on its disk, None where that cannot be seen from here.
    :param directory: where it lies on the server, where this role may know.
    """

    size: int
    owner: str
    directory: str | None
    free: int | None
    tablespace: str
    encoding: str
    collate: str
    ctype: str
    provider: str
    locale: str | None
    rules: str | None

    @property
    def needed(self) -> int:
        """What a copy takes, in bytes."""
        return NEEDED_TIMES * self.size


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
    tail = f"_rehearsal_{secrets.token_hex(4)}"
    return re.sub(r"[^ -~]", "_", database)[: LONGEST_NAME - len(tail)] + tail


def renamed(settings: ConnectionSettings, database: str) -> ConnectionSettings:
    """The same connection to another database of the server."""
    return replace(settings, parameters={**settings.parameters, "dbname": database})


def size_text(size: int) -> str:
    """Bytes as a person reads them."""
    return f"{size / _GIB:.1f} GiB" if size >= _GIB else f"{max(size // _MIB, 1)} MiB"


def read_place(database: Database) -> Place:
    """Look at the database that is connected, and at the disk that it lies on, where that is this machine's."""
    version = int(database.value("SELECT current_setting('server_version_num')::int"))
    locale = next(columns for since, columns in _LOCALES if version >= since)
    size, owner, local, directory, *rest = database.rows(_PLACE.format(locale=locale))[0]
    return Place(int(size), owner, directory, _free(directory) if local and directory else None, *rest)


def _free(directory: str) -> int | None:
    try:
        found = os.statvfs(directory)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def require_space(place: Place, checked: bool) -> None:
    """Refuse a copy that could fill the disk of a server that is in use.

    :param checked: whether a person has looked, where this cannot.
    :raises CopyFailed: when there is too little, or nobody knows.
    """
    needed = f"A copy takes up to {size_text(place.needed)} ({size_text(place.size)} for itself, as much for WAL)"
    elsewhere = "or hand over a copy on another server: rehearsal_database_url."
    if place.free is None and not checked:
        raise CopyFailed(
            f"Nobody can see from here how much space is free on the server's disk. {needed}.",
            "The copy lies beside the live database, and a full disk would stop that too.",
            "Look there, then say so: rehearsal_space_checked: true. Or run it on the server itself, as a role with pg_monitor, "
            f"{elsewhere}",
        )
    if place.free is not None and place.free < place.needed:
        raise CopyFailed(
            f"{needed}, and {size_text(place.free)} are free in {place.directory}.",
            "The copy lies beside the live database, and a full disk would stop that too.",
            "Free some space, " + elsewhere,
        )


def tools_for(database: Database, directory: str) -> ClientTools:
    """pg_dump and pg_restore for a server.

    Its own, where they are on this machine and this role may ask: a restore by a newer version may say what the server does not know.

    :param directory: where to look; empty for everywhere.
    :raises MultischemaError: when there are none.
    """
    version, wanted = int(database.value("SELECT current_setting('server_version_num')::int")), (PG_DUMP, PG_RESTORE)
    own = database.value(_OWN_PROGRAMS) if not directory else None
    if own:
        with contextlib.suppress(MultischemaError):  # of another machine, or of one of its parts
            return find_tools(version, wanted, own)
    return find_tools(version, wanted, directory)


# --- make it ---


class Watcher(Protocol):
    """Whom long work tells how far it is, and who may end it by an error (`background.Progress`)."""

    def say(self, **figures: Any) -> None:
        """Say how far it is."""

    def check(self) -> None:
        """Raise where the work should end."""


def make_copy(settings: ConnectionSettings, name: str, tools: ClientTools, watcher: Watcher) -> Made:
    """Copy a database.

    :param settings: of the original, which is only read.
    :param name: of the copy, from :func:`new_name`.
    :param watcher: is told ``bytes`` and ``of``.
    :raises CopyFailed: when it cannot be made; nothing of it is left.
    """
    started = time.monotonic()
    with Database(settings, "copy") as original:
        place = read_place(original)
        creators = [row[0] for row in original.rows(_CREATORS)]
        configured = original.rows(SETTINGS_HERE)

        def watch() -> None:
            watcher.check()
            watcher.say(bytes=int(original.value("SELECT pg_catalog.pg_database_size(%s::name)", (name,))), of=place.size)

        _create(original, place, name)
        try:
            _mark(original, name)
            _prepare(renamed(settings, name), creators)
            _fill(settings, name, tools, watch)
            notes = list(_configure(original, name, configured))
        except BaseException:
            _drop(original, name)
            raise
    return Made(name, time.monotonic() - started, tuple(notes))


def _create(original: Database, place: Place, name: str) -> None:
    superuser = original.value("SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user")
    parts: list[Piece] = [
        fragment("CREATE DATABASE {} TEMPLATE template0 ENCODING {}", Name(name), Text(place.encoding)),
        fragment("LC_COLLATE {} LC_CTYPE {}", Text(place.collate), Text(place.ctype)),
    ]
    if place.tablespace != "pg_default":  # that of template0, which an ordinary role may take but not name
        parts.append(fragment("TABLESPACE {}", Name(place.tablespace)))
    if superuser:
        parts.append(fragment("OWNER {}", Name(place.owner)))
    if place.provider != "c" and place.locale is not None:
        kind = {"i": "icu", "b": "builtin"}[place.provider]
        parts.append(fragment("LOCALE_PROVIDER {} {} {}", keyword(kind), keyword(f"{kind.upper()}_LOCALE"), Text(place.locale)))
        if place.rules is not None:
            parts.append(fragment("ICU_RULES {}", Text(place.rules)))
    try:
        original.execute(" ".join(statement("{}", part) for part in parts))
    except ServerRefused as error:
        raise CopyFailed(
            f"The database {name} for the copy cannot be created. {error.found}",
            error.why,
            "Connect as a superuser or GRANT the role CREATEDB (ALTER ROLE … CREATEDB), or hand over a copy: rehearsal_database_url.",
        ) from error


def _mark(original: Database, name: str) -> None:
    # Whoever may connect to any database must not read in it what is closed to them in the original.
    original.execute(statement("REVOKE ALL ON DATABASE {} FROM PUBLIC", Name(name)))
    comment = Text(f"{MARK}{original.value('SELECT current_database()')}")
    original.execute(statement("COMMENT ON DATABASE {} IS {}", Name(name), comment))


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
    restore = [tools.program(PG_RESTORE), "--exit-on-error", f"--dbname={connection_string(settings, name)}"]
    with tempfile.TemporaryFile() as said_by_dump, tempfile.TemporaryFile() as said_by_restore:
        codes = _pipe(dump, restore, libpq_environment(settings), (said_by_dump, said_by_restore), watch)
        for program, code, said in ((PG_RESTORE, codes[1], said_by_restore), (PG_DUMP, codes[0], said_by_dump)):
            if code != 0:
                raise CopyFailed(
                    f"{program} ended with {code}: {_said(said)}",
                    "Only a complete copy is like the original.",
                    "Do what it says, or hand over a copy that was made otherwise: rehearsal_database_url.",
                )


def _pipe(
    dump: list[str], restore: list[str], variables: Mapping[str, str], errors: tuple[IO[bytes], IO[bytes]], watch: Callable[[], None]
) -> tuple[int, int]:
    """Run both, the first into the second. :returns: how they have ended."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        processes.append(_started(dump, variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors[0]))
        processes.append(_started(restore, variables, stdin=processes[0].stdout, stdout=subprocess.DEVNULL, stderr=errors[1]))
        if processes[0].stdout is not None:
            processes[0].stdout.close()  # so that the first notices when the second has ended
        while True:
            try:
                return processes[0].wait(WATCH_S), processes[1].wait(WATCH_S)
            except subprocess.TimeoutExpired:
                watch()
    except OSError as error:
        raise CopyFailed(f"{error.filename} cannot be started: {error.strerror}.", "", "Install PostgreSQL's client programs.") from error
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()


def _started(command: list[str], variables: Mapping[str, str], **streams: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, env=dict(variables), **streams)  # noqa: S603  a list of arguments, no shell


def _said(stream: IO[bytes]) -> str:
    """What a program has said: from its first error on, on one line."""
    stream.seek(0)
    lines = [line.strip() for line in stream.read().decode(errors="replace").splitlines() if line.strip(" ^")]
    first = next((number for number, line in enumerate(lines) if "error:" in line.lower()), 0)
    return " ".join(lines[first : first + 4]) or "it says nothing"


def _configure(original: Database, name: str, configured: Sequence[tuple[Any, ...]]) -> Iterator[str]:
    """Give the copy the original's settings. :returns: notes on those that this role may not set."""
    for who, setting, value in configured:
        whose = f"{setting} of {who or 'the database'}"
        try:
            if setting == "search_path":
                with original.transaction():
                    for sql in restore_statements(who, name, value):
                        original.execute(sql)
            else:
                original.execute(_setting(who, name, setting, value))
        except ServerRefused as error:
            yield f"{whose} could not be set on the copy. {error.found}"


def _setting(who: str | None, name: str, setting: str, value: str) -> str:
    whose = fragment("ROLE {} IN DATABASE {}", Name(who), Name(name)) if who is not None else fragment("DATABASE {}", Name(name))
    words = setting.split(".")  # a parameter of an extension: its parts are names of their own
    given = pieces(parse(value)) if setting in _LISTS else Text(value)
    return statement("ALTER {} SET {} TO {}", whose, Name(*words), given)


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
    _drop(database, name)
    return True


def _drop(database: Database, name: str) -> None:
    database.execute(statement("DROP DATABASE IF EXISTS {} WITH (FORCE)", Name(name)))
