"""docs/hazards.md is a table of everything that can go wrong: complete, in order, and true of code and tests."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.unit.repository import ROOT

FILE = ROOT / "docs" / "hazards.md"
HEADER = ["Row", "What", "Action", "Findings", "What the tool does", "Shown by"]
WITHOUT_FINDING = ("harmless", "handled")
SEVERITIES = ("auto", "refuse", "warn")  # in the order in which a cell names them
NO_ROW = NOTHING = "\N{EN DASH}"  # no row of the measured hazards; no finding

# Locks and time; objects; clients and paths; the view.
ROWS = [
    *(f"1.{n}" for n in range(1, 19)),
    *(f"2.{n}" for n in range(1, 43)),
    *(f"2.{n}" for n in range(50, 58)),
    *(f"3.{n}" for n in range(1, 19)),
]


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    number: str
    what: str
    action: str
    findings: str
    does: str
    shown_by: str

    @property
    def ids(self) -> list[str]:
        """The findings that it names."""
        return re.findall(r"`([^`]+)`", self.findings)

    @property
    def tests(self) -> list[tuple[str, str]]:
        """(file, function) of the tests that it names."""
        return [(file, function) for file, _, function in (name.partition("::") for name in re.findall(r"`([^`]+)`", self.shown_by))]


def cells(line: str) -> list[str]:
    """The cells of a line; a bar inside of one is written ``\\|``."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


@cache
def table() -> tuple[Row, ...]:
    lines = [line for line in FILE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    assert cells(lines[0]) == HEADER, "there is one table, and this is its header"
    assert re.fullmatch(r"[|-]+", lines[1])
    return tuple(Row(*cells(line)) for line in lines[2:])


def _words(expression: ast.expr, assigned: Mapping[str, set[str]]) -> set[str]:
    """The severities that an expression may come to: those it names, and those of the variables that it names."""
    names = {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)}
    return ({name.lower() for name in names} & set(SEVERITIES)).union(*(assigned.get(name, set()) for name in names))


def _assigned(function: ast.AST) -> dict[str, set[str]]:
    """Variables of a function that hold a severity."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = _words(node.value, found)
    return found


@cache
def severities() -> dict[str, set[str]]:
    """Every finding that the code can make, with the severities that it may have."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "plugins").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in [tree, *(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))]:
            assigned = _assigned(function)
            for call in ast.walk(function):
                if not isinstance(call, ast.Call) or ast.unparse(call.func).rpartition(".")[2] != "Finding":
                    continue
                keywords = {keyword.arg: keyword.value for keyword in call.keywords}
                if None in keywords:  # Finding(**saved): one that is read back
                    continue
                name = call.args[0] if call.args else keywords["id"]
                severity = call.args[1] if len(call.args) > 1 else keywords["severity"]
                assert isinstance(name, ast.Constant), f"{path.name}:{call.lineno}: the id must be a literal"
                found.setdefault(str(name.value), set()).update(_words(severity, assigned))
    return found


@cache
def functions(file: str) -> frozenset[str]:
    path = ROOT / file
    if not path.is_file():
        return frozenset()
    return frozenset(node.name for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.FunctionDef))


def test_every_row_is_there_once_and_in_order() -> None:
    numbers = [row.number for row in table()]
    assert [number for number in numbers if number != NO_ROW] == ROWS
    assert numbers == sorted(numbers, key=lambda number: number == NO_ROW), "what has no number comes last"


@pytest.mark.parametrize("row", table(), ids=lambda row: row.number)
def test_a_row_says_what_is_done(row: Row) -> None:
    assert row.what.endswith(".")
    assert row.does.endswith(".")
    assert not row.does[0].islower()
    assert row.tests, "a test shows it"
    if row.action in WITHOUT_FINDING:
        assert row.ids == []
        assert row.findings == NOTHING
    else:
        assert row.ids


@pytest.mark.parametrize("row", table(), ids=lambda row: row.number)
def test_the_action_is_what_the_findings_of_a_row_do(row: Row) -> None:
    if row.action not in WITHOUT_FINDING:
        done = set().union(*(severities().get(finding, {"no such finding"}) for finding in row.ids))
        assert row.action.split(", ") == sorted(done)


def test_every_finding_of_the_code_is_in_the_table() -> None:
    named = {finding for row in table() for finding in row.ids}
    assert [finding for finding, done in severities().items() if not done] == [], "what these do cannot be read"
    assert set(severities()) - named == set(), "write the row that it belongs to"
    assert named - set(severities()) == set(), "the code makes none of these"


def test_findings_without_a_row_have_none() -> None:
    with_row = {finding for row in table() if row.number != NO_ROW for finding in row.ids}
    without = [finding for row in table() if row.number == NO_ROW for finding in row.ids]
    assert with_row & set(without) == set()
    assert len(without) == len(set(without))


@pytest.mark.parametrize("row", table(), ids=lambda row: row.number)
def test_the_tests_of_a_row_exist(row: Row) -> None:
    for file, function in row.tests:
        assert function.startswith("test_"), function
        assert function in functions(file), f"{file} has no {function}"


def test_hazards_are_shown_on_real_servers() -> None:
    elsewhere = {row.number for row in table() if not any(Path(file).parts[1] == "integration" for file, _ in row.tests)}
    assert elsewhere - {NO_ROW} == set()
