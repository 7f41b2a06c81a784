"""Backups by the core beside PostgreSQL's own programs, on the sample database at a size that takes a while."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.dbops.multischema.plugins.module_utils.client_tools import (
    PG_DUMP,
    PG_RESTORE,
    choose_compression,
    find_tools,
    libpq_environment,
)
from tests.benchmark import backup_core
from tests.benchmark.backup_core import BACKUP, RESTORATION, ROWS, SCHEMA, VERIFICATION, Took
from tests.benchmark.database import settings
from tests.benchmark.footprint import Footprint
from tests.benchmark.measurements import Bench
from tests.sample import load
from tests.sample.sizes import scaled
from tests.support.servers import Server

DATABASE, COPY = "bench_backup", "bench_restored"
GB = 1_000_000_000
FULL_B = 208_000_000  # what the sample takes at its full size, beside an empty database
ROUNDS = 3
JOBS = 2
BARE, CORE = "pg_dump -Fd -j 2", "backup"
BARE_ONE, CORE_ONE = "pg_dump -Fd -j 1", "backup, one job"
DUMPS = {BARE: JOBS, CORE: JOBS, BARE_ONE: 1, CORE_ONE: 1}


@dataclass
class BackupResults:
    """All figures of one run.

    :param size: of the database on disk, in bytes; ``dump_size``, of its dump.
    :param dumps: what was measured → seconds, of each round.
    :param memory: what was measured → most megabytes, of all rounds.
    :param parts: what a backup does beside the dump → seconds, each alone.
    :param restores: verification, restore and ``pg_restore`` → seconds.
    """

    size: int = 0
    dump_size: int = 0
    tables: int = 0
    rows: int = 0
    compression: str = ""
    dumps: dict[str, list[float]] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)
    parts: dict[str, float] = field(default_factory=dict)
    restores: dict[str, float] = field(default_factory=dict)
    facts: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0

    def median(self, case: str) -> float:
        """Seconds of the round in the middle."""
        return statistics.median(self.dumps[case])

    def note(self, case: str, took: Took) -> float:
        """Keep its memory. :returns: its seconds."""
        if took.peak_mb is not None:
            self.memory[case] = max(self.memory.get(case, 0.0), took.peak_mb)
        return took.seconds


class BackupBench:
    """One database, dumped, backed up, proved and restored, one after the other.

    :param folder: for dumps and backups, on a disk with room for several.
    """

    def __init__(self, bench: Bench, folder: Path, gigabytes: float) -> None:
        self.bench, self.server, self.folder = bench, bench.server, folder
        self.least = gigabytes * GB
        self.tools = find_tools(self.server.major * 10000, (PG_DUMP, PG_RESTORE), str(self.server.bin_dir))
        self.environment = libpq_environment(settings(self.server, DATABASE))

    def run(self) -> BackupResults:
        """Measure everything."""
        found = BackupResults(compression=choose_compression(self.tools, ""))
        self._load(found)
        for _ in range(ROUNDS):  # alternately: what else the machine does then meets both alike
            for case in (BARE, CORE):
                self._dump(found, case)
        for case in (BARE_ONE, CORE_ONE):
            self._dump(found, case)
        found.parts = {
            "digests of all rows": self._core(found, ROWS),
            "digest of the schema": self._core(found, SCHEMA),
        }
        self.bench.say(f"of a backup, alone: {', '.join(f'{part} {took:.1f} s' for part, took in found.parts.items())}")
        found.restores[PG_RESTORE] = self._pg_restore(found)
        for work in (VERIFICATION, RESTORATION):
            found.restores[work] = self._core(found, work)
        for work, took in found.restores.items():
            self.bench.say(f"{work:<28} {took:8.1f} s   {took / (found.size / GB):6.1f} s a GB")
        return found

    def _load(self, found: BackupResults) -> None:
        self.bench.fsync(False)
        self.server.create_database(DATABASE)
        connection = self.server.connect(DATABASE)
        try:
            summary = load(connection, scaled(self.least * 1.03 / FULL_B))
            found.tables, found.rows = summary.tables, summary.rows
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("VACUUM")
                cursor.execute("SELECT pg_database_size(current_database())")
                ((found.size,),) = cursor.fetchall()
        finally:
            connection.close()
        self.server.execute("CHECKPOINT")
        self.bench.fsync(True)
        self.bench.say(f"the sample database: {found.size / GB:.2f} GB, {found.rows:,} rows, loaded in {summary.seconds:.0f} s")
        if found.size < self.least:
            raise RuntimeError(f"the database takes {found.size} bytes, and {self.least:.0f} are wanted: FULL_B is too large")

    def _dump(self, found: BackupResults, case: str) -> None:
        jobs = DUMPS[case]
        if case in (BARE, BARE_ONE):
            took = self._bare([PG_DUMP, "-Fd", f"-j{jobs}", *self.tools.compression_options(found.compression), f"-f{self.dump}", DATABASE])
            found.dump_size = sum(path.stat().st_size for path in self.dump.iterdir())
        else:
            took = backup_core.run(BACKUP, self.server, DATABASE, self.folder / "backups", jobs=jobs, compression=found.compression)
        found.dumps.setdefault(case, []).append(found.note(case, took))
        self.bench.say(f"{case:<28} {took.seconds:8.1f} s   {took.peak_mb or 0:6.0f} MB")

    @property
    def dump(self) -> Path:
        """The bare dump."""
        return self.folder / "dump"

    def _bare(self, command: Sequence[str]) -> Took:
        """One of PostgreSQL's own programs."""
        if command[0] == PG_DUMP:
            shutil.rmtree(self.dump, ignore_errors=True)
        started = time.monotonic()
        program = [self.tools.program(command[0]), *command[1:]]
        with subprocess.Popen(program, env=self.environment, stdin=subprocess.DEVNULL) as process, Footprint(process.pid) as footprint:
            code = process.wait()
            seconds = time.monotonic() - started
        if code:
            raise RuntimeError(f"{command[0]} has failed: {code}")
        return Took(seconds, footprint.peak_mb)

    def _core(self, found: BackupResults, work: str) -> float:
        return found.note(work, backup_core.run(work, self.server, DATABASE, self.folder / "backups", jobs=JOBS))

    def _pg_restore(self, found: BackupResults) -> float:
        self.server.create_database(COPY)
        try:
            return found.note(PG_RESTORE, self._bare([PG_RESTORE, f"-j{JOBS}", "--exit-on-error", f"-d{COPY}", str(self.dump)]))
        finally:
            self.server.drop_database(COPY)


def measure(server: Server, bench: Bench, gigabytes: float) -> BackupResults:
    """Load, dump, back up, prove, restore; nothing of it stays."""
    folder = Path(tempfile.mkdtemp(prefix="multischema-bench-", dir="/var/tmp"))
    folder.chmod(0o755)  # the throwaway server of a verification may run as another user
    try:
        return BackupBench(bench, folder, gigabytes).run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        bench.fsync(False)
        for name in _databases(server):
            server.drop_database(name)


def _databases(server: Server) -> list[str]:
    """Those of this part, the one from before the restore among them."""
    connection = server.connect()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", (f"{DATABASE}%",))
            return [str(name) for (name,) in cursor.fetchall()]
    finally:
        connection.close()
