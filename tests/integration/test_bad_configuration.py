"""Variables that cannot be meant: every mistake is named, with what to write instead, and nothing is touched."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.core import Core
from tests.integration.databases import Target
from tests.integration.evidence import require_same, state
from tests.integration.placements import sample as sample_values
from tests.integration.playbooks import Playbooks

ONE_VERSION = pytest.mark.majors(16)


@pytest.mark.playbook
@ONE_VERSION
@pytest.mark.no_role("a configuration that is refused before it is used")
def test_unknown_variables_and_wrong_types_are_named_together(playbooks: Playbooks) -> None:
    before = state(playbooks.target)
    playbooks.configure(
        multischema_shemas=[],
        multischema_workers="many",
        multischema_unplaced="leave",
        multischema_compatibility_views="perhaps",
        multischema_placement=[{"schema": "tenant_kct"}, {"schema": "tenant_kct", "tables": ["a"], "vew": True}],
        multischema_login_port="five",
    )
    run = playbooks.run("preflight").refused(
        "multischema_shemas is unknown",
        "Did you mean multischema_schemas?",
        "multischema_workers is 'many': write a whole number",
        "multischema_unplaced is 'leave'",
        "multischema_compatibility_views is 'perhaps': write true or false",
        "multischema_placement[0] has no tables",
        "multischema_placement[1].vew is unknown",
        "multischema_login_port is 'five'",
        "What to do",
    )
    assert "multischema_login_password" not in run.message
    require_same(before, state(playbooks.target))


@pytest.mark.playbook
@ONE_VERSION
@pytest.mark.no_role("a configuration that is refused before it is used")
def test_a_placement_with_every_mistake(playbooks: Playbooks) -> None:
    target = playbooks.target
    target.execute("CREATE TABLE forgotten (a int)", "CREATE SCHEMA analytics; CREATE VIEW analytics.events AS SELECT 1")
    before = state(target)
    placement = [
        *sample_values()["placement"],
        {"schema": "analytics", "tables": ["studens"]},
        {"schema": "elsewhere", "tables": ["_prisma_migrations"]},
        {"schema": "pg_catalog", "tables": ["nothing_*"]},
    ]
    run = playbooks.run("plan", multischema_placement=placement).refused(
        "No table of public matches 'studens'",
        "Did you mean 'students'",
        "elsewhere",
        "does not list",
        "pg_catalog cannot be a target",
        "forgotten",
        "No rule of multischema_placement names this table",
        "cannot go to analytics",
        "a view of that name",
        "What to do",
    )
    assert "nothing was changed" in run.message
    require_same(before, state(target))


@pytest.mark.playbook
@ONE_VERSION
@pytest.mark.no_role("a configuration that is refused before it is used")
def test_a_lock_timeout_that_could_kill_the_application(playbooks: Playbooks) -> None:
    before = state(playbooks.target)
    run = playbooks.run("preflight", multischema_lock_timeout_ms=1000)
    run.refused("deadlock_timeout is 1000", "between 1 and 999")
    require_same(before, state(playbooks.target))


def _with(**changes: Any) -> dict[str, Any]:
    return sample_values() | changes


def _rules(*more: dict[str, Any]) -> dict[str, Any]:
    return _with(placement=[*more, *sample_values()["placement"]])


CASES: dict[str, tuple[str, dict[str, Any], str]] = {
    "rule that matches nothing": ("", _rules({"schema": "analytics", "tables": ["nobody"]}), "rule_matches_nothing"),
    "glob that matches nothing": ("", _rules({"schema": "analytics", "tables": ["nobody*"]}), "rule_matches_nothing"),
    "rule that never wins": (
        "",
        _with(placement=[*sample_values()["placement"], {"schema": "analytics", "tables": ["students"]}]),
        "rule_never_wins",
    ),
    "wrong case": ("", _rules({"schema": "analytics", "tables": ["Students"]}), "rule_matches_nothing"),
    "qualified name": ("", _rules({"schema": "analytics", "tables": ["public.students"]}), "rule_matches_nothing"),
    "a view in a rule": ("", _rules({"schema": "analytics", "tables": ["course_catalog"]}), "rule_matches_nothing"),
    "reserved target": ("", _rules({"schema": "pg_toast", "tables": ["students"]}), "reserved_target"),
    "journal as target": ("", _rules({"schema": "multischema_journal", "tables": ["students"]}), "reserved_target"),
    "source as target": ("", _rules({"schema": "public", "tables": ["students"]}), "reserved_target"),
    "unlisted target": ("", _rules({"schema": "elsewhere", "tables": ["students"]}), "unlisted_target"),
    "unplaced table": ("CREATE TABLE forgotten ()", _with(), "unplaced_table"),
    "table there": ("CREATE SCHEMA tenant_kct; CREATE TABLE tenant_kct.students ()", _with(), "collision"),
    "index there": ("CREATE SCHEMA tenant_kct; CREATE VIEW tenant_kct.students_pkey AS SELECT 1", _with(), "collision"),
    "sequence there": ("CREATE SCHEMA tenant_kct; CREATE SEQUENCE tenant_kct.students_id_seq", _with(), "collision"),
    "type there": ("CREATE SCHEMA tenant_kct; CREATE TYPE tenant_kct.students AS ENUM ()", _with(), "collision"),
    "array type there": ("CREATE SCHEMA tenant_kct; CREATE TYPE tenant_kct._students AS ENUM ()", _with(), "collision"),
    "statistics there": (
        "CREATE SCHEMA tenant_kct; CREATE TABLE tenant_kct.other (a int, b int);"
        "CREATE STATISTICS tenant_kct.enrollments_student_section ON a, b FROM tenant_kct.other",
        _with(),
        "collision",
    ),
    "unknown owner": (
        "",
        _with(schemas=[{"name": n, "owner": "nobody_here"} for n in ("tenant_shared", "tenant_kct", "analytics")]),
        "unknown_owner",
    ),
    "unknown role": ("", _with(application_roles=["nobody_here"]), "unknown_role"),
    "bookkeeping": ("", _rules({"schema": "analytics", "tables": ["_prisma_migrations"]}), "bookkeeping_table"),
    "partition elsewhere": ("", _rules({"schema": "tenant_kct", "tables": ["events_later"]}), "partition_elsewhere"),
    "inheritance": ("", _with(accept=[]), "inheritance_only"),
    "target published": (
        "CREATE SCHEMA tenant_kct; CREATE PUBLICATION everything FOR TABLES IN SCHEMA tenant_kct",
        _with(),
        "publication_joins",
    ),
}


@pytest.mark.majors(18)
@pytest.mark.parametrize("case", CASES)
def test_what_the_plan_refuses(sample: Target, case: str) -> None:
    statements, values, finding = CASES[case]
    if statements:
        sample.execute(statements)
    plan = Core(sample, values).plan()
    found = [refusal for refusal in plan.refusals if refusal.id == finding]
    assert found, [(refusal.id, refusal.object) for refusal in plan.refusals]
    assert all(refusal.reason and refusal.remedy for refusal in found)
    assert plan.status == "refused"
