"""Take a backup: a dump and digests of one snapshot, the server's roles, and a manifest; named only when all of it is on disk."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import pwd
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.background import Progress
from ansible_collections.dbops.multischema.plugins.module_utils.backup_guard import announce_backup
from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import MANIFEST, PG_DUMP, BackupFile, Manifest
from ansible_collections.dbops.multischema.plugins.module_utils.backup_place import OWNER_ONLY, Place, cannot_write, new_name, publish
from ansible_collections.dbops.multischema.plugins.module_utils.backup_preflight import Examined, Request, examine, wait_no_longer
from ansible_collections.dbops.multischema.plugins.module_utils.backup_retention import to_be_removed
from ansible_collections.dbops.multischema.plugins.module_utils.client_tools import DUMPING
from ansible_collections.dbops.multischema.plugins.module_utils.connection import ConnectionSettings
from ansible_collections.dbops.multischema.plugins.module_utils.content import Content
from ansible_collections.dbops.multischema.plugins.module_utils.content_reader import ContentReader
from ansible_collections.dbops.multischema.plugins.module_utils.database_identity import DatabaseIdentity
from ansible_collections.dbops.multischema.plugins.module_utils.database_shape import IN_MANIFEST, read_shape
from ansible_collections.dbops.multischema.plugins.module_utils.dump_programs import Dumping, require_no_failure, require_success
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.program_run import wait
from ansible_collections.dbops.multischema.plugins.module_utils.schema_digest import schema_digest
from ansible_collections.dbops.multischema.plugins.module_utils.sealed_document import utc_now

LOOK_S = 0.2  # between two looks at the programs
COUNT_S = 1.0  # between two counts of what is on disk
_CHUNK = 1 << 20
_HASHERS = 2


def take(name: str, request: Request, settings: ConnectionSettings, progress: Progress) -> dict[str, Any]:
    """Take one backup.

    :param name: of it (`backup_place.new_name`).
    :returns: what there is to say of it (`_summary`); ``removed``, names of those that retention has removed; ``not_removed``, which it
        could not, and why.
    :raises MultischemaError: when it cannot be taken; nothing of it is left then.
    """
    started = time.monotonic()
    with Database(settings, "backup") as database:
        announce_backup(database)
        examined = examine(database, request)  # from here on the session waits for locks no longer than was asked for
        place = Place(Path(request.directory), examined.identity.name)
        with place.locked() as lock:
            taking = _Taking(place, name, request, examined, database, lock, progress)
            manifest = taking.run()
            removed, problems = remove_old(place, examined.identity, request)
    return {**_summary(manifest, place, time.monotonic() - started), "removed": removed, "not_removed": problems}


@dataclass(frozen=True)
class _Taking:
    """One backup on its way.

    :param database: the session that keeps migrations away, and holds the snapshot.
    :param lock: descriptor of the place's lock.
    """

    place: Place
    name: str
    request: Request
    examined: Examined
    database: Database
    lock: int
    progress: Progress

    def run(self) -> Manifest:
        """Write it and give it its name, or leave nothing."""
        with _published(self.place, self.name) as partial:
            return self._write(partial)

    def _write(self, directory: Path) -> Manifest:
        began_at = utc_now()
        with self.database.snapshot():
            snapshot = str(self.database.value("SELECT pg_catalog.pg_export_snapshot()"))
            dumping = Dumping(self.database.settings, self.request, self.examined, directory, snapshot, self.lock)
            content = self._dump(dumping)
            with dumping.globals() as programs:
                wait(programs, self.progress.check)
                require_success(programs)
            self.database.value("SELECT 1")  # this session has kept migrations away: it must have lived until now
        self.progress.say(doing="summing up", bytes=sum(size for _, size in _files(directory)))
        examined = self.examined
        manifest = Manifest(
            name=self.name,
            engine=PG_DUMP,
            dump_format=self.request.dump_format,
            database=examined.identity,
            server=examined.server,
            server_version_num=examined.server_version_num,
            tools={program: examined.tools.versions[program] for program in DUMPING},
            snapshot=snapshot,
            began_at=began_at,
            ended_at=utc_now(),
            made_by={"user": user_name(), "machine": platform.node()},
            compression=examined.compression,
            recipients=self.request.recipients,
            files=_summed_up(directory, self.progress),
            content=content,
            extra={
                IN_MANIFEST: read_shape(self.database).to_dict(),
                "role_passwords": examined.reads_passwords,
                "warnings": dumping.heard.warnings,
            },
        )
        _put(directory, manifest)
        return manifest

    def _dump(self, dumping: Dumping) -> Content:
        """pg_dump, and beside it the digests of the same snapshot."""

        def connect() -> Database:
            database = Database(dumping.settings, "backup digests")
            wait_no_longer(database, self.request)
            return database

        def digest() -> str:
            return schema_digest(self.examined.tools, dumping.settings, options=[f"--snapshot={dumping.snapshot}"])

        with ContentReader(connect, dumping.snapshot, digest) as reader, dumping.dump() as programs:
            for _ in watched(lambda: reader.running or any(program.running for program in programs), self.progress):
                reader.check()
                require_no_failure(programs)
                self.progress.say(
                    doing="dumping",
                    tables=self.examined.tables,
                    dumped=dumping.heard.tables,
                    read=reader.done,
                    bytes=sum(size for _, size in _files(dumping.directory)),
                )
            require_success(programs)
            return reader.result()


@contextlib.contextmanager
def _published(place: Place, name: str) -> Iterator[Path]:
    """A directory to write a backup into. It has its name when the block has ended, or is gone where that has failed."""
    partial = place.partial(name)
    try:
        partial.mkdir(mode=OWNER_ONLY)
        yield partial
        publish(partial, place.final(name))
    except OSError as error:
        raise cannot_write(place.directory, error) from error
    finally:
        if partial.exists():
            shutil.rmtree(partial, ignore_errors=True)  # what is left of it the next run removes


def _put(directory: Path, manifest: Manifest) -> None:
    file = directory / MANIFEST
    file.touch(mode=0o600)
    file.write_bytes(manifest.to_bytes())


def finished(place: Place, name: str, manifest: Manifest) -> None:
    """Write down a backup whose files are somewhere else."""
    with _published(place, name) as partial:
        _put(partial, manifest)


def user_name() -> str:
    """Who this process is, whatever its environment says."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def watched(running: Callable[[], bool], progress: Progress) -> Iterator[None]:
    """Yields every second while something runs, and ends it when it should stop.

    :raises Stopped: when nobody wants the result any more.
    """
    counted = 0.0
    while running():
        progress.check()
        if time.monotonic() - counted >= COUNT_S:
            yield
            counted = time.monotonic()
        time.sleep(LOOK_S)


