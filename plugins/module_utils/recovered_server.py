"""A throwaway server with a physical backup in it, recovered to one place, and kept away from everything else.

A restored copy believes that it is the original. So it listens on a Unix socket of its own only, archives nothing (a copy that
writes into the live stanza would spoil it), and has none of its original's configuration: no preloaded libraries, no workers that
receive subscriptions, no event triggers.
"""

from __future__ import annotations

import contextlib
import shlex
import socket
import time
from collections.abc import Callable
from pathlib import Path

from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import Manifest
from ansible_collections.dbops.multischema.plugins.module_utils.client_tools import ClientTools
from ansible_collections.dbops.multischema.plugins.module_utils.database_shape import recorded_shape
from ansible_collections.dbops.multischema.plugins.module_utils.errors import MultischemaError, ServerRefused
from ansible_collections.dbops.multischema.plugins.module_utils.pgbackrest import Stanza
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.program_run import wait
from ansible_collections.dbops.multischema.plugins.module_utils.recovery_target import RecoveryTarget
from ansible_collections.dbops.multischema.plugins.module_utils.restoring import RestoreFailed, SurroundingsFailed, is_surroundings
from ansible_collections.dbops.multischema.plugins.module_utils.scratch_server import SETTINGS, ScratchServer
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Text, statement

LOOK_S = 0.1
_READY = "ready"  # in the eighth line of postmaster.pid: it takes connections, so recovery has ended
_ISOLATED = {
    **SETTINGS,
    "wal_level": "replica",
    "archive_mode": "off",
    "archive_command": "",
    "hot_standby": "off",
    "primary_conninfo": "",
    "shared_preload_libraries": "",
    "session_preload_libraries": "",
    "max_logical_replication_workers": "0",
    "max_prepared_transactions": "1000",  # those that were prepared come back, and need a place
    "max_replication_slots": "100",  # origins of subscriptions need one each while WAL is replayed
}
_LATER = ((17, {"event_triggers": "off"}), (18, {"max_active_replication_origins": "100"}))
_MAINTENANCE = "template1"
_ALWAYS_THERE = ("postgres", "template0", "template1")  # pgbackrest restores these whatever else is left out
_PREPARED = "SELECT gid FROM pg_catalog.pg_prepared_xacts WHERE database = current_database() ORDER BY 1"


