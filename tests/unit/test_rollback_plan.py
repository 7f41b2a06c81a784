"""The way back is the journal in reverse, and whatever stands in its way is found before anything is undone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog, Dependent, Publication, Role, SchemaObject, View
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_paths import PathSetting, PathUser
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Finding
from ansible_collections.dbops.multischema.plugins.module_utils.rollback_plan import WayBack, plan_rollback
from tests.unit.builders import (
    catalog,
    configuration,
    default_privileges,
    grant,
    index,
    journaled,
    mover,
    oid,
    one,
    partition,
    plan,
    relation,
    schema,
    sequence,
    statistics,
    table,
    view,
)
from tests.unit.simulation import run
from tests.unit.test_rewind import FULL, WANTED, canonical

BEFORE = catalog(
    table("orders", sequences=(sequence("orders_id_seq"),), statistics=(statistics("orders_stx"),)),
    table("events", "p"),
    partition("events_1", "events"),
    table("kept"),
    default_privileges=(default_privileges("app_owner", "public", *grant("web")),),
)
STEPS = plan(BEFORE, configuration(keep=["kept"])).steps
AFTER = run(BEFORE, *(statement for step in STEPS for statement in step.do))


def back(now: Catalog, accepted: Iterable[tuple[str, str]] = (), **values: Any) -> WayBack:
    return plan_rollback(replace(now, **values), journaled(STEPS), frozenset(accepted))


def refusals(now: Catalog, **values: Any) -> tuple[Finding, ...]:
    return back(now, **values).refusals


def with_table(*tables: Any, now: Catalog = AFTER) -> Catalog:
    more = catalog(*tables)
    return replace(now, tables=(*now.tables, *tables), relations=(*now.relations, *more.relations))


def with_relation(*relations: Any) -> Catalog:
    return replace(AFTER, relations=(*AFTER.relations, *relations))


def test_everything_is_undone_the_last_first() -> None:
    way = back(AFTER)
    assert way.refusals == ()
    assert [step.id for _, step in way.steps] == [step.id for step in reversed(STEPS)]
    assert [entry.seq for entry, _ in way.steps] == list(range(len(STEPS), 0, -1))


def test_it_leads_back_to_where_it_began() -> None:
    undone = run(AFTER, *(statement for _, step in back(AFTER).steps for statement in step.undo))
    assert canonical(undone) == canonical(BEFORE)


def test_the_way_back_of_the_sample_with_everything_in_it() -> None:
    steps = plan(FULL, WANTED).steps
    after = run(FULL, *(statement for step in steps for statement in step.do))
    way = plan_rollback(after, journaled(steps))
    assert way.refusals == ()
    assert canonical(run(after, *(statement for _, step in way.steps for statement in step.undo))) == canonical(FULL)


def test_with_nothing_done_there_is_nothing_to_undo() -> None:
    assert plan_rollback(BEFORE, []) == WayBack((), ())


def test_half_a_migration_is_undone_too() -> None:
    half = journaled(STEPS[:3])
    now = run(BEFORE, *(statement for step in STEPS[:3] for statement in step.do))
    assert [step.id for _, step in plan_rollback(now, half).steps] == [step.id for step in reversed(STEPS[:3])]


# --- what has joined since ---


def undo_of(way: WayBack, step_id: str) -> tuple[str, ...]:
    return next(step.undo for _, step in way.steps if step.id == step_id)


def test_partitions_made_since_come_back_with_their_tree() -> None:
    new = partition("events_2", "events", "p", schema="tenant")
    deep = partition("events_2_a", "events_2", schema="tenant", statistics=(statistics("events_2_stx", "tenant"),))
    way = back(with_table(new, deep))
    assert way.refusals == ()
    undo = undo_of(way, "move:public.events")
    assert set(undo[-3:]) == {
        "ALTER TABLE tenant.events_2 SET SCHEMA public",
        "ALTER TABLE tenant.events_2_a SET SCHEMA public",
        "ALTER STATISTICS tenant.events_2_stx SET SCHEMA public",
    }
    step = next(step for _, step in way.steps if step.id == "move:public.events")
    assert {"events_2", "events_2_a", "events_2_stx"} <= {member.name for member in step.members}


def test_children_made_elsewhere_stay_where_they_are() -> None:
    assert undo_of(back(with_table(partition("events_2", "events", schema="elsewhere"))), "move:public.events") == next(
        step.undo for step in STEPS if step.id == "move:public.events"
    )


def test_what_stood_in_the_target_before_stays_there() -> None:
    root = table("events", "p", statistics=(statistics("far", "tenant"),))
    before = catalog(root, partition("events_far", "events", schema="tenant"), schemas=[schema("tenant")])
    steps = plan(before).steps
    now = run(before, *(statement for step in steps for statement in step.do))
    way = plan_rollback(now, journaled(steps))
    assert undo_of(way, "move:public.events") == next(step.undo for step in steps if step.kind == "move_tables")
    assert canonical(run(now, *(statement for _, step in way.steps for statement in step.undo))) == canonical(before)


def test_statistics_made_since_come_back_with_their_table() -> None:
    tables = tuple(
        replace(t, statistics=(*t.statistics, statistics("later", "tenant"), statistics("aside", "public"))) if t.name == "orders" else t
        for t in AFTER.tables
    )
    undo = undo_of(back(replace(AFTER, tables=tables)), "move:public.orders")
    assert undo[-1] == "ALTER STATISTICS tenant.later SET SCHEMA public"
    assert not any("aside" in text for text in undo)


def test_indexes_and_sequences_made_since_come_back_by_themselves() -> None:
    tables = tuple(
        replace(t, indexes=(*t.indexes, index("later_idx")), sequences=(*t.sequences, sequence("later_seq", "other")))
        if t.name == "orders"
        else t
        for t in AFTER.tables
    )
    now = replace(
        AFTER,
        tables=tables,
        relations=(
            *AFTER.relations,
            relation("later_idx", "i", "tenant"),
            replace(relation("later_seq", "S", "tenant"), oid=oid("later_seq")),
        ),
    )
    assert refusals(now) == ()


# --- what is not as it was left ---


def with_one(which: str, **changes: Any) -> Catalog:
    number = oid(which)
    names = {key: value for key, value in changes.items() if key in ("name", "schema")}
    return replace(
        AFTER,
        tables=tuple(replace(t, **changes) if t.oid == number else t for t in AFTER.tables),
        relations=tuple(replace(r, **names) if r.oid == number else r for r in AFTER.relations),
    )


def test_a_table_that_was_dropped_since_is_named_and_the_rest_comes_back() -> None:
    now = replace(
        AFTER,
        tables=tuple(t for t in AFTER.tables if t.name != "events_1"),
        relations=tuple(r for r in AFTER.relations if r.name not in ("events_1", "events_1_pkey")),
        views=tuple(v for v in AFTER.views if v.name != "events_1"),
    )
    way = back(now)
    assert (way.refusals, way.gone) == ((), ("tenant.events_1",))
    assert not [text for text in undo_of(way, "move:public.events") if "events_1" in text]
    undone = run(now, *(statement for _, step in way.steps for statement in step.undo))
    assert {t.name: t.schema for t in undone.tables} == {"orders": "public", "events": "public", "kept": "public"}


def test_with_everything_there_nothing_is_gone() -> None:
    assert back(AFTER).gone == ()


def test_a_table_that_was_renamed_since_comes_back_under_its_new_name() -> None:
    now = with_one("orders", name="purchases")
    way = back(now)
    assert (way.refusals, way.gone) == ((), ())
    assert "ALTER TABLE tenant.purchases SET SCHEMA public" in undo_of(way, "move:public.orders")
    assert "DROP VIEW public.orders" in undo_of(way, "move:public.orders")
    run(now, *(statement for _, step in way.steps for statement in step.undo))


def test_a_table_that_was_moved_on_since_is_refused() -> None:
    finding = one(refusals(with_one("orders", schema="elsewhere")), "moved_on")
    assert (finding.object, finding.blocks, finding.acceptable) == ("elsewhere.orders", True, False)
    assert "ALTER TABLE elsewhere.orders SET SCHEMA tenant" in finding.remedy


def test_a_view_that_was_dropped_since_is_not_dropped_again() -> None:
    now = run(AFTER, "DROP VIEW public.orders")
    way = back(now)
    assert "DROP VIEW public.orders" not in undo_of(way, "move:public.orders")
    assert canonical(run(now, *(statement for _, step in way.steps for statement in step.undo))) == canonical(BEFORE)


def test_a_table_that_was_taken_out_of_a_publication_since_is_not_taken_out_again() -> None:
    before = replace(BEFORE, publications=(Publication("cdc", "postgres", False, schemas=("public",)),))
    steps = plan(before, configuration(keep=["kept"])).steps
    now = run(before, *(statement for step in steps for statement in step.do), "ALTER PUBLICATION cdc DROP TABLE ONLY tenant.orders")
    way = plan_rollback(now, journaled(steps))
    assert not [text for text in undo_of(way, "move:public.orders") if "PUBLICATION" in text]
    assert canonical(run(now, *(statement for _, step in way.steps for statement in step.undo))) == canonical(before)


def test_a_schema_that_is_gone_already_is_not_dropped_again() -> None:
    bare = [step for step in STEPS if step.phase == 1]
    way = plan_rollback(BEFORE, journaled(bare))
    assert {step.undo for _, step in way.steps} == {()}


# --- what stands in the way ---


@pytest.mark.parametrize("what", ["view dashboard", "function total(public.orders)", "column row of table snapshots"])
def test_what_was_built_on_a_compatibility_view_is_refused(what: str) -> None:
    ours = next(r for r in AFTER.relations if (r.schema, r.name) == ("public", "orders"))
    finding = one(refusals(AFTER, dependents=(Dependent(ours.oid, what),)), "view_has_dependents")
    assert (finding.object, finding.blocks, finding.acceptable) == (what, True, False)
    assert "public.orders" in finding.reason


def test_a_view_that_is_not_the_one_that_was_made_is_refused() -> None:
    ours = next(r for r in AFTER.relations if (r.schema, r.name) == ("public", "orders"))
    now = replace(AFTER, views=(*AFTER.views, View(ours.oid, "public", "orders", "v", (), "md5")))

    def seen(known: list[Any]) -> list[str]:
        entries = [replace(e, identity={"views": {"orders": known}}) if "orders" in e.step.id else e for e in journaled(STEPS)]
        return [finding.id for finding in plan_rollback(now, entries).refusals]

    assert seen([ours.oid, "md5"]) == []
    assert seen([ours.oid, "another definition"]) == ["view_replaced"]
    assert seen([ours.oid + 1, "md5"]) == ["view_replaced"]


def test_a_view_on_the_table_itself_is_no_obstacle() -> None:
    assert refusals(AFTER, views=(*AFTER.views, view("dashboard", "orders"))) == ()


def in_schema(name: str, schema: str) -> Catalog:
    return replace(AFTER, tables=tuple(replace(t, schema=schema) if t.name == name else t for t in AFTER.tables))


def test_a_table_that_was_moved_on_is_refused_with_the_way_back() -> None:
    finding = one(refusals(in_schema("orders", "third")), "moved_on")
    assert (finding.object, finding.blocks) == ("third.orders", True)
    assert "ALTER TABLE third.orders SET SCHEMA tenant" in finding.remedy


def test_a_table_that_was_moved_back_by_hand_is_left_there() -> None:
    assert "moved_on" not in [finding.id for finding in refusals(in_schema("orders", "public"))]


@pytest.mark.parametrize("name", ["orders_pkey", "orders_id_seq"])
def test_a_name_that_was_taken_in_the_source_is_refused(name: str) -> None:
    finding = one(refusals(with_relation(relation(name, "r"))), "name_taken")
    assert (finding.object, finding.blocks) == (f"public.{name}", True)
    assert "A table of that name" in finding.reason


def test_a_name_that_a_table_took_from_its_view_is_refused() -> None:
    others = tuple(r for r in AFTER.relations if (r.schema, r.name) != ("public", "orders"))
    assert one(refusals(AFTER, relations=(*others, relation("orders", "r"))), "name_taken").object == "public.orders"


def test_the_name_of_a_partition_made_since_may_be_taken_too() -> None:
    now = with_table(partition("events_2", "events", schema="tenant"))
    now = replace(now, relations=(*now.relations, relation("events_2", "m")))
    assert one(refusals(now), "name_taken").object == "public.events_2"


def test_a_view_that_was_never_ours_takes_a_name_too() -> None:
    bare = plan(BEFORE, configuration(keep=["kept"], compatibility_views=False)).steps
    now = run(BEFORE, *(statement for step in bare for statement in step.do))
    now = replace(now, relations=(*now.relations, relation("orders", "v")))
    assert one(plan_rollback(now, journaled(bare)).refusals, "name_taken").object == "public.orders"


def strangers(*names: str, schema: str = "tenant") -> tuple[SchemaObject, ...]:
    return tuple(SchemaObject(schema, 900_000 + n, name) for n, name in enumerate(names))


@pytest.mark.parametrize("what", ["table theirs", "collation cc", "type colour", "function tidy()", "operator ==="])
def test_what_others_have_put_into_a_schema_that_would_be_dropped_is_refused(what: str) -> None:
    finding = one(refusals(AFTER, contents=strangers(what)), "schema_not_empty")
    assert (finding.object, finding.blocks, finding.acceptable) == ("tenant", True, True)
    assert what in finding.reason


def test_what_was_moved_there_is_no_stranger() -> None:
    ours = tuple(SchemaObject("tenant", r.oid, r.name) for r in AFTER.relations if r.schema == "tenant")
    assert ours
    assert refusals(AFTER, contents=ours) == ()


def test_very_many_strangers_are_counted() -> None:
    found = refusals(AFTER, contents=strangers(*(f"table theirs_{n}" for n in range(13))))
    assert "and 3 more" in one(found, "schema_not_empty").reason


def test_row_types_of_moved_tables_are_no_strangers() -> None:
    assert AFTER.types
    assert refusals(AFTER) == ()


def test_strangers_in_a_schema_that_was_there_before_do_not_matter() -> None:
    before = replace(BEFORE, schemas=(*BEFORE.schemas, schema("tenant")))
    steps = plan(before, configuration(keep=["kept"])).steps
    now = run(before, *(statement for step in steps for statement in step.do))
    now = replace(now, contents=strangers("table theirs"))
    assert plan_rollback(now, journaled(steps)).refusals == ()


def test_where_a_person_accepts_strangers_the_schema_stays_and_everything_else_goes_back() -> None:
    way = back(replace(AFTER, contents=strangers("table theirs")), [("schema_not_empty", "tenant")])
    assert way.refusals == ()
    assert undo_of(way, "create_schema:tenant") == ()
    assert undo_of(way, "move:public.orders")
    assert way.steps[-1][1].title == "Leave schema tenant, which others use"


def test_accepting_one_schema_does_not_accept_another() -> None:
    way = back(replace(AFTER, contents=strangers("table theirs")), [("schema_not_empty", "other")])
    assert one(way.refusals, "schema_not_empty").object == "tenant"


def test_schemas_that_the_steps_take_away_are_dropped_at_the_end() -> None:
    assert back(AFTER).retired == ["tenant"]
    assert back(replace(AFTER, contents=strangers("table theirs")), [("schema_not_empty", "tenant")]).retired == []


def test_without_the_right_to_create_schemas_none_can_lose_its_name() -> None:
    may_not = replace(mover(create_on_schemas=("public", "tenant")), create_on_database=False)
    found = [f for f in refusals(AFTER, server=may_not) if f.object == "tenant"]
    assert [f.id for f in found] == ["undo_impossible"]
    assert "GRANT CREATE ON DATABASE" in found[0].remedy
    left = replace(AFTER, server=may_not, contents=strangers("table theirs"))
    assert [f for f in back(left, [("schema_not_empty", "tenant")]).refusals if "DATABASE" in f.remedy] == []


def test_without_the_right_to_create_in_the_source_nothing_can_come_back() -> None:
    roles = (Role("migrator"),)
    finding = one(refusals(AFTER, server=mover(create_on_schemas=("tenant",)), roles=roles), "undo_impossible")
    assert (finding.object, finding.blocks) == ("public", True)
    assert refusals(AFTER, server=mover(create_on_schemas=("public",)), roles=roles) == ()
    phase1 = [step for step in STEPS if step.phase == 1]
    now = run(BEFORE, *(statement for step in phase1 for statement in step.do))
    assert plan_rollback(replace(now, server=mover(create_on_schemas=())), journaled(phase1)).refusals == ()


def test_names_are_quoted_in_what_is_added() -> None:
    before = catalog(table("Events", "p"))
    steps = plan(before, configuration({"New": "*"})).steps
    now = run(before, *(statement for step in steps for statement in step.do))
    now = with_table(partition('p"; --', "Events", schema="New"), now=now)
    way = plan_rollback(now, journaled(steps))
    assert undo_of(way, 'move:public."Events"')[-1] == 'ALTER TABLE "New"."p""; --" SET SCHEMA public'


WITH_PATH = catalog(table("orders"), path_users=(PathUser("web", uses=("public",)),), search_paths=(PathSetting("web", True, "public"),))
PATH_STEP = plan(WITH_PATH, configuration(application_roles=["web"])).steps[-1]


def path_back(value: str | None, accepted: Iterable[tuple[str, str]] = (), **values: Any) -> WayBack:
    settings = (PathSetting("web", True, value),) if value is not None else ()
    return plan_rollback(replace(WITH_PATH, search_paths=settings, **values), journaled([PATH_STEP]), frozenset(accepted))


def test_a_path_goes_back_to_the_former_one() -> None:
    way = path_back("tenant, public")
    assert way.refusals == ()
    assert way.steps[0][1].undo == ("ALTER ROLE web IN DATABASE shop SET search_path = public",)


def test_a_path_that_is_as_it_was_or_whose_role_is_gone_needs_no_undo() -> None:
    for way in (path_back("public"), path_back("tenant, public", path_users=())):
        assert (way.refusals, way.steps[0][1].undo) == ((), ())


@pytest.mark.parametrize("value", ["theirs", None])
def test_a_path_that_someone_has_set_since_is_refused_or_left(value: str | None) -> None:
    finding = one(path_back(value).refusals, "search_path_changed")
    assert (finding.object, finding.acceptable) == ("web", True)
    way = path_back(value, [("search_path_changed", "web")])
    assert (way.refusals, way.steps[0][1].undo) == ((), ())


def test_a_path_that_cannot_be_set_any_more_stops_the_rollback_before_it_begins() -> None:
    users = (replace(WITH_PATH.path_users[0], may_configure=False),)
    assert one(path_back("tenant, public", path_users=users).refusals, "undo_impossible").object == "web"
