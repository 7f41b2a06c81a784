"""A program that runs beside us: what it says, how it ends, and that it ends when we want it to."""

from __future__ import annotations

import collections
import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from ansible_collections.dbops.multischema.plugins.module_utils.errors import MultischemaError

POLL_S = 0.1
ENDING_S = 10.0  # between asking it to end and killing it
PRIVATE = 0o077  # of what it makes, nothing is for others
_MOST_LINES = 50


class CannotStart(MultischemaError):
    """The program is not there, or this user may not run it."""


class Program:
    """Runs from the moment on that it is made; in a ``with`` block it has ended, with all that it has started, when the block has.

    :param command: a list of arguments, no shell.
    :param environment: all of its environment.
    :param stdin: what it reads; nothing by default.
    :param stdout: where its output goes; nowhere by default.
    :param inherited: further descriptors that stay open in it.
    :param identity: of another user that it runs as, as ``subprocess`` takes it; ourselves by default.
    :param heard: is given each line that it says on stderr, and returns whether that is of no more interest.
    :raises CannotStart: when it cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stdout: int | IO[bytes] = subprocess.DEVNULL,
        inherited: Sequence[int] = (),
        identity: Mapping[str, Any] | None = None,
        heard: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.name = Path(command[0]).name
        self.said: collections.deque[str] = collections.deque(maxlen=_MOST_LINES)
        self._heard = heard
        try:
            self.process = subprocess.Popen(  # noqa: S603  a list of arguments, no shell
                list(command),
                env=dict(environment),
                stdin=stdin,
                stdout=stdout,
                stderr=subprocess.PIPE,
                pass_fds=tuple(inherited),
                umask=PRIVATE,
                start_new_session=True,
                cwd="/" if identity else None,  # where we are another user may not be
                **(identity or {}),
            )
        except OSError as error:
            raise CannotStart(
                f"{command[0]} cannot be started: {error.strerror or error}.", "", "Install it, or correct its mode."
            ) from error
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stderr is not None  # noqa: S101  it was asked for
        for raw in self.process.stderr:
            line = raw.decode("utf-8", "replace").rstrip()
            if line and not self._heard(line):
                self.said.append(line)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    @property
    def code(self) -> int:
        """Its exit code, once it has ended and everything that it said is heard."""
        code = self.process.wait()
        self._listener.join(ENDING_S)
        return code

    def end(self) -> None:
        """Have it end: politely, then by force."""
        if self.running:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(ENDING_S)
        # A worker that outlives its leader would keep its pipes open for as long as its statement takes.
        with contextlib.suppress(ProcessLookupError, PermissionError):  # there is none; of one that nobody has waited for yet, on macOS
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: Any) -> None:
        self.end()
        self._listener.join(ENDING_S)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None and not self._listener.is_alive():
                with contextlib.suppress(BrokenPipeError):  # what it was fed and has not read
                    stream.close()


def all_ended(pipe: Sequence[Program]) -> bool:
    """Whether programs, each of which writes to the next one, have ended.

    Where one has failed, those that write to it are ended, because nobody reads them any more; those behind it find the end of
    what they read, and end by themselves.
    """
    for place, program in enumerate(pipe):
        if not program.running and program.code != 0:
            for writer in pipe[:place]:
                if writer.running:
                    writer.end()
    return not any(program.running for program in pipe)


def wait(pipe: Sequence[Program], check: Callable[[], None], every_s: float = POLL_S) -> None:
    """Wait until programs, each of which writes to the next one, have ended.

    :param check: is called again and again, and raises when they should end.
    """
    while not all_ended(pipe):
        check()
        running = [program for program in pipe if program.running]
        if running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                running[-1].process.wait(every_s)
