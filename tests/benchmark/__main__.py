"""Measure and write ``docs/benchmarks.md``: ``python -m tests.benchmark``.

``BENCH_PARTS`` says which parts (tables,backups), of which the others' figures stay; ``BENCH_TABLES`` with how many tables
(100,1000,10000); ``BENCH_BACKUP_GB`` how large a database is backed up (2.2); ``BENCH_MAJOR`` on which PostgreSQL (18).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable

from tests.benchmark import ROOT, page
from tests.benchmark.backup_report import backup_goals, backup_part
from tests.benchmark.backups import measure
from tests.benchmark.machine import facts
from tests.benchmark.measurements import Bench, Results, Say, expected_minutes
from tests.benchmark.report import goals, write
from tests.support.servers import Server

SIZES, GIGABYTES = "100,1000,10000", "2.2"
# A checkpoint in the middle of one case and not of another would say nothing about either.
SERVER_SETTINGS = {"max_connections": "60", "checkpoint_timeout": "1h", "max_wal_size": "16GB", "autovacuum": "off"}
Goals = Iterable[tuple[str, str, str, bool]]


def main() -> int:
    """Measure and write."""
    parts = os.environ.get("BENCH_PARTS", ",".join(page.PARTS)).split(",")
    unknown = [part for part in parts if part not in page.PARTS]
    if unknown:
        print(f"BENCH_PARTS names {', '.join(unknown)}: there are {', '.join(page.PARTS)}.", file=sys.stderr)
        return 2
    major = int(os.environ.get("BENCH_MAJOR", "18"))
    started = time.monotonic()

    def say(line: str) -> None:
        print(f"[{time.monotonic() - started:6.0f} s] {line}", flush=True)

    measured: list[Callable[[int, Say], Goals]] = [
        {page.TABLES: tables, page.BACKUPS: backups}[part] for part in page.PARTS if part in parts
    ]
    for part in measured:
        for what, limit, found, met in part(major, say):
            say(f"{'met   ' if met else 'MISSED'} {what}: {found} ({limit})")
    say("written: docs/benchmarks.md, and its plots in docs/img")
    return 0


def tables(major: int, say: Say) -> Goals:
    """Moving tables, planning, stalls."""
    sizes = sorted({int(size) for size in os.environ.get("BENCH_TABLES", SIZES).split(",")})
    say(f"{', '.join(f'{size:,}' for size in sizes)} tables on PostgreSQL {major}: about {expected_minutes(sizes):.0f} minutes")
    results, started = Results(), time.monotonic()
    with Server(major=major, settings=SERVER_SETTINGS) as server:
        bench = Bench(server, say)
        results.facts = list(facts(server))
        bench.stalls(results)
        for size in sizes:
            bench.moves(results, size)
            if size <= 1000:
                bench.playbooks(results, size)
        bench.without_fsync(results, max((size for size in sizes if size <= 1000), default=sizes[0]))
        bench.plan(results, sizes[-1])
    results.seconds = time.monotonic() - started
    write(results, ROOT / "docs")
    return goals(results)


def backups(major: int, say: Say) -> Goals:
    """Backups, their proof, and restores."""
    gigabytes = float(os.environ.get("BENCH_BACKUP_GB", GIGABYTES))
    say(f"a database of {gigabytes:g} GB on PostgreSQL {major}, backed up and restored: about {2 + gigabytes * 3.5:.0f} minutes")
    started = time.monotonic()
    with Server(major=major, settings={**SERVER_SETTINGS, "shared_buffers": "512MB"}) as server:
        machine = list(facts(server))
        results = measure(server, Bench(server, say), gigabytes)
    results.facts, results.seconds = machine, time.monotonic() - started
    page.put(ROOT / "docs" / "benchmarks.md", page.BACKUPS, backup_part(results))
    return backup_goals(results)


if __name__ == "__main__":
    sys.exit(main())
