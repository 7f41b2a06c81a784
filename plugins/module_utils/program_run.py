"""A program that runs beside us: what it says, how it ends, and that it ends when we want it to."""

from __future__ import annotations

import collections
import contextlib
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from ansible_collections.dbops.multischema.plugins.module_utils.errors import MultischemaError

ENDING_S = 10.0  # between asking it to end and killing it
PRIVATE = 0o077  # of what it makes, nothing is for others
_MOST_LINES = 50


class Program:
    """Runs from the moment on that it is made; in a ``with`` block it has ended when the block has.

    :param command: a list of arguments, no shell.
    :param environment: all of its environment.
    :param stdin: what it reads; nothing by default.
    :param stdout: where its output goes; nowhere by default.
    :param inherited: further descriptors that stay open in it.
    :param heard: is given each line that it says on stderr, and returns whether that is of no more interest.
    :raises MultischemaError: when it cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stdout: int | IO[bytes] = subprocess.DEVNULL,
        inherited: Sequence[int] = (),
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
            )
        except OSError as error:
            raise MultischemaError(
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
        if self.running:
            self.process.kill()
        self.process.wait()

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: Any) -> None:
        self.end()
        self._listener.join(ENDING_S)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None and not self._listener.is_alive():
                stream.close()
