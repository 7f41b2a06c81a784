"""What is measured, case by case, each on a fresh copy of the same database."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.benchmark import core, playbook, scripts, stall
from tests.benchmark.core import CoreRun
from tests.benchmark.database import make_template
from tests.benchmark.machine import setting
from tests.benchmark.stall import Stall
from tests.support.servers import Server

FUNCTIONS = 500
Say = Callable[[str], None]

# name → what it is; the order is that of the tables and of the plots
SCRIPT, CORE, SCRIPT_VIEWS, CORE_VIEWS, TWO, FOUR = "script (a)", "core", "script (b)", "core, views", "2 workers", "4 workers"
CASES = (SCRIPT, CORE, SCRIPT_VIEWS, CORE_VIEWS, TWO, FOUR)
WORKERS = {CORE_VIEWS: 1, TWO: 2, FOUR: 4}


@dataclass
class Results:
    """All figures of one run.

    :param moves: number of tables → case → seconds, the median of several.
    :param memory: number of tables → the most that any run of the core has used, in megabytes.
    """

    moves: dict[int, dict[str, float]] = field(default_factory=dict)
    repeats: dict[int, int] = field(default_factory=dict)
    memory: dict[int, float] = field(default_factory=dict)
    unsafe: dict[str, float] = field(default_factory=dict)
    unsafe_tables: int = 0
    plan: CoreRun | None = None
    plan_tables: int = 0
    playbooks: dict[int, float] = field(default_factory=dict)
    script_stall: Stall | None = None
    core_stall: Stall | None = None
    facts: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0


def repeats_of(tables: int) -> int:
    """How often each case is measured: small ones vary more, large ones take long."""
    return 11 if tables <= 100 else 5 if tables <= 2000 else 2


def expected_minutes(sizes: list[int]) -> float:
    """About how long all of it takes, from what it took on a machine with two cores."""
    seconds = 120.0  # the server, stalls and playbooks
    for tables in sizes:
        seconds += tables * 0.006 + repeats_of(tables) * len(CASES) * (1.5 + tables * 0.0045)
    return seconds / 60


class Bench:
    """One server, on which everything is measured one after the other."""

    def __init__(self, server: Server, say: Say) -> None:
        self.server = server
        self.say = say
        self._count = 0

    @contextlib.contextmanager
    def copy(self, template: str, *, fsync: bool = True) -> Iterator[str]:
        """A fresh copy of a database, gone afterwards. It is made without fsync, and what is measured in it is not."""
        self._count += 1
        name = f"bench_copy_{self._count}"
        self.fsync(False)
        self.server.create_database(name, template)
        self.server.execute("CHECKPOINT")
        self.fsync(fsync)
        try:
            yield name
        finally:
            self.fsync(False)
            self.server.drop_database(name)

    def fsync(self, on: bool) -> None:
        """Turn it on or off, for all that comes."""
        self.server.execute(f"ALTER SYSTEM SET fsync = {'on' if on else 'off'}")
        self.server.execute("SELECT pg_reload_conf()")
        while setting(self.server, "fsync") != ("on" if on else "off"):
            time.sleep(0.05)
        time.sleep(0.2)  # until every process has read it

    def _one(self, case: str, database: str, tables: int) -> tuple[float, float]:
        """Seconds and, of the core, megabytes."""
        if case in (SCRIPT, SCRIPT_VIEWS):
            scripts.make_targets(self.server, database)
            lines = scripts.plain(tables) if case == SCRIPT else scripts.with_views(tables)
            return scripts.run(self.server, database, lines), 0.0
        took = core.run(self.server, database, tables, views=case != CORE, workers=WORKERS.get(case, 1))
        return took.move_s, took.peak_mb

    def moves(self, results: Results, tables: int) -> None:
        """Every case, in turn, as often as is due: what else the machine does then meets all of them alike."""
        self.fsync(False)
        template = make_template(self.server, tables)
        seconds: dict[str, list[float]] = {case: [] for case in CASES}
        for _ in range(repeats_of(tables)):
            for case in CASES:
                with self.copy(template) as database:
                    took, peak = self._one(case, database, tables)
                seconds[case].append(took)
                results.memory[tables] = max(results.memory.get(tables, 0.0), peak)
                self.say(f"{tables:>6} tables, {case:<12} {took:8.2f} s   {took / tables * 1000:6.2f} ms a table")
        results.moves[tables] = {case: statistics.median(values) for case, values in seconds.items()}
        results.repeats[tables] = repeats_of(tables)

    def without_fsync(self, results: Results, tables: int) -> None:
        """The same once with fsync off: what is left is work, and no waiting for a disk."""
        results.unsafe_tables = tables
        for case in CASES:
            with self.copy(f"bench_{tables}_0", fsync=False) as database:
                results.unsafe[case], _ = self._one(case, database, tables)
                self.say(f"{tables:>6} tables, {case:<12} {results.unsafe[case]:8.2f} s   without fsync")

    def plan(self, results: Results, tables: int) -> None:
        """The plan alone, with functions that name tables."""
        self.fsync(False)
        template = make_template(self.server, tables, FUNCTIONS)
        results.plan_tables = tables
        results.plan = took = core.run(self.server, template, tables, views=True, move=False)
        self.say(f"{tables:>6} tables, plan with {FUNCTIONS} functions: {took.observe_s:.2f} s to observe, {took.plan_s:.2f} s to plan")
        self.server.drop_database(template)

    def playbooks(self, results: Results, tables: int) -> None:
        """Phase 2 by the playbook."""
        with self.copy(f"bench_{tables}_0") as database:
            results.playbooks[tables] = took = playbook.phase2(self.server, database, tables)
            self.say(f"{tables:>6} tables, playbook     {took:8.2f} s")

    def stalls(self, results: Results) -> None:
        """A reader's longest stall, by the script and by the core."""
        self.fsync(False)
        template = make_template(self.server, stall.TABLES)
        with self.copy(template) as database:
            results.script_stall = stall.of_script(self.server, database)
        with self.copy(template) as database:
            results.core_stall = stall.of_core(self.server, database)
        self.say(
            f"longest stall: {results.script_stall.longest_ms:.0f} ms by the script, {results.core_stall.longest_ms:.0f} ms by the core"
        )
