"""The whole way and back, by the playbooks: look, plan, phase 1, phase 2, again, verify, write, roll back, and there again."""

from __future__ import annotations

import pytest

from tests.integration.databases import Target
from tests.integration.evidence import State, differing, disagreements, journaled, require_same, require_same_schema, state
from tests.integration.head_start import moved
from tests.integration.placements import sample_steps
from tests.integration.playbooks import Playbooks, files_in

TARGETS = ("tenant_shared", "tenant_kct", "analytics")
pytestmark = pytest.mark.playbook
STEPS_OF_PHASE_1 = 18

# Three writes by the old names and three by the new ones; what each adds, changes and removes is known.
WRITES_BY_OLD_NAMES = (
    "INSERT INTO public.guardians (full_name) VALUES ('By the old name')",
    "UPDATE public.teachers SET salary = 4321 WHERE id = 1",
    "DELETE FROM public.notifications WHERE id = (SELECT min(id) FROM public.notifications)",
)
WRITES_BY_NEW_NAMES = (
    "INSERT INTO tenant_kct.departments (tenant_id, name) VALUES (1, 'By the new name')",
    "UPDATE tenant_kct.students SET full_name = 'By the new name' WHERE id = 2",
    "DELETE FROM analytics.funnel_steps WHERE ctid = (SELECT min(ctid) FROM analytics.funnel_steps)",
    "INSERT INTO analytics.page_views (tenant_id, path, viewed_at) VALUES (1, '/new', '2026-03-03')",
)


def _path_of(target: Target, role: str) -> str:
    """What a new session of a role has."""
    with target.session(user=role, password="sample") as connection, connection.cursor() as cursor:
        cursor.execute("SHOW search_path")
        return str((cursor.fetchone() or ("",))[0])


def _write(target: Target, *statements: str) -> None:
    target.execute(*statements)


def _nothing_written(playbooks: Playbooks, before: State) -> None:
    require_same(before, state(playbooks.target))
    assert not list(playbooks.artifacts.rglob("*")), "check mode has written an artifact"


@pytest.mark.majors(18)  # on the others the server's log shows it: test_check_mode_truth.py
def test_check_mode_writes_nothing_and_shows_the_sql(playbooks: Playbooks) -> None:
    before = state(playbooks.target)
    site = playbooks.start("site", "--diff", check=True, callback="default").wait().ok()
    _nothing_written(playbooks, before)
    moves = sample_steps(playbooks.target) - STEPS_OF_PHASE_1
    assert f"{moves} of {moves} steps would be done" in site.stdout
    for statement in (
        "CREATE SCHEMA tenant_kct AUTHORIZATION app_owner",
        "ALTER TABLE public.students SET SCHEMA tenant_kct",
        "CREATE VIEW public.students WITH (security_invoker = true)",
    ):
        assert statement.replace(" ", "").lower() in site.stdout.replace(" ", "").lower()
    playbooks.run("phase1", check=True).ok()
    _nothing_written(playbooks, before)


def _only_looked_at(playbooks: Playbooks, name: str) -> None:
    """Check mode in the middle of a migration: the database and the artifacts stay as they are."""
    before, files = state(playbooks.target), files_in(playbooks.artifacts)
    playbooks.run(name, check=True).ok()
    require_same(before, state(playbooks.target))
    assert files_in(playbooks.artifacts) == files


def test_there_and_back(playbooks: Playbooks) -> None:
    target = playbooks.target
    before = state(target)
    _, plan, _ = playbooks.all("preflight", "plan", "phase1")
    _only_looked_at(playbooks, "phase2")
    playbooks.run("phase2").ok()
    assert disagreements(target, TARGETS) == []
    assert {(step["phase"]) for step in journaled(target)} == {1, 2}
    may_set_paths = target.mover is None  # of other roles; an ordinary role is told the statements instead
    assert ("search_path_by_hand" in plan.report) is not may_set_paths
    for role in ("app_web", "app_worker", "reporting"):
        assert _path_of(target, role).endswith("tenant_kct, tenant_shared, analytics, public") is may_set_paths, role
    there = state(target)
    assert differing(before.rows, there.rows) == {}
    assert differing(before.sequences, there.sequences) == {}

    for name in ("plan", "phase1", "phase2"):
        assert playbooks.run(name).ok().changed == 0, f"a second {name} has changed something"
    verified = playbooks.run("verify").ok().report
    assert ("bare names, app_web" in verified.replace("\n", " ")) is may_set_paths
    _only_looked_at(playbooks, "rollback")
    require_same(there, state(target))

    _write(target, *WRITES_BY_OLD_NAMES, *WRITES_BY_NEW_NAMES)
    written = state(target)
    playbooks.run("rollback").ok()
    back = state(target)
    require_same_schema(before.schema, back.schema)
    require_same(State(before.schema, written.rows, written.sequences, before.settings), back)
    assert {name: (was[0], now[0]) for name, (was, now) in differing(before.rows, back.rows).items()} == {
        "guardians": (count(before, "guardians"), count(before, "guardians") + 1),
        "teachers": (count(before, "teachers"),) * 2,
        "notifications": (count(before, "notifications"), count(before, "notifications") - 1),
        "departments": (count(before, "departments"), count(before, "departments") + 1),
        "students": (count(before, "students"),) * 2,
        "funnel_steps": (count(before, "funnel_steps"), count(before, "funnel_steps") - 1),
        "page_views_2026_03": (count(before, "page_views_2026_03"), count(before, "page_views_2026_03") + 1),
    }
    used = {name: now[0] - was[0] for name, (was, now) in differing(before.sequences, back.sequences).items()}
    assert used == {"guardians_id_seq": 1, "departments_id_seq": 1, "page_views_id_seq": 1}

    again = playbooks.run("rollback").ok()
    assert again.changed == 0
    assert "nothing to roll back" in again.report
    require_same(back, state(target))


@pytest.mark.majors(18)
@pytest.mark.no_role("what a rollback leaves behind, for those who go there again")
def test_there_again_after_a_rollback(playbooks: Playbooks) -> None:
    target = playbooks.target
    before = state(target)
    moved(playbooks)
    playbooks.run("rollback").ok()
    playbooks.run("site").ok()
    assert disagreements(target, TARGETS) == []
    playbooks.run("rollback").ok()
    require_same(before, state(target))


def count(found: State, name: str) -> int:
    """Rows of a table."""
    return next(rows for table, rows, _ in found.rows.values() if table == name)
