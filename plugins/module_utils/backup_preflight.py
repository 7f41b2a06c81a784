"""What is known and checked before a backup begins: everything that would make it fail, or make it less than a backup."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.backup_guard import require_no_migration
from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import DIRECTORY, PG_DUMP, PGBACKREST, PLAIN
from ansible_collections.dbops.multischema.plugins.module_utils.backup_place import Place
from ansible_collections.dbops.multischema.plugins.module_utils.client_tools import (
    DUMPING,
    NONE,
    ClientTools,
    choose_compression,
    tools_for,
)
from ansible_collections.dbops.multischema.plugins.module_utils.content import tables_of
from ansible_collections.dbops.multischema.plugins.module_utils.database_identity import DatabaseIdentity, identity_of
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError, MultischemaError, ServerRefused
from ansible_collections.dbops.multischema.plugins.module_utils.pgbackrest import INCR, Stanza
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import LOCK_NOT_AVAILABLE, Database
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import qualified

AGE = "age"
_MOST_NAMES = 10
# Of tables, views apart: pg_dump locks every one of them, and reads the rows of each.
_UNREADABLE = """
SELECT n.nspname, c.relname,
       CASE WHEN NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE') THEN 'no USAGE on its schema'
            WHEN c.relkind = 'S' THEN 'no SELECT on this sequence'
            WHEN NOT pg_catalog.has_table_privilege(c.oid, 'SELECT') THEN 'no SELECT'
            ELSE 'its row security hides rows from this role' END
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'S') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
                      AND d.deptype = 'e')
   AND (NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE')
        OR CASE WHEN c.relkind = 'S' THEN NOT pg_catalog.has_sequence_privilege(c.oid, 'SELECT')
                ELSE NOT pg_catalog.has_table_privilege(c.oid, 'SELECT') OR pg_catalog.row_security_active(c.oid) END)
 ORDER BY 1, 2
"""


@dataclass(frozen=True)
class Request:
    """What the user asked for.

    :param directory: where backups of this host are.
    :param dump_format: `DIRECTORY`, `CUSTOM` or `PLAIN`.
    :param compression: ``METHOD:LEVEL``, ``none``, or empty for the best that is there.
    :param jobs: connections that dump side by side, in the directory format.
    :param recipients: public keys of age; empty for no encryption.
    :param lock_wait_s: how long the dump waits for a lock on a table, in seconds.
    :param room_percent: how much must be free, of what the tables take on the server.
    :param engine: `PG_DUMP` or `PGBACKREST`; of what follows only the second one knows.
    :param physical_type: `FULL`, `DIFF` or `INCR`.
    """

    directory: str
    dump_format: str = DIRECTORY
    compression: str = ""
    jobs: int = 2
    recipients: tuple[str, ...] = ()
    tools_directory: str = ""
    lock_wait_s: float = 60.0
    room_percent: int = 100
    keep_count: int = 7
    keep_days: float = 0.0
    engine: str = PG_DUMP
    stanza: Stanza | None = None
    physical_type: str = INCR

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Request:
        """:raises ConfigurationError: when they cannot be used together."""
        request = cls(
            directory=options["folder"],
            dump_format=options["format"],
            compression=options["compression"] or "",
            jobs=options["jobs"],
            recipients=tuple(options["age_recipients"]),
            tools_directory=options["tools_directory"] or "",
            lock_wait_s=options["lock_wait_s"],
            room_percent=options["room_percent"],
            keep_count=options["keep_count"],
            keep_days=options["keep_days"],
            engine=options["engine"],
            stanza=Stanza(
                options["stanza"], options["pgbackrest_config"] or "", options["pgbackrest_repo"], options["pgbackrest_program"] or ""
            ),
            physical_type=options["pgbackrest_type"],
        )
        problems = list(_problems(request))
        if problems:
            raise ConfigurationError(
                "The backup cannot be taken as it is asked for: " + " ".join(problem for problem, _ in problems),
                "",
                " ".join(remedy for _, remedy in problems),
            )
        return request


def _problems(request: Request) -> Iterator[tuple[str, str]]:
    """What is wrong, and what to write instead."""
    if request.recipients and request.engine == PGBACKREST:
        yield (
            "pgbackrest does not encrypt to keys of age, and backup_age_recipients asks for it.",
            "Leave backup_age_recipients out; pgbackrest encrypts its repository by itself (repo1-cipher-type in its configuration).",
        )
    elif request.recipients and request.dump_format == DIRECTORY:
        yield (
            "the directory format cannot be encrypted while it is written, and backup_age_recipients asks for encryption.",
            "Set backup_format to custom (one file, no parallel jobs), or encrypt the disk instead and leave backup_age_recipients out.",
        )
    if request.dump_format == PLAIN and request.compression not in ("", "auto", NONE):
        yield (
            f"backup_compression is {request.compression!r}, and the plain format is what psql reads, which cannot uncompress.",
            "Leave backup_compression out, or set backup_format to custom.",
        )
    least: dict[str, tuple[float, int]] = {
        "jobs": (request.jobs, 1),
        "keep_count": (request.keep_count, 0),
        "keep_days": (request.keep_days, 0),
        "room_percent": (request.room_percent, 0),
        "lock_wait_s": (request.lock_wait_s, 1),
    }
    for name, (value, lowest) in least.items():
        if not lowest <= value < 1_000_000:
            yield f"backup_{name} is {value:g}.", f"backup_{name} is {lowest} or more."


@dataclass(frozen=True)
class Examined:
    """What was found, where nothing stands in the way.

    :param compression: ``METHOD:LEVEL``, or ``none``.
    :param estimate: what the tables take on the server, in bytes.
    :param free: on the disk of the backups, in bytes.
    :param reads_passwords: whether this role may read the passwords of roles.
    """

    tools: ClientTools
    compression: str
    identity: DatabaseIdentity
    server: str
    server_version_num: int
    tables: int
    estimate: int
    free: int
    reads_passwords: bool


def examine(database: Database, request: Request) -> Examined:
    """Look at everything; writes nothing.

    :raises MultischemaError: when something stands in the way.
    """
    wait_no_longer(database, request)
    require_readable(database)
    require_no_migration(database)
    version, number, passwords = database.rows(
        "SELECT current_setting('server_version'), current_setting('server_version_num')::int, "
        "pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT')"
    )[0]
    tools = tools_for(database, DUMPING, request.tools_directory)
    compression = NONE if request.dump_format == PLAIN else choose_compression(tools, request.compression)
    _require_age(request.recipients)
    identity = identity_of(database)
    Place(Path(request.directory), identity.name).require_nobody_writing()
    try:
        sizes = [size for _, _, size in tables_of(database)]
    except ServerRefused as error:
        if error.sqlstate != LOCK_NOT_AVAILABLE:
            raise
        raise MultischemaError(
            f"Somebody holds a lock on a table that lets nobody read it, and has done so for {request.lock_wait_s:g} s.",
            "A dump reads every table.",
            "Wait until that has ended (SELECT * FROM pg_locks WHERE mode = 'AccessExclusiveLock'), or set backup_lock_wait_s higher.",
        ) from error
    free = _require_room(Path(request.directory), sum(sizes), request.room_percent)
    return Examined(tools, compression, identity, version, number, len(sizes), sum(sizes), free, passwords)


def wait_no_longer(database: Database, request: Request) -> None:
    """Let a session wait for a lock as long as the dump may, and no longer: even a table's size is read under one."""
    database.execute("SELECT set_config('lock_timeout', %s, false)", (f"{int(request.lock_wait_s * 1000)}ms",))


