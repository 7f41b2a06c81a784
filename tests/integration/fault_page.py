"""``docs/faults.md``, written by the tests that have met the faults: ``make faults``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.integration.fault_matrix import FAULTS
from tests.integration.faults import PLACES, Fault

PAGE = Path(__file__).resolve().parents[2] / "docs" / "faults.md"
SHOP, SAMPLE = "shop", "sample"
_TOP = """# Faults, made for real

Written by `make faults`, from what its tests have counted; CI runs the same tests and prints the same count.

A *boundary* is a place in a run: before `BEGIN`, before `COMMIT`, and behind `COMMIT` of each of its transactions (those of the
steps, and those that make the journal, take the lease, drop emptied schemas and remove the journal). Each fault was made for real on
a real server, at each boundary where it can make a difference ([below](#how-they-are-made)), on the way there and on the way back.
Then the database was held against its journal, a plain second run completed it, and the rollback undid it.

A *third state* is one that is neither that before a step nor that after it: journal and database disagree, the journal holds
anything but the first steps of the plan, or `pg_dump --schema-only` differs in one byte from what it shows when exactly those steps
are done.
"""
_BELOW = """
## How they are made

{how}

Three more things are compared: after every rollback the schema with the former one; at the end of each fault rows, sequences and
settings (in a crash PostgreSQL may skip values of sequences); and what the run itself said with what has become of its step.

The servers run with `fsync = off`. That loses nothing here: what a process has written is in the hands of the operating system, and
a killed process takes nothing of it away. A machine that loses power is another matter, and PostgreSQL's own; with `fsync = on`, as
anybody runs it, a commit that was answered is on the disk.

The small database has a step of every shape. Of the sample database (58 tables, 78 steps) boundaries are drawn at random; the seed
in the table repeats them: `MULTISCHEMA_FAULTS_SEED=… make faults`. Death before each single message to the server, in the middle of
a step too, is in `tests/integration/test_kill_matrix.py`; a sample of each fault goes through `ansible-playbook` in
`tests/integration/test_kill.py`, `test_faults_playbook.py`, `test_locks.py` and `test_two_runs.py` there.

## What is done about them

| Fault | What the run does | How to go on |
|---|---|---|
{answers}

What a cut network does to the application's locks, measured: [architecture](architecture.md#when-nothing-is-heard-any-more).
"""


def page(tallies: Sequence[Mapping[str, Any]]) -> str:
    """The whole page.

    :param tallies: what the tests have counted.
    """
    by_name = {kind.name: kind for kind in FAULTS}
    ordered = sorted(tallies, key=lambda tally: ([*by_name].index(tally["fault"]), tally["database"] != SHOP))
    return _TOP + _table(ordered, by_name) + _BELOW.format(how=_how(), answers=_answers())


def _table(tallies: Sequence[Mapping[str, Any]], by_name: Mapping[str, type[Fault]]) -> str:
    lines = ["", "| Fault | Database | PostgreSQL | There | Back | Cases | Third states |", "|---|---|--:|--:|--:|--:|--:|"]
    for tally in tallies:
        drawn = "" if tally["seed"] is None else f", seed {tally['seed']}"
        cases, third = tally["there"] + tally["back"], len(tally["third"])
        back = tally["back"] if by_name[tally["fault"]].both_ways else ""
        cells = (by_name[tally["fault"]].title, tally["database"] + drawn, tally["major"], tally["there"], back, cases, third)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    there, back = (sum(tally[way] for tally in tallies) for way in ("there", "back"))
    third = sum(len(tally["third"]) for tally in tallies)
    lines.append(f"| **all** | | | **{there}** | **{back}** | **{there + back}** | **{third}** |")
    return "\n".join(lines) + "\n"


def _how() -> str:
    rows = ["| Fault | How it is made | Where |", "|---|---|---|"]
    for kind in FAULTS:
        where = "every boundary" if kind.places == PLACES else ", ".join(re.sub("BEGIN|COMMIT", r"`\g<0>`", place) for place in kind.places)
        rows.append(f"| {kind.title} | {kind.how} | {where} |")
    return "\n".join(rows)


def _answers() -> str:
    return "\n".join(f"| {kind.title} | {kind.answer} | {kind.way_on} |" for kind in FAULTS)
