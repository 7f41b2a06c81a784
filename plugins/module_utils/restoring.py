"""Restore a dump into an empty database with PostgreSQL's own programs, and say in words why it cannot be done.

Neither program is believed blindly. ``psql`` replays half a plain dump and reports success, so the dump has to end with the line
that pg_dump writes last; ``age`` hands out what it has decrypted before it finds that the rest was cut off, so its own exit status
counts too.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ansible_collections.dbops.multischema.plugins.module_utils.backup_files import CHUNK, dump_file
from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import DIRECTORY, PLAIN, Manifest
from ansible_collections.dbops.multischema.plugins.module_utils.client_tools import (
    PG_RESTORE,
    PSQL,
    ClientTools,
    connection_string,
    libpq_environment,
)
from ansible_collections.dbops.multischema.plugins.module_utils.connection import ConnectionSettings
from ansible_collections.dbops.multischema.plugins.module_utils.errors import MultischemaError
from ansible_collections.dbops.multischema.plugins.module_utils.program_run import CannotStart, Program
from ansible_collections.dbops.multischema.plugins.module_utils.restore_order import restore_order
from ansible_collections.dbops.multischema.plugins.module_utils.watch import Watch

COMPLETE = b"-- PostgreSQL database dump complete"
TAIL = 4096  # bytes; what pg_dump writes behind that line is much shorter
_TOLD = 12  # lines of what a program says
# Of what pg_restore says with --verbose; from the other programs every line counts.
_WORTH_SAYING = tuple(f"pg_restore: {word}" for word in ("error", "fatal", "detail", "hint", "from TOC entry", "while "))
_NOT_MUCH = 1 << 24  # bytes
_CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)
_WRONG_KEY = "no identity matched"  # as age says it
# What a restore says where this machine is the trouble, and not the backup.
_SURROUNDINGS = (
    "No space left on device",
    "could not open extension control file",
    "is not available",
    "could not access file",
    "could not load library",
    "shared_preload_libraries",
    "out of shared memory",
    "server closed the connection unexpectedly",
    "terminating connection",
    "Connection refused",
    "encoding name",
    "invalid locale",
)


def is_surroundings(said: str) -> bool:
    """Whether what a program or a server says is about this machine, and not about the backup."""
    return any(words in said for words in _SURROUNDINGS)


class RestoreFailed(Exception):
    """The dump cannot be restored; the message says why."""


class SurroundingsFailed(MultischemaError):
    """The restore could not be tried here; that says nothing about the backup."""


@dataclass(frozen=True)
class Restoring:
    """How to restore.

    :param tools: PostgreSQL's programs.
    :param jobs: side by side, where the format allows it.
    :param identity_file: age's private key, for an encrypted backup.
    :param tablespaces: whether tables go to the tablespaces that they were in; otherwise all go to the database's own.
    :param seen: is told of each table that is about to be loaded, by an archive.
    :param watch: ends what is waited for.
    """

    tools: ClientTools
    jobs: int = 2
    identity_file: str = ""
    tablespaces: bool = False
    seen: Callable[[], None] | None = None
    watch: Watch = field(default_factory=Watch)

    def restore(self, directory: Path, manifest: Manifest, settings: ConnectionSettings) -> None:
        """Load the whole dump into a database that is empty.

        :raises RestoreFailed: when the dump is not whole.
        :raises SurroundingsFailed: when it could not be tried.
        """
        if manifest.dump_format == PLAIN:
            command = [self.tools.program(PSQL), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-o", os.devnull, "-d", connection_string(settings)]
            tail = self._stream(directory, manifest, command, settings)
            require_complete(tail)
            return
        command = [
            self.tools.program(PG_RESTORE),
            "--exit-on-error",
            "--no-subscriptions",
            "--verbose",
            *([] if self.tablespaces else ["--no-tablespaces"]),
        ]
        command += ["-d", connection_string(settings)]
        if manifest.recipients:
            self._stream(directory, manifest, command, settings)
            return
        if self.jobs > 1:
            self._side_by_side(command, str(_archive(directory, manifest)), settings)
            return
        self._finished([*command, str(_archive(directory, manifest))], settings)

    def _side_by_side(self, command: list[str], archive: str, settings: ConnectionSettings) -> None:
        """Restore with several connections: all rows, then what several can make, then the rest by one connection.

        Left to itself, pg_restore makes a foreign key of a partitioned table once nothing is to be loaded into that table; but its rows
        are in its partitions, and may not be there yet. Then a row is checked before the row that it refers to has come, or as a role that
        has not yet been given the right to look; or two connections wait for each other (`restore_order`).
        """
        jobs = f"--jobs={self.jobs}"
        together, alone = restore_order(list(self._listed(archive, "pre-data", "data")), list(self._listed(archive, "post-data")))
        self._finished([*command, jobs, "--section=pre-data", "--section=data", "--no-privileges", archive], settings)
        for lines, options in ((together, [jobs]), (alone, [])):
            with tempfile.NamedTemporaryFile(prefix="multischema-restore-") as listed:
                listed.writelines(lines)
                listed.flush()
                self._finished([*command, *options, f"--use-list={listed.name}", archive], settings)

    def _finished(self, command: list[str], settings: ConnectionSettings) -> None:
        with self._started(command, settings) as child:
            child.finish()

    def _listed(self, archive: str, *sections: str) -> Iterator[bytes]:
        """The table of contents of an archive, as pg_restore takes it back, of some sections."""
        command = [self.tools.program(PG_RESTORE), "--list", *(f"--section={section}" for section in sections)]
        command += ["--no-subscriptions", archive]
        with _Reader(command, _plain_environment(), self.watch) as child:
            yield from child.output
            child.finish()

    def schema_text(self, directory: Path, manifest: Manifest) -> Iterator[bytes]:
        """The schema as the dump itself has it, line by line; of an archive that is not encrypted.

        :raises RestoreFailed: when it cannot be read.
        """
        command = [self.tools.program(PG_RESTORE), "--schema-only", "-f", "-"]
        if manifest.recipients:
            with self.opened(directory, manifest) as source, _Reader(command, _plain_environment(), self.watch, source=source) as child:
                yield from child.output
                child.finish()
            return
        with _Reader([*command, str(_archive(directory, manifest))], _plain_environment(), self.watch) as child:
            yield from child.output
            child.finish()

    def decrypted(self, path: Path, manifest: Manifest) -> bytes:
        """The content of a small file.

        :raises RestoreFailed: when it cannot be decrypted.
        """
        if not manifest.recipients:
            return path.read_bytes()
        with _age(path, self.identity_file, self.watch) as child:
            found = b"".join(child.output)
            child.finish()
        return found

    @contextlib.contextmanager
    def opened(self, directory: Path, manifest: Manifest) -> Iterator[IO[bytes]]:
        """The dump's file, decrypted where need be, for reading.

        :raises RestoreFailed: when it cannot be decrypted.
        """
        path = directory / dump_file(manifest)
        if not manifest.recipients:
            with path.open("rb") as stream:
                yield stream
            return
        with _age(path, self.identity_file, self.watch) as child:
            try:
                yield child.output
            except RestoreFailed:
                child.require_success_so_far()  # what it was fed was short because age has failed: then that is the reason
                raise
            child.finish()

    def _stream(self, directory: Path, manifest: Manifest, command: list[str], settings: ConnectionSettings) -> bytes:
        """Feed a file to a program, decrypted where need be. :returns: the end of what it was fed."""
        tail = b""
        with self.opened(directory, manifest) as source, self._started(command, settings, fed=True) as child:
            for chunk in iter(lambda: source.read(CHUNK), b""):
                tail = (tail + chunk)[-TAIL:]
                if not child.feed(chunk):
                    break
            child.finish()
        return tail

    def _started(self, command: list[str], settings: ConnectionSettings, *, fed: bool = False) -> _Reader:
        return _Reader(command, libpq_environment(settings), self.watch, fed=fed, seen=self.seen)


def _archive(directory: Path, manifest: Manifest) -> Path:
    """What pg_restore is given: the file, or the directory with the table of contents in it."""
    path = directory / dump_file(manifest)
    return path.parent if manifest.dump_format == DIRECTORY else path


def require_complete(tail: bytes) -> None:
    """:raises RestoreFailed: unless a plain dump ends with pg_dump's last line."""
    lines = [line for line in tail.split(b"\n") if line.strip(b"\r -") and not line.startswith(b"\\unrestrict ")]
    if not lines or lines[-1] != COMPLETE:
        raise RestoreFailed("the dump is cut off: it does not end with the line that pg_dump writes last")


