"""Work that takes longer than one call of a module: a process of its own does it, and short calls ask how far it is.

The first call forks it (:func:`start`) and returns; further calls ask (:func:`poll`), and each shows that somebody still wants
the result. Nobody can be told of the end of ansible-playbook, so work that nobody asks about any more stops by itself.

A job is a directory: ``lock``, with the process's number in it, held as long as it lives (the kernel gives it back, however it
ends); ``asked``, touched by every question; ``stop``, there once somebody wants it to end; ``state.json``, what it has to say.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.errors import MultischemaError

PATIENCE_S = 60.0  # for the next question; a module call over SSH to a loaded host may take several seconds
POLL_S = 0.1
STOPPING_S = 30.0  # for work to end and clean up, once it was told to
SAY_S = 0.2  # figures are for people: more often would be of no use to them
_LOCK, _ASKED, _STOP, _STATE = "lock", "asked", "stop", "state.json"
_FILES = (_LOCK, _ASKED, _STOP, _STATE)


class Stopped(MultischemaError):
    """The work was told to stop, or nobody has asked about it for too long."""


@dataclass(frozen=True)
class State:
    """How far the work is.

    :param running: whether it is going on.
    :param figures: what it has said last.
    :param result: what it has returned; None while it runs.
    :param seconds: since it began.
    """

    running: bool
    figures: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] | None = None
    seconds: float = 0.0


class Progress:
    """What the work says, and how it learns that it should stop.

    :param directory: of the job.
    :param patience_s: how long it goes on without being asked, in seconds.
    """

    def __init__(self, directory: Path, patience_s: float = PATIENCE_S) -> None:
        self._directory = directory
        self._patience = patience_s
        self._told = False
        self._began = self._asked_at = time.monotonic()
        self._asked = self._last_question()
        self._said_at = 0.0
        self._figures: dict[str, Any] = {}

    def say(self, **figures: Any) -> None:
        """Say how far it is; figures stay until others of the same name are said.

        Where they cannot be written, on a disk that is full, say, nobody sees them; what the work itself meets there it says better.
        """
        self._figures.update(figures)
        now = time.monotonic()
        if now - self._said_at >= SAY_S:
            self._said_at = now
            with contextlib.suppress(OSError):
                self._write({})

    def check(self) -> None:
        """To be called again and again, every second or so.

        :raises Stopped: when the work should end.
        """
        asked = self._last_question()
        if asked != self._asked:
            # By this process's own clock: that of the machine may be set meanwhile.
            self._asked, self._asked_at = asked, time.monotonic()
        if self._told or (self._directory / _STOP).exists():
            raise Stopped("The work was told to stop.", "", "Run the same playbook again.")
        silent = time.monotonic() - self._asked_at
        if silent > self._patience:
            raise Stopped(
                f"Nobody has asked for {silent:.0f} s how far the work is, so it has stopped.",
                "The run that began it has ended, or cannot reach this host.",
                "Run the same playbook again.",
            )

    def told_to_stop(self, *_: object) -> None:
        """A signal has come."""
        self._told = True

    def end(self, **outcome: Any) -> None:
        """Say what has come of it."""
        self._write({"ended": True, **outcome})

    def _last_question(self) -> int:
        try:
            return (self._directory / _ASKED).stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def _write(self, more: Mapping[str, Any]) -> None:
        state = {"figures": self._figures, "seconds": time.monotonic() - self._began, **more}
        beside = self._directory / f"{_STATE}.new"
        beside.write_text(json.dumps(state), encoding="utf-8")
        beside.replace(self._directory / _STATE)


def start(directory: Path, work: Callable[[Progress], Mapping[str, Any]], patience_s: float = PATIENCE_S) -> None:
    """Begin work in a process of its own, and return.

    To be called without open connections and threads. Everything that the work needs must be imported by then: what a module
    was unpacked into is removed when the module ends.

    :param directory: of the job; it is made, and holds nothing else.
    :param work: does it; what it returns must be representable as JSON.
    :raises MultischemaError: when a job is running there.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MultischemaError(f"Work is going on in {directory} already.", "", "Wait until it has ended.") from None
        for name in (_STOP, _STATE):
            (directory / name).unlink(missing_ok=True)
        (directory / _ASKED).touch(0o600)
        # A lock belongs to the open file, and the child has it open: there is no moment at which nobody holds it.
        between = os.fork()
        if between == 0:
            _leave_and_work(lock, directory, work, patience_s)
        os.waitpid(between, 0)
    finally:
        os.close(lock)


