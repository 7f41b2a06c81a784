"""The published count of faults: it names every fault that the tests know, adds up, and has found no third state."""

from __future__ import annotations

import re

import pytest

from tests.integration.fault_matrix import FAULTS
from tests.integration.fault_page import PAGE, page
from tests.integration.tallies import collected, line, total


def tally(fault: str, database: str = "shop", third: list[str] | None = None, seed: int | None = None) -> dict[str, object]:
    return {"fault": fault, "database": database, "major": 18, "there": 7, "back": 5, "third": third or [], "seed": seed}


def rows(text: str) -> list[list[str]]:
    """The cells of the count."""
    table = text.split("| Fault | Database |")[1].split("\n\n", maxsplit=1)[0]
    return [[cell.strip("* ") for cell in row.strip("|").split("|")] for row in table.splitlines()[2:]]


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.name)
def test_every_fault_is_in_the_count_and_told_in_both_lists(kind: type) -> None:
    text = PAGE.read_text(encoding="utf-8")
    title = kind.title  # type: ignore[attr-defined]
    databases = {row[1].split(",")[0] for row in rows(text) if row[0] == title}
    assert databases == {"shop", "sample"}, f"make faults: {title} is not in docs/faults.md for both databases"
    assert text.count(f"| {title} |") >= 4


def test_the_published_count_adds_up_and_no_third_state_was_found() -> None:
    *each, whole = rows(PAGE.read_text(encoding="utf-8"))
    for column in (3, 4, 5, 6):
        assert sum(int(row[column] or 0) for row in each) == int(whole[column])
    assert int(whole[5]) > 300
    assert int(whole[6]) == 0


def test_the_page_is_what_the_tests_would_write_apart_from_the_count() -> None:
    made = page([tally(kind.name, database) for kind in FAULTS for database in ("shop", "sample")])
    assert re.sub(r"\n\| Fault \| Database.*?\n\n", "", made, flags=re.S) == re.sub(
        r"\n\| Fault \| Database.*?\n\n", "", PAGE.read_text(encoding="utf-8"), flags=re.S
    )


def test_a_third_state_would_be_counted_and_the_seed_shown() -> None:
    found = rows(page([tally("run", "sample", ["journal and database disagree"], seed=17), tally("run")]))
    assert [row[1] for row in found] == ["shop", "sample, seed 17", ""]
    assert [row[6] for row in found] == ["0", "1", "1"]


def test_the_terminal_gets_the_count_within_its_width() -> None:
    for kind in FAULTS:
        assert len(line(tally(kind.name, "sample", seed=999_999))) <= 120
    assert total([tally("run"), tally("wal", third=["x"])]) == "2 faults, 24 cases, third states 1"


def test_tallies_are_found_among_other_properties() -> None:
    class Report:
        user_properties = (("seconds", 3), ("faults", tally("run")))

    assert collected([Report()]) == [tally("run")]
