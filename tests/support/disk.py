"""A small disk that can be filled: a file system of its own in memory (Linux, root)."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.host import RELOCATION_ROOT, Account

FILLER = "filler"


def why_not() -> str | None:
    """What is missing here for a small disk; None where nothing is."""
    if os.geteuid() != 0:
        return "mounting a small disk needs root"
    try:
        with SmallDisk(64):
            return None
    except OSError as error:
        return str(error)


class SmallDisk:
    """Mounted while it is a context manager; ``path`` is a directory on it that belongs to the servers' account.

    :param kilobytes: how large it is.
    """

    def __init__(self, kilobytes: int) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="multischema-disk-", dir=RELOCATION_ROOT))
        self._kilobytes = kilobytes

    @property
    def path(self) -> Path:
        """Where files go."""
        return self.root / "files"

    def __enter__(self) -> Self:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={self._kilobytes}k,mode=755", "tmpfs", str(self.root)]
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
        if done.returncode:
            self.root.rmdir()
            raise OSError(f"{' '.join(mount)}: {done.stderr.strip()}")
        self.path.mkdir()
        Account().own(self.path)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        subprocess.run(["umount", str(self.root)], check=True)
        self.root.rmdir()

    def fill(self, but: int = 0) -> None:
        """Leave not a byte.

        :param but: how many bytes stay free, a multiple of a page's.
        """
        with (self.root / FILLER).open("ab", buffering=0) as file:
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\0" * 4096)
            if but:
                file.truncate(file.tell() - but)

    def empty(self) -> None:
        """Make room again."""
        (self.root / FILLER).unlink(missing_ok=True)