def _files(directory: Path) -> Iterator[tuple[Path, int]]:
    """Every file and its size; one that is renamed meanwhile is left out."""
    for path in directory.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file():
                yield path, path.stat().st_size


def _summed_up(directory: Path, progress: Progress) -> tuple[BackupFile, ...]:
    """SHA-256 of every file. Hashing releases Python's lock, so two at once are faster than one."""
    found = sorted(_files(directory))
    with ThreadPoolExecutor(_HASHERS) as pool:
        digests = [pool.submit(_sha256, path, progress) for path, _ in found]
        return tuple(
            BackupFile(path.relative_to(directory).as_posix(), size, digest.result()) for (path, size), digest in zip(found, digests)
        )


def _sha256(path: Path, progress: Progress) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(_CHUNK), b""):
            digest.update(chunk)
            progress.check()
    return digest.hexdigest()


def remove_old(place: Place, database: DatabaseIdentity, request: Request) -> tuple[list[str], list[str]]:
    """Remove what need not be kept any more. The new backup is there by now, so what cannot be removed is no failure.

    :returns: names of what was removed; what was not, in words.
    """
    found = {backup.name: (path, backup) for path, backup in _dumps(place)}
    removed, problems = [], []
    for name in _going([backup for _, backup in found.values()], database, request):
        try:
            place.remove(found[name][0])
            removed.append(name)
        except OSError as error:
            problems.append(f"{name}: {error.strerror or error}")
    return removed, problems


def removed_by_next(place: Place, examined: Examined, request: Request) -> list[str]:
    """What retention would remove if a backup were taken now. :returns: names."""
    now = utc_now()
    next_one = Manifest(
        name=new_name(examined.identity.name),
        engine=PG_DUMP,
        dump_format=request.dump_format,
        database=examined.identity,
        server=examined.server,
        server_version_num=examined.server_version_num,
        tools={},
        snapshot="",
        began_at=now,
        ended_at=now,
        made_by={},
        compression=examined.compression,
        recipients=request.recipients,
        files=(),
        content=Content(),
    )
    return _going([*(backup for _, backup in _dumps(place)), next_one], examined.identity, request)


def _dumps(place: Place) -> Iterator[tuple[Path, Manifest]]:
    """The backups whose files are here, and which go by the retention of this tool."""
    return ((path, backup) for path, backup in place.backups() if backup.engine == PG_DUMP)


def expected(database: Database, request: Request, place: Place) -> dict[str, Any]:
    """What would be taken; nothing is written."""
    examined = examine(database, request)
    return {
        "changed": True,
        "engine": PG_DUMP,
        # Not "path": Ansible would add size, mode and owner of what lies there to the result.
        "directory": str(place.directory),
        "tables": examined.tables,
        "estimate": examined.estimate,
        "free": examined.free,
        "compression": examined.compression,
        "role_passwords": examined.reads_passwords,
        "removed": removed_by_next(place, examined, request),
    }


def _going(backups: Sequence[Manifest], database: DatabaseIdentity, request: Request) -> list[str]:
    now = datetime.now(timezone.utc)
    return [backup.name for backup in to_be_removed(backups, database, now, request.keep_count, request.keep_days)]


def _summary(manifest: Manifest, place: Place, seconds: float) -> dict[str, Any]:
    """What the operator is told, as plain data."""
    return {
        "engine": PG_DUMP,
        "name": manifest.name,
        "directory": str(place.final(manifest.name)),
        "database": manifest.database.name,
        "format": manifest.dump_format,
        "compression": manifest.compression,
        "encrypted": bool(manifest.recipients),
        "tables": len(manifest.content.tables),
        "rows": manifest.content.rows,
        "size": manifest.size,
        "seconds": round(seconds, 3),
        "server": manifest.server,
        "pg_dump": manifest.tools["pg_dump"],
        "role_passwords": manifest.extra["role_passwords"],
        "warnings_of_pg_dump": manifest.extra["warnings"],
    }
