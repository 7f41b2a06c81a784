"""A throwaway PostgreSQL server: made in a temporary directory, reachable for us alone, gone afterwards.

It listens on a Unix socket in a directory that only its owner may enter, and on nothing else. It does not care for its data
(``fsync = off``): what is restored into it is looked at once. A server that a killed run has left behind is found by its lock
file, which nobody holds any more, and removed by the next run.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ansible_collections.dbops.multischema.plugins.module_utils.connection import ConnectionSettings
from ansible_collections.dbops.multischema.plugins.module_utils.errors import MultischemaError

PREFIX = "multischema-scratch-"
LOCK = "lock"
SERVER_USER = "postgres"  # whom root lets the server run as
SOCKET = "s"  # in its directory: the socket's directory, or a link to it
SOCKETS = Path("/tmp")  # noqa: S108  each in a directory of its own with a name that nothing has, for its owner alone
SOCKETS_PREFIX = "multischema-socket-"
SOCKET_PATH_MOST = 90  # bytes; a Unix socket's path may have 107, its name takes some
START_S = 120
SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
    "max_connections": "40",
    "max_locks_per_transaction": "1024",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "4GB",
    "jit": "off",
    "logging_collector": "off",
    "log_statement": "none",
}


Made = TypeVar("Made", bound="ScratchServer")


class ScratchServer:
    """As a context manager: there on entry, gone on exit.

    :param program: finds a program of the wanted major version by its name.
    :param parent: where its directory goes; needs room for the restored database.
    :param first_role: the name of its superuser, as on the original, so that what is granted by that role can be granted again.
    :raises MultischemaError: it could not be made; nothing of it is left then.
    """

    def __init__(self, program: Callable[[str], str], parent: Path, first_role: str) -> None:
        self._program, self._parent, self._first_role = program, parent, first_role
        self._identity = server_identity()
        self._lock: Any = None
        self._socket: Path | None = None
        self.directory: Path | None = None

    def __enter__(self: Made) -> Made:
        remove_abandoned(self._parent, self._program)
        try:
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        if self.directory is not None:
            _stop(self.directory, self._program, self._identity)
            shutil.rmtree(self.directory, ignore_errors=True)
        if self._socket is not None:  # outside of it, maybe
            shutil.rmtree(self._socket, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()

    def settings(self, database: str) -> ConnectionSettings:
        """How to connect to a database of it, as its superuser."""
        return ConnectionSettings({"host": str(self._socket), "port": "5432", "user": self._first_role, "dbname": database})

    @property
    def log(self) -> str:
        """The end of what the server has said."""
        try:
            return "\n".join((self._home / "log").read_text(errors="replace").splitlines()[-8:])
        except OSError:
            return ""

    @property
    def _home(self) -> Path:
        assert self.directory is not None  # noqa: S101  set by _make, before anything else
        return self.directory

    def _make(self) -> None:
        try:
            self.directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=self._parent))
        except OSError as error:
            raise MultischemaError(
                f"No scratch server can be made below {self._parent}: {error.strerror}.",
                "A backup is proved by restoring it into one.",
                "Set backup_scratch_directory to a directory that can be written to, with room for the whole database.",
            ) from error
        self._lock = _take_lock(self.directory)
        self._socket = _make_socket_directory(self.directory)
        self._own(self.directory, self._socket)
        self._fill()
        self._start()

    @property
    def _data(self) -> Path:
        return self._home / "data"

    def _fill(self) -> None:
        """Make the data directory."""
        options = ["--no-sync", "--no-locale", "--encoding=UTF8", "--auth=trust", "-U", self._first_role]
        self._run("initdb", *options, "-D", str(self._data))
        self._configure("a", SETTINGS)

    def _configure(self, mode: str, settings: Mapping[str, str]) -> None:
        """Write settings into its configuration: added to what stands there (``a``), or alone (``w``)."""
        lines = {**settings, "unix_socket_directories": str(self._socket), "unix_socket_permissions": "0700"}
        with (self._data / "postgresql.conf").open(mode) as stream:
            stream.writelines(f"{name} = '{_escaped(value)}'\n" for name, value in lines.items())

    def _start(self) -> None:
        """Start it, and wait until it can be connected to."""
        self._run("pg_ctl", "start", "-w", "-t", str(START_S), "-D", str(self._data), "-l", str(self._home / "log"))

    def _own(self, *paths: Path) -> None:
        if self._identity:
            for path in paths:
                os.chown(path, self._identity["user"], self._identity["group"])

    def _run(self, name: str, *arguments: str) -> None:
        done = _call([self._program(name), *arguments], self._identity)
        if done:
            raise MultischemaError(
                f"A scratch server could not be started below {self._parent}: {name} says: {' '.join(done.split())[-600:]}\n{self.log}",
                "A backup is proved by restoring it into one.",
                "See to what it says (room on the disk, a directory that the user postgres may enter: backup_scratch_directory), or "
                "name a server in backup_scratch_url.",
            )


def _escaped(value: str) -> str:
    return value.replace("'", "''")


def server_identity() -> dict[str, Any]:
    """Whom the server runs as: ourselves; for root, as whom PostgreSQL refuses to run, the user that packages make for it."""
    if os.geteuid() != 0:
        return {}
    try:
        entry = pwd.getpwnam(SERVER_USER)
    except KeyError as error:
        raise MultischemaError(
            f"This runs as root, and there is no user {SERVER_USER} here.",
            "PostgreSQL refuses to run as root, so the scratch server needs another user.",
            "Set multischema_become_user to a user that owns the backups, or name a server in backup_scratch_url.",
        ) from error
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _call(command: list[str], identity: Mapping[str, Any]) -> str:
    """Run a program of the server. :returns: what it says where it fails, otherwise nothing."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    # Into a file, not a pipe: what a server inherits of a pipe would keep us waiting for its end.
    with tempfile.TemporaryFile() as output:
        try:
            done = subprocess.run(  # noqa: S603  a list of arguments, no shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                env={**environment, "LC_ALL": "C"},
                check=False,
                **identity,
            )
        except OSError as error:
            return f"{command[0]}: {error.strerror}"
        output.seek(0)
        return output.read().decode(errors="replace") or "it has failed" if done.returncode else ""


