"""Take a backup by pgbackrest of an existing stanza, and record beside it what the database must hold at an exact place in the WAL.

pgbackrest has the files; here lies a manifest, which says which backup of which stanza it is, and what a recovery to that place has to
find. The place comes after the backup's end, so that nothing which is written meanwhile disturbs the comparison.
"""

from __future__ import annotations

import platform
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.background import Progress
from ansible_collections.dbops.multischema.plugins.module_utils.backup import finished, user_name, watched
from ansible_collections.dbops.multischema.plugins.module_utils.backup_guard import announce_backup
from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import PG_DUMP, PGBACKREST, Manifest
from ansible_collections.dbops.multischema.plugins.module_utils.backup_physical_preflight import Examined, examine
from ansible_collections.dbops.multischema.plugins.module_utils.backup_place import Place
from ansible_collections.dbops.multischema.plugins.module_utils.backup_preflight import Request, wait_no_longer
from ansible_collections.dbops.multischema.plugins.module_utils.connection import ConnectionSettings
from ansible_collections.dbops.multischema.plugins.module_utils.content import Content, read_sequences
from ansible_collections.dbops.multischema.plugins.module_utils.content_reader import ContentReader
from ansible_collections.dbops.multischema.plugins.module_utils.database_shape import IN_MANIFEST, read_shape
from ansible_collections.dbops.multischema.plugins.module_utils.exact_moment import Moment, exact_moment
from ansible_collections.dbops.multischema.plugins.module_utils.physical_content import as_recovered, read_peculiarities
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.program_run import wait
from ansible_collections.dbops.multischema.plugins.module_utils.recovered_server import percent_of
from ansible_collections.dbops.multischema.plugins.module_utils.schema_digest import schema_digest
from ansible_collections.dbops.multischema.plugins.module_utils.sealed_document import utc_now
from ansible_collections.dbops.multischema.plugins.module_utils.stanza import Label

_NEW = re.compile(r"new backup label = (\S+)")


def take(name: str, request: Request, settings: ConnectionSettings, progress: Progress) -> dict[str, Any]:
    """Take one backup.

    :param name: of its manifest (`backup_place.new_name`).
    :returns: what there is to say of it; as `backup.take`.
    :raises MultischemaError: when it cannot be taken; no manifest of it is left then. What pgbackrest has in its repository stays.
    """
    started = time.monotonic()
    with Database(settings, "backup") as database:
        announce_backup(database)
        examined = examine(database, request)
        place = Place(Path(request.directory), examined.identity.name)
        with place.locked() as lock:
            progress.say(doing="checking")
            examined.stanza.check()
            manifest = _Taking(place, name, request, examined, database, lock, progress).run()
            removed, problems = remove_expired(place, examined)
    return {**_summary(manifest, place, time.monotonic() - started), "removed": removed, "not_removed": problems}


