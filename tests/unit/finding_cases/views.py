"""What a view does not do as its table did."""

from __future__ import annotations

from dataclasses import replace

from tests.unit import builders as b
from tests.unit.builders import OWNER, catalog, configuration, everything, grant, table
from tests.unit.finding_cases.case import GRANTED, KEEPS_VIEW, LEAK, MEMBER, MOVER, ORDERS, PLAIN, SECURED, SERIAL, TAKES_NUMBERS, Case, two

CASES = [
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
        "partitions_by_old_name",
        "warn",
        "public.events",
        catalog(table("events", "p"), b.partition("events_1", "events")),
        catalog(table("events")),
        says="PARTITION OF public.events",
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
]
