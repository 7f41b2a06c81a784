"""A plan that is not there, was edited, or is out of date is not applied, and the message says what has changed."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.errors import MultischemaError, PlanRefused
from ansible_collections.dbops.multischema.plugins.module_utils.plain import unpack
from ansible_collections.dbops.multischema.plugins.module_utils.plan import plan_to_dict
from ansible_collections.dbops.multischema.plugins.plugin_utils.saved_plan import read_plan
from tests.integration import movers
from tests.integration.core import Core
from tests.integration.databases import Target
from tests.integration.evidence import require_same, state
from tests.integration.head_start import planned, ready
from tests.integration.placements import SHOP, SHOP_SQL
from tests.integration.placements import sample as sample_values
from tests.integration.playbooks import Playbooks

CHANGES = {
    "ALTER TABLE students ADD COLUMN nickname text": "public.students: columns changed",
    "CREATE TABLE student_clubs (a int)": "public.student_clubs is new",
    "DROP TABLE funnel_steps": "public.funnel_steps is gone",
    "ALTER TABLE certificates RENAME TO course_certificates": "public.course_certificates (was public.certificates)",
    "GRANT DELETE ON teachers TO reporting": "public.teachers: acl changed",
    "CREATE INDEX carts_late ON carts (closed_at)": "public.carts: indexes changed",
    "ALTER TABLE guardians OWNER TO analytics_owner": "public.guardians: owner, acl changed",
    "CREATE VIEW late AS SELECT id FROM teachers": "public.late",
    "ALTER TABLE rooms ENABLE ROW LEVEL SECURITY": "public.rooms: row security changed",
}


@pytest.mark.playbook
@pytest.mark.majors(15)
def test_phase_2_without_plan_before_phase_1_and_with_an_old_plan(playbooks: Playbooks) -> None:
    target = playbooks.target
    before = state(target)
    playbooks.run("phase2").refused("There is no plan", "plan.yml")
    planned(playbooks)
    playbooks.run("phase2").refused("Phase 1 is not complete", "phase1_schema_creation.yml")
    require_same(before, state(target))

    text = playbooks.plan_file.read_text()
    playbooks.plan_file.write_text(text.replace("SET SCHEMA tenant_kct", "SET SCHEMA tenant_kcu", 1))
    playbooks.run("phase2").refused("is not the plan that was saved", "plan.yml")
    playbooks.plan_file.write_text(text)
    playbooks.run("phase2", multischema_keep=["teachers"]).refused("multischema_keep", "plan.yml")
    require_same(before, state(target))

    ready(playbooks)
    target.execute(*CHANGES)
    changed = state(target)
    playbooks.run("phase2").refused("has changed since the plan was made", *CHANGES.values(), "plan.yml")
    require_same(changed, state(target))


@pytest.fixture
def shop(empty: Target) -> Core:
    """The small database."""
    empty.execute(SHOP_SQL)
    return Core(empty, SHOP)


@pytest.mark.majors(18)
def test_no_edit_of_a_plan_file_goes_unnoticed(shop: Core, tmp_path: Path) -> None:
    text = json.dumps(plan_to_dict(shop.plan()), indent=1, ensure_ascii=False)
    file = tmp_path / "plan.json"
    file.write_text(text)
    read_plan(file)
    generator = random.Random(1)  # noqa: S311 - the same edits each time, not a secret
    for position in [*generator.sample(range(len(text)), 400), *(text.index(word) for word in ("digest", "made_at"))]:
        other = chr((ord(text[position]) + 1) % 128)
        file.write_text(text[:position] + other + text[position + 1 :])
        if _same_content(text, file.read_text()):
            continue
        assert "plan.yml" in _remedy(file), f"unnoticed: {other!r} for {text[position]!r} in {text[position - 50 : position + 50]!r}"
    for end in (0, 1, len(text) // 2, len(text) - 2):
        file.write_text(text[:end])
        with pytest.raises(MultischemaError):
            read_plan(file)


def _remedy(file: Path) -> str:
    """What the refusal of a plan says to do; empty where it is not refused."""
    try:
        read_plan(file)
    except MultischemaError as error:
        return error.remedy
    return ""


def _same_content(*texts: str) -> bool:
    """Whether two files say the same: the catalog counts by its content, for its compression has bits without meaning."""
    try:
        one, other = ({**json.loads(text), "catalog": unpack(json.loads(text)["catalog"])} for text in texts)
    except Exception:
        return False
    return bool(one == other)


@pytest.mark.majors(18)
@pytest.mark.parametrize(
    "edit",
    [
        lambda plan: plan["steps"].pop(),
        lambda plan: plan["steps"].reverse(),
        lambda plan: plan["steps"][0]["undo"].clear(),
        lambda plan: plan["findings"].clear(),
        lambda plan: plan["summary"].update(tables_moving=0),
        lambda plan: plan.update(status="ready ", made_at="2000-01-01"),
        lambda plan: plan.update(format=2),
        lambda plan: plan.update(more=1),
        lambda plan: plan.pop("server"),
        lambda plan: plan["placements"][0].update(schema="elsewhere"),
        lambda plan: plan["configuration"].update(keep=["x"]),
    ],
)
def test_no_sensible_looking_edit_goes_unnoticed(shop: Core, tmp_path: Path, edit: Any) -> None:
    plan = plan_to_dict(shop.plan())
    document = json.loads(json.dumps(plan))
    edit(document)
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(document))
    with pytest.raises(PlanRefused):
        read_plan(file)


@pytest.mark.playbook
@pytest.mark.majors(18)
def test_a_plan_of_another_database_is_refused(playbooks: Playbooks, empty: Target, tmp_path: Path) -> None:
    planned(playbooks)
    movers.joined(empty, "app_owner", "analytics_owner")  # so that it is the plan that is refused
    other = Playbooks(tmp_path / "other", empty)
    empty.execute("CREATE TABLE a ()")
    other.plan_file.parent.mkdir(parents=True)
    shutil.copy(playbooks.plan_file, other.plan_file)
    other.run("phase2").refused("plan was made for database", playbooks.target.name)


@pytest.mark.playbook
@pytest.mark.majors(16)
def test_a_rollback_that_would_lose_what_others_made_is_refused(playbooks: Playbooks) -> None:
    target = playbooks.target
    before = state(target)
    Core(target, sample_values()).apply()
    target.execute(
        "CREATE VIEW theirs AS SELECT id FROM public.teachers",
        "CREATE TABLE tenant_kct.also_theirs (a int)",
        "CREATE TYPE analytics.their_type AS ENUM ('a')",
        "CREATE FUNCTION tenant_shared.their_function() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    )
    there = state(target)
    playbooks.run("rollback").refused("public.theirs", "public.teachers", "also_theirs", "their_type", "their_function", "What to do")
    require_same(there, state(target))
    target.execute(
        "DROP VIEW theirs; DROP TABLE tenant_kct.also_theirs; DROP TYPE analytics.their_type",
        "DROP FUNCTION tenant_shared.their_function()",
    )
    Core(target, sample_values()).roll_back()
    require_same(before, state(target))
