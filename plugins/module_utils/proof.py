"""The proof of a step: that exactly the planned objects have moved, and nothing else about them has changed.

A step that is sent as a whole has it in one light query behind the work, in the same message. What a move must leave alone
is one text there, to be compared with the text that was read for many steps at once before; and each view is compared with
its table in the simplest way: the same privileges item by item, the same columns. What that does not show is left to the
thorough comparison, on the way that goes statement by statement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.catalog_queries import VIEW_DEFINITION
from ansible_collections.dbops.multischema.plugins.module_utils.identity import COLUMNS, IDENTITY, differences
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Step
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import qualified

_SCHEMA = "(SELECT n.nspname FROM pg_catalog.pg_namespace n WHERE n.oid = {})"
# All of an identity but the schema, which a move changes, and the sign of children (compare `identity.KEPT`).
_KEPT = (
    "ROW(c.relname, c.relkind, c.relfilenode, c.reltoastrelid, c.relowner, c.relacl, c.reloptions, c.relpersistence, c.relrowsecurity, "
    "c.relforcerowsecurity, c.relreplident, c.relnatts, c.relchecks, c.reltablespace)::text"
)
_PLACE = f"c.oid::bigint, {_SCHEMA.format('c.relnamespace')}, c.relhassubclass, {_KEPT}"
_PLACE_OF_STATISTICS = f"s.oid::bigint, {_SCHEMA.format('s.stxnamespace')}, false, ROW(s.stxname, s.stxowner)::text"

# Parameters: OIDs of relations, OIDs of statistics objects.
_FORMER = f"""
SELECT {_PLACE}, {IDENTITY} FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid = ANY($1::oid[])
UNION ALL
SELECT {_PLACE_OF_STATISTICS}, json_build_object('schema', n.nspname, 'name', s.stxname, 'kind', 's', 'owner', s.stxowner::bigint)
  FROM pg_catalog.pg_statistic_ext s JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace WHERE s.oid = ANY($2::oid[])
"""

_MOVED = f"SELECT {_PLACE} FROM pg_catalog.pg_class c WHERE c.oid = ANY($1::oid[])"
_MOVED_STATISTICS = f"SELECT {_PLACE_OF_STATISTICS} FROM pg_catalog.pg_statistic_ext s WHERE s.oid = ANY($1::oid[])"

# A column that has privileges of its own, of the table or of the view, never matches here: then the view is compared thoroughly.
_BARE = "SELECT CASE WHEN a.attacl IS NULL THEN a.attname {} END"
_PLAIN_COLUMNS, _PLAIN_VIEW_COLUMNS = (
    COLUMNS.format(relation).replace("SELECT a.attname", _BARE.format(otherwise), 1)
    for relation, otherwise in (("c.oid", ""), ("v.oid", "ELSE ''"))
)
_SAME_COLUMNS = f"{_PLAIN_COLUMNS} IS NOT DISTINCT FROM {_PLAIN_VIEW_COLUMNS}"
_SAME_PRIVILEGES = (
    "CASE WHEN c.relacl IS NULL OR v.relacl IS NULL THEN c.relacl IS NULL AND v.relacl IS NULL AND c.relowner = v.relowner "
    "ELSE c.relacl @> v.relacl AND v.relacl @> c.relacl END"
)
# Parameters: OIDs of relations, those of them that have a view under their old name, the schema where that is.
_MOVED_WITH_VIEWS = f"""
SELECT {_PLACE}, v.oid::bigint, {VIEW_DEFINITION},
       v.oid IS NOT NULL AND {_SAME_COLUMNS} AND {_SAME_PRIVILEGES}
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
class Former:
    """What stood before the work.

    :param kept: all that a move must leave alone, as one text.
    :param identity: the same part by part, as the journal keeps it.
    """

    schema: str
    has_children: bool
    kept: str
    identity: Mapping[str, Any]


@dataclass(frozen=True)
class Place:
    """What stands behind the work: where, and with what; and the view, where one belongs there.

    :param view_fits: whether the view is there and the same in the simplest sense.
    """

    schema: str
    has_children: bool
    kept: str
    view: int | None = None
    definition: str | None = None
    view_fits: bool = False


def read_former(database: Database, steps: Iterable[Step]) -> dict[int, Former]:
    """Everything that steps move as it stands, by OID; what is not there is left out."""
    members = [_oids(step) for step in steps]
    relations, statistics = ([oid for oids in members for oid in oids[kind]] for kind in (0, 1))
    if not relations and not statistics:
        return {}
    return {row[0]: Former(*row[1:]) for row in database.prepared("multischema_former", _FORMER, (relations, statistics))}


