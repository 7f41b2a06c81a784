"""One page, several parts: what is measured anew takes the place of its own figures and of no others."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

TABLES, BACKUPS = "tables", "backups"
PARTS = (TABLES, BACKUPS)
HEAD = """# Benchmarks

Written by `make bench`, each part in one run on one server. `BENCH_PARTS=backups make bench` measures one part and leaves the figures of
the other as they are; `BENCH_TABLES=100,1000 BENCH_BACKUP_GB=0.3 make bench` is a quick one. Nothing here is a test that could fail:
figures depend on the machine, and the goals are for a quiet one.
"""


def _marks(part: str) -> tuple[str, str]:
    return f"<!-- {part}: begin -->", f"<!-- {part}: end -->"


def _kept(page: str, part: str) -> str:
    """What the page holds of a part; nothing where it was never measured."""
    begin, end = _marks(part)
    return page.partition(begin)[2].partition(end)[0].strip("\n") if begin in page else ""


def put(file: Path, part: str, lines: Iterable[str]) -> None:
    """Write a part into the page."""
    page = file.read_text(encoding="utf-8") if file.exists() else ""
    texts = {name: "\n".join(lines).strip("\n") if name == part else _kept(page, name) for name in PARTS}
    pieces = [HEAD]
    for name, text in texts.items():
        if text:
            begin, end = _marks(name)
            pieces += [begin, "", text, "", end, ""]
    file.write_text("\n".join(pieces).rstrip() + "\n", encoding="utf-8")
