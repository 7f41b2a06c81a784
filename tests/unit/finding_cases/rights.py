"""What the migrating role may, and what others may afterwards."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import (
    Role,
)
from tests.unit import builders as b
from tests.unit.builders import OWNER, catalog, configuration, grant, mover, schema, table
from tests.unit.finding_cases.case import MEMBER, MOVER, NO_MEMBER, ORDERS, STRANGER, TENANT, Case, two

CASES = [
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
]
