"""What a backup is: a directory of files, and the manifest in it that says what each of them must be.

The manifest is written last, before the directory gets its final name; what has none is not a backup. It is a
sealed document: an edited one is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.content import Content
from ansible_collections.dbops.multischema.plugins.module_utils.database_identity import DatabaseIdentity
from ansible_collections.dbops.multischema.plugins.module_utils.sealed_document import moment, sealed, unsealed

FORMAT = 2
KIND = "dbops.multischema.backup"
MANIFEST = "manifest.json"
GLOBALS = "globals.sql"  # roles and tablespaces, as pg_dumpall --globals-only writes them; with .age behind it where encrypted
PG_DUMP, PGBACKREST = "pg_dump", "pgbackrest"
DIRECTORY, CUSTOM, PLAIN = "directory", "custom", "plain"
BY_RESTORE, BY_CHECKSUM = "restore", "checksum"


class NotAManifest(Exception):
    """The message says what is wrong with the file."""


@dataclass(frozen=True)
class BackupFile:
    """One file.

    :param path: relative to the backup's directory, with ``/``.
    :param size: in bytes.
    """

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Verdict:
    """That the backup was tried, how, and what came of it.

    :param method: `BY_RESTORE` or `BY_CHECKSUM`.
    :param at: when, in UTC.
    :param passed: whether everything was as recorded.
    :param differences: what was not, in words.
    :param where: on which server it was restored, for people; empty for `BY_CHECKSUM`.
    :param seconds: how long it took.
    """

    method: str
    at: str
    passed: bool
    differences: tuple[str, ...] = ()
    where: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Manifest:
    """What was written, of which database, from which snapshot.

    :param name: of the backup, and of its directory; sorted by name, backups of a database are sorted by time.
    :param engine: `PG_DUMP` or `PGBACKREST`.
    :param dump_format: `DIRECTORY`, `CUSTOM` or `PLAIN`; empty for pgbackrest.
    :param server: its version, in full; ``server_version_num`` as a number.
    :param tools: program → version, of what has written it.
    :param snapshot: the exported snapshot that dump and digests have seen.
    :param began_at: in UTC, as `ended_at`.
    :param made_by: ``user`` and ``machine``.
    :param compression: method and level, ``zstd:3``; ``none``.
    :param recipients: public keys of age that it is encrypted to; none where it is not.
    :param files: all but the manifest, by path.
    :param content: digests of what the snapshot held.
    :param label: of pgbackrest's backup; empty otherwise. ``stanza`` too.
    """

    name: str
    engine: str
    dump_format: str
    database: DatabaseIdentity
    server: str
    server_version_num: int
    tools: Mapping[str, str]
    snapshot: str
    began_at: str
    ended_at: str
    made_by: Mapping[str, str]
    compression: str
    recipients: tuple[str, ...]
    files: tuple[BackupFile, ...]
    content: Content
    verdict: Verdict | None = None
    stanza: str = ""
    label: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ended(self) -> datetime:
        """When it was complete."""
        return moment(self.ended_at)

    @property
    def size(self) -> int:
        """Of all files, in bytes."""
        return sum(file.size for file in self.files)

    @property
    def proved(self) -> bool:
        """Whether somebody has restored it, and found everything."""
        return self.verdict is not None and self.verdict.passed and self.verdict.method == BY_RESTORE

    def judged(self, verdict: Verdict) -> Manifest:
        """The same backup, tried."""
        return replace(self, verdict=verdict)

    def to_bytes(self) -> bytes:
        """The file."""
        return sealed(KIND, FORMAT, asdict(self))


def parse_manifest(data: bytes) -> Manifest:
    """Read a manifest. Whether the files beside it are those that it names is another question.

    :raises NotAManifest: when it is none, of another format, or was edited.
    """
    return unsealed(data, KIND, FORMAT, _read, NotAManifest)


def _read(given: dict[str, Any]) -> Manifest:
    verdict = given["verdict"]
    given.update(
        database=DatabaseIdentity(**given["database"]),
        recipients=tuple(given["recipients"]),
        files=tuple(BackupFile(**file) for file in given["files"]),
        content=Content.from_dict(given["content"]),
        verdict=None if verdict is None else Verdict(**{**verdict, "differences": tuple(verdict["differences"])}),
    )
    manifest = Manifest(**given)
    _ = manifest.ended  # what is read later has to be readable
    for file in manifest.files:
        if file.path.startswith("/") or ".." in file.path.split("/"):
            raise NotAManifest(f"it names a file outside of the backup, {file.path!r}")
    return manifest
