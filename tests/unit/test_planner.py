"""Catalog and configuration become one plan: its steps in order, who is let in, what a person has accepted."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog, ForeignKey, Role
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Plan
from ansible_collections.dbops.multischema.plugins.module_utils.planner import make_plan
from ansible_collections.dbops.multischema.plugins.module_utils.reading import Readings
from tests.unit.builders import (
    OWNER,
    catalog,
    configuration,
    default_privileges,
    everything,
    found,
    grant,
    mover,
    named,
    oid,
    one,
    partition,
    plan,
    schema,
    server,
    step_named,
    table,
)


def orders(*readers: str, **values: Any) -> Catalog:
    acl = (*everything(OWNER), *(g for reader in readers for g in grant(reader)))
    return catalog(table("orders", acl=acl), **values)


def let_in(made: Plan, target: str = "tenant") -> list[str]:
    """Roles that phase 1 lets into the schema."""
    return next((list(step.detail["roles"]) for step in made.steps if step.id == f"grant_usage:{target}"), [])


# --- the order of steps ---


def test_schemas_come_first_then_usage_then_default_privileges_then_tables() -> None:
    seen = catalog(table("b"), table("a"), default_privileges=(default_privileges(OWNER, "public", *grant("web")),))
    made = plan(seen, configuration({"two": "b", "one": "a"}))
    assert [step.id for step in made.steps] == [
        "create_schema:two",
        "create_schema:one",
        "grant_usage:two",
        "grant_usage:one",
        "default_privileges:two:app_owner:r",
        "default_privileges:one:app_owner:r",
        "move:public.a",
        "move:public.b",
    ]
    assert [step.id for step in made.of_phase(2)] == ["move:public.a", "move:public.b"]


def test_step_ids_are_unique() -> None:
    names = ["a.b", 'a"b', "A", "a", '"a"', "a:b", " "]
    ids = [step.id for step in plan(catalog(*(table(name) for name in names))).steps]
    assert len(ids) == len(set(ids)) == len(names) + 2


def test_a_schema_that_is_there_is_not_created() -> None:
    made = plan(catalog(table("a", owner="postgres"), schemas=[schema("tenant")]))
    assert [step.id for step in made.steps] == ["move:public.a"]


def test_nothing_to_do_is_an_empty_plan() -> None:
    made = plan(catalog(schemas=[schema("tenant")]), configuration(placement=[]))
    assert (made.status, made.steps) == ("empty", ())


def test_a_table_for_a_schema_that_is_not_listed_gets_no_step() -> None:
    rules = [{"schema": "tennant", "tables": "*"}]
    made = plan(catalog(table("a")), configuration(placement=rules, schemas=[{"name": "tenant"}]))
    assert made.status == "refused"
    assert not made.of_phase(2)


def test_the_plan_never_raises_for_what_is_in_a_database() -> None:
    made = plan(catalog(source_schema="nowhere"), configuration({"a": "x"}, source_schema="nowhere"))
    assert made.status == "refused"
    assert make_plan(Catalog(server(), "public"), configuration(), Readings()).status == "refused"


def test_placements_say_where_every_table_goes_and_why() -> None:
    seen = catalog(
        table("orders", "p", rows_estimate=-1), partition("orders_1", "orders", rows_estimate=7, bytes_estimate=8192), table("kept")
    )
    by_name = {p.name: p for p in plan(seen, configuration(keep=["kept"])).placements}
    assert (by_name["orders"].schema, by_name["orders"].why, by_name["orders"].step) == ("tenant", "rule 1 (*)", "move:public.orders")
    assert (by_name["orders_1"].schema, by_name["orders_1"].why, by_name["orders_1"].step) == (
        "tenant",
        "goes with orders",
        "move:public.orders",
    )
    assert (by_name["orders_1"].kind, by_name["orders_1"].rows_estimate, by_name["orders_1"].bytes_estimate) == ("partition", 7, 8192)
    assert (by_name["kept"].schema, by_name["kept"].why, by_name["kept"].step) == ("public", "multischema_keep names kept", None)


def test_foreign_keys_that_touch_a_moving_table_are_part_of_the_plan() -> None:
    keys = (
        ForeignKey("out", oid("a"), oid("kept")),
        ForeignKey("in", oid("kept"), oid("a")),
        ForeignKey("elsewhere", oid("kept"), oid("kept")),
    )
    made = plan(catalog(table("a"), table("kept"), foreign_keys=keys), configuration(keep=["kept"]))
    assert [key.name for key in made.foreign_keys] == ["out", "in"]


def test_findings_are_sorted_by_how_much_they_matter() -> None:
    seen = catalog(table("x"), table("old_orders", parents=["orders"]), table("orders"))
    severities = [finding.severity for finding in found(seen, configuration(application_roles=["nobody"]))]
    assert severities == sorted(severities, key=["refuse", "warn", "auto"].index)
    assert set(severities) == {"refuse", "warn", "auto"}


# --- who is let in ---


def test_owners_and_grantees_are_let_in() -> None:
    assert let_in(plan(orders("web", "reporting"))) == [OWNER, "reporting", "web"]


def test_roles_with_column_privileges_are_let_in() -> None:
    seen = catalog(table("orders", column_grants=grant("clerk", column="id")))
    assert let_in(plan(seen)) == [OWNER, "clerk"]


def test_only_users_of_tables_that_go_there_are_let_in() -> None:
    seen = catalog(table("a", acl=grant("reader_a")), table("b", acl=grant("reader_b")), table("c", acl=grant("reader_c")))
    made = plan(seen, configuration({"one": "a", "two": "b"}, keep=["c"]))
    assert let_in(made, "one") == [OWNER, "reader_a"]
    assert let_in(made, "two") == [OWNER, "reader_b"]


def test_a_role_that_does_not_reach_the_source_is_not_let_into_the_target() -> None:
    assert let_in(plan(orders("web", "locked_out", roles=[Role("locked_out", uses_source=False)]))) == [OWNER, "web"]


def test_a_role_of_the_application_is_let_in_whatever_it_reaches() -> None:
    seen = orders(roles=[Role("web", uses_source=False)])
    assert let_in(plan(seen, configuration(application_roles=["web"]))) == [OWNER, "web"]


def test_superusers_need_no_grant() -> None:
    seen = orders("boss", roles=[Role("boss", superuser=True), Role("chief", superuser=True)])
    assert let_in(plan(seen, configuration(application_roles=["chief"]))) == [OWNER]


def test_a_role_that_does_not_exist_is_not_let_in() -> None:
    assert let_in(plan(orders(), configuration(application_roles=["nobody"]))) == [OWNER]


@pytest.mark.parametrize(("uses", "roles"), [(True, ["PUBLIC", OWNER]), (False, [OWNER])])
def test_everyone_is_let_in_only_where_everyone_reaches_the_source(uses: bool, roles: list[str]) -> None:
    assert let_in(plan(orders("PUBLIC", server=server(public_uses_source=uses)))) == roles


def test_whoever_is_in_already_is_left_out() -> None:
    there = schema("tenant", "reporting", *grant("web", "USAGE"), *grant("clerk", "CREATE"))
    assert let_in(plan(orders("web", "reporting", "clerk", schemas=[there]))) == [OWNER, "clerk"]


def test_where_everyone_is_in_nobody_needs_a_grant() -> None:
    assert let_in(plan(orders("web", schemas=[schema("tenant", "postgres", *grant("PUBLIC", "USAGE"))]))) == []


def test_the_owner_of_a_schema_that_will_be_created_needs_no_grant() -> None:
    wanted = configuration(schemas=[{"name": "tenant", "owner": OWNER}])
    assert let_in(plan(orders("web"), wanted)) == ["web"]
    assert let_in(plan(catalog(table("orders", owner="migrator"), server=mover()))) == []


@pytest.mark.parametrize(("uses", "roles"), [(("public",), [OWNER, "migrator"]), (("public", "tenant"), [OWNER])])
def test_the_connected_role_is_let_in_where_it_makes_views_over_what_is_there(uses: tuple[str, ...], roles: list[str]) -> None:
    connected = mover(create_on_schemas=("public", "tenant"), use_on_schemas=uses)
    assert let_in(plan(orders(server=connected, schemas=[schema("tenant")]))) == roles


# --- default privileges ---


def test_default_privileges_are_copied_to_every_target() -> None:
    seen = catalog(table("a"), default_privileges=(default_privileges(OWNER, "public", *grant("web", "INSERT", "SELECT")),))
    made = plan(seen, configuration({"one": "a", "two": "none_*"}, unplaced="keep"))
    for target in ("one", "two"):
        assert step_named(made.steps, f"default_privileges:{target}:app_owner:r").do == (
            f"ALTER DEFAULT PRIVILEGES FOR ROLE app_owner IN SCHEMA {target} GRANT INSERT, SELECT ON TABLES TO web",
        )


def test_only_default_privileges_that_the_target_lacks_are_copied() -> None:
    entries = (
        default_privileges(OWNER, "public", *grant("web", "INSERT", "SELECT")),
        default_privileges(OWNER, "tenant", *grant("web", "SELECT")),
    )
    made = plan(catalog(table("a"), schemas=[schema("tenant")], default_privileges=entries))
    step = step_named(made.steps, "default_privileges:tenant:app_owner:r")
    assert step.do == ("ALTER DEFAULT PRIVILEGES FOR ROLE app_owner IN SCHEMA tenant GRANT INSERT ON TABLES TO web",)
    assert step.undo == ("ALTER DEFAULT PRIVILEGES FOR ROLE app_owner IN SCHEMA tenant REVOKE INSERT ON TABLES FROM web",)


def test_a_default_privilege_that_the_target_has_without_grant_option_is_left_as_it_is() -> None:
    # GRANT … WITH GRANT OPTION, then REVOKE, would leave nothing of what the target had before.
    entries = (
        default_privileges(OWNER, "public", *grant("web", grantable=True)),
        default_privileges(OWNER, "tenant", *grant("web")),
    )
    made = plan(catalog(table("a"), schemas=[schema("tenant")], default_privileges=entries))
    assert not [step for step in made.steps if step.kind == "default_privileges"]


def test_default_privileges_of_others_are_not_touched_without_the_right() -> None:
    entries = (default_privileges("stranger", "public", *grant("web")),)
    roles = [Role("stranger", mover_is_member=False)]
    made = plan(catalog(table("a", owner="migrator"), server=mover(), default_privileges=entries, roles=roles))
    assert not [step for step in made.steps if step.kind == "default_privileges"]
    assert "ALTER DEFAULT PRIVILEGES FOR ROLE stranger" in one(made.findings, "default_privileges").remedy


# --- what a person has accepted ---

PARENT = catalog(table("orders"), table("old_orders", parents=["orders"]))


def accepting(finding: str, obj: str) -> Any:
    return configuration(accept=[{"finding": finding, "object": obj, "reason": "checked by Ann"}])


def test_a_refusal_that_a_person_accepts_does_not_block() -> None:
    made = plan(PARENT, accepting("inheritance_only", "public.orders"))
    finding = one(made.findings, "inheritance_only")
    assert (finding.accepted, finding.blocks) == ("checked by Ann", False)
    assert made.status == "ready"
    assert named(made.findings, "accepted_nothing") == []


def test_without_that_it_blocks() -> None:
    made = plan(PARENT)
    assert made.status == "refused"
    assert [finding.id for finding in made.refusals] == ["inheritance_only"]


def test_only_the_named_object_is_accepted() -> None:
    made = plan(PARENT, accepting("inheritance_only", "public.other"))
    assert made.status == "refused"
    warning = one(made.findings, "accepted_nothing")
    assert (warning.severity, warning.object) == ("warn", "public.other")
    assert "inheritance_only" in warning.reason


def test_a_refusal_that_nobody_can_live_with_stays_one() -> None:
    made = plan(
        catalog(table("a"), table("b")),
        configuration({"tenant": "a"}, accept=[{"finding": "unplaced_table", "object": "public.b", "reason": "later"}]),
    )
    finding = one(made.findings, "unplaced_table")
    assert (finding.accepted, finding.blocks, made.status) == (None, True, "refused")
    assert "nobody can decide to live with it" in finding.reason
    assert named(made.findings, "accepted_nothing") == []


def test_accepting_a_warning_accepts_nothing() -> None:
    made = plan(catalog(table("a")), accepting("dump_by_name", "public"))
    assert one(made.findings, "dump_by_name").accepted is None
    assert one(made.findings, "accepted_nothing").object == "public"


@pytest.mark.parametrize(("finding", "obj"), [("rewritten", "tenant.a"), ("schema_not_empty", "tenant")])
def test_what_is_accepted_for_verify_and_rollback_is_not_called_useless(finding: str, obj: str) -> None:
    # verification.py and rollback_plan.py tell the person to write exactly this entry.
    assert named(plan(catalog(table("a")), accepting(finding, obj)).findings, "accepted_nothing") == []
