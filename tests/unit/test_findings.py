"""Every finding: a database that has it, and one that has not."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils import findings_objects
from ansible_collections.dbops.multischema.plugins.module_utils.catalog import (
    Catalog,
    ColumnDefault,
    EventTrigger,
    Extension,
    Publication,
    Role,
    TypeName,
)
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_followers import Slot, Subscription
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_routines import Routine
from ansible_collections.dbops.multischema.plugins.module_utils.configuration import Configuration
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Finding
from tests.unit import builders as b
from tests.unit.builders import OWNER, catalog, configuration, everything, found, grant, mover, named, oid, one, relation, schema, table

WITHOUT_VIEWS = configuration(compatibility_views=False)
STAYS = configuration({"tenant": "nothing_*"}, unplaced="keep")
TENANT = schema("tenant")


def publication(**values: Any) -> Publication:
    return Publication("cdc", **{"owner": "postgres", "all_tables": False, **values})


class Case:
    """A finding with a database that has it and similar ones that have not."""

    def __init__(
        self,
        finding: str,
        severity: str,
        obj: str,
        bad: Catalog,
        *good: Catalog,
        wanted: Configuration | None = None,
        says: str = "",
        **facts: Any,
    ) -> None:
        self.finding, self.severity, self.object = finding, severity, obj
        self.bad, self.good, self.wanted, self.says, self.facts = bad, good, wanted, says, facts


SERIAL = table("orders", sequences=(b.sequence("orders_id_seq"),))


def routine(source: str = "", row_types: tuple[int, ...] = (), **facts: Any) -> Routine:
    return Routine(oid("next_number"), "public", "next_number", "public.next_number()", source, row_types, **facts)


def audited(source: str, enabled: bool = True) -> Catalog:
    """A database with an event trigger."""
    log = Routine(oid("log"), "public", "log", "public.log()", source, returns="event_trigger")
    return two(event_triggers=(EventTrigger("audit", "ddl_command_end", "public.log", enabled, log.oid),), routines=(log,))


def two(*extra: Any, **values: Any) -> Catalog:
    return catalog(table("orders"), *extra, schemas=[TENANT], **values)


ORDERS = table("orders")
STX = table("orders", statistics=(b.statistics("orders_stx"),))
GRANTED = table("orders", column_grants=grant("web", column="id"), acl=everything(OWNER))
SECURED = table("orders", row_security=True)
MEMBER = Role(OWNER, mover_is_member=True, creates_in_source=True)
NO_MEMBER = Role(OWNER, mover_is_member=False, creates_in_source=True)
KEEPS_VIEW = Role(OWNER, mover_is_member=True, creates_in_source=False)
LEAK = (b.default_privileges("postgres", "public", *grant("web")),)
STRANGER = Role("boss", mover_is_member=False, mover_can_become=False)
STATISTICS_OF_BOSS = replace(b.statistics("orders_stx"), owner="boss")
MOVER = mover(create_on_schemas=("public", "tenant"), use_on_schemas=("public", "tenant"))

STATEMENTS = Extension("pg_stat_statements", "public", "1.10")
PLAIN = ColumnDefault("state", "'new'::text")
TAKES_NUMBERS = ColumnDefault("number", "", True, (oid("orders_id_seq"),))

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
        "undo_impossible",
        "refuse",
        "public",
        two(server=mover(create_on_schemas=("tenant",))),
        two(server=MOVER),
        two(),
        says="GRANT CREATE ON SCHEMA public TO migrator",
    ),
    Case(
        "target_not_writable",
        "refuse",
        "tenant",
        two(server=mover(create_on_schemas=("public",))),
        two(server=MOVER),
        catalog(ORDERS, server=mover(create_on_schemas=("public",))),
        two(),
        says="GRANT CREATE ON SCHEMA tenant TO migrator",
    ),
    Case(
        "schemas_not_creatable",
        "refuse",
        "shop",
        catalog(ORDERS, server=mover(create_on_database=False)),
        catalog(ORDERS, server=mover()),
        catalog(ORDERS, server=b.server(create_on_database=False)),
        says="GRANT CREATE ON DATABASE shop TO migrator",
    ),
    Case(
        "schemas_not_creatable",
        "refuse",
        "shop",
        two(server=mover(create_on_database=False, create_on_schemas=("public", "tenant"))),
        says="the one that the journal is kept in",
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
        "usage_not_grantable",
        "refuse",
        "tenant",
        catalog(ORDERS, schemas=[schema("tenant", "boss")], server=MOVER, roles=[MEMBER, STRANGER]),
        catalog(ORDERS, schemas=[schema("tenant", "boss")], server=MOVER, roles=[MEMBER, Role("boss")]),
        catalog(ORDERS, schemas=[schema("tenant", "boss")], roles=[STRANGER]),
        catalog(ORDERS, schemas=[schema("tenant", "boss", *grant(OWNER, "USAGE"))], server=MOVER, roles=[MEMBER, STRANGER]),
        catalog(
            ORDERS, schemas=[schema("tenant", "boss", *grant("migrator", "USAGE", grantable=True))], server=MOVER, roles=[MEMBER, STRANGER]
        ),
        catalog(ORDERS, server=MOVER, roles=[MEMBER, STRANGER]),
        says="As boss: GRANT USAGE ON SCHEMA tenant TO app_owner",
    ),
    Case(
        "owner_not_givable",
        "refuse",
        "tenant",
        catalog(ORDERS, server=MOVER, roles=[MEMBER, STRANGER]),
        catalog(ORDERS, server=MOVER, roles=[MEMBER, Role("boss")]),
        catalog(ORDERS, roles=[STRANGER]),
        catalog(ORDERS, schemas=[schema("tenant", "boss")], server=MOVER, roles=[MEMBER, STRANGER]),
        wanted=configuration(schemas=[{"name": "tenant", "owner": "boss"}]),
        says="GRANT boss TO migrator",
    ),
    Case(
        "owner_not_givable",
        "refuse",
        "tenant",
        catalog(ORDERS, server=MOVER, roles=[MEMBER, Role("boss", mover_is_member=True, mover_can_become=False)]),
        wanted=configuration(schemas=[{"name": "tenant", "owner": "boss"}]),
    ),
    Case(
        "owner_not_givable",
        "refuse",
        "tenant",
        catalog(ORDERS, server=MOVER, roles=[MEMBER, replace(STRANGER, mover_belongs=True)]),
        wanted=configuration(schemas=[{"name": "tenant", "owner": "boss"}]),
        says="GRANT boss TO migrator WITH INHERIT TRUE, SET TRUE",
    ),
    Case(
        "source_not_usable",
        "refuse",
        "public",
        catalog(ORDERS, server=mover(use_on_schemas=()), roles=[MEMBER]),
        catalog(ORDERS, server=MOVER, roles=[MEMBER]),
        catalog(ORDERS),
        says="GRANT USAGE ON SCHEMA public TO migrator",
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
        "view_owner",
        "warn",
        "public.orders",
        catalog(ORDERS, server=MOVER, roles=[replace(MEMBER, mover_can_become=False, mover_belongs=True)]),
        says="its membership lacks SET",
    ),
    Case(
        "view_owner",
        "warn",
        "public.orders",
        catalog(ORDERS, server=MOVER, roles=[replace(MEMBER, mover_can_become=False)]),
        says="it is no member of that role",
    ),
    Case(
        "column_privileges",
        "refuse",
        "public.orders",
        catalog(replace(GRANTED, kind="f")),
        acceptable=True,
        says="user mapping",
    ),
    Case(
        "grants_passed_on",
        "warn",
        "public.orders",
        catalog(replace(ORDERS, granted_by=("web",))),
        catalog(ORDERS),
        says="web has passed privileges on",
    ),
    Case(
        "role_called_public",
        "refuse",
        '"PUBLIC"',
        catalog(ORDERS, server=b.server(role_called_public=True)),
        catalog(ORDERS),
        says='ALTER ROLE "PUBLIC" RENAME',
    ),
    Case(
        "unknown_owner",
        "refuse",
        "tenant",
        catalog(ORDERS),
        catalog(ORDERS, roles=[Role("boss")]),
        two(),
        wanted=configuration(schemas=[{"name": "tenant", "owner": "boss"}]),
        says="boss",
    ),
    Case(
        "schema_owner_differs",
        "warn",
        "tenant",
        catalog(ORDERS, schemas=[schema("tenant", "other")], roles=[Role("boss")]),
        catalog(ORDERS, schemas=[schema("tenant", "boss")], roles=[Role("boss")]),
        catalog(ORDERS, roles=[Role("boss")]),
        wanted=configuration(schemas=[{"name": "tenant", "owner": "boss"}]),
        says="ALTER SCHEMA tenant OWNER TO boss",
    ),
    Case(
        "unknown_role",
        "refuse",
        "web",
        catalog(ORDERS),
        catalog(ORDERS, roles=[Role("web")]),
        wanted=configuration(application_roles=["web"]),
        says="does not exist",
    ),
    Case(
        "inheritance_only",
        "refuse",
        "public.orders",
        two(table("old_orders", parents=["orders"])),
        two(b.partition("orders_1", "orders")),
        two(),
        acceptable=True,
        says="accept the finding inheritance_only",
    ),
    Case(
        "column_privileges",
        "auto",
        "public.orders",
        catalog(GRANTED),
        catalog(table("orders", acl=(*everything(OWNER), *grant("web")))),
        says="web may see only some of its columns",
    ),
    Case(
        "column_privileges", "refuse", "public.orders", catalog(replace(GRANTED, row_security=True)), acceptable=True, says="row security"
    ),
    Case(
        "column_privileges",
        "refuse",
        "public.orders",
        catalog(GRANTED, server=MOVER, roles=[KEEPS_VIEW]),
        acceptable=True,
        says="must belong to app_owner",
    ),
    Case(
        "column_privileges",
        "refuse",
        "public.orders",
        catalog(replace(GRANTED, acl=grant(OWNER))),
        acceptable=True,
        says="has given up rights",
    ),
    Case("no_columns", "warn", "public.orders", catalog(table("orders", columns=())), two(), says="tenant.orders for INSERT"),
    Case(
        "row_security",
        "refuse",
        "public.orders",
        catalog(SECURED, server=b.server(14)),
        catalog(SECURED, server=b.server(15)),
        catalog(ORDERS, server=b.server(14)),
        says="PostgreSQL 14 has no security_invoker views",
    ),
    Case(
        "view_owner",
        "warn",
        "public.orders",
        two(server=MOVER, roles=[KEEPS_VIEW]),
        two(server=MOVER, roles=[MEMBER]),
        two(roles=[KEEPS_VIEW]),
        says="will belong to migrator",
    ),
    Case(
        "default_privileges_on_view",
        "auto",
        "public.orders",
        two(default_privileges=LEAK),
        two(default_privileges=(b.default_privileges("someone", "public", *grant("web")),)),
        catalog(table("orders", acl=(*everything(OWNER), *grant("web"))), default_privileges=LEAK),
        two(default_privileges=(b.default_privileges("postgres", "public", *grant(OWNER)),)),
        says="web",
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
        "publication_joins",
        "refuse",
        "cdc",
        two(publications=(publication(schemas=("tenant",)),)),
        two(publications=(publication(schemas=("public",)),)),
        two(publications=(publication(tables=(oid("orders"),)),)),
        # What is published whole already does not become more by it.
        two(publications=(publication(schemas=("public", "tenant")),)),
        two(publications=(publication(schemas=("tenant",), tables=(oid("orders"),)),)),
        catalog(replace(ORDERS, persistence="u"), schemas=[TENANT], publications=(publication(schemas=("tenant",)),)),
        says="ALTER PUBLICATION cdc DROP TABLES IN SCHEMA tenant",
    ),
    Case(
        "publication_joins",
        "refuse",
        "cdc",
        two(publications=(publication(schemas=("tenant",), tables=(oid("orders"),), filtered=(oid("orders"),)),)),
        says="filter or column list that public.orders has now",
    ),
    Case(
        "publication_joins",
        "refuse",
        "cdc",
        catalog(replace(ORDERS, replica_identity=False), schemas=[TENANT], publications=(publication(schemas=("tenant",)),)),
        says="UPDATE and DELETE of public.orders would begin to fail",
    ),
    Case(
        "publication_leaves",
        "auto",
        "public.orders",
        two(publications=(publication(schemas=("public",)),)),
        two(publications=(publication(schemas=("public",), tables=(oid("orders"),)),)),
        two(publications=(publication(schemas=("tenant",)),)),
        two(publications=(publication(schemas=("public", "tenant")),)),
        says="it is added by name",
    ),
    Case(
        "publication_leaves",
        "refuse",
        "public.orders",
        two(publications=(publication(schemas=("public",)),), server=MOVER, roles=[Role("postgres", mover_is_member=False)]),
        says="Connect as postgres or a superuser",
    ),
    Case(
        "publication_leaves",
        "auto",
        "public.orders",
        two(publications=(publication(schemas=("public",), owner="boss"),), server=MOVER, roles=[Role("boss", mover_is_member=True)]),
    ),
    Case(
        "publication_filter",
        "refuse",
        "public.orders",
        two(publications=(publication(schemas=("public",), tables=(oid("orders"),), filtered=(oid("orders"),)),)),
        two(publications=(publication(tables=(oid("orders"),), filtered=(oid("orders"),)),)),
        two(publications=(publication(schemas=("public",), tables=(oid("orders"),)),)),
        acceptable=True,
        says="ALTER PUBLICATION cdc DROP TABLE public.orders",
    ),
    Case(
        "publication_all_tables",
        "refuse",
        "cdc",
        two(publications=(publication(all_tables=True),), slots=(Slot("reader", "pgoutput"),)),
        two(publications=(publication(tables=(oid("orders"),)),), slots=(Slot("reader", "pgoutput"),)),
        acceptable=True,
        says="multischema_journal",
    ),
    Case("publication_all_tables", "warn", "cdc", two(publications=(publication(all_tables=True),)), says="nobody reads it now"),
    Case("logical_slot", "warn", "reader", two(slots=(Slot("reader", "wal2json"),)), two(), says="a reader of wal2json"),
    Case("logical_slot", "warn", "reader", two(slots=(Slot("reader", "pgoutput"),)), says="a subscription, or a change-data-capture tool"),
    Case(
        "subscription_target",
        "refuse",
        "feed",
        two(subscriptions=(Subscription("feed", "postgres", True, (oid("orders"),)),)),
        two(subscriptions=(Subscription("feed", "postgres", True, (oid("another"),)),)),
        acceptable=True,
        says="Migrate the publisher first",
    ),
    Case(
        "subscribers",
        "warn",
        "cdc",
        two(publications=(publication(tables=(oid("orders"),)),)),
        two(publications=(publication(tables=(oid("another"),)),)),
        catalog(replace(ORDERS, persistence="u"), publications=(publication(all_tables=True),)),
        says="public.orders",
    ),
    Case("subscribers", "warn", "cdc", two(publications=(publication(all_tables=True),)), says="subscriber.sql"),
    Case(
        "subscribers",
        "warn",
        "cdc",
        catalog(table("visits", "p"), b.partition("visits_1", "visits"), publications=(publication(tables=(oid("visits"),)),)),
        says="public.visits, public.visits_1",
    ),
    Case("subscribers", "warn", "cdc", two(publications=(publication(schemas=("public",)),))),
    Case(
        "event_trigger",
        "warn",
        "audit",
        two(event_triggers=(EventTrigger("audit", "ddl_command_end", "public.log", True),)),
        two(event_triggers=(EventTrigger("audit", "ddl_command_end", "public.log", False),)),
        says="public.log()",
    ),
    Case(
        "event_trigger",
        "warn",
        "audit",
        audited("BEGIN RAISE NOTICE 'orders'; END"),
    ),
    Case(
        "event_trigger_table",
        "refuse",
        "public.orders",
        audited("BEGIN INSERT INTO public.orders VALUES (1); END"),
        audited("BEGIN INSERT INTO public.orders VALUES (1); END", enabled=False),
        audited("BEGIN INSERT INTO public.my_orders VALUES (1); END"),
        acceptable=True,
        says="Add orders to multischema_keep",
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
    Case("dump_by_name", "warn", "public", two(), catalog(), says="-n tenant"),
    Case("monitoring_by_name", "warn", "public", two(), catalog(), says="schemaname = 'public'"),
    Case(
        "statement_statistics",
        "warn",
        "pg_stat_statements",
        two(extensions=(STATEMENTS,)),
        two(extensions=(Extension("citext", "public"),)),
        two(extensions=(STATEMENTS,), server=b.server(18)),
        says="another queryid",
    ),
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
        "view_update_default",
        "warn",
        "public",
        catalog(table("orders", defaults=(PLAIN, TAKES_NUMBERS))),
        catalog(table("orders", defaults=(replace(PLAIN, nullable=False),))),
        says="1 table has such columns",
    ),
    Case(
        "view_update_default",
        "warn",
        "public",
        catalog(table("orders", defaults=(PLAIN, TAKES_NUMBERS))),
        catalog(table("orders", defaults=(PLAIN,))),
        wanted=configuration(view_defaults=True),
    ),
    Case(
        "view_defaults",
        "auto",
        "public",
        catalog(table("orders", defaults=(PLAIN, TAKES_NUMBERS))),
        catalog(table("orders", defaults=(TAKES_NUMBERS,))),
        wanted=configuration(view_defaults=True),
    ),
    Case("view_serial_sequence", "warn", "public", catalog(SERIAL), two(), says="1 table owns one"),
    Case("view_introspection", "warn", "public", two(), catalog(), says="find a view where a table was (1 table)"),
    Case(
        "view_limits",
        "warn",
        "public",
        catalog(table("orders", "p", traits=("named_key",))),
        catalog(),
        says="ON CONFLICT ON CONSTRAINT (ON CONFLICT (columns) works), on 1 table; PARTITION OF, ATTACH and DETACH PARTITION, on 1 table",
    ),
    # What the planner notices while it makes the steps of phase 1.
    Case("schema_usage", "auto", "tenant", two(), catalog(table("orders", owner="postgres"), schemas=[TENANT]), says="app_owner get it"),
    Case(
        "default_privileges",
        "auto",
        "tenant: app_owner",
        two(default_privileges=(b.default_privileges(OWNER, "public", *grant("web")),)),
        two(default_privileges=(b.default_privileges(OWNER, "elsewhere", *grant("web")),)),
        two(default_privileges=(b.default_privileges(OWNER, None, *grant("web")),)),
        two(default_privileges=tuple(b.default_privileges(OWNER, name, *grant("web")) for name in ("public", "tenant"))),
        says="they are copied",
    ),
    Case(
        "default_privileges",
        "warn",
        "tenant: app_owner",
        two(default_privileges=(b.default_privileges(OWNER, "public", *grant("web")),), server=MOVER, roles=[NO_MEMBER]),
        says="may not copy them",
    ),
    Case(
        "partitions_by_old_name",
        "warn",
        "public.events",
        catalog(table("events", "p"), b.partition("events_1", "events")),
        catalog(table("events")),
        says="PARTITION OF public.events",
    ),
    Case(
        "sequence_named",
        "warn",
        "public.next_number()",
        catalog(SERIAL, routines=(routine("BEGIN RETURN nextval('orders_id_seq'); END"),)),
        catalog(SERIAL, routines=(routine("BEGIN RETURN nextval('other_orders_id_seq_2'); END"),)),
        catalog(SERIAL, routines=(routine("BEGIN RAISE NOTICE 'orders_id_seq'; END"),)),
        says="orders_id_seq",
    ),
    Case(
        "row_type_argument",
        "warn",
        "public.next_number()",
        catalog(table("orders"), routines=(routine(row_types=(oid("orders"),)),)),
        catalog(table("orders"), routines=(routine(row_types=(oid("users"),)),)),
        says="takes rows of public.orders",
    ),
]
IDS = [f"{case.finding}-{number}" for number, case in enumerate(CASES)]


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_database_that_has_it(case: Case) -> None:
    finding = one(found(case.bad, case.wanted), case.finding)
    assert (finding.severity, finding.object) == (case.severity, case.object)
    assert finding.acceptable is case.facts.get("acceptable", False)
    assert case.says in f"{finding.reason} {finding.remedy}"


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_databases_that_have_not(case: Case) -> None:
    for seen in case.good:
        assert named(found(seen, case.wanted), case.finding) == []


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_whatever_refuses_says_the_way_out(case: Case) -> None:
    for finding in found(case.bad, case.wanted):
        assert finding.reason
        if finding.severity == "refuse":
            assert finding.remedy.endswith((".", ")", "'")), finding


NOT_OF_MOVES = (
    "schemas_not_creatable",
    "unknown_owner",
    "owner_not_givable",
    "schema_owner_differs",
    "unknown_role",
    "role_called_public",
    "default_privileges",
    "schema_usage",
)
OF_MOVES = [case for case in CASES if case.finding not in NOT_OF_MOVES]


@pytest.mark.parametrize("case", OF_MOVES, ids=[f"{c.finding}-{n}" for n, c in enumerate(OF_MOVES)])
def test_nothing_is_found_on_tables_that_stay(case: Case) -> None:
    assert named(found(case.bad, replace(STAYS, placement=())), case.finding) == []


OF_VIEWS = [
    c
    for c in CASES
    if c.finding
    in (
        "grants_passed_on",
        "inheritance_only",
        "column_privileges",
        "row_security",
        "no_columns",
        "row_type_argument",
        "partitions_by_old_name",
    )
    or c.finding.startswith(("view_", "statement_"))
]


@pytest.mark.parametrize("case", OF_VIEWS, ids=[f"{c.finding}-{n}" for n, c in enumerate(OF_VIEWS)])
def test_without_views_there_is_no_trouble_with_views(case: Case) -> None:
    assert named(found(case.bad, WITHOUT_VIEWS), case.finding) == []


# Ids that other files have tests for.
ELSEWHERE = {
    "test_placement.py": {
        "bookkeeping_table",
        "extension_member",
        "keep_matches_nothing",
        "partition_elsewhere",
        "reserved_target",
        "rule_matches_nothing",
        "rule_never_wins",
        "unlisted_target",
        "unplaced_table",
    },
    "test_findings_routines.py": {
        "catalog_query",
        "dynamic_sql",
        "expression_names",
        "foreign_table_text",
        "job_text",
        "repair_impossible",
        "repair_needless",
        "repair_not_owner",
        "routine_breaks",
        "routine_changes",
        "routine_repaired",
        "routine_unread",
        "routine_without_view",
        "trigger_schema",
    },
    "test_planner.py": {"accepted_nothing"},
    "test_search_path.py": {
        "search_path",
        "search_path_ambiguous",
        "search_path_by_hand",
        "search_path_creates",
        "search_path_left",
        "search_path_loses_extension",
        "search_path_no_login",
        "search_path_overridden",
        "search_path_unknown",
    },
    "test_types.py": {"alias_has_dependents", "type_alias", "type_moves", "types_stay"},
    "test_rollback_plan.py": {
        "moved_on",
        "name_taken",
        "schema_not_empty",
        "search_path_changed",
        "undo_impossible",
        "view_has_dependents",
        "view_replaced",
    },
}


def ids_in(path: Path) -> set[str]:
    """First arguments of every ``Finding(…)`` in a module."""
    calls = [n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Call)]
    made = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "Finding" and call.args]
    return {str(ast.literal_eval(call.args[0])) for call in made}


def test_every_finding_of_the_core_has_tests() -> None:
    tested = {case.finding for case in CASES}.union(*ELSEWHERE.values())
    made = set().union(*(ids_in(path) for path in Path(findings_objects.__file__).parent.glob("*.py")))
    assert made - tested == set(), "write a case with a database that has it and one that has not"
    assert tested - made == set(), "these are not made any more"
    for file, ids in ELSEWHERE.items():
        text = (Path(__file__).parent / file).read_text(encoding="utf-8")
        assert {name for name in ids if f'"{name}"' not in text} == set(), file


def test_findings_name_objects_as_a_person_writes_them() -> None:
    seen = catalog(table('Odd "x"', statistics=(b.statistics("s"),)))
    assert isinstance(one(found(seen), "statistics"), Finding)
    assert one(found(seen), "statistics").object == 'public."Odd ""x"""'
