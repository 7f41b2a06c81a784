"""Grants as SQL, and the default privileges that reach a new object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog, Grant, Table
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import (
    Name,
    Piece,
    comma,
    fragment,
    keyword,
    nothing,
    role,
    statement,
)

_TABLE_PRIVILEGES = ("DELETE", "INSERT", "REFERENCES", "SELECT", "TRIGGER", "TRUNCATE", "UPDATE")
MAINTAIN_SINCE = 170000  # GRANT MAINTAIN, PostgreSQL 17


def all_table_privileges(version_num: int) -> frozenset[str]:
    """What an owner has on a table, by server version (``ACL_ALL_RIGHTS_RELATION``)."""
    return frozenset(_TABLE_PRIVILEGES) | ({"MAINTAIN"} if version_num >= MAINTAIN_SINCE else frozenset())


def by_grantee(grants: Iterable[Grant]) -> Iterator[tuple[str, bool, list[Grant]]]:
    """Grants to one role together, those with grant option apart, in a stable order."""
    grouped: dict[tuple[str, bool], list[Grant]] = {}
    for grant in sorted(grants, key=lambda g: (g.privilege, g.column or "")):
        grouped.setdefault((grant.grantee, grant.grantable), []).append(grant)
    for (grantee, grantable), found in sorted(grouped.items()):
        yield grantee, grantable, found


def grant_option(grantable: bool) -> Piece:
    """The clause, or nothing."""
    return keyword("WITH GRANT OPTION") if grantable else nothing()


def grant_on_relation(relation: Name, grants: Iterable[Grant]) -> Iterator[str]:
    """``GRANT`` statements that give exactly these privileges on a table or view, columns included."""
    for grantee, grantable, found in by_grantee(grants):
        words = comma(_privilege(grant) for grant in found)
        yield statement("GRANT {} ON {} TO {} {}", words, relation, role(grantee), grant_option(grantable))


def _privilege(grant: Grant) -> Piece:
    if grant.column is None:
        return keyword(grant.privilege)
    return fragment("{} ({})", keyword(grant.privilege), Name(grant.column))


def touched_by_defaults(catalog: Catalog, creator: str, schema: str) -> bool:
    """Whether default privileges give a table or view that ``creator`` makes an ACL of its own."""
    return any(e.role == creator and e.object_type == "r" and e.schema in (None, schema) for e in catalog.default_privileges)


def defaults_for_new_tables(catalog: Catalog, creator: str, schema: str) -> frozenset[str]:
    """Roles other than the creator that default privileges give something on a table or view that ``creator`` makes."""
    return frozenset(
        grant.grantee
        for entry in catalog.default_privileges
        if entry.role == creator and entry.object_type == "r" and entry.schema in (None, schema)
        for grant in entry.grants
        if grant.grantee != creator
    )


def grantees(table: Table) -> frozenset[str]:
    """Everyone but the owner who holds a privilege on the table or one of its columns."""
    return frozenset(g.grantee for g in (*(table.acl or ()), *table.column_grants) if g.grantee != table.owner)
