"""Every finding: a database that has it, and one that has not."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils import findings_objects
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Finding
from tests.unit import builders as b
from tests.unit.builders import catalog, found, named, one, table
from tests.unit.finding_cases import CASES
from tests.unit.finding_cases.case import STAYS, WITHOUT_VIEWS, Case

IDS = [f"{case.finding}-{number}" for number, case in enumerate(CASES)]


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_database_that_has_it(case: Case) -> None:
    finding = one(found(case.bad, case.wanted), case.finding)
    assert (finding.severity, finding.object) == (case.severity, case.object)
    assert finding.acceptable is case.facts.get("acceptable", False)
    assert case.says in f"{finding.reason} {finding.remedy}"


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_databases_that_have_not(case: Case) -> None:
    for seen in case.good:
        assert named(found(seen, case.wanted), case.finding) == []


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_whatever_refuses_says_the_way_out(case: Case) -> None:
    for finding in found(case.bad, case.wanted):
        assert finding.reason
        if finding.severity == "refuse":
            assert finding.remedy.endswith((".", ")", "'")), finding


NOT_OF_MOVES = (
    "schemas_not_creatable",
    "unknown_owner",
    "owner_not_givable",
    "schema_owner_differs",
    "unknown_role",
    "role_called_public",
    "default_privileges",
    "schema_usage",
)
OF_MOVES = [case for case in CASES if case.finding not in NOT_OF_MOVES]


@pytest.mark.parametrize("case", OF_MOVES, ids=[f"{c.finding}-{n}" for n, c in enumerate(OF_MOVES)])
def test_nothing_is_found_on_tables_that_stay(case: Case) -> None:
    assert named(found(case.bad, replace(STAYS, placement=())), case.finding) == []


OF_VIEWS = [
    c
    for c in CASES
    if c.finding
    in (
        "grants_passed_on",
        "inheritance_only",
        "column_privileges",
        "row_security",
        "no_columns",
        "row_type_argument",
        "partitions_by_old_name",
    )
    or c.finding.startswith(("view_", "statement_"))
]


@pytest.mark.parametrize("case", OF_VIEWS, ids=[f"{c.finding}-{n}" for n, c in enumerate(OF_VIEWS)])
def test_without_views_there_is_no_trouble_with_views(case: Case) -> None:
    assert named(found(case.bad, WITHOUT_VIEWS), case.finding) == []


# Ids that other files have tests for.
ELSEWHERE = {
    "test_placement.py": {
        "bookkeeping_table",
        "extension_member",
        "keep_matches_nothing",
        "partition_elsewhere",
        "reserved_target",
        "rule_matches_nothing",
        "rule_never_wins",
        "unlisted_target",
        "unplaced_table",
    },
    "test_findings_routines.py": {
        "catalog_query",
        "dynamic_sql",
        "expression_names",
        "foreign_table_text",
        "job_text",
        "repair_impossible",
        "repair_needless",
        "repair_not_owner",
        "routine_breaks",
        "routine_changes",
        "routine_repaired",
        "routine_unread",
        "routine_without_view",
        "trigger_schema",
    },
    "test_planner.py": {"accepted_nothing"},
    "test_search_path.py": {
        "search_path",
        "search_path_ambiguous",
        "search_path_by_hand",
        "search_path_creates",
        "search_path_left",
        "search_path_loses_extension",
        "search_path_no_login",
        "search_path_overridden",
        "search_path_unknown",
    },
    "test_types.py": {"alias_has_dependents", "type_alias", "type_moves", "types_stay"},
    "test_rollback_plan.py": {
        "moved_on",
        "name_taken",
        "schema_not_empty",
        "search_path_changed",
        "undo_impossible",
        "view_has_dependents",
        "view_replaced",
    },
}


def ids_in(path: Path) -> set[str]:
    """First arguments of every ``Finding(…)`` in a module."""
    calls = [n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Call)]
    made = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Finding" and call.args]
    return {str(ast.literal_eval(call.args[0])) for call in made}


def test_every_finding_of_the_core_has_tests() -> None:
    tested = {case.finding for case in CASES}.union(*ELSEWHERE.values())
    made = set().union(*(ids_in(path) for path in Path(findings_objects.__file__).parent.glob("*.py")))
    assert made - tested == set(), "write a case with a database that has it and one that has not"
    assert tested - made == set(), "these are not made any more"
    for file, ids in ELSEWHERE.items():
        text = (Path(__file__).parent / file).read_text(encoding="utf-8")
        assert {name for name in ids if f'"{name}"' not in text} == set(), file


def test_findings_name_objects_as_a_person_writes_them() -> None:
    seen = catalog(table('Odd "x"', statistics=(b.statistics("s"),)))
    assert isinstance(one(found(seen), "statistics"), Finding)
    assert one(found(seen), "statistics").object == 'public."Odd ""x"""'
