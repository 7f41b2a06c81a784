"""Do, undo and rewind against a simulation of what PostgreSQL does with the same SQL."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import (
    Catalog,
    EventTrigger,
    ForeignKey,
    Publication,
    Relation,
    TypeName,
)
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_routines import Routine
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Step
from ansible_collections.dbops.multischema.plugins.module_utils.steps import rewind
from tests.unit.builders import (
    OWNER,
    catalog,
    configuration,
    default_privileges,
    everything,
    grant,
    index,
    oid,
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

FULL = catalog(
    table("orders", acl=(*everything(OWNER), *grant("web", "SELECT", "INSERT")), sequences=(sequence("orders_id_seq"),)),
    table("Grade Book", owner="teacher", indexes=(index("Grade Book_pkey"), index('odd" index'))),
    table('a"; DROP TABLE x; --', statistics=(statistics("odd stx"), statistics("far_stx", "elsewhere"))),
    table("events", "p", acl=(*everything(OWNER), *grant("PUBLIC"))),
    partition("events_1", "events"),
    partition("events_2", "events", sequences=(sequence("events_2_seq", identity=True),)),
    table("mother"),
    table("father"),
    table("child", parents=["mother", "father"], row_security=True),
    table("salaries", column_grants=grant("web", column="id"), acl=everything(OWNER)),
    table("remote", "f"),
    table("_prisma_migrations"),
    table("there_before", schema="kept"),
    views=[view("totals", "orders", "events"), view("report", "there_before", schema="kept", kind="m")],
    relations=[relation("free_seq", "S")],
    schemas=[schema("kept", "app_owner", *grant("auditor", "USAGE"))],
    types=(TypeName(7, "kept", "colour", "e"),),
    routines=(Routine(8, "public", "f"),),
    foreign_keys=(
        ForeignKey("fk", oid("orders"), oid("events")),
        ForeignKey("inside", oid("_prisma_migrations"), oid("_prisma_migrations")),
    ),
    default_privileges=(
        default_privileges(OWNER, "public", *grant("web", "INSERT", "SELECT"), *grant("auditor", grantable=True)),
        default_privileges(OWNER, "public", *grant("web", "USAGE"), kind="S"),
        default_privileges(OWNER, "kept", *grant("web", "SELECT")),
        default_privileges("postgres", None, *grant("backup")),
    ),
    publications=(
        Publication("by_schema", "postgres", False, schemas=("public",), tables=(oid("orders"),)),
        Publication("by_name", "postgres", False, tables=(oid("events"), oid("mother"))),
    ),
    event_triggers=(EventTrigger("audit", "ddl_command_end", "public.log", True),),
)
WANTED = configuration({"kept": ["orders", "Grade Book", "e*"], "New One": "*"}, application_roles=["web", "postgres"])


def canonical(found: Catalog) -> Catalog:
    """Equal for two observations of the same database."""
    return replace(
        found,
        relations=tuple(sorted(found.relations, key=lambda r: r.oid)),
        types=tuple(sorted(found.types, key=lambda t: t.oid)),
        default_privileges=tuple(
            replace(d, grants=tuple(sorted(d.grants, key=lambda g: (g.grantee, g.privilege))))
            for d in sorted(found.default_privileges, key=lambda d: (d.role, d.schema or "", d.object_type))
        ),
        publications=tuple(replace(p, tables=tuple(sorted(p.tables))) for p in found.publications),
        views=tuple(sorted(found.views, key=lambda v: v.oid)),
    )


STEPS = plan(FULL, WANTED).steps


def applied(steps: tuple[Step, ...], before: Catalog = FULL) -> Catalog:
    return run(before, *(statement for step in steps for statement in step.do))


def test_the_sample_has_every_kind_of_step() -> None:
    assert {step.kind for step in STEPS} == {"create_schema", "grant_usage", "default_privileges", "move_tables"}
    assert sum(len(step.do) for step in STEPS) > 50


def test_the_steps_can_be_run_in_their_order() -> None:
    after = applied(STEPS)
    assert {(t.name, t.schema) for t in after.tables} == {
        ("orders", "kept"),
        ("Grade Book", "kept"),
        ("events", "kept"),
        ("events_1", "kept"),
        ("events_2", "kept"),
        ('a"; DROP TABLE x; --', "New One"),
        ("mother", "New One"),
        ("father", "New One"),
        ("child", "New One"),
        ("salaries", "New One"),
        ("remote", "New One"),
        ("_prisma_migrations", "public"),
        ("there_before", "kept"),
    }


@pytest.mark.parametrize("count", range(len(STEPS) + 1))
def test_rewinding_what_was_done_gives_the_catalog_before(count: int) -> None:
    done = STEPS[:count]
    assert canonical(rewind(applied(done), done)) == canonical(FULL)


def test_undoing_in_reverse_order_gives_the_catalog_before() -> None:
    after = applied(STEPS)
    undone = run(after, *(statement for step in reversed(STEPS) for statement in step.undo))
    assert canonical(undone) == canonical(FULL)


@pytest.mark.parametrize("step", [s for s in STEPS if s.kind == "move_tables"], ids=lambda step: step.id)
def test_each_move_is_undone_alone(step: Step) -> None:
    phase1 = applied(tuple(s for s in STEPS if s.phase == 1))
    assert canonical(run(run(phase1, *step.do), *step.undo)) == canonical(phase1)


def test_planning_again_in_the_middle_gives_the_same_plan() -> None:
    for count in (1, 4, len(STEPS) // 2, len(STEPS)):
        again = plan(rewind(applied(STEPS[:count]), STEPS[:count]), WANTED)
        assert again.steps == STEPS
        assert again.digest == plan(FULL, WANTED).digest


def test_what_others_have_done_meanwhile_is_not_rewound() -> None:
    after = applied(STEPS)
    later = table("made_later", schema="kept")
    stranger = view("their_view", "orders")
    after = replace(
        after,
        tables=(*after.tables, later),
        relations=(*after.relations, relation("made_later", schema="kept"), relation("their_view", "v")),
        views=(*after.views, stranger),
    )
    seen = rewind(after, STEPS)
    assert later in seen.tables
    assert stranger in seen.views
    assert {r.name for r in seen.relations} - {r.name for r in FULL.relations} == {"made_later", "their_view"}


def test_an_index_that_was_made_on_a_moved_table_since_goes_back_with_it() -> None:
    after = applied(STEPS)
    later = index("later_idx")
    tables = tuple(replace(t, indexes=(*t.indexes, later)) if t.name == "orders" else t for t in after.tables)
    seen = rewind(replace(after, tables=tables, relations=(*after.relations, Relation(later.oid, "kept", later.name, "i"))), STEPS)
    assert [r.schema for r in seen.relations if r.oid == later.oid] == ["public"]


def test_nothing_done_is_nothing_rewound() -> None:
    assert rewind(FULL, []) is FULL
