"""Has the database changed since the plan was made, and what is left to do?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import TABLE_KINDS, Catalog, Table, changed_parts
from ansible_collections.dbops.multischema.plugins.module_utils.errors import JournalError, PlanRefused
from ansible_collections.dbops.multischema.plugins.module_utils.move_step import MoveTables
from ansible_collections.dbops.multischema.plugins.module_utils.placement import Group
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Plan, Step, drift_view
from ansible_collections.dbops.multischema.plugins.module_utils.routine_step import RoutinePath
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import qualified

MAKE_AGAIN = "Make the plan again with playbooks/plan.yml, read what is new in it, and run this phase again."


def _name(table: Table) -> str:
    return qualified(table.schema, table.name)


def _joins(table: Table, planned: frozenset[int], tables: dict[int, Table]) -> bool:
    """Whether a new table is a partition somewhere below a planned one."""
    while table.is_partition and table.parents:
        if table.parents[0] in planned:
            return True
        if table.parents[0] not in tables:
            return False
        table = tables[table.parents[0]]
    return False


def differences(saved: Plan, now: Catalog) -> Iterator[str]:
    """What has changed between the plan's catalog and one of now, in which journaled steps have been taken back.

    Statistics, sizes, comments and sequence values do not count; a new partition of a planned tree joins it.
    """
    before = {table.oid: table for table in saved.catalog.source_tables}
    after = {table.oid: table for table in now.source_tables}
    planned = frozenset(placement.oid for placement in saved.placements if placement.step)
    for oid in before.keys() - after.keys():
        yield f"{_name(before[oid])} is gone"
    for oid, table in after.items():
        if oid not in before:
            if not _joins(table, planned, after):
                yield f"{_name(table)} is new"
            continue
        parts = list(changed_parts(before[oid], table))
        parts += _owned_changes(before[oid], table)
        if parts:
            was = before[oid]
            renamed = f" (was {_name(was)})" if _name(was) != _name(table) else ""
            yield f"{_name(table)}{renamed}: {', '.join(dict.fromkeys(parts))} changed"
    yield from _other_changes(drift_view(saved.catalog), drift_view(now))
    yield from _repaired_changes(saved, now)


def _owned_changes(before: Table, after: Table) -> Iterator[str]:
    for attribute in ("sequences", "statistics"):
        if {o.oid: o for o in getattr(before, attribute)} != {o.oid: o for o in getattr(after, attribute)}:
            yield attribute


def _repaired_changes(saved: Plan, now: Catalog) -> Iterator[str]:
    """Routines that the plan gives a search_path: what they say has been read, and must be what they say."""
    before, after = ({routine.oid: routine for routine in catalog.routines} for catalog in (saved.catalog, now))
    for step in saved.steps:
        if step.kind == RoutinePath.kind:
            was, is_now = before[step.detail["routine"]], after.get(step.detail["routine"])
            if is_now is None:
                yield f"{was.signature} is gone"
            elif (was.source, was.search_path, was.security_definer) != (is_now.source, is_now.search_path, is_now.security_definer):
                yield f"{was.signature} changed"


def _other_changes(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    words = {
        "views": "views that read the tables",
        "publications": "publications",
        "default_privileges": "default privileges",
        "types": "types",
        "search_paths": "search paths",
    }
    for key, text in words.items():
        gone = [item for item in before[key] if item not in after[key]]
        new = [item for item in after[key] if item not in before[key]]
        if gone or new:
            names = sorted({_label(item) for item in gone + new})
            yield f"{text} changed: {', '.join(names)}"


def _label(item: Any) -> str:
    if isinstance(item, list):
        return qualified(item[0], item[1])
    return str(item.get("name") or f"{item.get('role')} in {item.get('schema') or 'all schemas'}")


def require_no_drift(saved: Plan, now: Catalog) -> None:
    """:raises PlanRefused: naming everything that has changed since the plan was made."""
    server = now.server
    if (server.system_identifier, server.database_oid) != (saved.server.system_identifier, saved.server.database_oid):
        raise PlanRefused(
            f"The plan was made for database {saved.server.database} of another server or before it was restored.",
            "Objects are known by their OIDs, which differ from database to database.",
            MAKE_AGAIN,
        )
    found = list(differences(saved, now))
    if found:
        shown = found[:20] + ([f"and {len(found) - 20} more"] if len(found) > 20 else [])
        raise PlanRefused(
            "The database has changed since the plan was made:\n  - " + "\n  - ".join(shown),
            "Only what was planned and read by a person is applied.",
            MAKE_AGAIN,
        )


def require_same_direction(plan: Plan, done: Iterable[Step]) -> None:
    """:raises JournalError: when what has been done already contradicts the plan."""
    planned = {step.id: step for step in plan.steps}
    moves = {placement.oid: placement.schema for placement in plan.placements}
    against = []
    for step in done:
        if step.id in planned or step.kind != MoveTables.kind:
            continue
        elsewhere = [m.name for m in step.members if m.kind in ("r", "p", "f") and moves.get(m.oid) != step.detail["to"]]
        if elsewhere:
            against.append(f"{', '.join(elsewhere)} went to {step.detail['to']}")
    against += [
        f"{step.id} went to {step.detail['to']}, planned is {planned[step.id].detail['to']}"
        for step in done
        if step.kind == MoveTables.kind and step.id in planned and planned[step.id].detail["to"] != step.detail["to"]
    ]
    if against:
        raise JournalError(
            "What has been done already does not fit the plan: " + "; ".join(against[:10]) + ".",
            "The journal and the plan must lead to the same place.",
            "Restore the former placement, or go back with playbooks/rollback.yml and plan again.",
        )


def pending(plan: Plan, done: Sequence[Step]) -> list[Step]:
    """Steps of the plan that are not done, in order; what joined a moved tree since gets a step of its own.

    :param plan: made from the present catalog with the journaled steps taken back.
    :param done: journaled steps.
    """
    moved = {member.oid for step in done for member in step.members}
    finished = {step.id for step in done}
    left = []
    for step in plan.steps:
        tables = {member.oid for member in step.members if member.kind in TABLE_KINDS}
        if tables and tables <= moved:
            continue  # under another name: it was renamed, or detached from its tree, after it had moved
        if step.id not in finished:
            left.append(step)
        elif step.kind == MoveTables.kind:
            left.extend(_joined_later(plan, step, moved))
    return left


def _joined_later(plan: Plan, step: Step, moved: set[int]) -> Iterator[Step]:
    late = [member for member in step.members if member.kind in ("r", "p", "f") and member.oid not in moved]
    if late:
        tables = plan.catalog.by_oid()
        members = tuple(tables[member.oid] for member in late)
        group = Group(members, str(step.detail["to"]), "joined the tree since", view=late[0].view)
        yield MoveTables.build(plan.catalog, group)


def as_saved(saved: Plan, fresh: Plan) -> Plan:
    """The fresh plan under the saved one's name, once :func:`require_no_drift` has found nothing."""
    return replace(fresh, made_at=saved.made_at, environment=saved.environment, host=saved.host, version=saved.version)
