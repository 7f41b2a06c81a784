"""Who needs USAGE on a target schema (pure)."""

from __future__ import annotations

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog
from ansible_collections.dbops.multischema.plugins.module_utils.configuration import Configuration
from ansible_collections.dbops.multischema.plugins.module_utils.placement import Placed
from ansible_collections.dbops.multischema.plugins.module_utils.privileges import grantees


def _needs_usage(catalog: Catalog, name: str) -> bool:
    """Whether a role reaches the source schema today; one that does not must not be let into the target."""
    if name == "PUBLIC":
        return catalog.server.public_uses_source
    found = catalog.role(name)
    return found is not None and not found.superuser and found.uses_source


def _doors(catalog: Catalog, users: set[str]) -> set[str]:
    """Roles that let others into the source schema who need it for what ``users`` own or are granted.

    A privilege of everyone is worth something only to those who may use the schema; and a role may have the use of the schema
    from one role, and the privilege on the table from another that has no use of the schema itself.
    """
    shut_out = {role.name for role in catalog.roles if role.name in users and not (role.superuser or role.uses_source)}
    everyone = "PUBLIC" in users and not catalog.server.public_uses_source
    source = catalog.schema(catalog.source_schema)
    if source is None or not (shut_out or everyone):
        return set()
    doors = {source.owner, *(grant.grantee for grant in source.grants if grant.privilege == "USAGE")}
    found = [role for role in catalog.roles if role.name in doors and not role.superuser]
    return {role.name for role in found if everyone or shut_out.intersection(role.uses_source_for)}


def usage_missing(catalog: Catalog, configuration: Configuration, placed: Placed, schema: str) -> set[str]:
    """Roles that must be granted USAGE on a target schema.

    Owners, because foreign-key checks run as the owner of the table; grantees of tables and columns; the application's roles;
    and whoever brings the USAGE of the source schema to what others, or everyone, are granted. Whoever already has it is left out.
    """
    wanted = {name for name in configuration.application_roles if catalog.role(name) is not None}
    users: set[str] = set()
    for group in placed.moving:
        if group.schema == schema:
            for table in group.members:
                users |= {table.owner, *grantees(table)}
    made_of = {oid for move in placed.types if move.schema == schema for oid in move.found.tables}
    for table in catalog.tables:
        if table.oid in made_of:
            users |= {table.owner, *grantees(table)}  # whoever names the type of a column, in a cast or a literal
    wanted = {n for n in wanted if not getattr(catalog.role(n), "superuser", False)}
    wanted |= {name for name in users if _needs_usage(catalog, name)}
    wanted |= _doors(catalog, users)
    there = catalog.schema(schema)
    if there is not None:
        has = {grant.grantee for grant in there.grants if grant.privilege == "USAGE"}
        if not catalog.server.superuser and schema not in catalog.server.use_on_schemas:
            wanted.add(catalog.server.user)  # the compatibility views are made by the connected role
        return set() if "PUBLIC" in has else wanted - has - {there.owner}
    owner = next((t.owner for t in configuration.schemas if t.name == schema), None) or catalog.server.user
    return wanted - {owner}
