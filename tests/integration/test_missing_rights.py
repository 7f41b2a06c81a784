"""An ordinary role that lacks a right is told which, on what, and how to get it, before anything is touched.

The rights are those of the README. Each is taken away in turn: what is needed is refused by name, what is comfort is said. That they
are enough is shown by the tests that also run as such a role.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConnectionFailed
from ansible_collections.dbops.multischema.plugins.module_utils.plan import WARN, Finding, Plan
from ansible_collections.dbops.multischema.plugins.module_utils.readiness import Question, visibility
from tests.integration import movers
from tests.integration.core import Core
from tests.integration.databases import Login, Target
from tests.integration.evidence import differing, require_same, require_same_schema, state
from tests.integration.placements import OWNED_STATISTICS, SAMPLE_TARGETS
from tests.integration.placements import sample as sample_values
from tests.integration.playbooks import Playbooks

pytestmark = [pytest.mark.majors(15, 18), pytest.mark.own_roles("an ordinary role that lacks one right after the other")]
OWNERS = ("app_owner", "analytics_owner")
# What other roles have by default or in the sample, and what would hide that the mover's own right is missing.
ELSEWHERE = {
    "login": "REVOKE CONNECT ON DATABASE {database} FROM PUBLIC",
    "source": "REVOKE CREATE, USAGE ON SCHEMA public FROM PUBLIC, app_owner, analytics_owner",
    "views": "REVOKE CREATE ON SCHEMA public FROM app_owner, analytics_owner",
}
# What follows from a missing right besides: schemas for an owner, and the views that have to belong to one.
CONSEQUENCES = {"owner_not_givable", "column_privileges", "source_not_usable"}
REFUSED = {"membership": "not_owner", "database": "schemas_not_creatable", "source": "undo_impossible"}


def _without(target: Target, *missing: str) -> Target:
    """The sample, to be migrated by a role that has every right but these."""
    target.execute(*OWNED_STATISTICS)
    for name in missing:
        if name in ELSEWHERE:
            target.execute(ELSEWHERE[name].format(database=target.name))
    rights = [name for name in movers.RIGHTS if name not in missing and not (name == "views" and "source" in missing)]
    return movers.ordinary(target, OWNERS, rights=rights)  # dropped by `dismissed`


def _give(target: Target, name: str) -> None:
    assert target.mover is not None
    target.execute(movers.right(name, target, target.mover.user, OWNERS))


@pytest.fixture
def dismissed(sample: Target) -> Iterator[Target]:
    """The sample, whose mover is dropped after it."""
    yield sample
    sample.drop()
    movers.dismiss(replace(sample, mover=Login(f"mover_{sample.name}", "")))


def _refusals(plan: Plan) -> dict[str, Finding]:
    return {refusal.id: refusal for refusal in plan.refusals}


@pytest.mark.parametrize("missing", REFUSED)
def test_each_right_that_is_needed_is_missed(dismissed: Target, missing: str) -> None:
    target = _without(dismissed, missing)
    assert target.mover is not None
    core = Core(target, sample_values())
    before = state(target)
    found = _refusals(core.plan())
    assert REFUSED[missing] in found
    assert found.keys() - {REFUSED[missing]} <= (CONSEQUENCES if missing != "database" else set()), "more is refused than what is missing"
    assert target.mover.user in found[REFUSED[missing]].remedy
    require_same(before, state(target))
    _give(target, missing)
    _give(target, "views")
    assert core.plan().refusals == ()


def test_without_connect_it_is_told_so(dismissed: Target) -> None:
    target = _without(dismissed, "login")
    with pytest.raises(ConnectionFailed, match="permission denied for database"):
        Core(target, sample_values()).plan()


def test_without_usage_of_the_source_it_is_told_so(dismissed: Target) -> None:
    target = _without(dismissed, "source")
    assert target.mover is not None
    target.execute(f"GRANT CREATE ON SCHEMA public TO {target.mover.user}")
    core = Core(target, sample_values())
    found = _refusals(core.plan())
    assert found.keys() - {"column_privileges"} == {"source_not_usable"}
    target.execute(found["source_not_usable"].remedy.rstrip("."), movers.right("views", target, str(target.mover), OWNERS))
    assert core.plan().refusals == ()


def test_where_owners_may_not_own_views_that_is_said_and_the_rest_goes_on(dismissed: Target) -> None:
    target = _without(dismissed, "views")
    core = Core(target, sample_values())
    plan = core.plan()
    said = [finding for finding in plan.findings if finding.id == "view_owner"]
    assert {finding.severity for finding in said} == {WARN}
    # Only where the view has to run as the table's owner is it more than comfort.
    assert _refusals(plan).keys() <= {"column_privileges"}
    _give(target, "views")
    assert core.plan().refusals == ()


def test_without_pg_monitor_preflight_says_what_cannot_be_seen(dismissed: Target) -> None:
    target = _without(dismissed, "monitor")
    core = Core(target, sample_values())
    assert core.plan().refusals == ()

    def seen() -> list[str]:
        with core.connect() as database:
            return [check.status for check in visibility(Question(database, 50, (), 0))]

    assert seen() == ["warn"]
    _give(target, "monitor")
    assert seen() == ["pass"]


@pytest.mark.playbook
@pytest.mark.majors(15)
def test_a_role_without_any_right_is_told_all_of_them(dismissed: Target, playbooks: Playbooks) -> None:
    target = _without(dismissed, *(name for name in movers.RIGHTS if name != "login"))
    target.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")
    assert target.mover is not None
    playbooks.connection |= {"multischema_login_user": target.mover.user, "multischema_login_password": target.mover.password}
    playbooks.configure()
    before = state(target)
    run = playbooks.run("preflight")
    run.refused(
        "public.students",
        "belongs to app_owner",
        f"GRANT app_owner TO {target.mover.user}",
        "GRANT CREATE ON DATABASE",
        "GRANT CREATE ON SCHEMA public",
    )
    require_same(before, state(target))


@pytest.mark.majors(16, 18)
def test_a_membership_without_inherit_is_told_from_none(dismissed: Target) -> None:
    target = _without(dismissed, "membership")
    assert target.mover is not None
    target.execute(f"GRANT app_owner, analytics_owner TO {target.mover.user} WITH INHERIT FALSE")
    core = Core(target, sample_values())
    found = _refusals(core.plan())
    assert found.keys() <= {"not_owner", "owner_not_givable"}
    assert "without inheriting" in found["not_owner"].reason
    remedies = {refusal.remedy.partition(", or ")[0] for refusal in core.plan().refusals}
    assert len(remedies) == 2
    target.execute(*remedies)
    assert core.plan().refusals == ()


@pytest.mark.majors(15)
def test_a_role_that_does_not_inherit_is_told_so(dismissed: Target) -> None:
    target = _without(dismissed)
    assert target.mover is not None
    target.execute(f"ALTER ROLE {target.mover.user} NOINHERIT")
    core = Core(target, sample_values())
    remedy = _refusals(core.plan())["not_owner"].remedy.partition(", or ")[0]
    assert remedy == f"ALTER ROLE {target.mover.user} INHERIT"
    target.execute(remedy)
    assert core.plan().refusals == ()


@pytest.mark.majors(16, 18)
def test_a_membership_without_set_leaves_the_views_with_the_mover(dismissed: Target) -> None:
    target = _without(dismissed, "membership")
    assert target.mover is not None
    target.execute(f"GRANT app_owner, analytics_owner TO {target.mover.user} WITH INHERIT TRUE, SET FALSE")
    values = sample_values()
    assert "owner_not_givable" in _refusals(Core(target, values).plan())
    # With schemas of its own it can work; tables with column privileges cannot get the view that they need.
    core = Core(target, values | {"schemas": [{"name": name} for name in SAMPLE_TARGETS]})
    plan = core.plan()
    assert _refusals(plan).keys() <= {"column_privileges"}
    assert {"lacks SET" in finding.reason for finding in plan.findings if finding.id == "view_owner"} == {True}
    remedies = {finding.remedy.partition(", if")[0] for finding in plan.findings if finding.id == "view_owner"}
    kept = [refusal.object.partition(".")[2].strip('"') for refusal in plan.refusals]
    free = Core(target, {**core.values, "keep": kept})
    before = state(target)
    free.apply()
    assert free.left() == []
    free.roll_back()
    require_same_schema(before.schema, state(target).schema)
    target.execute(*remedies)
    assert Core(target, values).plan().refusals == ()


@pytest.mark.majors(18)
@pytest.mark.parametrize("granted", ["", "set, inherit"])
def test_the_creator_of_the_owner_is_only_its_administrator(dismissed: Target, granted: str) -> None:
    target = _without(dismissed)
    assert target.mover is not None
    mover, owner = target.mover.user, f"made_by_{target.mover.user}"
    target.execute(f"ALTER ROLE {mover} CREATEROLE")
    with target.session(user=mover, password=target.mover.password) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT set_config('createrole_self_grant', %s, false)", (granted,))
        cursor.execute(f"CREATE ROLE {owner}")
    target.execute(f"ALTER TABLE notifications OWNER TO {owner}")
    core = Core(target, sample_values())
    found = _refusals(core.plan())
    if granted:
        assert found == {}
    else:
        assert "without inheriting" in found["not_owner"].reason
        with target.session(user=mover, password=target.mover.password) as connection, connection.cursor() as cursor:
            cursor.execute(found["not_owner"].remedy.partition(", or ")[0])
        assert core.plan().refusals == ()
    target.drop()
    target.server.execute(f"DROP ROLE {owner}")


def test_a_target_that_may_not_be_written_to(dismissed: Target) -> None:
    dismissed.execute("CREATE SCHEMA analytics")
    found = _refusals(Core(_without(dismissed), sample_values()).plan())
    assert "target_not_writable" in found
    assert {refusal.object for refusal in found.values()} == {"analytics"}


def test_the_way_back_is_refused_once_the_right_for_it_is_gone(dismissed: Target) -> None:
    before = state(dismissed)
    target = _without(dismissed)
    assert target.mover is not None
    core = Core(target, sample_values())
    core.apply()
    target.execute(f"REVOKE CREATE ON SCHEMA public FROM {target.mover.user}, app_owner, analytics_owner")
    refusals = core.way_back().refusals
    assert [(refusal.id, refusal.object) for refusal in refusals] == [("undo_impossible", "public")]
    _give(target, "source")
    core.roll_back()
    _give(target, "views")
    assert differing(before.rows, state(target).rows) == {}
    assert core.plan().refusals == ()
