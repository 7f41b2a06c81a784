"""Can the application's roles reach the tables? Asked by real statements, as these roles, on a new connection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ansible_collections.dbops.multischema.plugins.module_utils.errors import ServerRefused
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name, statement

BATCH = 50
NOT_A_MEMBER = "the connected role is not a member of it and cannot act as it"

_READABLE = """
SELECT n.nspname, c.relname, c.oid::bigint FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid = ANY(%(oids)s) AND has_table_privilege(%(role)s, c.oid, 'SELECT') ORDER BY 1, 2
"""

_MEANT_OTHERWISE = """
SELECT t.name, COALESCE(to_regclass(quote_ident(t.name))::text, 'nothing')
  FROM unnest(%(names)s::text[], %(oids)s::bigint[]) AS t(name, oid)
 WHERE to_regclass(quote_ident(t.name))::oid IS DISTINCT FROM t.oid::oid ORDER BY 1
"""


@dataclass(frozen=True)
class Found:
    """What one role found by bare names, on the path that its new sessions get.

    :param tables: how many it found.
    :param schemas: what it looked into, as the server says (``current_schemas``).
    :param problems: bare names that mean something else, and statements that failed.
    :param skipped: why nothing was tried, or nothing.
    """

    role: str
    tables: int
    schemas: tuple[str, ...]
    problems: tuple[str, ...]
    skipped: str = ""


# Whoever may use the source schema and holds a privilege on a table must be able to use the table's new schema too. MAINTAIN does not
# count: it is no way to rows, and a predefined role has it on everything.
_SHUT_OUT = """
WITH moved AS (
  SELECT c.oid, c.relnamespace FROM pg_catalog.pg_class c WHERE c.oid = ANY(%(oids)s)
), door AS (
  SELECT r.oid AS role, r.rolname::text AS name, n.oid AS namespace, n.nspname
    FROM pg_catalog.pg_roles r CROSS JOIN pg_catalog.pg_namespace n
   WHERE NOT r.rolsuper AND r.rolname !~ '^pg_' AND n.oid IN (SELECT relnamespace FROM moved)
     AND has_schema_privilege(r.oid, (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = %(source)s), 'USAGE')
     AND NOT has_schema_privilege(r.oid, n.oid, 'USAGE')
)
SELECT d.name, d.nspname FROM door d
 WHERE EXISTS (SELECT FROM moved m WHERE m.relnamespace = d.namespace
                  AND (has_any_column_privilege(d.role, m.oid, 'SELECT, INSERT, UPDATE, REFERENCES')
                       OR has_table_privilege(d.role, m.oid, 'DELETE, TRUNCATE, TRIGGER')))
 ORDER BY 1, 2
"""


@dataclass(frozen=True)
class Reach:
    """What one role could do.

    :param tables: how many tables it read, by schema.
    :param problems: statements that failed, with the server's words.
    :param skipped: why nothing was tried, or nothing.
    """

    role: str
    tables: dict[str, int]
    problems: tuple[str, ...]
    skipped: str = ""


def _try(database: Database, names: Sequence[tuple[str, ...]]) -> list[str]:
    """Read no row of each table: the server checks the privileges all the same. Halves a batch to find what failed."""
    query = " UNION ALL ".join(statement("(SELECT 1 FROM {} LIMIT 0)", Name(*name)) for name in names)
    try:
        database.rows(query)
    except ServerRefused as error:
        if len(names) == 1:
            return [f"{Name(*names[0]).as_string()}: {error.found}"]
        middle = len(names) // 2
        return _try(database, names[:middle]) + _try(database, names[middle:])
    return []


def _try_all(database: Database, names: Sequence[tuple[str, ...]]) -> list[str]:
    found = []
    for start in range(0, len(names), BATCH):
        found += _try(database, names[start : start + BATCH])
    return found


def _uses(database: Database, role: str, schema: str) -> bool:
    query = "SELECT has_schema_privilege(%s, oid, 'USAGE') FROM pg_catalog.pg_namespace WHERE nspname = %s"
    return bool(database.value(query, (role, schema)))


def _membership(database: Database, role: str) -> bool | None:
    """Whether the connected role can act as this one; None where there is no such role."""
    found = database.rows("SELECT pg_has_role(current_user, oid, 'MEMBER') FROM pg_catalog.pg_roles WHERE rolname = %s", (role,))
    return bool(found[0][0]) if found else None


def shut_out(database: Database, source: str, oids: Sequence[int]) -> list[tuple[str, str]]:
    """Roles that hold a privilege on a moved table, reach the source schema and may not use the table's new one: (role, schema).

    :param oids: tables that have moved.
    """
    return [(role, schema) for role, schema in database.rows(_SHUT_OUT, {"oids": list(oids), "source": source})]


def reach(database: Database, role: str, schemas: Iterable[str], oids: Sequence[int], old_names: Sequence[tuple[str, str]]) -> Reach:
    """Act as ``role`` and read every table that it may read, by the new name and, where there is a view, by the old one.

    :param schemas: target schemas, each of which the role must be able to use.
    :param oids: tables that have moved.
    :param old_names: (schema, name) of the compatibility views.
    """
    membership = _membership(database, role)
    if membership is None:
        return Reach(role, {}, (f"role {role} does not exist",))
    if not membership:
        return Reach(role, {}, (), NOT_A_MEMBER)
    names = [(row[0], row[1]) for row in database.rows(_READABLE, {"oids": list(oids), "role": role})]
    readable = {name for _, name in names}
    counts = dict.fromkeys(schemas, 0)
    for schema, _ in names:
        counts[schema] = counts.get(schema, 0) + 1
    problems = [f"no USAGE on schema {schema}" for schema in counts if not _uses(database, role, schema)]
    try:
        database.execute(statement("SET ROLE {}", Name(role)))
        problems += _try_all(database, names)
        problems += _try_all(database, [name for name in old_names if name[1] in readable])
    except ServerRefused as error:
        return Reach(role, counts, (), f"cannot act as it: {error.found}")
    finally:
        database.execute("RESET ROLE")
    return Reach(role, counts, tuple(problems))


def find_bare(database: Database, role: str, path: str, oids: Sequence[int]) -> Found:
    """Act as ``role`` with the path of its new sessions, and read every table that it may read by its bare name.

    A session gets its path when it logs in, and the connected role cannot log in as another: so the path is set to the same text.

    :param path: as PostgreSQL keeps it.
    :param oids: tables that have moved.
    """
    membership = _membership(database, role)
    if membership is None:
        return Found(role, 0, (), (f"role {role} does not exist",))
    if not membership:
        return Found(role, 0, (), (), NOT_A_MEMBER)
    rows = database.rows(_READABLE, {"oids": list(oids), "role": role})
    try:
        database.execute(statement("SET ROLE {}", Name(role)))
        database.execute("SELECT pg_catalog.set_config('search_path', %s, false)", (path,))
        schemas = database.value("SELECT pg_catalog.current_schemas(false)::text[]")
        other = database.rows(_MEANT_OTHERWISE, {"names": [row[1] for row in rows], "oids": [row[2] for row in rows]})
        problems = [f"{Name(name).as_string()} means {what}" for name, what in other]
        problems += _try_all(database, [(row[1],) for row in rows])
    except ServerRefused as error:
        return Found(role, 0, (), (), f"cannot act as it: {error.found}")
    finally:
        database.execute("RESET ROLE")
    return Found(role, len(rows), tuple(schemas), tuple(problems))