def _oids(step: Step) -> tuple[list[int], list[int]]:
    """Of relations, and of statistics objects, which are of another catalog."""
    relations = [member.oid for member in step.members if member.kind != "s"]
    return relations, [member.oid for member in step.members if member.kind == "s"]


def proof_query(database: Database, step: Step, undo: bool) -> str:
    """The statement to be sent behind the work; :func:`read_places` understands its rows."""
    relations, _ = _oids(step)
    viewed = [] if undo else [member.oid for member in step.members if member.view]
    if not viewed:
        database.prepare("multischema_moved", _MOVED)
        return database.execution("multischema_moved", (relations,))
    database.prepare("multischema_moved_with_views", _MOVED_WITH_VIEWS)
    return database.execution("multischema_moved_with_views", (relations, viewed, str(step.detail["from"])))


def read_places(database: Database, step: Step, rows: Sequence[Sequence[Any]]) -> dict[int, Place]:
    """What the rows of the proof say, by OID; statistics objects, which few steps have, are asked for."""
    places = {row[0]: Place(*row[1:]) for row in rows}
    _, statistics = _oids(step)
    if statistics:
        found = database.prepared("multischema_moved_statistics", _MOVED_STATISTICS, (statistics,))
        places.update((row[0], Place(*row[1:])) for row in found)
    return places


def moved_as_planned(database: Database, step: Step, undo: bool, former: Mapping[int, Former], places: Mapping[int, Place]) -> bool:
    """Whether exactly the planned objects have moved, all else about them is as it was, and nothing was left behind."""
    origin, target = _way(step, undo)
    for member in step.members:
        was, now = former.get(member.oid), places.get(member.oid)
        if was is None or now is None or was.schema != origin or was.identity["name"] != member.name:
            return False
        if now.schema != target or now.kept != was.kept:
            return False
    return not _left_behind(database, step, origin, [oid for oid, place in places.items() if place.has_children])


def identity_of(step: Step, former: Mapping[int, Former], places: Mapping[int, Place]) -> dict[str, dict[str, Any]]:
    """What the journal keeps of the objects of a step that has :func:`moved_as_planned`."""
    return {
        str(member.oid): {
            **former[member.oid].identity,
            "schema": places[member.oid].schema,
            **({} if member.kind == "s" else {"has_children": places[member.oid].has_children}),
        }
        for member in step.members
    }


def views_of(step: Step, places: Mapping[int, Place]) -> dict[str, list[Any]] | None:
    """What the views are known by, by name; None where one does not fit at first sight."""
    viewed = [(member.name, places[member.oid]) for member in step.members if member.view]
    if not all(place.view_fits for _, place in viewed):
        return None
    return {name: [place.view, place.definition] for name, place in viewed}


def _way(step: Step, undo: bool) -> tuple[str, str]:
    origin, target = str(step.detail["from"]), str(step.detail["to"])
    return (target, origin) if undo else (origin, target)


def _left_behind(database: Database, step: Step, origin: str, parents: Sequence[int]) -> list[str]:
    """Partitions and children that have joined the tree since it was planned."""
    wanted = {"oids": parents, "schema": origin, "settled": list(step.detail["settled"])}
    return [name for (name,) in database.rows(_LEFT_BEHIND, wanted)] if parents else []


def move_problems(
    database: Database, step: Step, undo: bool, before: Mapping[int, Mapping[str, Any]], after: Mapping[int, Mapping[str, Any]]
) -> list[str]:
    """What is wrong after the work, in words; nothing where exactly the planned objects have moved and all else is as it was.

    :param before: identities by OID, from before the work, and ``after``, from behind it.
    """
    problems = []
    origin, target = _way(step, undo)
    for member in step.members:
        was, now = before.get(member.oid), after.get(member.oid)
        if was is None or now is None or was["name"] != member.name or was["schema"] != origin:
            problems.append(f"{qualified(origin, member.name)} (OID {member.oid}) is not there any more")
        elif now["schema"] != target:
            problems.append(f"{member.name} is in {now['schema']} and not in {target}")
        else:
            problems.extend(f"{member.name}: {text}" for text in differences(was, now))
    parents = [oid for oid, now in after.items() if now.get("has_children")]
    for name in _left_behind(database, step, origin, parents):
        problems.append(f"{qualified(origin, name)} has joined the tree since it was planned")
    return problems
