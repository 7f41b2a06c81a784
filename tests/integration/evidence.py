"""What a database holds, read without the product: to prove that nothing was written, and that nothing was lost."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from psycopg2 import sql

from ansible_collections.dbops.multischema.plugins.module_utils.configuration import RETIRED_PREFIX
from tests.integration.databases import Target

JOURNAL = "multischema_journal"
_OURS = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"

_TABLES = f"""
SELECT c.oid::bigint, n.nspname, c.relname, c.relpersistence FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND {_OURS} ORDER BY 1
"""
_SEQUENCES = f"""
SELECT c.oid::bigint, n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'S' AND {_OURS} ORDER BY 1
"""
_SETTINGS = """
SELECT COALESCE(r.rolname, ''), s.setconfig::text FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole
 WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1
"""


@dataclass(frozen=True)
class State:
    """A database, whole: its structure, and what is in it by OID (so that a table is found wherever it stands).

    :param schema: ``pg_dump --schema-only``.
    :param rows: OID → (name, number of rows, digest that does not depend on their order).
    :param sequences: OID → (name, last value, whether it was used).
    :param settings: of the database and its roles, which the dump leaves out.
    """

    schema: str
    rows: Mapping[int, tuple[str, int, str]]
    sequences: Mapping[int, tuple[str, int, bool]]
    settings: tuple[tuple[Any, ...], ...]


def contents(target: Target, unlogged: bool = True) -> dict[int, tuple[str, int, str]]:
    """Digests of every table, the journal's apart.

    :param unlogged: whether unlogged tables count, which a standby has not got.
    """
    tables = [row[:3] for row in target.rows(_TABLES) if row[1] != JOURNAL and (unlogged or row[3] == "p")]
    if not tables:
        return {}
    one = "SELECT {}, count(*), COALESCE(md5(string_agg(md5(t::text), '' ORDER BY md5(t::text))), '') FROM ONLY {}.{} AS t"
    parts = [sql.SQL(one).format(sql.Literal(oid), sql.Identifier(schema), sql.Identifier(name)) for oid, schema, name in tables]
    names = {oid: name for oid, _, name in tables}
    return {oid: (names[oid], count, digest) for oid, count, digest in target.rows(sql.SQL(" UNION ALL ").join(parts))}


def sequences(target: Target) -> dict[int, tuple[str, int, bool]]:
    """Where every sequence stands, the journal's apart."""
    found = [row for row in target.rows(_SEQUENCES) if row[1] != JOURNAL]
    if not found:
        return {}
    one = "SELECT {}, last_value, is_called FROM {}.{}"
    parts = [sql.SQL(one).format(sql.Literal(oid), sql.Identifier(schema), sql.Identifier(name)) for oid, schema, name in found]
    names = {oid: name for oid, _, name in found}
    return {oid: (names[oid], last, called) for oid, last, called in target.rows(sql.SQL(" UNION ALL ").join(parts))}


def state(target: Target) -> State:
    """Everything about a database that a run could have changed."""
    return State(
        target.server.dump_schema(target.name),
        contents(target),
        sequences(target),
        tuple(target.rows(_SETTINGS)),
    )


def require_same_schema(before: str, after: str) -> None:
    """:raises AssertionError: with a diff, when two dumps differ in one byte."""
    if before != after:
        lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), "before", "after", lineterm="", n=1))
        raise AssertionError("the dumps differ:\n" + "\n".join(lines[:80]))


def require_same(before: State, after: State) -> None:
    """:raises AssertionError: saying what differs."""
    require_same_schema(before.schema, after.schema)
    assert differing(before.rows, after.rows) == {}
    assert differing(before.sequences, after.sequences) == {}
    assert before.settings == after.settings


def differing(before: Mapping[int, Any], after: Mapping[int, Any]) -> dict[str, tuple[Any, Any]]:
    """Name → (before, after), for what differs."""
    found = {}
    for oid in before.keys() | after.keys():
        was, now = before.get(oid), after.get(oid)
        if was != now:
            found[str((was or now or ["?"])[0])] = (was and was[1:], now and now[1:])
    return found


_DONE = f"SELECT definition FROM {JOURNAL}.step WHERE undone_at IS NULL ORDER BY seq"
_PLACES = """
SELECT c.oid::bigint, n.nspname, c.relname, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY(%s)
UNION ALL
SELECT s.oid::bigint, n.nspname, s.stxname, 's' FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
 WHERE n.nspname = ANY(%s)
"""


def journaled(target: Target) -> list[dict[str, Any]]:
    """The steps in effect, as the journal holds them."""
    if target.value(f"SELECT to_regclass('{JOURNAL}.step')") is None:
        return []
    return [row[0] for row in target.rows(_DONE)]


def disagreements(target: Target, targets: Iterable[str], source: str = "public") -> list[str]:
    """Where journal and database say different things: nothing must ever be found, at whatever instant a run has ended.

    :param targets: schemas that did not exist before the migration.
    """
    steps, problems = journaled(target), []
    created = {step["detail"]["schema"] for step in steps if step["kind"] == "create_schema"}
    there = {row[0] for row in target.rows("SELECT nspname FROM pg_namespace")}
    problems += [
        f"schema {name}: journal {name in created}, database {name in there}" for name in targets if (name in created) != (name in there)
    ]
    if JOURNAL not in there:
        problems += [f"schema {name}: no journal knows that it is to be dropped" for name in there if name.startswith(RETIRED_PREFIX)]
    scope = [source, *targets]
    places = target.rows(_PLACES, (scope, scope))
    schema_of = {(oid, kind == "s"): schema for oid, schema, _, kind in places}
    views = {name for _, schema, name, kind in places if schema == source and kind == "v"}
    moved: set[tuple[int, bool]] = set()
    for step in steps:
        for member in step["members"]:
            key = (member["oid"], member["kind"] == "s")
            moved.add(key)
            if schema_of.get(key) != step["detail"]["to"]:
                problems.append(f"{member['name']}: journaled in {step['detail']['to']}, is in {schema_of.get(key)}")
            if member["view"] and member["name"] not in views:
                problems.append(f"{member['name']}: journaled as moved, and there is no view")
    for oid, schema, name, kind in places:
        if kind in "rpSs" and schema in targets and (oid, kind == "s") not in moved:
            problems.append(f"{name} is in {schema}, and the journal does not know")
    return problems
