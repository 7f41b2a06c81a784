"""Which way back: journaled steps in reverse, checked as a whole before the first is undone (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import (
    RELATION_KINDS,
    TABLE_KINDS,
    Catalog,
    Table,
    View,
)
from ansible_collections.dbops.multischema.plugins.module_utils.journal import Entry
from ansible_collections.dbops.multischema.plugins.module_utils.move_step import MoveTables
from ansible_collections.dbops.multischema.plugins.module_utils.plan import REFUSE, Finding, Member, Step
from ansible_collections.dbops.multischema.plugins.module_utils.schema_steps import CreateSchema
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name, qualified, statement


@dataclass(frozen=True)
class WayBack:
    """Steps to undo, in the order of undoing, each with its journal entry, and what forbids it."""

    steps: tuple[tuple[Entry, Step], ...]
    refusals: tuple[Finding, ...]


class _Now:
    """The present catalog, indexed once: a rollback may have ten thousand steps."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.tables = catalog.by_oid()
        self.source = {r.name: r for r in catalog.relations if r.schema == catalog.source_schema}
        self.children: dict[int, list[Table]] = {}
        for table in catalog.tables:
            for parent in table.parents:
                self.children.setdefault(parent, []).append(table)
        self.readers: dict[int, list[View]] = {}
        for view in catalog.views:
            for oid in view.reads:
                self.readers.setdefault(oid, []).append(view)


def _joined(now: _Now, step: Step) -> list[Table]:
    """Partitions and children that were made in the target below a moved table since."""
    inside = {member.oid for member in step.members} | set(step.detail["settled"])
    found: list[Table] = []
    queue = [member.oid for member in step.members]
    while queue:
        for table in now.children.get(queue.pop(), ()):
            if table.oid not in inside and table.schema == step.detail["to"]:
                inside.add(table.oid)
                found.append(table)
                queue.append(table.oid)
    return sorted(found, key=lambda table: table.oid)


def _with_joined(now: _Now, step: Step) -> Step:
    """The step with undo for what has joined it: members of the tree, sequences, indexes and statistics objects."""
    source, target = str(step.detail["from"]), str(step.detail["to"])
    known = {member.oid for member in step.members} | set(step.detail["settled"])
    tables = now.tables
    members, undo = list(step.members), list(step.undo)
    for table in _joined(now, step):
        members.append(Member(table.oid, table.kind, table.name))
        undo.append(statement("ALTER TABLE {} SET SCHEMA {}", Name(target, table.name), Name(source)))
    for member in tuple(members):
        if member.kind not in TABLE_KINDS or member.oid not in tables:
            continue
        for stats in tables[member.oid].statistics:
            if stats.oid not in known and stats.schema == target:
                members.append(Member(stats.oid, "s", stats.name))
                undo.append(statement("ALTER STATISTICS {} SET SCHEMA {}", Name(target, stats.name), Name(source)))
    return replace(step, members=tuple(members), undo=tuple(undo))


def _dependents(now: _Now, step: Step) -> Iterator[Finding]:
    """Views that someone has built on a compatibility view: dropping it would drop theirs."""
    for member in step.members:
        ours = now.source.get(member.name) if member.view else None
        for view in now.readers.get(ours.oid, ()) if ours is not None and ours.kind == "v" else ():
            old_name = qualified(str(step.detail["from"]), member.name)
            yield Finding(
                "view_has_dependents",
                REFUSE,
                qualified(view.schema, view.name),
                f"It was built on the compatibility view {old_name}, which the rollback drops.",
                f"Save its definition (pg_get_viewdef), drop it, roll back, create it again over the table {old_name}.",
            )


def _name_conflicts(now: _Now, step: Step) -> Iterator[Finding]:
    """Names in the source schema that were taken while the tables were away."""
    source = str(step.detail["from"])
    views = {member.name for member in step.members if member.view}
    coming: list[str] = []
    for member in step.members:
        if member.oid in now.tables and now.tables[member.oid].schema != source:
            table = now.tables[member.oid]
            coming += [table.name, *(i.name for i in table.indexes), *(s.name for s in table.sequences)]
    for name in coming:
        there = now.source.get(name)
        if there is not None and not (there.kind == "v" and name in views):
            yield Finding(
                "name_taken",
                REFUSE,
                qualified(source, name),
                f"A {RELATION_KINDS.get(there.kind, 'relation')} of that name was made in {source} since, so what had it cannot come back.",
                "Rename or drop it.",
            )


