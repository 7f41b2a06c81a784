"""How much memory a process takes with all that it has started."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

LOOK_S = 0.2
_KB_IN_MB = 1024


class Footprint:
    """Looks at a process again and again, as a context manager; ``peak_mb`` is final behind it, and None where there is no ``/proc``.

    What several processes share is counted once (their proportional set sizes, proc(5)): workers that were forked share most.
    """

    def __init__(self, pid: int) -> None:
        self.peak_mb: float | None = None
        self._pid = pid
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._enough.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._enough.wait(LOOK_S):
            found = [_kilobytes(pid) for pid in _family(self._pid)]
            if any(found):
                self.peak_mb = max(self.peak_mb or 0.0, sum(found) / _KB_IN_MB)


def _family(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    with contextlib.suppress(OSError):
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                for child in children.read_text().split():
                    found += _family(int(child))
    return found


def _kilobytes(pid: int) -> int:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("Pss:")).split()[1])
    return 0
