"""Where backups of a database lie, how they are called, and who may write there.

A backup is complete when its directory has its final name. While it is written it is called ``.NAME.partial``; one that nobody
is writing any more is what a killed run has left, and the next run removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from ansible_collections.dbops.multischema.plugins.module_utils.background import is_running
from ansible_collections.dbops.multischema.plugins.module_utils.backup_files import PARTIAL, backups_below, read_backup
from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import Manifest
from ansible_collections.dbops.multischema.plugins.module_utils.errors import BackupRefused, MultischemaError

OWNER_ONLY = 0o700
_NAME = re.compile(r"(\d{8}T\d{6}Z)-([A-Za-z0-9_-]*)-([0-9a-f]{4})\Z")
_JOB, _LOCK = ".job", ".lock"


def slug(database: str) -> str:
    """A database's name, as far as it can stand in a file's name anywhere."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", database)


def new_name(database: str) -> str:
    """Of a backup that begins now; by name they are sorted by time."""
    return f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-{slug(database)}-{secrets.token_hex(2)}"


@dataclass(frozen=True)
class Place:
    """Backups of one database on one host.

    :param directory: ``<backup_directory>/<environment>/<host>``.
    :param database: its name.
    """

    directory: Path
    database: str

    def final(self, name: str) -> Path:
        """Where a complete backup is."""
        return self.directory / name

    def partial(self, name: str) -> Path:
        """Where it is written."""
        return self.directory / f".{name}{PARTIAL}"

    def job(self, name: str) -> Path:
        """Of the process that writes it (`background.py`)."""
        return self.directory / f".{name}{_JOB}"

    def make(self) -> None:
        """Make the directory, for its owner alone; what is there already stays as it is.

        :raises MultischemaError: when that cannot be done.
        """
        try:
            missing = [path for path in (self.directory, *self.directory.parents) if not path.exists()]
            for path in reversed(missing):
                path.mkdir(mode=OWNER_ONLY, exist_ok=True)
        except OSError as error:
            raise cannot_write(self.directory, error) from error

    @contextlib.contextmanager
    def locked(self) -> Iterator[int]:
        """Let nobody else write a backup of this database here meanwhile.

        What killed runs have left is removed first.

        :returns: the lock's descriptor. Programs that write inherit it: as long as one of them lives, however the rest has
            ended, what it writes is not abandoned.
        :raises MultischemaError: when somebody else does.
        """
        self.make()
        try:
            lock = os.open(self.directory / f".{slug(self.database)}{_LOCK}", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise cannot_write(self.directory, error) from error
        try:
            _take(lock, self)
            for path in self.abandoned():
                self.remove(path)
            yield lock
        finally:
            os.close(lock)

    def require_nobody_writing(self) -> None:
        """:raises MultischemaError: when a backup of this database is being written here. Writes nothing itself."""
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(self.directory / f".{slug(self.database)}{_LOCK}", os.O_RDONLY)
            try:
                _take(lock, self, fcntl.LOCK_SH)
            finally:
                os.close(lock)

    def abandoned(self) -> list[Path]:
        """What killed runs have left of backups of this database; to be called with the lock held."""
        found = []
        for path in sorted(self.directory.glob(".*")):
            for end in (PARTIAL, _JOB):
                match = _NAME.match(path.name[1 : -len(end)]) if path.name.endswith(end) else None
                if match and match.group(2) == slug(self.database) and not (end == _JOB and is_running(path)):
                    found.append(path)
        return found

    def remove(self, path: Path) -> None:
        """Remove one backup, whole or partial. It loses its name first: half of one must not be taken for one."""
        if not path.name.startswith("."):
            path = path.rename(path.with_name(f".{path.name}{PARTIAL}"))
        shutil.rmtree(path)

    def backups(self) -> Iterator[tuple[Path, Manifest]]:
        """Every complete backup here, of whatever database, by name. What cannot be read is none."""
        for path in sorted(backups_below(self.directory)):
            with contextlib.suppress(BackupRefused):
                yield path, read_backup(path)


def _take(lock: int, place: Place, mode: int = fcntl.LOCK_EX) -> None:
    try:
        fcntl.flock(lock, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        raise MultischemaError(
            f"A backup of {place.database} is being written in {place.directory} right now.",
            "Two at once would load the server twice, and neither would be better.",
            "Wait until it has ended. Where nobody runs one, it is what a killed run has left: ps shows its pg_dump, which may be ended.",
        ) from None


def cannot_write(directory: Path, error: OSError) -> MultischemaError:
    """What an operator is told when files cannot be made there."""
    return MultischemaError(
        f"Backups cannot be written to {directory}: {error.strerror or error}.",
        "Nothing was backed up.",
        "Let the user that the modules run as write there, or set backup_directory to a place where it may.",
    )


def sync(directory: Path) -> None:
    """Have everything below a directory written to disk, names too."""
    for path in (*directory.rglob("*"), directory):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def publish(partial: Path, final: Path) -> None:
    """Give a backup its name, once all of it is on disk."""
    sync(partial)
    partial.rename(final)
    descriptor = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
