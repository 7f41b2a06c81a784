"""The programs that write a backup: pg_dump, pg_dumpall, and age where it is encrypted; and what becomes of their words."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from ansible_collections.dbops.multischema.plugins.module_utils.backup_files import ENCRYPTED
from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import CUSTOM, DIRECTORY, GLOBALS, PLAIN
from ansible_collections.dbops.multischema.plugins.module_utils.backup_place import cannot_write
from ansible_collections.dbops.multischema.plugins.module_utils.backup_preflight import Examined, Request, age_command
from ansible_collections.dbops.multischema.plugins.module_utils.client_tools import (
    PG_DUMP,
    PG_DUMPALL,
    connection_string,
    libpq_environment,
)
from ansible_collections.dbops.multischema.plugins.module_utils.connection import ConnectionSettings
from ansible_collections.dbops.multischema.plugins.module_utils.errors import MultischemaError
from ansible_collections.dbops.multischema.plugins.module_utils.program_run import Program, wait

DUMP = {DIRECTORY: "dump", CUSTOM: "dump.custom", PLAIN: "dump.sql"}
_OWN_WORDS = re.compile(r"pg_dump(?:all)?: (?!error|warning|detail|hint|fatal)")  # what --verbose adds
_BEGINS_TABLE = re.compile(r"pg_dump: (?:dumping contents of table|processing data for table) ")


@dataclass
class Heard:
    """What pg_dump has said: how many tables it has begun, and what it warns of."""

    tables: int = 0
    warnings: list[str] = field(default_factory=list)

    def line(self, line: str) -> bool:
        """Take in a line. :returns: whether it is of no more interest."""
        if _BEGINS_TABLE.match(line):
            self.tables += 1
        if ": warning: " in line:
            self.warnings.append(line.partition(": warning: ")[2])
        return bool(_OWN_WORDS.match(line))


@dataclass(frozen=True)
class Dumping:
    """The dump of one database into one directory.

    :param directory: where it goes.
    :param snapshot: that it sees.
    :param lock: descriptor that the programs keep open.
    """

    settings: ConnectionSettings
    request: Request
    examined: Examined
    directory: Path
    snapshot: str
    lock: int
    heard: Heard = field(default_factory=Heard)

    @contextlib.contextmanager
    def dump(self) -> Iterator[list[Program]]:
        """pg_dump at work; at the end of the block it has ended, one way or the other."""
        request, examined = self.request, self.examined
        command = [
            examined.tools.program(PG_DUMP),
            f"--format={request.dump_format}",
            f"--snapshot={self.snapshot}",
            f"--lock-wait-timeout={int(request.lock_wait_s * 1000)}",
            "--no-password",
            "--verbose",
            f"--dbname={connection_string(self.settings)}",
        ]
        if request.dump_format != PLAIN:
            command += examined.tools.compression_options(examined.compression)
        if request.dump_format == DIRECTORY:
            command += [f"--jobs={request.jobs}", f"--file={self.directory / DUMP[DIRECTORY]}"]
        with self._running(command, None if request.dump_format == DIRECTORY else DUMP[request.dump_format]) as programs:
            yield programs

    @contextlib.contextmanager
    def globals(self) -> Iterator[list[Program]]:
        """pg_dumpall at work: roles and tablespaces, which are the server's and in no dump of a database."""
        command = [self.examined.tools.program(PG_DUMPALL), "--globals-only", "--no-password"]
        # It reads them through some database that this role may connect to; as a connection string, so that any name can be one.
        command += [f"--database={connection_string(self.settings)}"]
        command += [] if self.examined.reads_passwords else ["--no-role-passwords"]
        with self._running(command, GLOBALS) as programs:
            yield programs

    @contextlib.contextmanager
    def _running(self, command: Sequence[str], name: str | None) -> Iterator[list[Program]]:
        """A program, its output in a file, encrypted on the way where that is wanted: what lies on disk is never plain text then."""
        environment = libpq_environment(self.settings)
        with contextlib.ExitStack() as stack:
            if name is None:
                yield [stack.enter_context(Program(command, environment, inherited=[self.lock], heard=self.heard.line))]
                return
            file = stack.enter_context(self._new_file(name))
            if not self.request.recipients:
                yield [stack.enter_context(Program(command, environment, stdout=file, inherited=[self.lock], heard=self.heard.line))]
                return
            plain = Program(command, environment, stdout=subprocess.PIPE, inherited=[self.lock], heard=self.heard.line)
            stack.enter_context(plain)
            pipe = plain.process.stdout
            assert pipe is not None  # noqa: S101  it was asked for
            age = Program(age_command(self.request.recipients), environment, stdin=pipe, stdout=file, inherited=[self.lock])
            stack.enter_context(age)
            pipe.close()  # so that pg_dump notices when age is gone
            yield [plain, age]

    def _new_file(self, name: str) -> IO[bytes]:
        path = self.directory / (name + (ENCRYPTED if self.request.recipients else ""))
        try:
            return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        except OSError as error:
            raise cannot_write(self.directory, error) from error


def require_no_failure(programs: Sequence[Program]) -> None:
    """Where one has failed the others need not go on.

    :raises MultischemaError: when one has.
    """
    if any(not program.running and program.code != 0 for program in programs):
        wait(programs, lambda: None)
        require_success(programs)


def require_success(programs: Sequence[Program]) -> None:
    """:raises MultischemaError: when one of them has failed; the last one's failure is the cause where it had a reader."""
    for program in reversed(programs):
        if program.code != 0:
            raise _failure(program)


def _failure(program: Program) -> MultischemaError:
    said = " ".join(program.said) or f"exit code {program.code}"
    found = f"{program.name} failed: {said}"
    full = os.strerror(errno.ENOSPC)
    cases = (
        ((full, "No space left"), "The disk that the backup goes to is full.", "Make room there, or set backup_directory to another disk."),
        (
            ("lock timeout", "could not obtain lock"),
            "Somebody holds a lock on a table that lets nobody read it.",
            "Wait until that has ended, or set backup_lock_wait_s higher.",
        ),
        (
            ("server closed the connection", "terminating connection", "connection to server"),
            "The server has gone, or has ended the session.",
            "",
        ),
        (("permission denied", "row-level security"), "This role may not read everything.", "Connect as a superuser or the tables' owner."),
    )
    for signs, why, remedy in cases:
        if any(sign in said for sign in signs):
            return MultischemaError(found, f"{why} What was written is removed.", remedy or "See the server's log, then run again.")
    return MultischemaError(found, "What was written is removed.", "Correct what it says, then run again.")
