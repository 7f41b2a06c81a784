"""Observe types of people's own; part of the snapshot that `catalog_reader.py` takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.catalog_types import UserType
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database

# Columns of tables of the scope → every type that they are made of: elements, base types, attributes, subtypes.
_MINE = """
WITH RECURSIVE mine AS (
  SELECT t.* FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace AND n.nspname = ANY(%(scope)s)
    LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid WHERE t.typtype IN ('e', 'd', 'r') OR (t.typtype = 'c' AND c.relkind = 'c')
), used AS (
  SELECT DISTINCT a.attrelid AS relation, a.atttypid AS type FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't'
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = ANY(%(scope)s)
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid AND t.typnamespace <> 'pg_catalog'::regnamespace
   WHERE a.attnum > 0 AND NOT a.attisdropped
  UNION
  SELECT used.relation, part.oid FROM used JOIN pg_catalog.pg_type t ON t.oid = used.type
    CROSS JOIN LATERAL (
      SELECT t.typelem AS oid WHERE t.typelem <> 0 UNION ALL SELECT t.typbasetype WHERE t.typbasetype <> 0
      UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid
      UNION ALL SELECT a.atttypid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
        WHERE c.oid = t.typrelid AND c.relkind = 'c' AND a.attnum > 0 AND NOT a.attisdropped
    ) AS part
)
"""

USER_TYPES = f"""
{_MINE}
SELECT m.oid::bigint, n.nspname, m.typname, m.typtype, pg_get_userbyid(m.typowner), COALESCE(e.typname, ''), m.typrelid::bigint,
       m.typbasetype::bigint,
       (SELECT x.extname FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension x ON x.oid = d.refobjid
         WHERE d.classid = 'pg_catalog.pg_type'::regclass AND d.objid = m.oid AND d.deptype = 'e'
           AND d.refclassid = 'pg_catalog.pg_extension'::regclass),
       m.typacl IS NOT NULL,
       ARRAY(SELECT COALESCE(r.rolname, 'PUBLIC')::text FROM aclexplode(m.typacl) a LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
              ORDER BY 1),
       ARRAY(SELECT r.rolname::text FROM aclexplode(m.typacl) a JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
              WHERE a.is_grantable ORDER BY 1)
  FROM mine m JOIN pg_catalog.pg_namespace n ON n.oid = m.typnamespace LEFT JOIN pg_catalog.pg_type e ON e.oid = m.typarray
 ORDER BY m.oid
"""

TYPE_TABLES = f"""
{_MINE}
SELECT m.oid::bigint, array_agg(DISTINCT u.relation::bigint ORDER BY u.relation::bigint),
       array_remove(array_agg(DISTINCT CASE u.type WHEN m.typarray THEN u.relation::bigint END), NULL)
  FROM mine m JOIN used u ON u.type IN (m.oid, m.typarray) GROUP BY m.oid
"""

# A call with the alias of a domain is settled as one with the base type.
OVERLOADED = f"""
{_MINE}
SELECT m.oid::bigint, array_agg(DISTINCT quote_ident(p.proname) ORDER BY quote_ident(p.proname))
  FROM pg_catalog.pg_proc p CROSS JOIN LATERAL unnest(p.proargtypes) AS a(type) JOIN mine m ON m.oid = a.type AND m.typtype = 'd'
 WHERE EXISTS (SELECT FROM pg_catalog.pg_proc q WHERE q.proname = p.proname AND q.oid <> p.oid AND q.pronargs = p.pronargs)
 GROUP BY m.oid
"""

DEPENDENTS = f"""
{_MINE}
SELECT m.oid::bigint, COALESCE(pg_describe_object('pg_catalog.pg_class'::regclass, r.ev_class, 0),
                               pg_describe_object(d.classid, d.objid, d.objsubid))
  FROM mine m JOIN pg_catalog.pg_type b ON b.oid = m.typbasetype AND b.typnamespace <> m.typnamespace
  JOIN pg_catalog.pg_namespace n ON n.oid = b.typnamespace AND n.nspname = ANY(%(scope)s)
  JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_type'::regclass AND d.refobjid IN (m.oid, m.typarray) AND d.deptype = 'n'
  LEFT JOIN pg_catalog.pg_rewrite r ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND r.oid = d.objid
 GROUP BY 1, 2 ORDER BY 1, 2
"""


def read_types(database: Database, scope: Mapping[str, Any]) -> tuple[UserType, ...]:
    """Every type of people's own in the source and target schemas.

    :param scope: source and target schemas, as for every query.
    """
    rows = database.rows(USER_TYPES, scope)
    if not rows:
        return ()
    tables = {row[0]: row[1:] for row in database.rows(TYPE_TABLES, scope)}
    overloaded = dict(database.rows(OVERLOADED, scope))
    dependents: dict[int, list[str]] = {}
    for oid, what in database.rows(DEPENDENTS, scope):
        dependents.setdefault(oid, []).append(what)
    return tuple(
        UserType(
            oid=row[0],
            schema=row[1],
            name=row[2],
            kind=row[3],
            owner=row[4],
            array_type=row[5],
            relation=row[6],
            base=row[7],
            extension=row[8],
            usage=tuple(row[10]) if row[9] else None,
            usage_grantable=tuple(row[11]),
            tables=tuple(tables.get(row[0], ((), ()))[0]),
            arrays=tuple(sorted(tables.get(row[0], ((), ()))[1])),
            overloaded=tuple(overloaded.get(row[0], ())),
            dependents=tuple(dependents.get(row[0], ())),
        )
        for row in rows
    )
