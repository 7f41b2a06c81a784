"""One verification or restore as a module does it: the options, what is said meanwhile, what comes of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.background import Progress
from ansible_collections.dbops.multischema.plugins.module_utils.backup_files import backups_below, read_backup
from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import BY_RESTORE, PG_DUMP, PGBACKREST, Manifest
from ansible_collections.dbops.multischema.plugins.module_utils.backup_physical_preflight import exact_tools
from ansible_collections.dbops.multischema.plugins.module_utils.backup_verification import Trial, verify
from ansible_collections.dbops.multischema.plugins.module_utils.client_tools import (
    RESTORING,
    SERVING,
    ClientTools,
    find_tools,
    own_directory,
    tools_for,
)
from ansible_collections.dbops.multischema.plugins.module_utils.connection import ConnectionSettings, parse_url
from ansible_collections.dbops.multischema.plugins.module_utils.errors import BackupRefused, ConfigurationError, MultischemaError
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.recovery import as_dump, newest_before, require_reach, target_of
from ansible_collections.dbops.multischema.plugins.module_utils.restoration import Prospect, look_ahead, restore
from ansible_collections.dbops.multischema.plugins.module_utils.restoring import Restoring
from ansible_collections.dbops.multischema.plugins.module_utils.watch import Watch


def find_backup(folder: Path, name: str) -> Path:
    """The directory of one backup: that of a name, or the newest.

    :raises BackupRefused: when there is none.
    """
    if name:
        if "/" in name or name in (".", ".."):
            raise BackupRefused(f"{name!r} is not the name of a backup.", "", f"Write the name of a directory in {folder}, without a path.")
        return folder / name
    found = backups_below(folder)
    if not found:
        raise BackupRefused(
            f"There is no backup in {folder}.",
            "The backups of this database are looked for there.",
            "Take one (playbooks/backup.yml), or say in backup_directory where they are.",
        )
    return found[0]


class Figures:
    """What a verification says while it goes on."""

    def __init__(self, progress: Progress, manifest: Manifest) -> None:
        self._progress = progress
        self._bytes = self._loaded = 0
        progress.say(total_bytes=manifest.size, tables=len(manifest.content.tables))

    def hashed(self, count: int) -> None:
        """Bytes of its files have been read."""
        self._progress.check()
        self._bytes += count
        self._progress.say(bytes=self._bytes)

    def loading(self) -> None:
        """A table is about to be loaded."""
        self._loaded += 1
        self._progress.say(loading=self._loaded)

    def doing(self, what: str, percent: float) -> None:
        """What is done with a physical backup."""
        self._progress.say(doing=what, percent=percent)

    def read(self, tables: int, _of: int) -> None:
        """Restored tables have been compared."""
        self._progress.say(read=tables)


def run_trial(directory: Path, options: Mapping[str, Any], live: ConnectionSettings, progress: Progress) -> dict[str, Any]:
    """Verify one backup.

    :param options: of the module.
    :param live: the database that it is a backup of; it need not be there any more.
    :returns: plain data: ``manifest``'s name, the verdict, whether anything was written, and ``notes``.
    """
    manifest = read_backup(directory)
    figures = Figures(progress, manifest)
    with Watch(progress.check) as watch:
        trial = make_trial(manifest, options, live, figures, watch)
        judged, changed = verify(directory, options["method"], trial, again=options["again"], hashed=figures.hashed)
    assert judged.verdict is not None  # noqa: S101  that is what verify is for
    return {
        "changed": changed,
        "name": judged.name,
        "verdict": asdict(judged.verdict),
        "database": judged.database.name,
        "notes": trial.notes if trial else [],
    }


def make_trial(manifest: Manifest, options: Mapping[str, Any], live: ConnectionSettings, figures: Figures, watch: Watch) -> Trial | None:
    """The programs, and where to restore; None where that is not asked for."""
    if options["method"] != BY_RESTORE:
        return None
    scratch = parse_url(options["scratch_url"]) if options.get("scratch_url") else None
    directory = options.get("tools_directory") or ""
    if manifest.engine == PGBACKREST:
        if scratch is not None:
            raise ConfigurationError(
                f"{manifest.name} was taken by pgbackrest, and backup_scratch_url is set.",
                "A physical backup is a whole cluster: it is restored into a throwaway server, and cannot be into another one.",
                "Leave backup_scratch_url out for it; backup_scratch_directory says where the throwaway server is made.",
            )
        restoring = Restoring(exact_tools(manifest.server_version_num, directory), options["jobs"], watch=watch)
        return Trial(restoring, Path(options["scratch_directory"]), read=figures.read, doing=figures.doing)
    tools = _tools(manifest, scratch, live, directory)
    restoring = Restoring(tools, options["jobs"], options.get("age_identity") or "", seen=figures.loading, watch=watch)
    return Trial(restoring, Path(options["scratch_directory"]), scratch, read=figures.read)


def _tools(manifest: Manifest, scratch: ConnectionSettings | None, live: ConnectionSettings, directory: str) -> ClientTools:
    """Programs that can restore it on a named server, or on a throwaway one that they make."""
    wanted = (*RESTORING, PG_DUMP)
    if scratch is not None:
        with Database(scratch, "verification") as database:
            return tools_for(database, wanted, directory, manifest.server_version_num)
    own = ""
    if not directory:
        with contextlib.suppress(MultischemaError), Database(live, "verification") as database:  # a backup outlives its server
            own = own_directory(database)
    return find_tools(manifest.server_version_num, (*wanted, *SERVING), directory, own)


def find_to_restore(options: Mapping[str, Any]) -> Path:
    """The directory of the backup that a restore begins with: the one that is named; otherwise the newest, or the newest from which
    the point that is asked for can be reached.

    :raises MultischemaError: when there is none, or the point is none.
    """
    folder, target = Path(options["folder"]), target_of(options)
    return find_backup(folder, options["name"]) if options["name"] or target is None else newest_before(folder, target)


def ahead(directory: Path, options: Mapping[str, Any], settings: ConnectionSettings, seen: Callable[[int], None] | None = None) -> Prospect:
    """What a restore is going to do; see `restoration.look_ahead`."""
    prospect = look_ahead(directory, settings, options["maintenance_db"], foreign=options["foreign"], seen=seen)
    target = target_of(options)
    require_reach(prospect.manifest, target)
    return replace(prospect, target=target)


def run_restoration(directory: Path, options: Mapping[str, Any], settings: ConnectionSettings, progress: Progress) -> dict[str, Any]:
    """Put a backup into the place of the live database.

    :param options: of the module.
    :param settings: of the live database.
    """
    started, maintenance = time.monotonic(), options["maintenance_db"]
    figures = Figures(progress, read_backup(directory))
    prospect = ahead(directory, options, settings, figures.hashed)
    with Watch(progress.check) as watch:
        with Database(settings, "restore") as database:
            named, version = options.get("tools_directory") or "", prospect.manifest.server_version_num
            tools = tools_for(database, (*RESTORING, PG_DUMP), named, version)
        restoring = Restoring(
            tools,
            options["jobs"],
            options.get("age_identity") or "",
            tablespaces=True,
            seen=figures.loading,
            watch=watch,
        )
        trial = Trial(restoring, read=figures.read, doing=figures.doing)
        with as_dump(directory, prospect, settings, options, trial) as (source, found, last):
            restore(source, found, settings, maintenance, trial)
    return {**found.to_dict(), "engine": prospect.manifest.engine, "last": last, "seconds": round(time.monotonic() - started, 3)}
