"""A move is one list of statements and its undo, and says what it locks and what it moves."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog, Publication, Table
from ansible_collections.dbops.multischema.plugins.module_utils.move_step import MoveTables, lock_statement, publications_left
from ansible_collections.dbops.multischema.plugins.module_utils.placement import Group
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Lock, Member, Step
from tests.unit.builders import OWNER, catalog, everything, grant, index, mover, oid, partition, sequence, statistics, table

VIEW = "CREATE VIEW public.{0} WITH (security_invoker=true) AS SELECT * FROM tenant.{0}"
TO_OWNER = "ALTER VIEW public.{0} OWNER TO app_owner"


def build(*members: Table, view: bool = True, seen: Catalog | None = None, **values: Any) -> Step:
    return MoveTables.build(seen or catalog(*members, **values), Group(members, "tenant", "rule 1", view))


def lock(*tables: Table, **values: Any) -> list[str]:
    return list(lock_statement(catalog(*tables, **values), "public", tables))


def test_one_table_with_a_view() -> None:
    step = build(table("orders", acl=(*everything(OWNER), *grant("web"))))
    assert (step.id, step.phase, step.kind) == ("move:public.orders", 2, "move_tables")
    assert step.title == "Move public.orders to tenant"
    assert step.do == (
        "LOCK TABLE public.orders IN ACCESS EXCLUSIVE MODE",
        "ALTER TABLE public.orders SET SCHEMA tenant",
        VIEW.format("orders"),
        TO_OWNER.format("orders"),
        "GRANT SELECT ON public.orders TO web",
    )
    assert step.undo == (
        "DROP VIEW public.orders",  # the view first, as readers do
        "LOCK TABLE tenant.orders IN ACCESS EXCLUSIVE MODE",
        "ALTER TABLE tenant.orders SET SCHEMA public",
    )


def test_one_table_without_a_view() -> None:
    step = build(table("orders"), view=False)
    assert step.do == ("LOCK TABLE public.orders IN ACCESS EXCLUSIVE MODE", "ALTER TABLE public.orders SET SCHEMA tenant")
    assert step.undo == ("LOCK TABLE tenant.orders IN ACCESS EXCLUSIVE MODE", "ALTER TABLE tenant.orders SET SCHEMA public")
    assert not any(member.view for member in step.members)


def test_a_tree_is_locked_by_its_root_and_moves_root_first() -> None:
    step = build(table("orders", "p"), partition("orders_1", "orders"), partition("orders_2", "orders"))
    assert step.title == "Move public.orders with 2 members to tenant"
    assert step.do[:4] == (
        "LOCK TABLE public.orders IN ACCESS EXCLUSIVE MODE",
        "ALTER TABLE public.orders SET SCHEMA tenant",
        "ALTER TABLE public.orders_1 SET SCHEMA tenant",
        "ALTER TABLE public.orders_2 SET SCHEMA tenant",
    )
    assert step.undo == (
        "DROP VIEW public.orders, public.orders_1, public.orders_2",
        "LOCK TABLE tenant.orders IN ACCESS EXCLUSIVE MODE",
        "ALTER TABLE tenant.orders SET SCHEMA public",
        "ALTER TABLE tenant.orders_1 SET SCHEMA public",
        "ALTER TABLE tenant.orders_2 SET SCHEMA public",
    )


def test_every_root_of_a_family_is_locked() -> None:
    step = build(table("father"), table("mother"), table("child", parents=["father", "mother"]))
    assert step.do[0] == "LOCK TABLE public.father, public.mother IN ACCESS EXCLUSIVE MODE"
    assert step.undo[:2] == (
        "DROP VIEW public.father, public.mother, public.child",
        "LOCK TABLE tenant.father, tenant.mother IN ACCESS EXCLUSIVE MODE",
    )


def test_a_table_whose_parent_is_elsewhere_is_a_root_of_its_own() -> None:
    assert build(partition("part", "root_elsewhere")).do[0] == "LOCK TABLE public.part IN ACCESS EXCLUSIVE MODE"


def test_a_foreign_table_is_not_locked_because_it_cannot_be() -> None:
    step = build(table("remote", "f"), view=False)
    assert step.do == ("ALTER TABLE public.remote SET SCHEMA tenant",)
    assert step.undo == ("ALTER TABLE tenant.remote SET SCHEMA public",)
    assert lock(table("a"), table("remote", "f"), table("b")) == ["LOCK TABLE public.a, public.b IN ACCESS EXCLUSIVE MODE"]
    assert lock() == []


@pytest.mark.parametrize(
    ("right", "locked"), [("SELECT", False), ("INSERT", False), ("UPDATE", True), ("DELETE", True), ("TRUNCATE", True)]
)
def test_an_owner_who_has_given_up_writing_cannot_lock_and_relies_on_the_alter(right: str, locked: bool) -> None:
    one = table("orders", acl=grant(OWNER, right))
    assert bool(lock(one, server=mover())) is locked
    assert lock(one), "a superuser can always"
    assert lock(table("orders"), server=mover())


def test_a_grant_to_the_connected_role_itself_lets_it_lock() -> None:
    assert lock(table("orders", acl=grant("migrator", "UPDATE")), server=mover())
    assert not lock(table("orders", acl=grant("web", "UPDATE")), server=mover())


def test_statistics_go_along_and_come_back() -> None:
    step = build(table("orders", statistics=(statistics("orders_stx"),)), view=False)
    assert step.do[2:] == ("ALTER STATISTICS public.orders_stx SET SCHEMA tenant",)
    assert step.undo[2:] == ("ALTER STATISTICS tenant.orders_stx SET SCHEMA public",)
    assert Member(oid("orders_stx"), "s", "orders_stx") in step.members


def test_statistics_that_stand_elsewhere_are_left_there() -> None:
    step = build(table("orders", statistics=(statistics("orders_stx", "stats"),)))
    assert not any("STATISTICS" in text for text in (*step.do, *step.undo))
    assert not any(member.kind == "s" for member in step.members)


def test_members_are_everything_that_moves() -> None:
    one = table("orders", indexes=(index("orders_pkey"), index("orders_day")), sequences=(sequence("orders_id_seq"),))
    assert build(one).members == (
        Member(oid("orders"), "r", "orders", view=True),
        Member(oid("orders_pkey"), "i", "orders_pkey"),
        Member(oid("orders_day"), "i", "orders_day"),
        Member(oid("orders_id_seq"), "S", "orders_id_seq"),
    )


def test_tables_and_their_sequences_are_locked() -> None:
    step = build(table("orders", "p", sequences=(sequence("orders_id_seq"),)), partition("orders_1", "orders"))
    assert step.locks == (Lock("public.orders"), Lock("public.orders_1"), Lock("public.orders_id_seq"))
    assert {lock.mode for lock in step.locks} == {"ACCESS EXCLUSIVE"}


# --- publications ---

BY_SCHEMA = Publication("cdc", "postgres", False, schemas=("public",))


def test_a_table_that_is_published_only_with_its_schema_is_added_by_name() -> None:
    step = build(table("orders"), view=False, publications=(BY_SCHEMA,))
    assert step.do[2:] == ("ALTER PUBLICATION cdc ADD TABLE ONLY tenant.orders",)
    assert step.undo[1:] == ("ALTER PUBLICATION cdc DROP TABLE ONLY tenant.orders", "ALTER TABLE tenant.orders SET SCHEMA public")
    assert step.detail["publications"] == [["cdc", oid("orders")]]


def test_a_table_that_is_published_by_name_or_not_at_all_is_left_alone() -> None:
    others = (
        Publication("by_name", "postgres", False, schemas=("public",), tables=(oid("orders"),)),
        Publication("elsewhere", "postgres", False, schemas=("audit",)),
        Publication("everything", "postgres", True),
    )
    step = build(table("orders"), publications=others)
    assert not any("PUBLICATION" in text for text in (*step.do, *step.undo))
    assert step.detail["publications"] == []


@pytest.mark.parametrize("one", [table("remote", "f"), table("fast", persistence="u")], ids=["foreign", "unlogged"])
def test_what_cannot_be_published_is_not_added(one: Table) -> None:
    assert publications_left(catalog(one, publications=(BY_SCHEMA,)), one, "tenant") == []
    assert publications_left(catalog(table("orders"), publications=(BY_SCHEMA,)), table("orders"), "tenant") == [BY_SCHEMA]


def test_what_stood_elsewhere_before_is_remembered_so_that_it_stays_there() -> None:
    root = table("events", "p", statistics=(statistics("near"), statistics("far", "elsewhere")))
    outside = partition("events_far", "events", schema="tenant")
    step = build(root, seen=catalog(root, outside, table("other", schema="tenant")))
    assert step.detail["settled"] == sorted([oid("events_far"), oid("far")])
    assert build(table("orders")).detail["settled"] == []


def test_names_are_quoted_wherever_they_stand() -> None:
    one = table('x"; --', schema="Old", statistics=(statistics("S x", "Old"),), owner="postgres")
    published = (Publication("Big One", "postgres", False, schemas=("Old",)),)
    step = MoveTables.build(catalog(one, source_schema="Old", publications=published), Group((one,), "New", "", True))
    assert step.do == (
        'LOCK TABLE "Old"."x""; --" IN ACCESS EXCLUSIVE MODE',
        'ALTER TABLE "Old"."x""; --" SET SCHEMA "New"',
        'ALTER STATISTICS "Old"."S x" SET SCHEMA "New"',
        'ALTER PUBLICATION "Big One" ADD TABLE ONLY "New"."x""; --"',
        'CREATE VIEW "Old"."x""; --" WITH (security_invoker=true) AS SELECT * FROM "New"."x""; --"',
    )
    assert step.undo == (
        'DROP VIEW "Old"."x""; --"',
        'LOCK TABLE "New"."x""; --" IN ACCESS EXCLUSIVE MODE',
        'ALTER PUBLICATION "Big One" DROP TABLE ONLY "New"."x""; --"',
        'ALTER TABLE "New"."x""; --" SET SCHEMA "Old"',
        'ALTER STATISTICS "New"."S x" SET SCHEMA "Old"',
    )
