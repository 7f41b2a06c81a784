"""Take one database out of a physical backup, as it was at one place in the WAL, so that it can be restored like any dump.

A physical backup is of a whole cluster, and what takes a cluster's place takes all its databases with it. So the cluster is
recovered aside, in a throwaway server, and the one database is dumped there. Of the live cluster nothing is touched by that.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.backup_files import backups_below, read_backup
from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import DIRECTORY, PG_DUMP, PGBACKREST, Manifest
from ansible_collections.dbops.multischema.plugins.module_utils.backup_physical_preflight import exact_tools
from ansible_collections.dbops.multischema.plugins.module_utils.backup_verification import (
    Trial,
    differences_of,
    recorded,
    recovered,
    require_room,
)
from ansible_collections.dbops.multischema.plugins.module_utils.client_tools import connection_string, libpq_environment
from ansible_collections.dbops.multischema.plugins.module_utils.connection import ConnectionSettings
from ansible_collections.dbops.multischema.plugins.module_utils.copy_reader import read_copy
from ansible_collections.dbops.multischema.plugins.module_utils.database_shape import recorded_shape
from ansible_collections.dbops.multischema.plugins.module_utils.dump_programs import DUMP, require_success
from ansible_collections.dbops.multischema.plugins.module_utils.errors import BackupRefused
from ansible_collections.dbops.multischema.plugins.module_utils.pgbackrest import Stanza, StanzaRefused
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.program_run import Program, wait
from ansible_collections.dbops.multischema.plugins.module_utils.recovery_target import RecoveryTarget, asked_target
from ansible_collections.dbops.multischema.plugins.module_utils.restoration import Prospect
from ansible_collections.dbops.multischema.plugins.module_utils.restoring import RestoreFailed
from ansible_collections.dbops.multischema.plugins.module_utils.schema_digest import schema_digest
from ansible_collections.dbops.multischema.plugins.module_utils.sealed_document import moment

# A transaction that has a number, and so an end that is written to the WAL: recovery to a time goes on until it sees one behind it.
_AN_END = "SELECT pg_catalog.pg_current_xact_id()::text"


def target_of(options: Mapping[str, Any]) -> RecoveryTarget | None:
    """What was asked for; see `recovery_target.asked_target`."""
    return asked_target(options, datetime.now(timezone.utc))


def newest_before(folder: Path, target: RecoveryTarget) -> Path:
    """The newest physical backup from which a target can be reached.

    :raises BackupRefused: when there is none.
    """
    for directory in backups_below(folder):
        with contextlib.suppress(BackupRefused):
            if not _out_of_reach(read_backup(directory), target):
                return directory
    raise BackupRefused(
        f"There is no backup by pgbackrest in {folder} from which {target.words} can be reached.",
        "Recovery goes forward only: it begins at a backup that had ended by then.",
        "Choose a later point; or restore an older backup that is not recorded here by pgbackrest itself.",
    )


def require_reach(manifest: Manifest, target: RecoveryTarget | None) -> None:
    """:raises BackupRefused: when a backup that was named cannot be recovered to there."""
    why = "" if target is None else _out_of_reach(manifest, target)
    if why and target is not None:
        raise BackupRefused(
            f"{manifest.name} cannot be brought to {target.words}: {why}.",
            "Recovery goes forward from the end of a physical backup, by the WAL that was archived since.",
            "Leave out backup_name, and the newest backup by pgbackrest that fits is taken; or leave out backup_restore_target_*.",
        )


def _out_of_reach(manifest: Manifest, target: RecoveryTarget) -> str:
    if manifest.engine != PGBACKREST:
        return f"it was taken by {manifest.engine}, and is of one instant"
    found = manifest.extra[PGBACKREST]
    if target.reached_after(found["stop_lsn"], moment(found["ended_at"])):
        return ""
    return f"it ended later, on {found['ended_at']} at {found['stop_lsn']}"


@contextlib.contextmanager
def as_dump(
    directory: Path, prospect: Prospect, settings: ConnectionSettings, options: Mapping[str, Any], trial: Trial
) -> Iterator[tuple[Path, Prospect, str]]:
    """A dump of the one database, for as long as the context lasts; a backup that is a dump is one already.

    :param settings: of the live database.
    :param options: of the module: where programs and a throwaway server are, and until when is recovered.
    :returns: where it is; the prospect, with the manifest of what is to be restored; when the last transaction in it was
        committed, where it was recovered.
    :raises BackupRefused: when what is recovered is not what it has to be.
    """
    manifest, target = prospect.manifest, prospect.target
    if manifest.engine == PG_DUMP:
        yield directory, prospect, ""
        return
    require_room(Path(options["scratch_directory"]), 2 * recorded_shape(manifest.extra).size)  # the database, and its dump
    tools = exact_tools(manifest.server_version_num, options.get("tools_directory") or "")
    aside = replace(trial, restoring=replace(trial.restoring, tools=tools), scratch_directory=Path(options["scratch_directory"]))
    if target is not None:
        _archive_until_now(manifest, settings)
    try:
        with recovered(manifest, aside, target or recorded(manifest)) as server:
            there = server.settings(manifest.database.name)
            differences = [] if target else list(differences_of(directory, manifest, there, aside))
            if differences:
                raise RestoreFailed("; ".join(differences[:20]))
            assert server.directory is not None  # noqa: S101  it is there
            source = server.directory / "dumped"
            source.mkdir(mode=0o700)
            dumped = _dumped(source, manifest, there, aside)
            yield source, replace(prospect, manifest=dumped), server.last_transaction()
            shutil.rmtree(source)
    except RestoreFailed as error:
        raise BackupRefused(
            f"{manifest.name} cannot be recovered as it was recorded: {error}",
            "Nothing takes the place of a live database that was not proved.",
            "Choose another backup (backup_name) or another point; pgbackrest info says which WAL there is.",
        ) from error


def _archive_until_now(manifest: Manifest, settings: ConnectionSettings) -> None:
    """Have all WAL in the repository that there is. Where that fails, recovery finds out whether what is there reaches far enough."""
    with Database(settings, "restore") as database:
        database.value(_AN_END)
    with contextlib.suppress(StanzaRefused):
        Stanza.of(manifest.extra[PGBACKREST]["stanza"]).check()


def _dumped(source: Path, manifest: Manifest, there: ConnectionSettings, trial: Trial) -> Manifest:
    """Dump a database that nobody else works in. :returns: a manifest of what it holds."""
    watch, tools, jobs = trial.restoring.watch, trial.restoring.tools, trial.restoring.jobs
    command = [tools.program(PG_DUMP), "--format=directory", f"--jobs={jobs}", f"--file={source / DUMP[DIRECTORY]}", "--no-password"]
    trial.doing("dumping", 0)
    with Program([*command, f"--dbname={connection_string(there)}"], {**libpq_environment(there), "LC_ALL": "C"}) as program:
        wait([program], watch.require_wanted)
        require_success([program])
    with Database(there, "restore") as database, watch.over(database.cancel):
        content = read_copy(database, trial.read)
    content = replace(content, schema_digest=schema_digest(tools, there))
    return replace(manifest, engine=PG_DUMP, dump_format=DIRECTORY, content=content, tools={PG_DUMP: tools.versions[PG_DUMP]}, verdict=None)
