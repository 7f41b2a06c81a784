"""What the fault matrices have counted: handed over by the tests, printed at the end of the run, and published on request."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.integration.fault_matrix import Tally

PROPERTY = "faults"
PAGE = "MULTISCHEMA_FAULTS_PAGE"  # set: the page is to be written
Record = Callable[[str, object], None]


def publish(record_property: Record, tally: Tally) -> None:
    """Hand over what a test has counted; through xdist, so as plain data."""
    record_property(PROPERTY, tally.plain())


def line(tally: dict[str, Any]) -> str:
    """For the terminal."""
    seed = "" if tally["seed"] is None else f", boundaries drawn with seed {tally['seed']}"
    return (
        f"{tally['fault']:<12} {tally['database']:<7} PostgreSQL {tally['major']}: "
        f"{tally['there']:>3} boundaries there, {tally['back']:>3} back, third states {len(tally['third'])}{seed}"
    )


def collected(reports: Iterable[Any]) -> list[dict[str, Any]]:
    """What the tests have handed over."""
    return [dict(value) for report in reports for name, value in report.user_properties if name == PROPERTY]


def total(found: Iterable[dict[str, Any]]) -> str:
    """All of them in one line."""
    found = list(found)
    cases = sum(tally["there"] + tally["back"] for tally in found)
    kinds = len({tally["fault"] for tally in found})
    return f"{kinds} faults, {cases} cases, third states {sum(len(tally['third']) for tally in found)}"


def page_wanted() -> bool:
    """Whether the page is to be written."""
    return bool(os.environ.get(PAGE))
