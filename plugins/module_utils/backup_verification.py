"""Prove a backup: restore it into a scratch database, and compare what is there with what the manifest recorded.

The verdict is about the backup. Where the restore could not even be tried (no room, no such extension on this machine), that is
an error (`SurroundingsFailed`), and the manifest stays as it is.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from ansible_collections.dbops.multischema.plugins.module_utils import schema_text
from ansible_collections.dbops.multischema.plugins.module_utils.backup_files import globals_file, listed, require_intact, write_manifest
from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import (
    BY_CHECKSUM,
    BY_RESTORE,
    PG_DUMP,
    PGBACKREST,
    PLAIN,
    Manifest,
    Verdict,
)
from ansible_collections.dbops.multischema.plugins.module_utils.connection import ConnectionSettings
from ansible_collections.dbops.multischema.plugins.module_utils.content import Content, compare_content
from ansible_collections.dbops.multischema.plugins.module_utils.copy_reader import read_copy
from ansible_collections.dbops.multischema.plugins.module_utils.database_shape import recorded_shape
from ansible_collections.dbops.multischema.plugins.module_utils.errors import BackupRefused, ServerRefused
from ansible_collections.dbops.multischema.plugins.module_utils.globals_script import for_a_scratch_server, is_complete
from ansible_collections.dbops.multischema.plugins.module_utils.pgbackrest import Stanza
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.recovered_server import RecoveredServer
from ansible_collections.dbops.multischema.plugins.module_utils.recovery_target import RecoveryTarget, recorded_target
from ansible_collections.dbops.multischema.plugins.module_utils.restoring import (
    RestoreFailed,
    Restoring,
    SurroundingsFailed,
)
from ansible_collections.dbops.multischema.plugins.module_utils.schema_digest import schema_digest
from ansible_collections.dbops.multischema.plugins.module_utils.scratch_database import scratch_database
from ansible_collections.dbops.multischema.plugins.module_utils.scratch_server import ScratchServer
from ansible_collections.dbops.multischema.plugins.module_utils.sealed_document import utc_now

MOST_DIFFERENCES = 20


@dataclass(frozen=True)
class Trial:
    """How backups are tried.

    :param restoring: with which programs and keys.
    :param scratch_directory: where a throwaway server goes.
    :param scratch_settings: a database of a named server instead; a new database is made beside it.
    :param read: is told how many restored tables have been read, and of how many.
    :param doing: is told what is done with a physical backup, and how much of it in percent.
    :param notes: where it is written what a person should know besides.
    """

    restoring: Restoring
    scratch_directory: Path = Path("/var/tmp")  # noqa: S108  what goes there gets a name of its own, and is for its owner alone
    scratch_settings: ConnectionSettings | None = None
    read: Callable[[int, int], None] | None = None
    doing: Callable[[str, float], None] = lambda _doing, _percent: None
    notes: list[str] = field(default_factory=list)


def verify(
    directory: Path, method: str, trial: Trial | None, *, again: bool = False, hashed: Callable[[int], None] | None = None
) -> tuple[Manifest, bool]:
    """Try a backup, and write the verdict into its manifest.

    :param method: `BY_RESTORE` or `BY_CHECKSUM`; the weaker one never takes the place of a verdict of the stronger one.
    :param trial: how it is restored; None where only files are compared.
    :param again: restore it even if that has been done with success.
    :param hashed: is told how many bytes of its files have been read, each time.
    :returns: the manifest, and whether it was written.
    :raises BackupRefused: when it is not what was written.
    :raises SurroundingsFailed: when it could not be tried.
    """
    manifest = require_intact(directory, seen=hashed)
    restored = method == BY_RESTORE and trial is not None and not (manifest.proved and not again)
    if not restored:
        _require_sound(directory, manifest)
    if manifest.proved and not restored:
        return manifest, False
    if trial is None or not restored:
        judged = manifest.judged(Verdict(BY_CHECKSUM, utc_now(), passed=True))
        changed = manifest.verdict is None or manifest.verdict.method == BY_RESTORE
        if not changed:
            return manifest, False
    else:
        judged = manifest.judged(_tried(directory, manifest, trial))
    write_manifest(directory, judged)
    return judged, True


def _require_sound(directory: Path, manifest: Manifest) -> None:
    """Have files that are not here compared: those of a physical backup are for its own program to read.

    :raises BackupRefused: saying what is not as it was written.
    """
    if manifest.engine != PGBACKREST:
        return
    problems = Stanza.of(manifest.extra[PGBACKREST]["stanza"]).verify(manifest.label)
    if problems:
        raise BackupRefused(
            f"{directory} is not what was written: {listed(problems)}.",
            "Files in pgbackrest's repository have changed since, or are gone.",
            "Take a new backup (playbooks/backup.yml, backup_pgbackrest_type: full), and find out what has become of this one.",
        )


def _tried(directory: Path, manifest: Manifest, trial: Trial) -> Verdict:
    started, where = time.monotonic(), ""
    try:
        with _filled(directory, manifest, trial) as (settings, label):
            where = label
            differences = list(differences_of(directory, manifest, settings, trial))
    except RestoreFailed as error:
        differences = [str(error)]
    return Verdict(
        BY_RESTORE,
        utc_now(),
        passed=not differences,
        differences=tuple(differences[:MOST_DIFFERENCES]),
        where=where,
        seconds=round(time.monotonic() - started, 3),
    )


def differences_of(directory: Path, manifest: Manifest, settings: ConnectionSettings, trial: Trial) -> Iterator[str]:
    """What is not in a restored database as the manifest recorded it, in words.

    :raises RestoreFailed: when the dump cannot be read.
    """
    with Database(settings, "verification") as database, trial.restoring.watch.over(database.cancel):
        found = read_copy(database, trial.read)
    yield from compare_content(manifest.content, _with_schema(found, directory, manifest, settings, trial.restoring))


def _with_schema(found: Content, directory: Path, manifest: Manifest, settings: ConnectionSettings, restoring: Restoring) -> Content:
    """The schema's digest too, where it can be compared.

    What is restored is not always written as before: PostgreSQL reads an expression such as ``x IN ('a', 'b')`` and writes it
    back in other words. So where the restored database has another text, the dump's own text counts: all of it has been
    executed without an error by now.
    """
    recorded = manifest.content.schema_digest
    if not recorded or restoring.tools.versions[PG_DUMP] != manifest.tools.get(PG_DUMP):
        return found
    digest = schema_digest(restoring.tools, settings)
    if digest != recorded and manifest.engine == PG_DUMP:
        digest = schema_text.digest(_lines(directory, manifest, restoring))
    return replace(found, schema_digest=digest)


def _lines(directory: Path, manifest: Manifest, restoring: Restoring) -> Iterator[bytes]:
    if manifest.dump_format == PLAIN:
        with restoring.opened(directory, manifest) as stream:
            yield from schema_text.without_data(stream)
    else:
        yield from restoring.schema_text(directory, manifest)


@contextlib.contextmanager
def _filled(directory: Path, manifest: Manifest, trial: Trial) -> Iterator[tuple[ConnectionSettings, str]]:
    """A database with the backup in it, and where it is in words; gone afterwards."""
    if manifest.engine == PGBACKREST:
        with recovered(manifest, trial, recorded(manifest)) as server:
            yield server.settings(manifest.database.name), server.where
        return
    with _scratch(directory, manifest, trial) as (settings, label):
        trial.restoring.restore(directory, manifest, settings)
        yield settings, label


def recorded(manifest: Manifest) -> RecoveryTarget:
    """The instant whose content the manifest of a physical backup has."""
    found = manifest.extra[PGBACKREST]
    return recorded_target(found["lsn"], found["timeline"])


@contextlib.contextmanager
def recovered(manifest: Manifest, trial: Trial, target: RecoveryTarget) -> Iterator[RecoveredServer]:
    """A throwaway server with a physical backup in it, recovered so far; gone afterwards."""
    require_room(trial.scratch_directory, recorded_shape(manifest.extra).size)
    restoring, check = trial.restoring, trial.restoring.watch.require_wanted
    with RecoveredServer(restoring.tools, trial.scratch_directory, manifest, target, check=check, said=trial.doing) as server:
        server.settle(manifest.database.name)
        yield server


@contextlib.contextmanager
def _scratch(directory: Path, manifest: Manifest, trial: Trial) -> Iterator[tuple[ConnectionSettings, str]]:
    """An empty database, and where it is in words; gone afterwards."""
    if trial.scratch_settings is not None:
        with scratch_database(trial.scratch_settings, recorded_shape(manifest.extra)) as (settings, dropped):
            trial.notes.extend(f"What an earlier trial had left was dropped: the database {name}." for name in dropped)
            yield settings, f"a database of its own at {trial.scratch_settings.label.rpartition('/')[0]}"
        return
    shape = recorded_shape(manifest.extra)
    require_room(trial.scratch_directory, shape.size or manifest.size)
    roles = trial.restoring.decrypted(directory / globals_file(manifest), manifest).decode(errors="replace")
    if not is_complete(roles):
        raise RestoreFailed(f"{globals_file(manifest)} is cut off: it does not end with the line that pg_dumpall writes last")
    with ScratchServer(trial.restoring.tools.program, trial.scratch_directory, shape.first_role) as server:
        with Database(server.settings("postgres"), "scratch") as database:
            _make_roles(database, roles, shape.first_role)
        with scratch_database(server.settings("postgres"), shape) as (settings, _):
            yield settings, f"a throwaway server on {socket.gethostname()}"


def _make_roles(database: Database, script: str, first_role: str) -> None:
    for text in for_a_scratch_server(script, first_role):
        try:
            database.execute(text)
        except ServerRefused as error:
            raise RestoreFailed(f"roles cannot be restored: {error.found} ({text.split(' PASSWORD ')[0][:200]})") from error


def require_room(directory: Path, size: int) -> None:
    """:raises SurroundingsFailed: when there is less room than the restored database took on its own server."""
    try:
        free = shutil.disk_usage(directory).free
    except OSError as error:
        raise SurroundingsFailed(
            f"{directory} cannot be used: {error.strerror}.",
            "A throwaway server is made there to restore the backup into.",
            "Set backup_scratch_directory to a directory that is there.",
        ) from error
    if free < size:
        raise SurroundingsFailed(
            f"{directory} has {free // 2**20} MB free, and the database takes {size // 2**20} MB.",
            "The backup is restored there as a whole.",
            "Make room, set backup_scratch_directory to a larger disk, or name a server in backup_scratch_url.",
        )
