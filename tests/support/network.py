"""A network of its own between the tests and a PostgreSQL server, which can be cut for real: packets vanish, nobody is told.

The server runs in a network namespace (Linux, root, ``ip`` of iproute2) and is reached over a pair of virtual interfaces. To cut
a direction, its frames are addressed to a station that does not exist: no reset, no ICMP message, as with a cable that is pulled
out behind the next switch. Files are shared, so the server's Unix socket is the way around the cut, for whoever observes.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from psycopg2.extensions import connection as Connection

from tests.support.servers import Server

NOBODY = "02:00:00:00:00:99"
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def why_not() -> str | None:
    """What is missing here for a network that can be cut; None where nothing is."""
    if not Path("/proc/self/ns/net").exists():
        return "network namespaces need Linux"
    if os.geteuid() != 0:
        return "making a network namespace needs root"
    if shutil.which("ip") is None:
        return "there is no 'ip' (apt-get install iproute2)"
    name = f"ms-probe-{os.getpid()}"
    try:
        _ip("netns", "add", name)
    except OSError as error:
        return f"no network namespace can be made here: {error}"
    _ip("netns", "del", name)
    return None


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


class Network:
    """A namespace, and a pair of interfaces that leads into it. As a context manager it is removed at the end.

    The addresses are from 198.18.0.0/15, which is set aside for tests of network devices (RFC 2544).
    """

    def __init__(self) -> None:
        # The process id keeps two test workers apart: it gives each a /30 of its own.
        block = 0xC6120000 + (os.getpid() % 0x8000) * 4
        self.near, self.far = (".".join(str((block + n) >> shift & 255) for shift in (24, 16, 8, 0)) for n in (1, 2))
        self.name = f"ms-{os.getpid()}"
        self._near_device, self._far_device = f"msn{os.getpid()}", f"msf{os.getpid()}"

    def __enter__(self) -> Self:
        _ip("netns", "add", self.name)
        try:
            _ip("link", "add", self._near_device, "type", "veth", "peer", "name", self._far_device, "netns", self.name)
            _ip("addr", "add", f"{self.near}/30", "dev", self._near_device)
            _ip("link", "set", self._near_device, "up")
            for arguments in (
                ("link", "set", "lo", "up"),
                ("addr", "add", f"{self.far}/30", "dev", self._far_device),
                ("link", "set", self._far_device, "up"),
            ):
                _ip("-n", self.name, *arguments)
            self.heal()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with contextlib.suppress(OSError):
            _ip("link", "del", self._near_device)
        _ip("netns", "del", self.name)

    def cut_questions(self) -> None:
        """What we send does not arrive any more."""
        self._send_to(NOBODY)

    def cut_answers(self) -> None:
        """What the server sends does not arrive any more; it goes on hearing us."""
        self._answer_to(NOBODY)

    def cut(self) -> None:
        """Nothing arrives any more, on neither side."""
        self.cut_questions()
        self.cut_answers()

    def heal(self) -> None:
        """Everything arrives again."""
        self._send_to(self._station("-n", self.name, "link", "show", self._far_device))
        self._answer_to(self._station("link", "show", self._near_device))

    @staticmethod
    def _station(*show: str) -> str:
        words = _ip(*show).split()
        return words[words.index("link/ether") + 1]

    def _send_to(self, station: str) -> None:
        _ip("neigh", "replace", self.far, "lladdr", station, "dev", self._near_device, "nud", "permanent")

    def _answer_to(self, station: str) -> None:
        _ip("-n", self.name, "neigh", "replace", self.near, "lladdr", station, "dev", self._far_device, "nud", "permanent")

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """What this thread starts meanwhile lives in the namespace."""
        with Path("/proc/thread-self/ns/net").open("rb") as outside, Path(f"/run/netns/{self.name}").open("rb") as within:
            _enter(within.fileno())
            try:
                yield
            finally:
                _enter(outside.fileno())


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class DistantServer(Server):
    """A server behind a network. Its URL leads through that; the tests' own connections, and its tools, use the Unix socket."""

    def __init__(self, network: Network, **options: Any) -> None:
        settings = {"listen_addresses": network.far, **options.pop("settings", {})}
        super().__init__(settings=settings, **options)
        self.network = network

    @property
    def host(self) -> str:  # type: ignore[override]
        """The way around the network."""
        return str(self.socket_dir)

    def url(self, database: str, user: str | None = None, password: str | None = None) -> str:
        """Return a URL that leads through the network."""
        parts = [quote(part, safe="") for part in (user or self.user, password or self.password, database)]
        return f"postgresql://{parts[0]}:{parts[1]}@{self.network.far}:{self.port}/{parts[2]}"

    def start(self) -> Self:
        """Start within the namespace."""
        with self.network.inside():
            super().start()
        return self

    def _initialise(self) -> None:
        super()._initialise()
        with (self.data_dir / "pg_hba.conf").open("a", encoding="utf-8") as file:
            file.write(f"host all all {self.network.near}/32 scram-sha-256\n")

    def connect(self, database: str = "postgres", **options: Any) -> Connection:
        """Return a connection over the Unix socket."""
        return super().connect(database, **options)
