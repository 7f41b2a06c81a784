"""Names that are taken, and what belongs to a table."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.dbops.multischema.plugins.module_utils import findings_objects
from ansible_collections.dbops.multischema.plugins.module_utils.catalog import (
    Role,
    TypeName,
)
from tests.unit import builders as b
from tests.unit.builders import catalog, mover, relation, table
from tests.unit.finding_cases.case import (
    MEMBER,
    MOVER,
    NO_MEMBER,
    ORDERS,
    SERIAL,
    STATISTICS_OF_BOSS,
    STRANGER,
    STX,
    TAKES_NUMBERS,
    TENANT,
    WITHOUT_VIEWS,
    Case,
    two,
)

CASES = [
    Case(
        "collision",
        "refuse",
        "public.orders",
        two(relations=[relation("orders", "v", "tenant")]),
        two(relations=[relation("orders", "v", "elsewhere"), relation("others", "v", "tenant")]),
        says="Its table orders cannot go to tenant: a view of that name is already there.",
    ),
    Case(
        "collision",
        "refuse",
        "public.orders",
        two(relations=[relation("orders_pkey", "S", "tenant")]),
        says="Its index orders_pkey cannot go to tenant: a sequence of that name",
    ),
    Case(
        "collision",
        "refuse",
        "public.orders",
        catalog(table("orders", sequences=(b.sequence("orders_id_seq"),)), relations=[relation("orders_id_seq", "i", "tenant")]),
        says="Its sequence orders_id_seq cannot go to tenant",
    ),
    Case(
        "collision",
        "refuse",
        "public.orders",
        two(types=(TypeName(1, "tenant", "orders", "e"),)),
        two(types=(TypeName(1, "tenant", "order", "e"), TypeName(2, "elsewhere", "orders", "e"))),
        says="Its row type orders cannot go to tenant: a type of that name",
    ),
    Case("collision", "refuse", "public.orders", two(types=(TypeName(1, "tenant", "_orders", "d"),)), says="Its array type _orders"),
    # A table there brings a row type of its name, which may be what the array type of ours is called.
    Case(
        "collision",
        "refuse",
        "public.orders",
        two(relations=[relation("_orders", "r", "tenant")], types=(TypeName(1, "tenant", "_orders", "c"),)),
        two(relations=[relation("_order", "r", "tenant")], types=(TypeName(1, "tenant", "_order", "c"),)),
        says="Its array type _orders cannot go to tenant",
    ),
    Case(
        "collision",
        "refuse",
        "public.orders",
        catalog(STX, statistics=[b.statistics("orders_stx", "tenant")]),
        catalog(STX, statistics=[b.statistics("orders_stx", "elsewhere")]),
        catalog(replace(STX, statistics=(b.statistics("orders_stx", "elsewhere"),)), statistics=[b.statistics("orders_stx", "tenant")]),
        says="Its statistics orders_stx",
    ),
    Case(
        "not_owner",
        "refuse",
        "public.orders",
        two(server=MOVER, roles=[NO_MEMBER]),
        two(server=MOVER, roles=[MEMBER]),
        two(roles=[NO_MEMBER]),
        catalog(table("orders", owner="migrator"), schemas=[TENANT], server=MOVER),
        says="GRANT app_owner TO migrator",
    ),
    Case(
        "not_owner",
        "refuse",
        "public.orders",
        catalog(table("orders", statistics=(STATISTICS_OF_BOSS,)), schemas=[TENANT], server=MOVER, roles=[MEMBER, STRANGER]),
        catalog(table("orders", statistics=(STATISTICS_OF_BOSS,)), schemas=[TENANT], server=MOVER, roles=[MEMBER, Role("boss")]),
        catalog(table("orders", statistics=(replace(STATISTICS_OF_BOSS, schema="x"),)), server=MOVER, roles=[MEMBER, STRANGER]),
        says="Its statistics object orders_stx belongs to boss",
    ),
    Case(
        "not_owner",
        "refuse",
        "public.orders",
        catalog(ORDERS, server=MOVER, roles=[replace(NO_MEMBER, mover_belongs=True)]),
        says="GRANT app_owner TO migrator WITH INHERIT TRUE, SET TRUE",
    ),
    Case(
        "not_owner",
        "refuse",
        "public.orders",
        catalog(ORDERS, server=mover(15, use_on_schemas=("public",)), roles=[replace(NO_MEMBER, mover_belongs=True)]),
        says="ALTER ROLE migrator INHERIT",
    ),
    Case(
        "statistics",
        "auto",
        "public.orders",
        catalog(STX),
        catalog(replace(STX, statistics=(b.statistics("orders_stx", "elsewhere"),))),
        two(),
        says="orders_stx",
    ),
    Case(
        "large_tree",
        "warn",
        "public.orders",
        catalog(table("orders", "p"), *(b.partition(f"orders_{n}", "orders") for n in range(findings_objects.LARGE_TREE))),
        catalog(table("orders", "p"), *(b.partition(f"orders_{n}", "orders") for n in range(findings_objects.LARGE_TREE - 1))),
        says=f"with {findings_objects.LARGE_TREE} members in one transaction",
    ),
    Case("migration_tools", "warn", "public", two(), catalog(), says="A migration tool finds views"),
    Case("migration_tools", "warn", "public", two(), catalog(), wanted=WITHOUT_VIEWS, says="(public.orders), ALTER TABLE IF EXISTS"),
    Case(
        "shared_sequence",
        "auto",
        "public.orders_id_seq",
        catalog(SERIAL, table("users", defaults=(TAKES_NUMBERS,))),
        catalog(replace(SERIAL, defaults=(TAKES_NUMBERS,)), table("users")),
        says="Defaults of 1 other table take",
    ),
    Case(
        "extension_table_stays",
        "auto",
        "public.spatial_ref_sys",
        two(table("spatial_ref_sys", extension="postgis")),
        two(table("spatial_ref_sys")),
        says="it stays in public",
    ),
    Case(
        "extension_member",
        "refuse",
        "public.orders_1",
        catalog(table("orders"), b.table("orders_1", parents=["orders"], extension="tiles")),
        catalog(table("orders"), b.table("orders_1", parents=["orders"])),
        says="belongs to the extension tiles",
    ),
    Case(
        "undo_impossible",
        "refuse",
        "public",
        two(server=mover(create_on_schemas=("tenant",))),
        two(server=MOVER),
        two(),
        says="GRANT CREATE ON SCHEMA public TO migrator",
    ),
]