def _belongings(now: _Now, entries: Sequence[Entry]) -> set[int]:
    """Everything in the targets that goes back with the tables."""
    belongs: set[int] = set()
    for entry in entries:
        if entry.step.kind == MoveTables.kind:
            belongs.update(member.oid for member in _with_joined(now, entry.step).members)
    for oid in belongs & now.tables.keys():
        belongs.update(index.oid for index in now.tables[oid].indexes)
        belongs.update(sequence.oid for sequence in now.tables[oid].sequences)
    return belongs


def _contents(catalog: Catalog, belongs: set[int]) -> Iterator[tuple[str, str]]:
    """(schema, object) for everything that stands in a schema for itself and is none of ours."""
    for relation in catalog.relations:
        if relation.oid not in belongs and relation.kind not in ("i", "I", "t"):
            yield relation.schema, f"{RELATION_KINDS[relation.kind]} {relation.name}"
    for kind in catalog.types:
        if kind.kind in ("e", "d", "r"):
            yield kind.schema, f"type {kind.name}"
    for routine in catalog.routines:
        yield routine.schema, f"routine {routine.name}"


def _strangers(now: _Now, entries: Sequence[Entry], accepted: frozenset[tuple[str, str]]) -> Iterator[Finding]:
    """What others have put into a schema that we created: dropping the schema would lose it."""
    catalog = now.catalog
    created = {entry.step.detail["schema"] for entry in entries if entry.step.kind == CreateSchema.kind}
    inside: dict[str, list[str]] = {}
    for schema, name in _contents(catalog, _belongings(now, entries)):
        if schema in created:
            inside.setdefault(schema, []).append(name)
    for schema, names in sorted(inside.items()):
        if ("schema_not_empty", schema) in accepted:
            continue
        yield Finding(
            "schema_not_empty",
            REFUSE,
            schema,
            f"It was created by this migration, which would drop it, but others have put things there since: "
            f"{', '.join(names[:10])}" + (f" and {len(names) - 10} more" if len(names) > 10 else "") + ".",
            f"Move them (ALTER … SET SCHEMA {Name(catalog.source_schema).as_string()}) or drop them; or accept the finding "
            f"schema_not_empty for {schema}: everything else goes back and the schema stays.",
            acceptable=True,
        )


def plan_rollback(catalog: Catalog, done: Sequence[Entry], accepted: frozenset[tuple[str, str]] = frozenset()) -> WayBack:
    """Decide how to undo everything that the journal records as done.

    :param catalog: what is there now.
    :param done: journal entries in effect, in the order in which they were done.
    :param accepted: pairs (finding, object) that a person has decided to live with.
    """
    now = _Now(catalog)
    steps: list[tuple[Entry, Step]] = []
    refusals: list[Finding] = []
    for entry in reversed(done):
        step = entry.step
        if step.kind == MoveTables.kind:
            step = _with_joined(now, step)
            refusals.extend(_dependents(now, step))
            refusals.extend(_name_conflicts(now, step))
        elif catalog.schema(str(step.detail["schema"])) is None:
            step = replace(step, undo=(), title=f"{step.title}: the schema is gone already")
        elif step.kind == CreateSchema.kind and ("schema_not_empty", step.detail["schema"]) in accepted:
            step = replace(step, undo=(), title=f"Leave schema {step.detail['schema']}, which others use")
        steps.append((entry, step))
    refusals.extend(_strangers(now, done, accepted))
    server = catalog.server
    moves = any(step.kind == MoveTables.kind for _, step in steps)
    if moves and not server.superuser and catalog.source_schema not in server.create_on_schemas:
        refusals.append(
            Finding(
                "undo_impossible",
                REFUSE,
                catalog.source_schema,
                f"{server.user} may not create in {catalog.source_schema}, so nothing can come back there.",
                f"GRANT CREATE ON SCHEMA {Name(catalog.source_schema).as_string()} TO {Name(server.user).as_string()}.",
            )
        )
    return WayBack(tuple(steps), tuple(refusals))
