"""Backups in tests: taken by the core itself, and restored by hand, by programs that know nothing of them."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils import background
from ansible_collections.dbops.multischema.plugins.module_utils.background import Progress
from ansible_collections.dbops.multischema.plugins.module_utils.backup import take
from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import MANIFEST, Manifest, parse_manifest
from ansible_collections.dbops.multischema.plugins.module_utils.backup_place import Place, new_name
from ansible_collections.dbops.multischema.plugins.module_utils.backup_preflight import Request
from ansible_collections.dbops.multischema.plugins.module_utils.client_tools import find_tools, libpq_environment
from ansible_collections.dbops.multischema.plugins.module_utils.connection import parse_url
from ansible_collections.dbops.multischema.plugins.module_utils.content import (
    SETTINGS,
    Content,
    read_large_objects,
    read_sequences,
    read_table,
    tables_of,
)
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.schema_digest import schema_digest
from tests.integration.databases import Target, new_database, wait_until

LONG_S = 600.0  # for a question about a job; a job of a test that was killed ends by itself then


class Backups:
    """Backups of one database in a directory.

    :param directory: where they go.
    :param values: of the request, over those that suit a test.
    """

    def __init__(self, target: Target, directory: Path, **values: Any) -> None:
        self.target, self.directory = target, directory
        self.values = {"tools_directory": str(target.server.bin_dir), "room_percent": 0, **values}

    def request(self, **values: Any) -> Request:
        """What is asked for."""
        return Request(**{"directory": str(self.directory), **self.values, **values})

    def take(self, user: str | None = None, password: str | None = None, **values: Any) -> Manifest:
        """Take one, in this process.

        :param user: as whom, if not as the mover.
        """
        job = self.directory.parent / "job"
        job.mkdir(exist_ok=True, parents=True)
        result = take(new_name(self.target.name), self.request(**values), parse_url(self.target.url(user, password)), Progress(job, LONG_S))
        return self.read(result["name"])

    def start(self, patience_s: float = LONG_S, **values: Any) -> Path:
        """Begin one in a process of its own, as the module does. :returns: the job."""
        name, request, settings = new_name(self.target.name), self.request(**values), parse_url(self.target.url())
        place = Place(self.directory, self.target.name)
        place.make()
        background.start(place.job(name), lambda progress: take(name, request, settings, progress), patience_s)
        return place.job(name)

    def read(self, name: str) -> Manifest:
        """The manifest of one."""
        return parse_manifest((self.directory / name / MANIFEST).read_bytes())

    def names(self) -> list[str]:
        """Everything that lies there, but the lock."""
        if not self.directory.exists():
            return []
        return sorted(path.name for path in self.directory.iterdir() if not path.name.endswith(".lock"))

    @contextlib.contextmanager
    def restored(self, manifest: Manifest, dump: Path | None = None) -> Iterator[Target]:
        """A database of the same server into which it is restored, as the superuser."""
        copy = new_database(self.target.server)
        try:
            settings = parse_url(copy.superuser_url)
            tools = find_tools(self.target.server.major * 10000, ["pg_restore", "psql"], str(self.target.server.bin_dir))
            file = dump or next(path for path in (self.directory / manifest.name).iterdir() if path.name.startswith("dump"))
            if manifest.dump_format == "plain":
                command = [tools.program("psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--file={file}"]
            else:
                command = [tools.program("pg_restore"), "--exit-on-error", f"--dbname={copy.name}", str(file)]
            done = subprocess.run(command, env=libpq_environment(settings), capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            yield copy
        finally:
            copy.drop()

    def content(self, target: Target) -> Content:
        """What a database holds now, with the digest of its schema."""
        settings = parse_url(target.superuser_url)
        with Database(settings, "test") as database, database.snapshot():
            database.execute(SETTINGS)
            tables = tuple(read_table(database, schema, name) for schema, name, _ in tables_of(database))
            count, digest = read_large_objects(database)
            sequences = read_sequences(database)
        tools = find_tools(self.target.server.major * 10000, ["pg_dump"], str(self.target.server.bin_dir))
        return Content(tables, sequences, count, digest, schema_digest(tools, settings))


# The real program, but where its arguments match it waits until somebody has opened the pipe for writing and closed it again. It has no
# child while it waits: one would hold what this one has inherited, and outlive it.
_WAITING = """#!/bin/sh
case "$*" in {which}) if [ -p {hold} ]; then read -r _ < {hold}; fi;; esac
exec {real} "$@"
"""
DUMP, SCHEMA, ROLES = "*--verbose*", "*--schema-only*", "*--globals-only*"  # which of the programs is meant, as a pattern of sh


class Held:
    """Backups of which one program waits in front of its first statement until it is let go.

    :param directory: for its programs.
    :param which: of them: `DUMP`, `SCHEMA` or `ROLES`.
    """

    def __init__(self, backups: Backups, directory: Path, which: str = DUMP) -> None:
        self.backups, self._hold, self._directory = backups, directory / "hold", directory
        self._which = which.strip("*")
        directory.mkdir()
        for name in ("pg_dump", "pg_dumpall"):
            real = backups.target.server.bin_dir / name
            (directory / name).write_text(_WAITING.format(which=which, hold=self._hold, real=real))
            (directory / name).chmod(0o755)
        backups.values["tools_directory"] = str(directory)

    def begin(self, patience_s: float = LONG_S, **values: Any) -> Path:
        """Begin one, and wait until it waits. :returns: the job."""
        os.mkfifo(self._hold)
        job = self.backups.start(patience_s, **values)
        wait_until(lambda: bool(self.waiting()) or not background.is_running(job), "its program waits")
        return job

    def go_on(self) -> None:
        """Let it."""
        pipe = os.open(self._hold, os.O_RDWR)  # for both, so that this waits for nobody
        self._hold.unlink()
        os.close(pipe)

    def waiting(self) -> list[int]:
        """The program that waits, a script as yet."""
        return [pid for name in ("pg_dump", "pg_dumpall") for pid in pids_of(name, self._directory) if self._means(pid)]

    def _means(self, pid: int) -> bool:
        try:
            return self._which.encode() in (Path("/proc") / str(pid) / "cmdline").read_bytes()
        except OSError:
            return False

    def programs(self) -> list[int]:
        """Its pg_dump."""
        return pids_of("pg_dump", self.backups.directory)


def pids_of(program: str, path: Path) -> list[int]:
    """Processes of a program, or of a script of that name, that have a path on their command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            named = [Path(word.decode(errors="replace")).name for word in words[:2]]
            if program in named and any(str(path).encode() in word for word in words):
                found.append(int(entry.name))
    return found


def files_holding(directory: Path, text: bytes) -> list[str]:
    """Files in which a text stands as it is."""
    return [str(path) for path in directory.rglob("*") if path.is_file() and text in path.read_bytes()]


def modes(directory: Path) -> set[str]:
    """Modes of everything below a directory, as ``d700`` and ``f600``."""
    found = set()
    for root, _, files in os.walk(directory):
        found.add(f"d{Path(root).stat().st_mode & 0o777:o}")
        found.update(f"f{(Path(root) / name).stat().st_mode & 0o777:o}" for name in files)
    return found
