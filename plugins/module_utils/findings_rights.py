"""Findings about what the connected role and the roles of the application may do."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.dbops.multischema.plugins.module_utils.plan import REFUSE, WARN, Finding
from ansible_collections.dbops.multischema.plugins.module_utils.schema_usage import usage_missing
from ansible_collections.dbops.multischema.plugins.module_utils.situation import Situation, table_name
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name, qualified


def rights_to_move(s: Situation) -> Iterator[Finding]:
    """Only an object's owner, or a role with the owner's rights, may move it."""
    for _, table, _ in s.moves:
        if not s.may_act_as(table.owner):
            change = f"ALTER TABLE {table_name(table)} OWNER TO a role that {s.catalog.server.user} is a member of"
            yield _not_owner(s, table_name(table), "It", table.owner, change)
        for stats in table.statistics:
            if stats.owner and stats.schema == table.schema and not s.may_act_as(stats.owner):
                yield _not_owner(
                    s,
                    table_name(table),
                    f"Its statistics object {stats.name}",
                    stats.owner,
                    f"ALTER STATISTICS {qualified(stats.schema, stats.name)} OWNER TO {Name(table.owner).as_string()}",
                )


def _not_owner(s: Situation, obj: str, what: str, owner: str, change: str) -> Finding:
    """:param change: the way out where the owner is a superuser, whose rights nobody should be given."""
    user = s.catalog.server.user
    role = s.catalog.role(owner)
    belongs = role is not None and role.mover_belongs
    lacks = "is a member of it, but without inheriting its rights" if belongs else "has not got that role's rights"
    return Finding(
        "not_owner",
        REFUSE,
        obj,
        f"{what} belongs to {owner}; {user} {lacks}, so PostgreSQL would refuse.",
        f"{change if role is not None and role.superuser else s.membership(owner)}, or connect as a role that has it.",
    )


def rights_in_schemas(s: Situation) -> Iterator[Finding]:
    """CREATE is needed in the targets to move, and in the source for the views and for the way back."""
    server = s.catalog.server
    if server.superuser or not s.targets:
        return
    user = Name(server.user).as_string()
    source = s.catalog.source_schema
    if source not in server.use_on_schemas:
        yield Finding(
            "source_not_usable",
            REFUSE,
            source,
            f"{server.user} may not use {source}, so it can name nothing that stands there.",
            f"GRANT USAGE ON SCHEMA {Name(source).as_string()} TO {user}.",
        )
    if source not in server.create_on_schemas:
        yield Finding(
            "undo_impossible",
            REFUSE,
            source,
            f"{server.user} may not create in {source}: the tables could leave, but no view could take their names, and "
            "the rollback could not bring them back.",
            f"GRANT CREATE ON SCHEMA {Name(source).as_string()} TO {user} for the time of the migration.",
        )
    for target in sorted(s.targets):
        if s.catalog.schema(target) is not None and target not in server.create_on_schemas:
            yield Finding(
                "target_not_writable",
                REFUSE,
                target,
                f"{server.user} may not create in {target}, so nothing can be moved there.",
                f"GRANT CREATE ON SCHEMA {Name(target).as_string()} TO {user}.",
            )


def rights_on_database(s: Situation) -> Iterator[Finding]:
    """CREATE on the database is needed for target schemas, and for the journal's own in any case."""
    server = s.catalog.server
    if server.superuser or server.create_on_database:
        return
    yield Finding(
        "schemas_not_creatable",
        REFUSE,
        server.database,
        f"{server.user} may not create schemas in this database: neither target schemas nor the one that the journal is kept in.",
        f"GRANT CREATE ON DATABASE {Name(server.database).as_string()} TO {Name(server.user).as_string()}.",
    )


def usage_on_schemas(s: Situation) -> Iterator[Finding]:
    """GRANT by a role that may not grant is only a warning in PostgreSQL, and then foreign-key checks fail later."""
    server = s.catalog.server
    for target in sorted(s.targets):
        there = s.catalog.schema(target)
        if there is None or s.may_act_as(there.owner):
            continue
        missing = usage_missing(s.catalog, s.configuration, s.placed, target)
        grantable = any(g.grantee == server.user and g.privilege == "USAGE" and g.grantable for g in there.grants)
        if missing and not grantable:
            names = ", ".join(sorted(missing))
            yield Finding(
                "usage_not_grantable",
                REFUSE,
                target,
                f"{names} need USAGE on it, and {server.user} may not grant that: the schema belongs to {there.owner}.",
                f"As {there.owner}: GRANT USAGE ON SCHEMA {Name(target).as_string()} TO {names}.",
            )


def schema_owners(s: Situation) -> Iterator[Finding]:
    """The owner that was asked for must exist, and one of an existing schema is left alone."""
    for target in s.configuration.schemas:
        there = s.catalog.schema(target.name)
        if target.owner and there is None and s.catalog.role(target.owner) is None:
            yield Finding(
                "unknown_owner",
                REFUSE,
                target.name,
                f"multischema_schemas gives it to the role {target.owner}, which does not exist on this server.",
                "Create the role, or correct the name.",
            )
        owner = s.catalog.role(target.owner) if target.owner and there is None else None
        if owner is not None and not s.may_give_to(owner):
            user = s.catalog.server.user
            how = ": its membership lacks INHERIT or SET" if owner.mover_belongs else ""
            yield Finding(
                "owner_not_givable",
                REFUSE,
                target.name,
                f"multischema_schemas gives it to {owner.name}, and {user} may not make a schema for that role and work in it{how}.",
                f"{s.membership(owner.name)}, or leave the owner out.",
            )
        if target.owner and there is not None and there.owner != target.owner:
            yield Finding(
                "schema_owner_differs",
                WARN,
                target.name,
                f"The schema is already there and belongs to {there.owner}, not to {target.owner}; it is left as it is.",
                f"ALTER SCHEMA {Name(target.name).as_string()} OWNER TO {Name(target.owner).as_string()}, if that was meant.",
            )


def application_roles(s: Situation) -> Iterator[Finding]:
    """A role that is named must exist."""
    for name in s.configuration.application_roles:
        if s.catalog.role(name) is None:
            yield Finding(
                "unknown_role",
                REFUSE,
                name,
                "multischema_application_roles names a role that does not exist on this server.",
                "Create the role, or correct the name.",
            )


def role_called_public(s: Situation) -> Iterator[Finding]:
    """In capitals the name is allowed for a role, and cannot be told from everyone's."""
    if s.catalog.server.role_called_public:
        yield Finding(
            "role_called_public",
            REFUSE,
            '"PUBLIC"',
            "A role of that name owns or is granted something here, which could not be told from what everyone (PUBLIC) is granted.",
            'ALTER ROLE "PUBLIC" RENAME TO another name.',
        )
