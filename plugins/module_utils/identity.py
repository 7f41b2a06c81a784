"""The identity of a relation: what proves in constant time that a move has not touched a row.

``oid`` and ``relfilenode`` (pg_class) say that it is the same relation with the same file: nothing was copied, so no row
can have been lost. Owner, privileges, row security and the rest say that nothing else about it was changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.catalog_queries import VIEW_DEFINITION
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Step
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database

# What is compared of relations "c" in schemas "n".
IDENTITY = """json_build_object(
         'schema', n.nspname, 'name', c.relname, 'kind', c.relkind, 'relfilenode', c.relfilenode::bigint,
         'toast', c.reltoastrelid::bigint, 'owner', c.relowner::bigint, 'acl', c.relacl::text, 'options', c.reloptions::text,
         'persistence', c.relpersistence, 'row_security', c.relrowsecurity, 'force_row_security', c.relforcerowsecurity,
         'replica_identity', c.relreplident, 'columns', c.relnatts, 'checks', c.relchecks, 'tablespace', c.reltablespace::bigint,
         'has_children', c.relhassubclass)"""

# Parameters: OIDs of relations, OIDs of statistics objects.
_RELATIONS = f"""
SELECT c.oid::bigint, {IDENTITY}
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY($1::oid[])
UNION ALL
SELECT s.oid::bigint, json_build_object('schema', n.nspname, 'name', s.stxname, 'kind', 's', 'owner', s.stxowner::bigint)
  FROM pg_catalog.pg_statistic_ext s JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace WHERE s.oid = ANY($2::oid[])
"""

# The names of a relation's columns, in order.
COLUMNS = (
    "ARRAY(SELECT a.attname FROM pg_catalog.pg_attribute a WHERE a.attrelid = {} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum)"
)

# Privileges are compared without the grantor: the view's were all granted by its owner. Where two have granted the same, one of
# them with grant option, the view has that once. Most are the same, item by item, and need not be taken apart.
# Parameters: OIDs of tables, the source schema.
_VIEW_PROBLEMS = f"""
WITH pair AS (SELECT t.oid AS table_oid, v.oid AS view_oid, t.relowner, v.relowner AS view_owner, t.relname,
                     t.relacl AS table_acl, v.relacl AS view_acl
                FROM pg_catalog.pg_class t
                LEFT JOIN pg_catalog.pg_class v ON v.relname = t.relname AND v.relkind = 'v'
                     AND v.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $2::name)
               WHERE t.oid = ANY($1::oid[]))
SELECT p.relname, 'is missing' AS what FROM pair p WHERE p.view_oid IS NULL
UNION ALL
SELECT p.relname, 'has other privileges than its table' FROM pair p
 WHERE p.view_oid IS NOT NULL AND NOT COALESCE(p.table_acl @> p.view_acl AND p.view_acl @> p.table_acl, false) AND EXISTS (
   SELECT FROM (SELECT 't', a.* FROM aclexplode(p.table_acl) a UNION ALL SELECT 'v', a.* FROM aclexplode(p.view_acl) a)
               AS g(side, grantor, grantee, privilege, grantable)
    WHERE g.grantee NOT IN (p.relowner, p.view_owner)
    GROUP BY g.grantee, g.privilege HAVING count(DISTINCT g.side) <> 2 OR
          bool_or(g.grantable) FILTER (WHERE g.side = 't') <> bool_or(g.grantable) FILTER (WHERE g.side = 'v'))
UNION ALL
SELECT p.relname, 'has other column privileges than its table' FROM pair p
 WHERE p.view_oid IS NOT NULL AND EXISTS (
   SELECT FROM (SELECT att.attrelid = p.view_oid AS of_view, att.attname, a.grantee, a.privilege_type, a.is_grantable
                  FROM pg_catalog.pg_attribute att CROSS JOIN LATERAL aclexplode(att.attacl) a
                 WHERE att.attrelid IN (p.table_oid, p.view_oid) AND att.attacl IS NOT NULL AND NOT att.attisdropped
                   AND a.grantee NOT IN (p.relowner, p.view_owner)) AS g
    GROUP BY g.attname, g.grantee, g.privilege_type HAVING count(DISTINCT g.of_view) <> 2 OR
          bool_or(g.is_grantable) FILTER (WHERE NOT g.of_view) <> bool_or(g.is_grantable) FILTER (WHERE g.of_view))
UNION ALL
SELECT p.relname, 'has other columns than its table' FROM pair p
 WHERE p.view_oid IS NOT NULL AND {COLUMNS.format("p.table_oid")} IS DISTINCT FROM {COLUMNS.format("p.view_oid")}
"""

# Parameters: names of views, the source schema.
_VIEWS = f"""
SELECT v.relname, v.oid::bigint, {VIEW_DEFINITION}
  FROM pg_catalog.pg_class v JOIN pg_catalog.pg_rewrite r ON r.ev_class = v.oid AND r.rulename = '_RETURN'
 WHERE v.relkind = 'v' AND v.relname = ANY($1::name[])
   AND v.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $2::name)
"""


# Parts that every move must leave alone; the schema is what it changes.
KEPT = (
    "name",
    "kind",
    "relfilenode",
    "toast",
    "owner",
    "acl",
    "options",
    "persistence",
    "row_security",
    "force_row_security",
    "replica_identity",
    "columns",
    "checks",
    "tablespace",
)


def read_identities(database: Database, oids: Iterable[int], statistics: Iterable[int] = ()) -> dict[int, dict[str, Any]]:
    """Identities by OID; what is not there is left out.

    :param oids: relations.
    :param statistics: extended statistics objects, whose OIDs are of another catalog.
    """
    return dict(database.prepared("multischema_identities", _RELATIONS, (list(oids), list(statistics))))


def read_identities_of(database: Database, steps: Iterable[Step]) -> dict[int, dict[str, Any]]:
    """Identities of everything that steps move, by OID; what is not there is left out."""
    members = [member for step in steps for member in step.members]
    oids = [[member.oid for member in members if (member.kind == "s") is statistics] for statistics in (False, True)]
    return read_identities(database, *oids) if members else {}


def view_problems(database: Database, source: str, oids: Iterable[int]) -> list[tuple[str, str]]:
    """Compatibility views that are missing, or differ from their table in privileges or columns: (name, what is wrong)."""
    rows = database.prepared("multischema_view_problems", _VIEW_PROBLEMS, (list(oids), source))
    return [(str(name), str(what)) for name, what in rows]


def read_views(database: Database, source: str, names: Iterable[str]) -> dict[str, list[Any]]:
    """OID and digest of the definition of views, by name, to know them again (compare `catalog.View.definition`)."""
    rows = database.prepared("multischema_views", _VIEWS, (list(names), source))
    return {name: [oid, definition] for name, oid, definition in rows}


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Which kept parts differ, as ``part: before → after``."""
    return [f"{part}: {before.get(part)} → {after.get(part)}" for part in KEPT if before.get(part) != after.get(part)]