def _stop(directory: Path, program: Callable[[str], str], identity: Mapping[str, Any]) -> None:
    if (directory / "data" / "postmaster.pid").exists():
        _call([program("pg_ctl"), "stop", "-w", "-t", "60", "-m", "immediate", "-D", str(directory / "data")], identity)


def _take_lock(directory: Path) -> Any:
    """A file that says whose the directory is for as long as this process lives; locked before it has its name."""
    stream = (directory / f".{LOCK}").open("w")
    fcntl.flock(stream, fcntl.LOCK_EX)
    (directory / f".{LOCK}").rename(directory / LOCK)
    return stream


def _make_socket_directory(directory: Path) -> Path:
    """In the server's own, or where that path would be too long for a socket, in a short one that a link leads to."""
    inside = directory / SOCKET
    if len(str(directory).encode()) < SOCKET_PATH_MOST:
        inside.mkdir(mode=0o700)
        return inside
    outside = Path(tempfile.mkdtemp(prefix=SOCKETS_PREFIX, dir=SOCKETS))
    inside.symlink_to(outside)
    return outside


def _remove_socket_directory(directory: Path, owners: Collection[int]) -> None:
    """One that lies outside of the server's own; only what looks like one and belongs to us."""
    with contextlib.suppress(OSError):
        outside = Path(os.readlink(directory / SOCKET))
        if outside.parent == SOCKETS and outside.name.startswith(SOCKETS_PREFIX) and outside.lstat().st_uid in owners:
            shutil.rmtree(outside, ignore_errors=True)  # of a link or a file nothing


def remove_abandoned(parent: Path, program: Callable[[str], str]) -> None:
    """Stop and remove the scratch servers of runs that were killed."""
    identity = server_identity()
    owners = {os.geteuid(), identity.get("user", os.geteuid())}
    with contextlib.suppress(OSError):
        for entry in sorted(os.scandir(parent), key=lambda e: e.name):
            if entry.name.startswith(PREFIX) and entry.is_dir(follow_symlinks=False) and entry.stat().st_uid in owners:
                _remove_if_abandoned(Path(entry.path), program, identity, owners)


def _remove_if_abandoned(directory: Path, program: Callable[[str], str], identity: Mapping[str, Any], owners: Collection[int]) -> None:
    try:
        descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except OSError:
        return  # being made at this moment
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return  # somebody uses it
    finally:
        os.close(descriptor)
    _stop(directory, program, identity)
    _remove_socket_directory(directory, owners)
    shutil.rmtree(directory, ignore_errors=True)
