"""What has become of a compatibility view since it was made, and the statement that makes it right again.

A view keeps the columns that its table had when it was made: one that is added later is missing from it, one that is
renamed keeps its old name there. Defaults that the view carries stay as they were, too. A view that was made right by hand
is still ours: its definition is another one, but it shows its table and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog
from ansible_collections.dbops.multischema.plugins.module_utils.journal import Entry
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name, fragment, nothing, server_text, statement

OTHER_COLUMNS = "has other columns than its table"  # as identity.view_problems says it

# A view that shows the table of its name elsewhere, whole. PostgreSQL before 16 names the table with each column. The function
# takes a lock on the table that lasts as long as the transaction, so this is asked of few views at a time.
_PLAIN = """
WITH pair AS (
  SELECT v.oid, tn.nspname, t.relname, t.oid AS base
    FROM pg_catalog.pg_class v JOIN pg_catalog.pg_class t ON t.relname = v.relname AND t.relkind IN ('r', 'p', 'f')
    JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
   WHERE v.oid = ANY(%(views)s::oid[])
     -- One that has lost security_invoker is not what it was: only a view for column privileges runs as its owner.
     AND (v.reloptions @> ARRAY['security_invoker=true'] OR current_setting('server_version_num')::int < 150000
          OR (NOT t.relrowsecurity AND t.relkind <> 'f'
              AND EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = t.oid AND a.attacl IS NOT NULL)))
), columns AS (
  SELECT pair.base, string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) AS bare,
         string_agg(quote_ident(pair.relname) || '.' || quote_ident(a.attname), ', ' ORDER BY a.attnum) AS long
    FROM pair JOIN pg_catalog.pg_attribute a ON a.attrelid = pair.base AND a.attnum > 0 AND NOT a.attisdropped GROUP BY pair.base
)
SELECT pair.oid::bigint FROM pair JOIN columns ON columns.base = pair.base
  CROSS JOIN LATERAL (SELECT ' FROM ' || quote_ident(nspname) || '.' || quote_ident(relname) || ';' AS of_it) t
 WHERE regexp_replace(pg_get_viewdef(pair.oid), '\\s+', ' ', 'g') IN
       (regexp_replace(' SELECT ' || columns.bare || t.of_it, '\\s+', ' ', 'g'),
        regexp_replace(' SELECT ' || columns.long || t.of_it, '\\s+', ' ', 'g'))
"""
AT_A_TIME = 50

_COLUMNS = """
SELECT t.relname, n.nspname, v.reloptions @> ARRAY['security_invoker=true'],
       ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
              WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
       ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
              WHERE a.attrelid = v.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
       COALESCE((SELECT json_agg(json_build_array(va.attname, pg_get_expr(td.adbin, td.adrelid)) ORDER BY va.attnum)
                   FROM pg_catalog.pg_attrdef vd
                   JOIN pg_catalog.pg_attribute va ON va.attrelid = vd.adrelid AND va.attnum = vd.adnum
                   JOIN pg_catalog.pg_attribute ta ON ta.attrelid = t.oid AND ta.attname = va.attname
                   LEFT JOIN pg_catalog.pg_attrdef td ON td.adrelid = ta.attrelid AND td.adnum = ta.attnum
                  WHERE vd.adrelid = v.oid
                    AND pg_get_expr(td.adbin, td.adrelid) IS DISTINCT FROM pg_get_expr(vd.adbin, vd.adrelid)), '[]')
  FROM pg_catalog.pg_class t JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
  JOIN pg_catalog.pg_class v ON v.relname = t.relname AND v.relkind = 'v'
       AND v.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = %(source)s)
 WHERE t.oid = ANY(%(oids)s::oid[]) ORDER BY t.relname
"""


def know_again(database: Database, catalog: Catalog, entries: Iterable[Entry]) -> Catalog:
    """The catalog, with those of its views marked as plain that are not as the migration has made them and still show their table.

    :param entries: of the journal; with what each view is known by.
    """
    made = {oid: definition for entry in entries for oid, definition in entry.identity.get("views", {}).values()}
    changed = [view.oid for view in catalog.views if made.get(view.oid, view.definition) != view.definition]
    plain: set[int] = set()
    for start in range(0, len(changed), AT_A_TIME):
        plain.update(oid for (oid,) in database.rows(_PLAIN, {"views": changed[start : start + AT_A_TIME]}))
    return replace(catalog, views=tuple(replace(view, plain=view.oid in plain) for view in catalog.views)) if plain else catalog


def _columns(view: Name, table: Name, invoker: bool, there: Sequence[str], shown: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What differs, in words, and the statement for it; nothing to run where columns have gone, which a view prevents."""
    if len(shown) > len(there):
        yield OTHER_COLUMNS, ""
        return
    for now, was in zip(there, shown):  # the shorter one ends it: what is new stands behind
        if now != was:
            yield (
                f"calls the column {Name(now).as_string()} still {Name(was).as_string()}",
                statement("ALTER VIEW {} RENAME COLUMN {} TO {}", view, Name(was), Name(now)),
            )
    new = there[len(shown) :]
    if new:
        option = fragment("WITH (security_invoker=true) ") if invoker else nothing()
        yield (
            f"lacks the column{'s' if len(new) > 1 else ''} {', '.join(Name(column).as_string() for column in new)}",
            statement("CREATE OR REPLACE VIEW {} {}AS SELECT * FROM {}", view, option, table),
        )


def _defaults(view: Name, changed: Iterable[tuple[str, str | None]]) -> Iterator[tuple[str, str]]:
    for column, expression in changed:
        what = f"has another default for {Name(column).as_string()} than its table"
        if expression is None:
            yield what, statement("ALTER VIEW {} ALTER COLUMN {} DROP DEFAULT", view, Name(column))
        else:
            yield what, statement("ALTER VIEW {} ALTER COLUMN {} SET DEFAULT {}", view, Name(column), server_text(expression))


def view_changes(database: Database, source: str, oids: Iterable[int]) -> list[tuple[str, str]]:
    """Views whose columns or defaults are not those of their table any more: (name, what, with the statement to run).

    :param source: the schema of the old names.
    :param oids: of tables that were moved.
    """
    found: list[tuple[str, str]] = []
    for name, schema, invoker, there, shown, defaults in database.rows(_COLUMNS, {"source": source, "oids": list(oids)}):
        view, table = Name(source, name), Name(schema, name)
        differing: list[tuple[str, Any]] = [*_columns(view, table, bool(invoker), there, shown), *_defaults(view, defaults)]
        found += [(name, f"{what}: {sql}" if sql else what) for what, sql in differing]
    return found
