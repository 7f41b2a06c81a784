"""Measure everything and write ``docs/benchmarks.md``: ``python -m tests.benchmark``.

``BENCH_TABLES`` says with how many tables (100,1000,10000 by default); ``BENCH_MAJOR`` on which PostgreSQL (18).
"""

from __future__ import annotations

import os
import sys
import time

from tests.benchmark import ROOT
from tests.benchmark.machine import facts
from tests.benchmark.measurements import Bench, Results, expected_minutes
from tests.benchmark.report import goals, write
from tests.support.servers import Server

SIZES = "100,1000,10000"
# A checkpoint in the middle of one case and not of another would say nothing about either.
SERVER_SETTINGS = {"max_connections": "60", "checkpoint_timeout": "1h", "max_wal_size": "16GB", "autovacuum": "off"}


def main() -> int:
    """Measure and write."""
    sizes = sorted({int(size) for size in os.environ.get("BENCH_TABLES", SIZES).split(",")})
    major = int(os.environ.get("BENCH_MAJOR", "18"))
    started = time.monotonic()

    def say(line: str) -> None:
        print(f"[{time.monotonic() - started:6.0f} s] {line}", flush=True)

    say(f"{', '.join(f'{size:,}' for size in sizes)} tables on PostgreSQL {major}: about {expected_minutes(sizes):.0f} minutes")
    results = Results()
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
    for what, limit, found, met in goals(results):
        say(f"{'met   ' if met else 'MISSED'} {what}: {found} ({limit})")
    say("written: docs/benchmarks.md and its plots in docs/img")
    return 0


if __name__ == "__main__":
    sys.exit(main())
