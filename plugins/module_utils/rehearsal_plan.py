"""What makes the plan of a copy the plan of its original: the same steps, by name.

A plan's own digest belongs to one database: its identity is in it, and everything in it is known by OID, which a dump and a
restore give out anew. So a rehearsal compares the steps without both. What the steps do not show, the structure of the tables,
is compared with how the original itself was when it was rehearsed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog, Table
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Plan, Step, drift_view
from ansible_collections.dbops.multischema.plugins.module_utils.search_path_step import SetSearchPath
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name, qualified

# Facts of a step's `detail` that only one server or one database knows.
_OF_ONE_DATABASE = ("type", "relation", "routine", "server")


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _names(catalog: Catalog) -> dict[int, str]:
    found = {table.oid: qualified(table.schema, table.name) for table in catalog.tables}
    return found | {s.oid: qualified(s.schema, s.name) for table in catalog.tables for s in table.statistics}


def _by_name(step: Step, names: Mapping[int, str]) -> dict[str, Any]:
    """All that a step does, with names for OIDs.

    The order of its statements does not count: they are made in the order in which a server lists things. A path is set by a
    statement with the database's name in it; its detail says the same without.
    """
    detail = {key: value for key, value in step.detail.items() if key not in _OF_ONE_DATABASE}
    if "publications" in detail:
        detail["publications"] = sorted([name, names.get(oid, "?")] for name, oid in detail["publications"])
    if "settled" in detail:
        detail["settled"] = sorted(names.get(oid, "?") for oid in detail["settled"])
    sets_path = step.kind == SetSearchPath.kind
    return {
        "id": step.id,
        "phase": step.phase,
        "kind": step.kind,
        "do": [] if sets_path else sorted(step.do),
        "undo": [] if sets_path else sorted(step.undo),
        "locks": sorted([lock.object, lock.mode] for lock in step.locks),
        "members": sorted([member.kind, member.name, member.view] for member in step.members),
        "detail": detail,
    }


def step_digests(plan: Plan) -> dict[str, str]:
    """Id → digest of each step by name, in the order of the plan."""
    names = _names(plan.catalog)
    return {step.id: _digest(_by_name(step, names)) for step in plan.steps}


def steps_digest(digests: Mapping[str, str]) -> str:
    """One digest for all steps, equal for a database and for its copy."""
    return _digest(list(digests.items()))


def differing_steps(one: Mapping[str, str], other: Mapping[str, str], here: str, there: str) -> Iterator[str]:
    """Which steps are in one plan only, or do something else there, in words.

    :param here: what ``one`` is called, and ``there`` the other.
    """
    for step_id in one:
        if step_id not in other:
            yield f"{step_id} is only in {here}"
        elif one[step_id] != other[step_id]:
            yield f"{step_id} does something else in {there}"
    yield from (f"{step_id} is only in {there}" for step_id in other if step_id not in one)


def structures(catalog: Catalog) -> dict[str, str]:
    """Name → digest of what counts as a change of each table of the source schema; for the same database only."""
    return {qualified(str(table["schema"]), str(table["name"])): _digest(table) for table in drift_view(catalog)["tables"]}


def shapes(catalog: Catalog) -> dict[str, str]:
    """Name → digest of what counts as a table's shape, of each table of the source schema; alike in a database and in its copy."""
    names = _names(catalog)
    return {
        qualified(table.schema, table.name): _digest(
            {
                "kind": [table.kind, table.persistence, table.is_partition, table.row_security, table.replica_identity],
                "owner": table.owner,
                "parents": sorted(names.get(oid, "?") for oid in table.parents),
                "columns": [list(table.columns), list(table.filled)],
                "belongs": [sorted(item.name for item in items) for items in (table.indexes, table.sequences, table.statistics)],
            }
        )
        for table in catalog.source_tables
    }


def differing_shapes(live: Catalog, copied: Catalog) -> Iterator[str]:
    """Which tables of a copy are not as in the database, in words."""
    here, there = shapes(live), shapes(copied)
    yield from (f"{name} is not in it" for name in here if name not in there)
    yield from (f"{name} is gone from the database" for name in there if name not in here)
    yield from (f"{name} was another one" for name in here if name in there and here[name] != there[name])


def without_joined(catalog: Catalog, known: Mapping[str, str]) -> Catalog:
    """The catalog without partitions that have joined a known tree since: they go with it, and a plan allows for them.

    :param known: the tables that were there, by name.
    """
    tables = catalog.by_oid()

    def joined(table: Table) -> bool:
        if qualified(table.schema, table.name) in known or not table.is_partition:
            return False
        parents = [tables[oid] for oid in table.parents if oid in tables]
        return any(qualified(parent.schema, parent.name) in known or joined(parent) for parent in parents)

    return replace(catalog, tables=tuple(table for table in catalog.tables if not joined(table)))


def reaching_beyond(plan: Plan) -> list[str]:
    """Steps that set a path and would not set it in the plan's own database; there must never be one.

    Roles and their settings belong to the whole server: what a rehearsal sets must name the copy.
    """
    whose = (f" IN DATABASE {Name(plan.server.database).as_string()} ", f"ALTER DATABASE {Name(plan.server.database).as_string()} ")
    return [
        step.id for step in plan.steps if step.kind == SetSearchPath.kind and not all(any(text in sql for text in whose) for sql in step.do)
    ]
