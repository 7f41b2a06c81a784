"""An ordinary role that lacks a right is told which, on what, and how to get it, before anything is touched."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from psycopg2 import sql

from tests.integration.core import Core
from tests.integration.databases import Target
from tests.integration.evidence import differing, require_same, state
from tests.integration.placements import OWNED_STATISTICS
from tests.integration.placements import sample as sample_values
from tests.integration.playbooks import Playbooks

GRANTS = {
    "membership": "GRANT app_owner, analytics_owner TO {role}",
    "database": "GRANT CREATE ON DATABASE {database} TO {role}",
    "source": "GRANT CREATE ON SCHEMA public TO {role}",
}


@pytest.fixture
def role(sample: Target) -> Iterator[str]:
    """A role that may log in and nothing else."""
    name = f"ordinary_{uuid.uuid4().hex[:8]}"
    sample.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'x'; GRANT USAGE ON SCHEMA public TO {name}", *OWNED_STATISTICS)
    yield name
    sample.drop()
    sample.server.execute(f"DROP OWNED BY {name}")
    sample.server.execute(f"DROP ROLE {name}")


def _grant(target: Target, role: str, *rights: str) -> None:
    for right in rights:
        target.execute(sql.SQL(GRANTS[right]).format(role=sql.Identifier(role), database=sql.Identifier(target.name)))


@pytest.mark.playbook
@pytest.mark.majors(15)
def test_a_role_without_any_right_is_told_all_of_them(playbooks: Playbooks, role: str) -> None:
    playbooks.connection |= {"multischema_login_user": role, "multischema_login_password": "x"}
    playbooks.configure()
    before = state(playbooks.target)
    run = playbooks.run("preflight")
    run.refused(
        "public.students", "belongs to app_owner", f"GRANT app_owner TO {role}", "GRANT CREATE ON DATABASE", "GRANT CREATE ON SCHEMA public"
    )
    require_same(before, state(playbooks.target))


@pytest.mark.parametrize(
    ("missing", "finding"),
    [("membership", "not_owner"), ("database", "schemas_not_creatable"), ("source", "undo_impossible")],
)
def test_each_missing_right_is_found(sample: Target, role: str, missing: str, finding: str) -> None:
    if missing == "source":  # which the role would have from the owners
        sample.execute("REVOKE CREATE ON SCHEMA public FROM app_owner, analytics_owner")
    _grant(sample, role, *(right for right in GRANTS if right != missing))
    core = Core(sample, sample_values(), user=role, password="x")
    found = {refusal.id: refusal for refusal in core.plan().refusals}
    assert finding in found
    assert role in found[finding].remedy
    assert len(found) == 1 or missing != "database", "more is refused than what is missing"
    sample.execute("GRANT CREATE ON SCHEMA public TO app_owner, analytics_owner")
    _grant(sample, role, missing)
    assert core.plan().refusals == ()


def test_a_target_that_may_not_be_written_to(sample: Target, role: str) -> None:
    sample.execute("CREATE SCHEMA analytics")
    _grant(sample, role, *GRANTS)
    core = Core(sample, sample_values(), user=role, password="x")
    found = {refusal.id: refusal for refusal in core.plan().refusals}
    assert "target_not_writable" in found
    assert {refusal.object for refusal in found.values()} == {"analytics"}


def test_the_way_back_is_refused_once_the_right_for_it_is_gone(sample: Target, role: str) -> None:
    before = state(sample)
    _grant(sample, role, *GRANTS)
    core = Core(sample, sample_values(), user=role, password="x")
    core.apply()
    sample.execute(f"REVOKE CREATE ON SCHEMA public FROM {role}, app_owner, analytics_owner")
    refusals = core.way_back().refusals
    assert [(refusal.id, refusal.object) for refusal in refusals] == [("undo_impossible", "public")]
    _grant(sample, role, "source")
    core.roll_back()
    sample.execute("GRANT CREATE ON SCHEMA public TO app_owner, analytics_owner")
    assert differing(before.rows, state(sample).rows) == {}
    assert core.plan().refusals == ()
