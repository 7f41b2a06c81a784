"""``docs/benchmarks.md`` and its plots, from what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tests.benchmark import page
from tests.benchmark.measurements import (
    CASES,
    CORE,
    CORE_VIEWS,
    FOUR,
    FUNCTIONS,
    SCRIPT,
    SCRIPT_VIEWS,
    TWO,
    Results,
)
from tests.benchmark.plot import bars
from tests.benchmark.stall import BLOCKER_S

TIMES = "\N{MULTIPLICATION SIGN}"
INTRODUCTION = """## Tables

Each table has a `serial` column, a primary key, a toast table and grants to two roles; half of them go to one schema, half to
another. Every case starts from a fresh copy of the same database, and the cases take turns.

| Case | What it does |
|---|---|
| script (a) | psql: one `ALTER TABLE … SET SCHEMA` per transaction |
| core | the same tables by the core, without views: locks, proof and journal in each step |
| script (b) | psql: a transaction for each table, with `lock_timeout`, a compatibility view, its owner and its grants |
| core, views | the same by the core, one worker as by default |
| 2 workers, 4 workers | the same with `multischema_workers` |
"""


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """A table in Markdown."""
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(str(cell) for cell in row) + " |"
    yield ""


def goals(results: Results) -> Iterator[tuple[str, str, str, bool]]:
    """What was aimed at: (goal, limit, measured, met)."""
    for tables, took in results.moves.items():
        a = took[CORE] / took[SCRIPT]
        yield f"core, {tables:,} tables, against (a)", f"≤ 3 {TIMES}", f"{a:.2f} {TIMES}", a <= 3
        b = took[CORE_VIEWS] / took[SCRIPT_VIEWS]
        yield f"core with views, {tables:,} tables, against (b)", f"≤ 1.25 {TIMES}", f"{b:.2f} {TIMES}", b <= 1.25
        for case in (TWO, FOUR):
            ratio = took[case] / took[SCRIPT_VIEWS]
            yield f"with {case}, {tables:,} tables, against (b)", f"< 1 {TIMES}", f"{ratio:.2f} {TIMES}", ratio < 1
    if {1000, 10000} <= results.moves.keys():
        for case in (CORE, CORE_VIEWS):
            growth = results.moves[10000][case] / 10 / results.moves[1000][case]
            yield f"{case}: time per table at 10,000 against 1,000", f"≤ 1.3 {TIMES}", f"{growth:.2f} {TIMES}", growth <= 1.3
    peak = max(results.memory.values(), default=0.0)
    yield "memory of the core's process, at most", "< 500 MB", f"{peak:.0f} MB", peak < 500
    if results.plan:
        took_s = results.plan.observe_s + results.plan.plan_s
        yield f"plan of {results.plan_tables:,} tables and {FUNCTIONS} functions", "< 10 s", f"{took_s:.1f} s", took_s < 10
    if results.core_stall:
        longest = results.core_stall.longest_ms
        yield f"a reader's longest stall behind a {BLOCKER_S:g} s blocker", "< 100 ms", f"{longest:.0f} ms", longest < 100


def _moves(results: Results) -> Iterator[str]:
    yield "### Moving tables"
    yield ""
    yield "Seconds, the median of several runs, with milliseconds per table below; fsync is on."
    yield ""
    rows: list[list[object]] = []
    for tables, took in results.moves.items():
        rows.append([f"{tables:,}", results.repeats[tables], *(f"{took[case]:.2f}" for case in CASES)])
        rows.append(["", "", *(f"{took[case] / tables * 1000:.2f} ms" for case in CASES)])
    yield from table(["tables", "runs", *CASES], rows)
    yield "![Milliseconds per table, by case and number of tables](img/moving-tables.svg)"
    yield ""
    if results.unsafe:
        yield f"For information, {results.unsafe_tables:,} tables with fsync off, once each: work alone, without waiting for a disk."
        yield ""
        yield from table(CASES, [[f"{results.unsafe[case]:.2f}" for case in CASES]])
    if results.playbooks:
        yield "The whole playbook of phase 2, with views, one worker, and all that Ansible does around it (gate, drift, report):"
        yield ""
        rows = [[f"{n:,}", f"{s:.1f} s", f"{results.moves[n][CORE_VIEWS]:.1f} s"] for n, s in results.playbooks.items()]
        yield from table(["tables", "playbook", "of it the core, as measured above"], rows)


def _plan(results: Results) -> Iterator[str]:
    if results.plan is None:
        return
    took = results.plan
    yield "### Planning"
    yield ""
    yield f"{results.plan_tables:,} tables, {FUNCTIONS} functions in PL/pgSQL that each name a table; in one process, without Ansible."
    yield ""
    rows = [
        ["reading the catalog", f"{took.observe_s:.2f} s"],
        ["deciding", f"{took.plan_s:.2f} s"],
        ["making the plan file", f"{took.save_s:.2f} s"],
        ["memory", f"{took.peak_mb:.0f} MB"],
    ]
    yield from table(["part", "took"], rows)


def _stall(results: Results) -> Iterator[str]:
    if results.core_stall is None or results.script_stall is None:
        return
    yield "### Who waits"
    yield ""
    yield f"A session reads a table in a loop. Another one has read it too and is idle in its transaction for {BLOCKER_S:g} s."
    yield "Meanwhile the table is to be moved."
    yield ""
    rows = [
        ["plain script", f"{results.script_stall.longest_ms:,.0f} ms", results.script_stall.attempts],
        ["core, at its defaults", f"{results.core_stall.longest_ms:,.0f} ms", results.core_stall.attempts],
    ]
    yield from table(["by", "the reader's longest stall", "attempts"], rows)
    yield "![The longest stall of a reader, by the script and by the core](img/longest-stall.svg)"
    yield ""


def document(results: Results) -> str:
    """The part of the page that is about moving tables."""
    lines = [INTRODUCTION, "### Goals", ""]
    rows = [(what, limit, found, "met" if met else "**missed**") for what, limit, found, met in goals(results)]
    lines += table(["Goal", "Limit", "Measured", ""], rows)
    lines += [*_moves(results), *_plan(results), *_stall(results), "### Measured on", ""]
    lines += table(["what", "which"], [*results.facts, ("this part took", f"{results.seconds / 60:.0f} minutes")])
    return "\n".join(lines).rstrip() + "\n"


def write(results: Results, directory: Path) -> None:
    """Write the page and its plots below the directory."""
    images = directory / "img"
    images.mkdir(exist_ok=True)
    per_table = {case: [took[case] / tables * 1000 for tables, took in results.moves.items()] for case in CASES}
    groups = [f"{tables:,} tables" for tables in results.moves]
    (images / "moving-tables.svg").write_text(bars("Time for each table, fsync on", "ms", groups, per_table), encoding="utf-8")
    if results.core_stall and results.script_stall:
        stalls = {"plain script": [results.script_stall.longest_ms], "core": [results.core_stall.longest_ms]}
        title = f"A reader's longest stall behind a {BLOCKER_S:g} s blocker"
        (images / "longest-stall.svg").write_text(bars(title, "ms", ["one table"], stalls), encoding="utf-8")
    page.put(directory / "benchmarks.md", page.TABLES, document(results).splitlines())
