"""What follows from outside: publications and slots, triggers, extensions, tools."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import (
    EventTrigger,
    Extension,
    Role,
)
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_followers import Slot, Subscription
from tests.unit import builders as b
from tests.unit.builders import catalog, oid, table
from tests.unit.finding_cases.case import MOVER, ORDERS, SERIAL, STATEMENTS, TENANT, Case, audited, publication, routine, two

CASES = [
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
