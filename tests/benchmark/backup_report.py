"""What the page says of backups."""

from __future__ import annotations

from collections.abc import Iterator

from tests.benchmark.backup_core import RESTORATION, VERIFICATION
from tests.benchmark.backups import BARE, BARE_ONE, CORE, CORE_ONE, DUMPS, GB, BackupResults
from tests.benchmark.report import TIMES, table

LIMIT = 1.05
INTRODUCTION = """## Backups

The sample database (`tests/sample`) with many times its rows. `pg_dump` and the backup take turns, with the same jobs and the same
compression, on a warm cache. A backup is what the role does on the database's host: preflight, dump, digests of every row and of the schema
from the same snapshot, roles, and SHA-256 of every file. Verification restores it on a throwaway server and compares; restore puts it
into the live database's place: restored beside it, compared, analyzed, swapped.
"""


def backup_goals(results: BackupResults) -> Iterator[tuple[str, str, str, bool]]:
    """What was aimed at: (goal, limit, measured, met)."""
    for what, core, bare in (("backup", CORE, BARE), ("backup with one job, one core free", CORE_ONE, BARE_ONE)):
        ratio = results.median(core) / results.median(bare)
        yield f"{what}, against a bare pg_dump", f"≤ {LIMIT} {TIMES}", f"{ratio:.2f} {TIMES}", ratio <= LIMIT
    yield "the database, at least", "2 GB", f"{results.size / GB:.2f} GB", results.size >= 2 * GB


def backup_part(results: BackupResults) -> Iterator[str]:
    """The part of the page."""
    yield from [INTRODUCTION, "### Goals", ""]
    rows = [(what, limit, found, "met" if met else "**missed**") for what, limit, found, met in backup_goals(results)]
    yield from table(["Goal", "Limit", "Measured", ""], rows)
    yield from _backups(results)
    yield from _restores(results)
    yield from ["### Measured on", ""]
    facts = [
        *results.facts,
        ("database", f"{results.size / GB:.2f} GB, {results.tables} tables with {results.rows:,} rows"),
        ("its dump", f"{results.dump_size / GB:.2f} GB, {results.compression}"),
        ("this part took", f"{results.seconds / 60:.0f} minutes"),
    ]
    yield from table(["what", "which"], facts)


def _backups(results: BackupResults) -> Iterator[str]:
    yield from ["### Taking one", "", "Seconds; memory is of the client's processes, not of the server's.", ""]
    rows = []
    for case in DUMPS:
        rounds = results.dumps[case]
        rows.append([case, len(rounds), f"{results.median(case):.1f}", f"{min(rounds):.1f} to {max(rounds):.1f}", _memory(results, case)])
    yield from table(["", "rounds", "median", "from, to", "memory"], rows)
    yield "What costs what: parts of a backup, each alone on a quiet machine, so with both cores for itself."
    yield ""
    parts = [(BARE, results.median(BARE)), *results.parts.items()]
    yield from table(["part", "seconds"], [[part, f"{took:.1f}"] for part, took in parts])


def _restores(results: BackupResults) -> Iterator[str]:
    yield from ["### Proving and restoring it", ""]
    names = {VERIFICATION: "verification, on a throwaway server", RESTORATION: "restore, compared and swapped in"}
    rows = [
        [names.get(work, f"bare {work} -j 2"), f"{took:.1f}", f"{took / (results.size / GB):.1f}", _memory(results, work)]
        for work, took in results.restores.items()
    ]
    yield from table(["", "seconds", "seconds per GB", "memory"], rows)


def _memory(results: BackupResults, case: str) -> str:
    return f"{results.memory[case]:.0f} MB" if case in results.memory else "not measured"
