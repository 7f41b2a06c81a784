"""The page that ``make bench`` writes, from figures that are made up."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from tests.benchmark import page
from tests.benchmark.backup_core import RESTORATION, VERIFICATION
from tests.benchmark.backup_report import backup_goals, backup_part
from tests.benchmark.backups import BARE, BARE_ONE, CORE_ONE, BackupResults
from tests.benchmark.backups import CORE as BACKUP
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


# --- backups ---


def backups(seconds: float = 10.4) -> BackupResults:
    return BackupResults(
        size=2_200_000_000,
        dump_size=210_000_000,
        tables=58,
        rows=13_000_000,
        compression="gzip:6",
        dumps={BARE: [9.0, 10.0, 30.0], BACKUP: [seconds, 9.9, 40.0], BARE_ONE: [20.0], CORE_ONE: [20.5]},
        memory={BARE: 6.0, BACKUP: 28.4},
        parts={"digests of all rows": 5.5},
        restores={"pg_restore": 44.0, VERIFICATION: 66.0, RESTORATION: 88.0},
        facts=[("PostgreSQL", "18.4")],
        seconds=540.0,
    )


def test_a_backup_is_judged_by_the_medians_of_rounds_that_took_turns() -> None:
    assert [met for _, _, _, met in backup_goals(backups())] == [True, True, True]
    assert next((found, met) for _, _, found, met in backup_goals(backups(10.6))) == ("1.06 \N{MULTIPLICATION SIGN}", False)
    small = backups()
    small.size = 1_999_999_999
    assert [met for _, _, _, met in backup_goals(small)][-1] is False


def test_the_page_says_what_a_backup_costs_and_a_restore_of_each_gigabyte() -> None:
    text = "\n".join(backup_part(backups()))
    for words in ("| pg_dump -Fd -j 2 | 3 | 10.0 | 9.0 to 30.0 | 6 MB |", "| backup | 3 | 10.4 | 9.9 to 40.0 | 28 MB |"):
        assert words in text
    assert "| backup, one job | 1 | 20.5 | 20.5 to 20.5 | not measured |" in text
    assert "| bare pg_restore -j 2 | 44.0 | 20.0 |" in text
    assert "| verification, on a throwaway server | 66.0 | 30.0 |" in text
    assert "| restore, compared and swapped in | 88.0 | 40.0 |" in text


def test_what_is_measured_anew_takes_the_place_of_its_own_figures_only(tmp_path: Path) -> None:
    file = tmp_path / "benchmarks.md"
    write(results(), tmp_path)
    page.put(file, page.BACKUPS, backup_part(backups()))
    both = file.read_text(encoding="utf-8")
    assert both.index("## Tables") < both.index("## Backups")
    page.put(file, page.BACKUPS, backup_part(backups(10.6)))
    changed = file.read_text(encoding="utf-8")
    assert [line for line in both.splitlines() if "10.4" in line or "1.04" in line]
    assert not [line for line in changed.splitlines() if "10.4 " in line]
    assert changed.partition("backups: begin")[0] == both.partition("backups: begin")[0]
    write(results(), tmp_path)
    assert file.read_text(encoding="utf-8") == changed


def test_the_published_page_is_as_the_report_writes_it(tmp_path: Path) -> None:
    published = Path(__file__).parents[2] / "docs" / "benchmarks.md"
    text = published.read_text(encoding="utf-8")
    copy = tmp_path / "benchmarks.md"
    copy.write_text(text, encoding="utf-8")
    page.put(copy, "", [])
    assert copy.read_text(encoding="utf-8") == text
