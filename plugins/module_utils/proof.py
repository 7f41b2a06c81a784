"""The proof of a step: that exactly the planned objects have moved, and nothing else about them has changed.

For a step that is sent as a whole it is one light query behind the work, in the same message. It reads what `identity.py`
reads, as plain columns, and compares each view with its table in the simplest way: the same privileges item by item, the
same columns. What that cannot decide is left to the thorough comparison there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.identity import COLUMNS, VIEW_DEFINITION, differences
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Step
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import qualified

# The keys of an identity with the columns that they come from. Names are compared by the client: text of any encoding.
_PARTS = {
    "schema": "(SELECT n.nspname FROM pg_catalog.pg_namespace n WHERE n.oid = c.relnamespace)",
    "name": "c.relname",
    "kind": "c.relkind",
    "relfilenode": "c.relfilenode::bigint",
    "toast": "c.reltoastrelid::bigint",
    "owner": "c.relowner::bigint",
    "acl": "c.relacl::text",
    "options": "c.reloptions::text",
    "persistence": "c.relpersistence",
    "row_security": "c.relrowsecurity",
    "force_row_security": "c.relforcerowsecurity",
    "replica_identity": "c.relreplident",
    "columns": "c.relnatts",
    "checks": "c.relchecks",
    "tablespace": "c.reltablespace::bigint",
    "has_children": "c.relhassubclass",
}
_SAME_COLUMNS = f"{COLUMNS.format('c.oid')} IS NOT DISTINCT FROM {COLUMNS.format('v.oid')}"
_NO_COLUMN_PRIVILEGES = "NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL)"
_SAME_PRIVILEGES = (
    "CASE WHEN c.relacl IS NULL OR v.relacl IS NULL THEN c.relacl IS NULL AND v.relacl IS NULL AND c.relowner = v.relowner "
    "ELSE c.relacl @> v.relacl AND v.relacl @> c.relacl END"
)

_MOVED = f"SELECT c.oid::bigint, {', '.join(_PARTS.values())} FROM pg_catalog.pg_class c WHERE c.oid = ANY($1::oid[])"

# Parameters: OIDs of relations, those of them that have a view under their old name, the schema where that is.
_MOVED_WITH_VIEWS = f"""
SELECT c.oid::bigint, {", ".join(_PARTS.values())}, v.oid::bigint, {VIEW_DEFINITION},
       v.oid IS NOT NULL AND {_SAME_COLUMNS} AND {_SAME_PRIVILEGES} AND {_NO_COLUMN_PRIVILEGES}
  FROM pg_catalog.pg_class c
  LEFT JOIN pg_catalog.pg_class v ON v.relname = c.relname AND c.oid = ANY($2::oid[]) AND v.relkind = 'v'
       AND v.relnamespace = (SELECT s.oid FROM pg_catalog.pg_namespace s WHERE s.nspname = $3::name)
  LEFT JOIN pg_catalog.pg_rewrite r ON r.ev_class = v.oid AND r.rulename = '_RETURN'
 WHERE c.oid = ANY($1::oid[])
"""

_LEFT_BEHIND = """
SELECT c.relname FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE i.inhparent = ANY(%(oids)s) AND n.nspname = %(schema)s AND i.inhrelid <> ALL(%(settled)s::oid[]) ORDER BY 1
"""


@dataclass(frozen=True)
class Proof:
    """What stands in the catalog after the work of a step.

    :param identities: by OID, of relations.
    :param views: OID and digest of the definition, by name.
    :param in_doubt: OIDs of tables whose view is missing or not the same in the simplest sense.
    """

    identities: Mapping[int, dict[str, Any]]
    views: Mapping[str, list[Any]]
    in_doubt: Sequence[int]


def proof_query(database: Database, step: Step, undo: bool) -> str:
    """The statement to be sent behind the work; :func:`read_proof` understands its rows."""
    oids = [member.oid for member in step.members if member.kind != "s"]
    viewed = [] if undo else [member.oid for member in step.members if member.view]
    if not viewed:
        database.prepare("multischema_moved", _MOVED)
        return database.execution("multischema_moved", (oids,))
    database.prepare("multischema_moved_with_views", _MOVED_WITH_VIEWS)
    return database.execution("multischema_moved_with_views", (oids, viewed, str(step.detail["from"])))


def read_proof(step: Step, rows: Sequence[Sequence[Any]]) -> Proof:
    """What the rows say.

    :param step: with the names of its members, as planned: a view has the name of its table.
    """
    names = {member.oid: member.name for member in step.members if member.view}
    identities = {row[0]: dict(zip(_PARTS, row[1:])) for row in rows}
    views, in_doubt = {}, []
    for row in rows if rows and len(rows[0]) > len(_PARTS) + 1 else ():
        oid, (view, definition, same) = row[0], row[len(_PARTS) + 1 :]
        if oid in names and same:
            views[names[oid]] = [view, definition]
        elif oid in names:
            in_doubt.append(oid)
    return Proof(identities, views, in_doubt)


def move_problems(
    database: Database, step: Step, undo: bool, before: Mapping[int, Mapping[str, Any]], after: Mapping[int, Mapping[str, Any]]
) -> list[str]:
    """What is wrong after the work, in words; nothing where exactly the planned objects have moved and all else is as it was.

    :param before: identities by OID, from before the work, and ``after``, from behind it.
    """
    problems = []
    origin, target = str(step.detail["from"]), str(step.detail["to"])
    if undo:
        origin, target = target, origin
    for member in step.members:
        was, now = before.get(member.oid), after.get(member.oid)
        if was is None or now is None or was["name"] != member.name or was["schema"] != origin:
            problems.append(f"{qualified(origin, member.name)} (OID {member.oid}) is not there any more")
        elif now["schema"] != target:
            problems.append(f"{member.name} is in {now['schema']} and not in {target}")
        else:
            problems.extend(f"{member.name}: {text}" for text in differences(was, now))
    parents = [oid for oid, now in after.items() if now.get("has_children")]
    wanted = {"oids": parents, "schema": origin, "settled": list(step.detail["settled"])}
    for (name,) in database.rows(_LEFT_BEHIND, wanted) if parents else ():
        problems.append(f"{qualified(origin, name)} has joined the tree since it was planned")
    return problems