def _age(path: Path, identity_file: str, watch: Watch) -> _Reader:
    if not identity_file:
        raise SurroundingsFailed(
            f"{path.name} is encrypted, and no key was given.",
            "What cannot be decrypted cannot be restored, so nothing would be proved.",
            "Set backup_age_identity to the file with age's private key on this host, readable for this user alone.",
        )
    if not os.access(identity_file, os.R_OK):
        raise SurroundingsFailed(
            f"The key {identity_file} cannot be read.", "The backup is encrypted.", "Set backup_age_identity to a file that is there."
        )
    return _Reader(["age", "--decrypt", "-i", identity_file, str(path)], _plain_environment(), watch)


def _plain_environment() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C"}


class _Reader(Program):
    """A program that reads a backup, or a part of one.

    :param source: what it reads; ``fed``, that it is handed what it reads (`feed`), and has no output that anybody wants.
    :param seen: is told of each table that it begins to load.
    :raises SurroundingsFailed: when it cannot be started.
    """

    def __init__(
        self,
        command: list[str],
        environment: Mapping[str, str],
        watch: Watch,
        *,
        fed: bool = False,
        source: IO[bytes] | None = None,
        seen: Callable[[], None] | None = None,
    ) -> None:
        self._seen, self._watch = seen, watch
        stdin, stdout = (subprocess.PIPE, subprocess.DEVNULL) if fed else (source or subprocess.DEVNULL, subprocess.PIPE)
        try:
            super().__init__(command, environment, stdin=stdin, stdout=stdout, heard=self._hear)
        except CannotStart as error:
            raise SurroundingsFailed(
                error.found,
                "It is needed to read the backup.",
                "Install it on this host (age: apt-get install age; PostgreSQL's programs: backup_tools_directory says where they are).",
            ) from error
        self._watched = watch.over(self.process.terminate)  # pg_restore has its workers and their statements end, too
        self._watched.__enter__()

    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *exc: object) -> None:
        self._watched.__exit__(None, None, None)
        super().__exit__(*exc)

    @property
    def output(self) -> IO[bytes]:
        """What it writes."""
        assert self.process.stdout is not None  # noqa: S101  one that is fed has none, and nobody asks
        return self.process.stdout

    def feed(self, chunk: bytes) -> bool:
        """Hand it more. :returns: whether it still takes any."""
        stdin: Any = self.process.stdin
        try:
            stdin.write(chunk)
        except BrokenPipeError:
            return False
        return True

    def finish(self) -> None:
        """Wait for its end.

        :raises RestoreFailed: when it has failed, for a reason that lies in the backup.
        :raises SurroundingsFailed: when it has failed for another reason.
        """
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
        elif self.process.stdout is not None:
            self.process.stdout.read()
        status = self.code
        if not status:
            return
        self._watch.require_wanted()
        said = " ".join(" ".join(list(self.said)[-_TOLD:]).split()) or f"it ended with status {status}"
        if _WRONG_KEY in said:
            raise SurroundingsFailed(
                f"The backup cannot be decrypted with the key that was given: {said}",
                "It is encrypted to other keys; that says nothing about what is in it.",
                "Set backup_age_identity to the file with the private key of one of its recipients (the manifest lists them).",
            )
        if -status in _CRASHES:  # what it reads is broken in a way that it does not expect; pg_restore was seen to do so
            raise RestoreFailed(f"{self.name} crashes when it reads the dump (signal {-status})")
        if is_surroundings(said) or status < 0:
            raise SurroundingsFailed(
                f"The restore could not be tried here: {self.name} says: {said}",
                "That is about this machine or server, not about the backup, which is neither proved nor refused by it.",
                "See to what it says, then verify again; backup_scratch_directory and backup_scratch_url say where it is restored.",
            )
        raise RestoreFailed(f"{self.name} says: {said}")

    def require_success_so_far(self) -> None:
        """Raise like `finish` where it has ended by itself, but do not wait for it if there is much left that it would write."""
        if len(self.output.read(_NOT_MUCH)) < _NOT_MUCH:
            self.finish()

    def _hear(self, line: str) -> bool:
        """Take in a line of what it says. :returns: whether it is of no more interest."""
        if "processing data for table" in line:
            if self._seen is not None:
                self._seen()
            return True
        return line.startswith("pg_restore: ") and not line.startswith(_WORTH_SAYING)