def _leave_and_work(lock: int, directory: Path, work: Callable[[Progress], Mapping[str, Any]], patience_s: float) -> None:
    """In the child: leave the caller's session and its streams (who reads them waits for their end), work, and end."""
    code = 1
    try:
        os.setsid()
        if os.fork() > 0:
            code = 0
        else:
            nothing = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(nothing, stream)
            os.ftruncate(lock, 0)
            os.write(lock, f"{os.getpid()}\n".encode())  # for people
            os.umask(0o077)
            os.chdir("/")
            _work(Progress(directory, patience_s), work)
            code = 0
    finally:
        os._exit(code)  # nothing of the caller's may be cleaned up here: it is the caller's


def _work(progress: Progress, work: Callable[[Progress], Mapping[str, Any]]) -> None:
    signal.signal(signal.SIGTERM, progress.told_to_stop)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        progress.end(result=dict(work(progress)))
    except MultischemaError as error:
        progress.end(
            error={"found": error.found, "why": error.why, "remedy": error.remedy, "result": error.result},
            stopped=isinstance(error, Stopped),
        )
    except Exception as error:
        progress.end(unexpected=f"{type(error).__name__}: {error}", traceback=traceback.format_exc())


def is_running(directory: Path) -> bool:
    """Whether the job's process lives."""
    try:
        lock = os.open(directory / _LOCK, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two who ask at once are not in each other's way
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def poll(directory: Path, seconds: float) -> State:
    """Ask how far the work is; returns when it has ended, at the latest after some time.

    A signal that ends this process (Ctrl-C reaches it, too), or the end of its parent, stops the work.

    :param seconds: to wait for its end.
    :raises Stopped: when it has stopped before its end.
    :raises MultischemaError: what the work has raised; or that its process has died.
    """
    until, parent = time.monotonic() + seconds, os.getppid()
    with _signals() as signalled:
        while True:
            _touch(directory)
            running = is_running(directory)  # before its state is read: what it wrote last is there by then
            if not running or time.monotonic() >= until:
                return _read(directory, running)
            if signalled or os.getppid() != parent:
                stop(directory)
                return _read(directory, is_running(directory))
            time.sleep(POLL_S)


def stop(directory: Path, seconds: float = STOPPING_S) -> bool:
    """Tell the work to stop, and wait for it to clean up. :returns: whether it has ended."""
    with contextlib.suppress(FileNotFoundError):  # the job is gone
        (directory / _STOP).touch(0o600)
    until = time.monotonic() + seconds
    while is_running(directory):
        if time.monotonic() >= until:
            return False
        time.sleep(POLL_S)
    return True


def forget(directory: Path) -> None:
    """Remove a job, once its result is known. One that is running stays."""
    if not is_running(directory):
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect signals that would end this process, rather than end it."""
    found: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    former = [signal.signal(number, lambda received, _: found.append(received)) for number in numbers]
    try:
        yield found
    finally:
        for number, handler in zip(numbers, former):
            signal.signal(number, handler)


def _touch(directory: Path) -> None:
    with contextlib.suppress(FileNotFoundError):  # the job is gone, and reading its state says so
        (directory / _ASKED).touch(0o600)


def _read(directory: Path, running: bool) -> State:
    try:
        state = json.loads((directory / _STATE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        state = {}
    figures, took = state.get("figures", {}), float(state.get("seconds", 0.0))
    if running and not state.get("ended"):
        return State(True, figures, None, took)
    if "result" in state:
        return State(False, figures, state["result"], took)
    if "error" in state:
        said = state["error"]
        error = (Stopped if state["stopped"] else MultischemaError)(said["found"], said["why"], said["remedy"])
        error.result = said["result"]
        raise error
    if "unexpected" in state:
        raise RuntimeError(f"{state['unexpected']}\n{state['traceback']}")
    raise MultischemaError(
        "The process that did the work is gone, and has left no result.",
        "It was killed: by somebody, by a lack of memory, or because the host was restarted.",
        "Look into the system's log (journalctl -k shows what ran out of memory), then run the same playbook again.",
    )
