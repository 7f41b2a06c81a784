"""A backup as what the copy of a rehearsal is made of: restored as it would be in an emergency, beside the live database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ansible_collections.dbops.multischema.plugins.module_utils.backup_files import read_backup
from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import PG_DUMP
from ansible_collections.dbops.multischema.plugins.module_utils.client_tools import ClientTools
from ansible_collections.dbops.multischema.plugins.module_utils.connection import ConnectionSettings
from ansible_collections.dbops.multischema.plugins.module_utils.copying import CopyFailed, Watcher
from ansible_collections.dbops.multischema.plugins.module_utils.restoring import RestoreFailed, Restoring, SurroundingsFailed
from ansible_collections.dbops.multischema.plugins.module_utils.watch import Watch

OTHERWISE = "or rehearse on a copy of the live database: rehearsal_source: copy"


def restoring_from(
    directory: Path, tools: ClientTools, watcher: Watcher, *, jobs: int, age_identity: str
) -> Callable[[ConnectionSettings], None]:
    """What fills a copy from a backup (`copying.make_copy`).

    :param directory: of the backup.
    :param watcher: is told ``loading``, how many tables have been begun, and ``tables``, of how many.
    :raises CopyFailed: when it is none that can be restored so.
    """
    manifest = read_backup(directory)
    if manifest.engine != PG_DUMP:
        raise CopyFailed(
            f"{manifest.name} was made by {manifest.engine}.",
            "Only a dump can be restored beside the live database.",
            f"Take one (playbooks/backup.yml with backup_engine: {PG_DUMP}), {OTHERWISE}.",
        )
    begun = 0

    def seen() -> None:
        nonlocal begun
        begun += 1
        watcher.say(loading=begun, tables=len(manifest.content.tables))

    def restore(copy: ConnectionSettings) -> None:
        try:
            with Watch(watcher.check) as watch:
                Restoring(tools, jobs, age_identity, tablespaces=True, seen=seen, watch=watch).restore(directory, manifest, copy)
        except RestoreFailed as error:
            raise CopyFailed(
                f"{manifest.name} cannot be restored: {error}",
                "It was proved, and cannot be restored now.",
                f"Find out what has happened to it, take a new backup (playbooks/backup.yml), {OTHERWISE}.",
            ) from error
        except SurroundingsFailed as error:
            raise CopyFailed(error.found, error.why, f"See to what it says, {OTHERWISE}.") from error

    return restore
