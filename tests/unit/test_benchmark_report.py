"""The page that ``make bench`` writes, from figures that are made up."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from tests.benchmark.core import CoreRun
from tests.benchmark.measurements import CASES, CORE, CORE_VIEWS, FOUR, SCRIPT, SCRIPT_VIEWS, TWO, Results, expected_minutes
from tests.benchmark.report import document, goals, write
from tests.benchmark.stall import Stall

SECONDS = {SCRIPT: 1.0, CORE: 2.0, SCRIPT_VIEWS: 2.0, CORE_VIEWS: 2.4, TWO: 1.5, FOUR: 1.2}


def results(**changes: float) -> Results:
    took = SECONDS | changes
    return Results(
        moves={1000: took, 10000: {case: seconds * 11 for case, seconds in took.items()}},
        repeats={1000: 3, 10000: 1},
        memory={1000: 70.0, 10000: 300.0},
        unsafe=dict.fromkeys(CASES, 0.5),
        unsafe_tables=1000,
        plan=CoreRun(2.0, 1.0, 1.5, 0.0, 310.0, 0),
        plan_tables=10000,
        playbooks={1000: 20.0},
        script_stall=Stall(9990.0, 100, 1),
        core_stall=Stall(55.0, 900, 8),
        facts=[("PostgreSQL", "18.0")],
    )


def test_goals_that_are_met_and_missed_are_told_apart() -> None:
    assert [what for what, _, _, met in goals(results()) if not met] == []
    slow = results(**{CORE_VIEWS: 2.6, FOUR: 2.1})
    missed = [what for what, _, _, met in goals(slow) if not met]
    assert [what.split(",")[0] for what in missed] == ["core with views", "with 4 workers"] * 2
    assert document(slow).count("**missed**") == 4


def test_growth_is_judged_by_the_time_for_each_table() -> None:
    steep = results()
    steep.moves[10000][CORE] = 27.0
    assert [(found, met) for what, _, found, met in goals(steep) if what.startswith("core: time per table")] == [
        ("1.35 \N{MULTIPLICATION SIGN}", False)
    ]


def test_the_page_and_its_pictures_belong_together(tmp_path: Path) -> None:
    write(results(), tmp_path)
    page = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    pictures = sorted(path.name for path in (tmp_path / "img").iterdir())
    assert [name for name in pictures if f"(img/{name})" not in page] == []
    assert len(pictures) == page.count("![") == 2
    for name in pictures:
        assert ElementTree.fromstring((tmp_path / "img" / name).read_text(encoding="utf-8")).tag.endswith("svg")  # noqa: S314  ours
    for figure in ("9,990 ms", "55 ms", "2.40 ms", "26.40", "20.0 s", "300 MB", "18.0"):
        assert figure in page


def test_the_full_run_is_bounded_and_the_quick_one_short() -> None:
    assert expected_minutes([100, 1000, 10000]) < 20
    assert expected_minutes([100, 1000]) < 8