def require_readable(database: Database) -> None:
    """:raises MultischemaError: when this role cannot read every row of every table."""
    rows = database.rows(_UNREADABLE)
    if not rows:
        return
    named = [f"{qualified(schema, name)} ({why})" for schema, name, why in rows[:_MOST_NAMES]]
    more = f" and {len(rows) - _MOST_NAMES} more" if len(rows) > _MOST_NAMES else ""
    raise MultischemaError(
        f"This role cannot read everything: {', '.join(named)}{more}.",
        "A backup that leaves out rows would not be one.",
        "Connect as a superuser, or as a role with BYPASSRLS that is a member of pg_read_all_data (14 and newer) or of the tables' owners.",
    )


def _require_room(directory: Path, estimate: int, percent: int) -> int:
    there = next(path for path in (directory, *directory.parents) if path.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise MultischemaError(
            f"Backups cannot be written to {directory}: {there} is not a directory that this user may write to.",
            "Nothing was backed up.",
            "Let the user that the modules run as write there, or set backup_directory to a place where it may.",
        )
    free, needed = shutil.disk_usage(there).free, estimate * percent // 100
    if free < needed:
        raise MultischemaError(
            f"There is no room for a backup in {directory}: {size_text(free)} are free; the tables take {size_text(estimate)} on the "
            f"server, and {percent} % of that is asked for.",
            "A disk that fills up in the middle ends the backup, and whatever else writes there.",
            "Make room, set backup_directory to a larger disk, or set backup_room_percent lower, where you know how well this database "
            "compresses.",
        )
    return free


def _require_age(recipients: tuple[str, ...]) -> None:
    if not recipients:
        return
    if shutil.which(AGE) is None:
        raise MultischemaError(
            "backup_age_recipients asks for encryption, and the program age is not on this host.", "", "apt-get install age."
        )
    done = subprocess.run(age_command(recipients), input=b"", capture_output=True, check=False)  # noqa: S603  a list, no shell
    if done.returncode != 0:
        raise ConfigurationError(
            f"backup_age_recipients cannot be used: {done.stderr.decode('utf-8', 'replace').strip()}",
            "age encrypts to public keys: age1…, or ssh-ed25519 and ssh-rsa as in authorized_keys.",
            "age-keygen -o key.txt makes a pair and prints the public one. Keep key.txt elsewhere: without it no backup can be read.",
        )


def age_command(recipients: tuple[str, ...]) -> list[str]:
    """Encrypts what it reads, and writes it to its output."""
    return [shutil.which(AGE) or AGE, "--encrypt", *(f"--recipient={key}" for key in recipients)]


def size_text(size: float) -> str:
    """Bytes for people: ``1.3 GB``, powers of 1000."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
