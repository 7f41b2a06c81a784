"""Verification: each check passes on a finished migration, and fails on the one thing that it looks at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.access import Reach
from ansible_collections.dbops.multischema.plugins.module_utils.checks import Check
from ansible_collections.dbops.multischema.plugins.module_utils.identity import KEPT, differences
from ansible_collections.dbops.multischema.plugins.module_utils.verification import (
    Evidence,
    verify_content,
    verify_schemas,
    verify_tables,
)
from tests.unit.builders import catalog, configuration, journaled, oid, partition, plan, sequence, statistics, table
from tests.unit.simulation import run

BEFORE = catalog(
    table("orders", sequences=(sequence("orders_id_seq"),), statistics=(statistics("orders_stx"),)),
    table("events", "p"),
    partition("events_1", "events"),
    table("kept"),
)
WANTED = configuration(keep=["kept"])
PLAN = plan(BEFORE, WANTED)
AFTER = run(BEFORE, *(statement for step in PLAN.steps for statement in step.do))
MEMBERS = {member.oid: member for step in PLAN.steps for member in step.members}


def identity(number: int, **values: Any) -> dict[str, Any]:
    same = dict.fromkeys(KEPT, 1)
    return {**same, "schema": "tenant", "name": MEMBERS[number].name, "relfilenode": number, "toast": 0, **values}


IDENTITIES = {number: identity(number) for number in MEMBERS}
DONE = journaled(PLAN.steps, {str(number): found for number, found in IDENTITIES.items()})
FINE = Evidence(AFTER, PLAN, DONE, IDENTITIES, (), (Reach("web", {"tenant": 3}, ()),))


def verdicts(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.status for check in checks}


def tables(**changes: Any) -> list[Check]:
    return verify_tables(replace(FINE, **changes))


def failed(checks: list[Check]) -> Check:
    (check,) = [check for check in checks if check.status == "fail"]
    assert check.remedy
    return check


def test_a_finished_migration_passes() -> None:
    assert verdicts(verify_schemas(FINE)) == {"schemas exist": "pass", "phase 1 complete": "pass"}
    assert verdicts(tables()) == {
        "schemas exist": "pass",
        "phase 2 complete": "pass",
        "tables per schema": "pass",
        "objects in place": "pass",
        "table identity": "pass",
        "compatibility views": "pass",
        "privileges": "pass",
        "role web": "pass",
    }


def test_a_role_that_is_shut_out_of_a_schema_is_named_with_the_grant() -> None:
    check = failed(tables(shut_out=[("web", "tenant"), ("Staff", "tenant")]))
    assert check.name == "privileges"
    assert check.detail == "web may not use schema tenant; Staff may not use schema tenant"
    assert 'GRANT USAGE ON SCHEMA tenant TO "Staff"' in check.remedy


def test_what_is_fine_is_said_in_figures() -> None:
    said = {check.name: check.detail for check in tables()}
    assert said["tables per schema"] == "tenant: 3, public: 1"
    assert said["phase 2 complete"] == "2 of 2 steps done"
    assert said["objects in place"].startswith("8 tables, indexes, sequences and statistics objects")
    assert said["table identity"].startswith("3 tables ")
    assert said["compatibility views"].startswith("3 old names")
    assert "(3 in tenant)" in said["role web"]


def test_a_missing_schema_fails() -> None:
    now = replace(AFTER, schemas=tuple(s for s in AFTER.schemas if s.name != "tenant"))
    check = next(check for check in verify_schemas(replace(FINE, catalog=now)) if check.name == "schemas exist")
    assert (check.status, check.detail) == ("fail", "tenant is missing")


def test_steps_that_are_not_done_fail() -> None:
    check = failed(verify_schemas(replace(FINE, done=DONE[1:])))
    assert (check.name, check.detail) == ("phase 1 complete", "1 of 2 steps are not done: create_schema:tenant")
    assert "phase1_schema_creation.yml" in check.remedy
    phase2 = next(check for check in tables(done=DONE[:-1]) if check.name == "phase 2 complete")
    assert phase2.detail == "1 of 2 steps are not done: move:public.orders"
    assert "phase2_table_migration.yml" in phase2.remedy


def test_a_partition_that_joined_and_has_not_moved_fails() -> None:
    late = partition("events_2", "events")
    fresh = plan(replace(BEFORE, tables=(*BEFORE.tables, late)), WANTED)
    found = {check.name: check for check in tables(plan=fresh, catalog=replace(AFTER, tables=(*AFTER.tables, late)))}
    assert found["phase 2 complete"].detail == "1 of 2 steps are not done: move:public.events_2"
    assert found["tables per schema"].detail == "public.events_2 belongs in tenant"


def test_nothing_to_do_is_complete() -> None:
    assert verify_schemas(replace(FINE, plan=replace(PLAN, steps=())))[1].detail == "nothing was left to do: all of it was there before"


def test_a_table_in_the_wrong_schema_fails() -> None:
    now = replace(AFTER, tables=tuple(replace(t, schema="elsewhere") if t.name == "orders" else t for t in AFTER.tables))
    check = failed(tables(catalog=now))
    assert (check.name, check.detail) == ("tables per schema", "elsewhere.orders belongs in tenant")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (None, f"tenant.orders_pkey (OID {oid('orders_pkey')}) is gone"),
        ({"schema": "elsewhere"}, "orders_pkey is now elsewhere.orders_pkey, moved to tenant"),
        ({"name": "Other"}, 'orders_pkey is now tenant."Other", moved to tenant'),
    ],
)
def test_an_object_that_is_not_in_its_place_fails(change: dict[str, str] | None, said: str) -> None:
    number = oid("orders_pkey")
    now = {**IDENTITIES, number: identity(number, **change)} if change else {k: v for k, v in IDENTITIES.items() if k != number}
    check = failed(tables(identities=now))
    assert (check.name, check.detail) == ("objects in place", said)


@pytest.mark.parametrize("part", ["relfilenode", "toast"])
def test_a_table_that_was_rewritten_since_fails(part: str) -> None:
    number = oid("orders")
    check = failed(tables(identities={**IDENTITIES, number: identity(number, **{part: 99})}))
    assert check.name == "table identity"
    assert check.detail.startswith(f"tenant.orders ({part}: ")
    assert "accept the finding rewritten" in check.remedy


def test_a_rewritten_index_is_no_rewritten_table() -> None:
    number = oid("orders_pkey")
    assert verdicts(tables(identities={**IDENTITIES, number: identity(number, relfilenode=99)}))["table identity"] == "pass"


def test_grants_made_since_are_no_rewritten_table() -> None:
    number = oid("orders")
    assert verdicts(tables(identities={**IDENTITIES, number: identity(number, acl="{new}", owner=5)}))["table identity"] == "pass"


def test_a_rewritten_table_that_a_person_accepts_passes_and_no_other() -> None:
    accepted = plan(
        BEFORE, configuration(keep=["kept"], accept=[{"finding": "rewritten", "object": "tenant.orders", "reason": "truncated"}])
    )
    now = {**IDENTITIES, oid("orders"): identity(oid("orders"), relfilenode=99)}
    assert verdicts(tables(plan=accepted, identities=now))["table identity"] == "pass"
    now = {**now, oid("events"): identity(oid("events"), relfilenode=99)}
    assert verdicts(tables(plan=accepted, identities=now))["table identity"] == "fail"
    other = plan(BEFORE, configuration(keep=["kept"], accept=[{"finding": "inheritance_only", "object": "tenant.orders", "reason": "x"}]))
    only_orders = {**now, oid("events"): identity(oid("events"))}
    assert verdicts(tables(plan=other, identities=only_orders))["table identity"] == "fail"


def test_a_view_with_something_wrong_fails() -> None:
    check = failed(tables(views=[("Grade Book", "has other privileges than its table")]))
    assert (check.name, check.detail) == ("compatibility views", 'public."Grade Book" has other privileges than its table')


def test_a_view_that_is_not_the_one_that_was_made_fails() -> None:
    made = {view.name: [view.oid, view.definition] for view in AFTER.views}
    journal = [
        replace(entry, identity={**entry.identity, "views": {k: v for k, v in made.items() if k in entry.step.id}}) for entry in DONE
    ]
    assert verdicts(tables(done=journal))["compatibility views"] == "pass"
    changed = replace(AFTER, views=tuple(replace(v, definition="other") if v.name == "orders" else v for v in AFTER.views))
    assert "orders is not the view that the migration made" in failed(tables(done=journal, catalog=changed)).detail


def test_a_role_that_does_not_get_in_fails() -> None:
    check = failed(tables(reach=[Reach("web", {"tenant": 0}, ("no USAGE on schema tenant", "tenant.orders: permission denied"))]))
    assert (check.name, check.detail) == ("role web", "no USAGE on schema tenant; tenant.orders: permission denied")


def test_a_role_that_could_not_be_tried_is_a_warning() -> None:
    found = {check.name: check for check in tables(reach=[Reach("web", {}, (), "not a member of it")])}
    assert (found["role web"].status, found["role web"].detail) == ("warn", "not a member of it")


def test_a_remedy_quotes_the_names_in_its_sql() -> None:
    found = {check.name: check for check in tables(reach=[Reach("Web Role", {}, (), "not a member of it")])}
    assert 'GRANT "Web Role" TO postgres' in found["role Web Role"].remedy


def test_very_many_problems_are_counted() -> None:
    check = failed(tables(views=[(f"v{n}", "is missing") for n in range(11)]))
    assert check.detail.count("is missing") == 8
    assert check.detail.endswith("and 3 more")


def test_content_passes_when_nothing_differs() -> None:
    check = verify_content([], 3, 1234567)
    assert (check.status, "3 tables with 1,234,567 rows" in check.detail) == ("pass", True)
    assert failed([verify_content(["public.a is gone (3 rows)"], 3, 1)]).detail == "public.a is gone (3 rows)"


@pytest.mark.parametrize("part", KEPT)
def test_every_kept_part_of_an_identity_counts(part: str) -> None:
    before = identity(oid("orders"))
    assert differences(before, dict(before)) == []
    assert [text.split(":")[0] for text in differences(before, {**before, part: "other"})] == [part]


@pytest.mark.parametrize("part", ["schema", "has_children"])
def test_the_schema_and_later_children_do_not_count_as_identity(part: str) -> None:
    before = identity(oid("orders"))
    assert differences(before, {**before, part: "other"}) == []


def test_what_identity_keeps() -> None:
    assert {"name", "kind", "relfilenode", "toast", "owner", "acl", "row_security", "persistence"} <= set(KEPT)
    check: Callable[..., list[str]] = differences
    assert check({}, {}) == []
