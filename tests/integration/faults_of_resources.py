"""Something runs out: room for locks, for the journal, for WAL."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator

from psycopg2.extensions import connection as Connection

from tests.integration.databases import Target, end_session
from tests.integration.faults import ALONE, BEFORE_BEGIN, IMPATIENT, Fault
from tests.integration.probes import LITTLE_ROOM, fill_the_lock_table
from tests.support.disk import SmallDisk, why_not
from tests.support.servers import Server

TABLESPACE = "small"
SEGMENT = 1 << 20  # of WAL, in bytes
LEFT = 24 << 10  # of the last segment, for the run to use up


class LocksFull(Fault):
    """Another session holds as many locks as the server has room for."""

    name = "locks"
    title = "lock table full"
    how = "another session takes advisory locks until the server has no room for a lock (max_locks_per_transaction = 10)"
    answer = "tries again until the step's deadline, then fails and says what fills the lock table"
    way_on = "let those sessions end, or raise `max_locks_per_transaction`; the same playbook"
    settings = LITTLE_ROOM
    always = False  # what needs no lock in the shared table goes through
    places = (BEFORE_BEGIN,)
    pace = IMPATIENT

    def __init__(self) -> None:
        self._holder: Connection | None = None

    def strike(self) -> None:
        """Take all that are left."""
        self._holder = fill_the_lock_table(self.fate.target)

    def heal(self, target: Target) -> None:
        """Let go."""
        if self._holder is not None:
            end_session(self._holder)
            self._holder = None
        super().heal(target)

    def judge(self) -> None:
        """It is said."""
        super().judge()
        if self.fate.error is not None:
            assert "out of shared memory" in str(self.fate.error)
            assert "max_locks_per_transaction" in str(self.fate.error)


class DiskFull(Fault):
    """The disk that holds the journal is full."""

    name = "disk"
    title = "disk full, journal"
    how = "the journal's tables stand in a tablespace of 1 MB (default_tablespace of the database), which is filled to the last byte"
    answer = "undoes the step and fails, naming the disk"
    way_on = "make room, the same playbook"
    always = False  # until the journal's pages are full, its rows find room
    places = (BEFORE_BEGIN,)

    @staticmethod
    def why_not() -> str | None:
        """What is missing on this machine."""
        return why_not()

    @contextlib.contextmanager
    def server(self) -> Iterator[Server]:
        """A server with a small tablespace."""
        with SmallDisk(1024) as self.disk, super().server() as server:
            server.execute(f"CREATE TABLESPACE {TABLESPACE} LOCATION '{self.disk.path}'")
            yield server

    def prepare(self, target: Target) -> None:
        """What is made in it without saying where goes to the small tablespace; the application's tables are there already."""
        target.execute(f"ALTER DATABASE {target.name} SET default_tablespace = {TABLESPACE}")

    def strike(self) -> None:
        """Fill it."""
        self.disk.fill()

    def heal(self, target: Target) -> None:
        """Make room."""
        self.disk.empty()
        super().heal(target)

    def judge(self) -> None:
        """It is said."""
        super().judge()
        if self.fate.error is not None:
            assert "No space left on device" in str(self.fate.error)
            assert "Make room" in str(self.fate.error)


class WalServer(Server):
    """A server whose WAL stands on a small disk."""

    disk: SmallDisk

    def _initialise(self) -> None:
        super()._initialise()
        wal, place = self.data_dir / "pg_wal", self.disk.path / "wal"
        shutil.copytree(wal, place)
        for path in (place, *place.rglob("*")):
            self._account.own(path)
        shutil.rmtree(wal)
        wal.symlink_to(place)

    def _initdb_options(self) -> list[str]:
        return [*super()._initdb_options(), "--wal-segsize=1"]


class WalFull(Fault):
    """The disk that holds the WAL is full: PostgreSQL stops with a PANIC, and does not come up again until there is room."""

    name = "wal"
    title = "disk full, WAL"
    how = "pg_wal stands on a disk of 16 MB, which is filled; PostgreSQL panics, and starts again once there is room"
    answer = "the server panics; the run fails like that of a killed postmaster"
    way_on = "make room, start the server, the same playbook"
    crashes = True
    always = False  # the last steps may find room in the segment that is begun
    places = (BEFORE_BEGIN,)
    settings = {"max_wal_size": "4MB", "min_wal_size": "2MB", "wal_keep_size": "0", "archive_mode": "off", "wal_level": "replica"}  # noqa: RUF012

    @staticmethod
    def why_not() -> str | None:
        """What is missing on this machine."""
        return why_not()

    @contextlib.contextmanager
    def server(self) -> Iterator[Server]:
        """A server with its WAL on a small disk."""
        with SmallDisk(16 << 10) as self.disk:
            server = WalServer(major=self.major(), fsync=False, settings=ALONE | self.settings)
            server.disk = self.disk
            with server:
                yield server

    def strike(self) -> None:
        """Fill the disk, and the segment that is begun almost to its end."""
        target = self.fate.target
        current, used = target.rows(
            "SELECT pg_walfile_name(lsn), (lsn - '0/0')::bigint %% %s FROM pg_current_wal_insert_lsn() lsn", (SEGMENT,)
        )[0]
        for file in (self.disk.path / "wal").iterdir():
            if len(file.name) == len(current) and file.name > current:  # kept to be used again
                file.unlink()
        self.disk.fill()
        room = SEGMENT - int(used) - LEFT
        if room > 0:
            target.rows("SELECT pg_logical_emit_message(false, 'fault', repeat('x', %s))", (room,))

    def heal(self, target: Target) -> None:
        """Make room; the server comes up again."""
        self.disk.empty()
        super().heal(target)