class RecoveredServer(ScratchServer):
    """As a context manager: there on entry, recovered; gone on exit.

    :param tools: programs of exactly the backup's major version.
    :param target: until where it is recovered.
    :param check: is called again and again, and raises when the work should end.
    :param said: is told what it is doing, and how much in percent.
    :raises RestoreFailed: the backup is not whole, or the WAL up to that place is not there.
    :raises SurroundingsFailed: it could not be tried.
    """

    def __init__(
        self,
        tools: ClientTools,
        parent: Path,
        manifest: Manifest,
        target: RecoveryTarget,
        *,
        check: Callable[[], None],
        said: Callable[[str, float], None] = lambda _doing, _percent: None,
    ) -> None:
        super().__init__(tools.program, parent, recorded_shape(manifest.extra).first_role)
        self._manifest, self._target, self._check, self._said, self._major = manifest, target, check, said, tools.major
        self._stanza = Stanza.of(manifest.extra["pgbackrest"]["stanza"])

    @property
    def where(self) -> str:
        """In words."""
        return f"a throwaway server on {socket.gethostname()}, recovered to {self._target.words}"

    def _fill(self) -> None:
        self._data.mkdir(mode=0o700)
        self._own(self._data)
        self._restore()
        for name in ("standby.signal", "postgresql.auto.conf", "pg_hba.conf", "pg_ident.conf"):
            with contextlib.suppress(FileNotFoundError):
                (self._data / name).unlink()
        settings = {**_ISOLATED, "restore_command": self._fetching, **self._target.settings}
        for since, more in _LATER:
            settings.update(more if self._major >= since else {})
        self._configure("w", settings)
        (self._data / "pg_hba.conf").write_text("local all all trust\n")
        (self._data / "recovery.signal").touch()
        self._own(*(self._data / name for name in ("postgresql.conf", "pg_hba.conf", "recovery.signal")))

    def _restore(self) -> None:
        stanza, label, name = self._stanza, self._manifest.label, self._manifest.database.name
        command = stanza.command(
            "restore",
            f"--set={label}",
            f"--pg1-path={self._data}",
            f"--tablespace-map-all={self._home / 'tablespaces'}",
            *([f"--db-include={name}"] if self._others_apart and name not in _ALWAYS_THERE else []),
            "--archive-mode=off",
            "--type=default",
            "--log-level-file=off",
        )

        def heard(line: str) -> bool:
            percent = percent_of(line)
            if percent is not None:
                self._said("restoring", percent)
            return "DETAIL: " in line

        with stanza.running(command, heard, [self._lock.fileno()]) as program:
            wait([program], self._check)
            if program.code:
                text = stanza.refused("restore", list(program.said)).found
                if is_surroundings(text):
                    raise SurroundingsFailed(
                        text, "That is about this machine, not about the backup.", "Make room, or correct what it says."
                    )
                raise RestoreFailed(text)

    @property
    def _others_apart(self) -> bool:
        """Whether other databases may be left out: their files are holes then, which only whole pages of the WAL fit into."""
        return bool(self._manifest.extra["pgbackrest"]["full_page_writes"])

    @property
    def _fetching(self) -> str:
        """What the server runs to fetch WAL. A per cent sign is one for it only where it is doubled."""
        words = self._stanza.command("archive-get", f"--pg1-path={self._data}", f"--lock-path={self._home}", "--log-level-file=off")
        return " ".join(shlex.quote(word).replace("%", "%%") for word in [*words, "--no-archive-async"]) + ' %f "%p"'

    def _start(self) -> None:
        self._said("replaying", 0)
        self._run("pg_ctl", "start", "-W", "-D", str(self._data), "-l", str(self._home / "log"))
        file, begun = self._data / "postmaster.pid", False
        while True:
            self._check()
            try:
                lines = file.read_text().splitlines()
                begun = True
            except FileNotFoundError:
                if begun or "shut down" in self.log or "FATAL" in self.log:
                    raise self._not_recovered() from None
                lines = []
            if len(lines) >= 8 and lines[7].strip() == _READY:
                return
            time.sleep(LOOK_S)

    def _not_recovered(self) -> MultischemaError | RestoreFailed:
        text = f"recovery to {self._target.words} has failed: {' '.join(self.log.split())}"
        if is_surroundings(text):
            return SurroundingsFailed(text, "That is about this machine, not about the backup.", "Correct what it says, then try again.")
        return RestoreFailed(text)

    def last_transaction(self) -> str:
        """When the last transaction was committed that it has, in UTC; empty where the backup was followed by none."""
        with Database(self.settings(_MAINTENANCE), "recovery") as database:
            return str(database.value("SELECT COALESCE(pg_catalog.pg_last_xact_replay_timestamp()::text, '')"))

    def settle(self, name: str) -> None:
        """Give up transactions of a database that were prepared and not committed by then: they would be in the way of who reads.

        :raises RestoreFailed: when there is no such database in it.
        """
        with Database(self.settings(_MAINTENANCE), "recovery") as database:
            there = [found for (found,) in database.rows("SELECT datname FROM pg_catalog.pg_database WHERE datallowconn ORDER BY 1")]
        if name not in there:
            raise RestoreFailed(f"there is no database {name} at {self._target.words}; there are: {', '.join(there)}")
        try:
            with Database(self.settings(name), "recovery") as database:
                for (gid,) in database.rows(_PREPARED):
                    database.execute(statement("ROLLBACK PREPARED {}", Text(gid)))
        except ServerRefused as error:
            raise RestoreFailed(f"the database {name} cannot be read: {error.found}") from error


def percent_of(line: str) -> float | None:
    """How far pgbackrest is, where a line says so: ``… (8KB, 12.34%) checksum …``."""
    _, found, rest = line.rpartition(", ")
    number, sign, _ = rest.partition("%")
    try:
        return float(number) if found and sign else None
    except ValueError:
        return None