@dataclass(frozen=True)
class _Taking:
    """One backup on its way; as in `backup.py`."""

    place: Place
    name: str
    request: Request
    examined: Examined
    database: Database
    lock: int
    progress: Progress

    def run(self) -> Manifest:
        """Have it taken, read what it must hold, and give the manifest its name."""
        began_at = utc_now()
        label = self._backed_up()
        before, peculiar = read_sequences(self.database), read_peculiarities(self.database)
        self.progress.say(doing="looking for an instant")
        with exact_moment(self.database, self.request.lock_wait_s, self.progress.check) as moment:
            content = as_recovered(self._read(moment), peculiar, before)
        self.progress.say(doing="archiving")
        self.examined.stanza.check()  # switches the WAL, and waits until all of it is in the repository: the place read from, too
        manifest = self._manifest(label, moment, content, began_at, sorted(".".join(pair) for pair in peculiar.unlogged))
        finished(self.place, self.name, manifest)
        return manifest

    def _backed_up(self) -> Label:
        stanza, found = self.examined.stanza, []

        def heard(line: str) -> bool:
            match = _NEW.search(line)
            if match:
                found.append(match.group(1))
            percent = percent_of(line)
            if percent is not None:
                self.progress.say(doing="copying", percent=percent)
            return "DETAIL: " in line

        with stanza.running(stanza.command("backup", f"--type={self.request.physical_type}"), heard, [self.lock]) as program:
            wait([program], self.progress.check)
            if program.code:
                raise stanza.refused("backup", list(program.said))
        label = stanza.info().find(found[-1]) if found else None
        if label is None:
            raise stanza.refused("backup", [f"it has ended with success, and there is no new backup {''.join(found[-1:])}"])
        self.database.value("SELECT 1")  # this session has kept migrations away: it must have lived until now
        return label

    def _read(self, moment: Moment) -> Content:
        def connect() -> Database:
            database = Database(self.database.settings, "backup digests")
            wait_no_longer(database, self.request)
            return database

        def digest() -> str:
            return schema_digest(self.examined.tools, self.database.settings, options=[f"--snapshot={moment.snapshot}"])

        with ContentReader(connect, moment.snapshot, digest) as reader:
            for _ in watched(lambda: reader.running, self.progress):
                reader.check()
                self.progress.say(doing="reading", tables=self.examined.tables, read=reader.done)
            return reader.result()

    def _manifest(self, label: Label, moment: Moment, content: Content, began_at: str, unlogged: list[str]) -> Manifest:
        examined = self.examined
        return Manifest(
            name=self.name,
            engine=PGBACKREST,
            dump_format="",
            database=examined.identity,
            server=examined.server,
            server_version_num=examined.server_version_num,
            tools={PGBACKREST: examined.version, PG_DUMP: examined.tools.versions[PG_DUMP]},
            snapshot=moment.snapshot,
            began_at=began_at,
            ended_at=utc_now(),
            made_by={"user": user_name(), "machine": platform.node()},
            compression="",
            recipients=(),
            files=(),
            content=content,
            stanza=examined.stanza.name,
            label=label.label,
            extra={
                IN_MANIFEST: read_shape(self.database).to_dict(),
                PGBACKREST: {
                    "stanza": examined.stanza.to_dict(),
                    "type": label.kind,
                    "start_lsn": label.start_lsn,
                    "stop_lsn": label.stop_lsn,
                    "began_at": label.began_at,
                    "ended_at": label.ended_at,
                    "size": label.size,
                    "stored": label.stored,
                    "lsn": moment.lsn,
                    "timeline": moment.timeline,
                    "found_by": moment.how,
                    "unlogged": unlogged,
                    "full_page_writes": examined.full_page_writes,
                },
            },
        )


def remove_expired(place: Place, examined: Examined) -> tuple[list[str], list[str]]:
    """Remove manifests of backups that pgbackrest has no more: how long those stay is for its own retention to say.

    :returns: names of what was removed; what was not, in words.
    """
    removed, problems = [], []
    for path, manifest in expired(place, examined):
        try:
            place.remove(path)
            removed.append(manifest.name)
        except OSError as error:
            problems.append(f"{manifest.name}: {error.strerror or error}")
    return removed, problems


def expired(place: Place, examined: Examined) -> Iterator[tuple[Path, Manifest]]:
    """Manifests of this very database and stanza whose backup is gone."""
    there = {label.label for label in examined.stanza.info().labels}
    for path, manifest in list(place.backups()):
        if manifest.engine != PGBACKREST or not manifest.database.is_the_same_as(examined.identity):
            continue
        same = manifest.extra[PGBACKREST]["stanza"] == examined.stanza.to_dict()
        if same and manifest.label not in there:
            yield path, manifest


def expected(database: Database, request: Request, place: Place) -> dict[str, Any]:
    """What would be taken; nothing is written, in the WAL neither."""
    examined = examine(database, request)
    return {
        "changed": True,
        "engine": PGBACKREST,
        "stanza": examined.stanza.name,
        "type": request.physical_type,
        "directory": str(place.directory),
        "tables": examined.tables,
        "removed": [manifest.name for _, manifest in expired(place, examined)],
    }


def _summary(manifest: Manifest, place: Place, seconds: float) -> dict[str, Any]:
    found = manifest.extra[PGBACKREST]
    return {
        "engine": PGBACKREST,
        "name": manifest.name,
        "directory": str(place.final(manifest.name)),
        "database": manifest.database.name,
        "stanza": manifest.stanza,
        "label": manifest.label,
        "type": found["type"],
        "repo": found["stanza"]["repo"],
        "tables": len(manifest.content.tables),
        "rows": manifest.content.rows,
        "size": found["size"],
        "stored": found["stored"],
        "lsn": found["lsn"],
        "found_by": found["found_by"],
        "unlogged": found["unlogged"],
        "seconds": round(seconds, 3),
        "server": manifest.server,
        "pgbackrest": manifest.tools[PGBACKREST],
    }
