"""The way back is the journal in reverse, and whatever stands in its way is found before anything is undone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog, Role, Routine, TypeName
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


# --- what stands in the way ---


def test_a_view_on_a_compatibility_view_is_refused() -> None:
    ours = next(r for r in AFTER.relations if (r.schema, r.name) == ("public", "orders"))
    theirs = replace(view("dashboard"), reads=(ours.oid,))
    finding = one(refusals(AFTER, views=(*AFTER.views, theirs)), "view_has_dependents")
    assert (finding.object, finding.blocks, finding.acceptable) == ("public.dashboard", True, False)
    assert "public.orders" in finding.reason
    assert "pg_get_viewdef" in finding.remedy


def test_a_view_on_the_table_itself_is_no_obstacle() -> None:
    assert refusals(AFTER, views=(*AFTER.views, view("dashboard", "orders"))) == ()


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


STRANGERS: dict[str, dict[str, Any]] = {
    "table theirs": {"relations": (*AFTER.relations, relation("theirs", "r", "tenant"))},
    "view theirs": {"relations": (*AFTER.relations, relation("theirs", "v", "tenant"))},
    "sequence theirs": {"relations": (*AFTER.relations, relation("theirs", "S", "tenant"))},
    "type colour": {"types": (TypeName(1, "tenant", "colour", "e"),)},
    "type span": {"types": (TypeName(1, "tenant", "span", "r"),)},
    "type amount": {"types": (TypeName(1, "tenant", "amount", "d"),)},
    "routine tidy": {"routines": (Routine(1, "tenant", "tidy"),)},
    "composite type address": {"relations": (*AFTER.relations, relation("address", "c", "tenant"))},
}


@pytest.mark.parametrize("what", STRANGERS)
def test_what_others_have_put_into_a_schema_that_would_be_dropped_is_refused(what: str) -> None:
    finding = one(refusals(AFTER, **STRANGERS[what]), "schema_not_empty")
    assert (finding.object, finding.blocks, finding.acceptable) == ("tenant", True, True)
    assert what in finding.reason


def test_very_many_strangers_are_counted() -> None:
    now = with_relation(*(relation(f"theirs_{n}", "r", "tenant") for n in range(13)))
    assert "and 3 more" in one(refusals(now), "schema_not_empty").reason


def test_row_types_of_moved_tables_are_no_strangers() -> None:
    assert AFTER.types
    assert refusals(AFTER) == ()


def test_strangers_in_a_schema_that_was_there_before_do_not_matter() -> None:
    before = replace(BEFORE, schemas=(*BEFORE.schemas, schema("tenant")))
    steps = plan(before, configuration(keep=["kept"])).steps
    now = run(before, *(statement for step in steps for statement in step.do))
    now = replace(now, relations=(*now.relations, relation("theirs", "r", "tenant")))
    assert plan_rollback(now, journaled(steps)).refusals == ()


def test_where_a_person_accepts_strangers_the_schema_stays_and_everything_else_goes_back() -> None:
    way = back(with_relation(relation("theirs", "r", "tenant")), [("schema_not_empty", "tenant")])
    assert way.refusals == ()
    assert undo_of(way, "create_schema:tenant") == ()
    assert undo_of(way, "move:public.orders")
    assert way.steps[-1][1].title == "Leave schema tenant, which others use"


def test_accepting_one_schema_does_not_accept_another() -> None:
    way = back(with_relation(relation("theirs", "r", "tenant")), [("schema_not_empty", "other")])
    assert one(way.refusals, "schema_not_empty").object == "tenant"


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
