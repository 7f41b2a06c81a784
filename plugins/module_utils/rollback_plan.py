"""Which way back: journaled steps in reverse, checked as a whole before the first is undone (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import (
    RELATION_KINDS,
    TABLE_KINDS,
    Catalog,
    Table,
)
from ansible_collections.dbops.multischema.plugins.module_utils.journal import Entry
from ansible_collections.dbops.multischema.plugins.module_utils.move_step import MoveTables, Return
from ansible_collections.dbops.multischema.plugins.module_utils.plan import REFUSE, Finding, Lock, Member, Step
from ansible_collections.dbops.multischema.plugins.module_utils.rollback_paths import path_back
from ansible_collections.dbops.multischema.plugins.module_utils.rollback_types import type_back
from ansible_collections.dbops.multischema.plugins.module_utils.routine_step import RoutinePath
from ansible_collections.dbops.multischema.plugins.module_utils.schema_steps import CreateSchema
from ansible_collections.dbops.multischema.plugins.module_utils.search_path_step import SetSearchPath
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name, qualified
from ansible_collections.dbops.multischema.plugins.module_utils.type_step import MoveType

ROW_TYPE_KINDS = "rpfvm"  # relations that bring a type of their name with them; composite types are among the types


@dataclass(frozen=True)
class WayBack:
    """Steps to undo, in the order of undoing, each with its journal entry, and what forbids it.

    ``gone`` are tables that were moved and were dropped since.
    """

    steps: tuple[tuple[Entry, Step], ...]
    refusals: tuple[Finding, ...]
    gone: tuple[str, ...] = ()

    @property
    def retired(self) -> list[str]:
        """Schemas that these steps take away, in the order in which they are dropped at the end (`retired_schemas.py`)."""
        return sorted(step.detail["schema"] for _, step in self.steps if step.kind == CreateSchema.kind and step.undo)


class _Now:
    """The present catalog, indexed once: a rollback may have ten thousand steps."""

    def __init__(self, catalog: Catalog, done: Sequence[Entry]) -> None:
        self.catalog = catalog
        self.tables = catalog.by_oid()
        self.source = {r.name: r for r in catalog.relations if r.schema == catalog.source_schema}
        self.source_types = {t.name: t.kind_text for t in catalog.user_types if t.schema == catalog.source_schema}
        self.children: dict[int, list[Table]] = {}
        for table in catalog.tables:
            for parent in table.parents:
                self.children.setdefault(parent, []).append(table)
        self.views = {member.name for entry in done for member in entry.step.members if member.view}
        self.journaled = {member.oid for entry in done for member in entry.step.members}
        self.dependents: dict[int, list[str]] = {}
        for dependent in catalog.dependents:
            self.dependents.setdefault(dependent.view, []).append(dependent.description)
        self.views_by_name = {view.name: view for view in catalog.views if view.schema == catalog.source_schema}


def _joined(now: _Now, step: Step) -> list[Table]:
    """Partitions and children that were made in the target below a moved table since, and that no other step has moved."""
    inside = now.journaled | set(step.detail["settled"])
    found: list[Table] = []
    queue = [member.oid for member in step.members]
    while queue:
        for table in now.children.get(queue.pop(), ()):
            if table.oid not in inside and table.schema == step.detail["to"]:
                inside.add(table.oid)
                found.append(table)
                queue.append(table.oid)
    return sorted(found, key=lambda table: table.oid)


def _present(now: _Now, step: Step) -> list[Table]:
    """The tables that the step has moved and that are still there, whatever they are called now."""
    target = step.detail["to"]
    return [now.tables[m.oid] for m in step.members if m.oid in now.tables and now.tables[m.oid].schema == target]


def _as_found(now: _Now, step: Step) -> Step:
    """The step with an undo for what is there today: without what was dropped since, with what has joined."""
    source, target = str(step.detail["from"]), str(step.detail["to"])
    settled = set(step.detail["settled"])
    tables = [*_present(now, step), *_joined(now, step)]
    statistics = {
        table.oid: [stats for stats in table.statistics if stats.schema == target and stats.oid not in settled] for table in tables
    }
    there = {table.oid: table for table in tables}
    published = {(p.name, oid) for p in now.catalog.publications for oid in p.tables}
    way_back = Return(
        source,
        target,
        tables=tables,
        views=[m.name for m in step.members if m.view and m.name in now.source and now.source[m.name].kind == "v"],
        publications=[(name, there[oid].name) for name, oid in step.detail["publications"] if oid in there and (name, oid) in published],
        statistics={oid: [stats.name for stats in found] for oid, found in statistics.items()},
    )
    members = [Member(table.oid, table.kind, table.name) for table in tables]
    for table in tables:
        members += [Member(sequence.oid, "S", sequence.name) for sequence in table.sequences]
        members += [Member(stats.oid, "s", stats.name) for stats in statistics[table.oid]]
    return replace(
        step,
        title=f"Undo: {step.title}",
        members=tuple(members),
        undo=way_back.statements(now.catalog),
        locks=tuple(Lock(qualified(target, member.name)) for member in members),
    )


def _gone(now: _Now, step: Step) -> list[str]:
    """Tables that the step has moved and that do not exist any more."""
    return [qualified(str(step.detail["to"]), m.name) for m in step.members if m.kind in TABLE_KINDS and m.oid not in now.tables]


def _moved_on(now: _Now, step: Step) -> Iterator[Finding]:
    """Someone has moved a table on, or renamed the schema: where it belongs cannot be decided here."""
    home = (step.detail["from"], step.detail["to"])
    for member in step.members:
        table = now.tables.get(member.oid)
        if member.kind in TABLE_KINDS and table is not None and table.schema not in home:
            was = Name(str(step.detail["to"])).as_string()
            yield Finding(
                "moved_on",
                REFUSE,
                qualified(table.schema, table.name),
                f"The migration has put it into {was}; since then it was moved on, or the schema was renamed.",
                f"ALTER TABLE {qualified(table.schema, table.name)} SET SCHEMA {was}, or ALTER SCHEMA "
                f"{Name(table.schema).as_string()} RENAME TO {was}; then roll back.",
            )


def _dependents(now: _Now, step: Step) -> Iterator[Finding]:
    """What someone has built on a compatibility view: dropping it would drop theirs."""
    for member in step.members:
        ours = now.source.get(member.name) if member.view else None
        for what in now.dependents.get(ours.oid, ()) if ours is not None and ours.kind == "v" else ():
            old_name = qualified(str(step.detail["from"]), member.name)
            yield Finding(
                "view_has_dependents",
                REFUSE,
                what,
                f"It was built on the compatibility view {old_name}, which the rollback drops.",
                f"Save its definition, drop it, roll back, create it again over the table {old_name}.",
            )


def _replaced(now: _Now, entry: Entry) -> Iterator[Finding]:
    """A view of someone else under an old name, or one of ours that someone has changed."""
    for name, (oid, definition) in entry.identity.get("views", {}).items():
        there, view = now.source.get(name), now.views_by_name.get(name)
        another = there is not None and there.kind == "v" and there.oid != oid
        changed = view is not None and view.definition != definition and not view.plain
        if another or changed:
            yield Finding(
                "view_replaced",
                REFUSE,
                qualified(now.catalog.source_schema, name),
                "It is not the view that the migration made: someone has replaced or changed it, and the rollback would drop it.",
                "Save its definition (pg_get_viewdef) and drop it; then roll back.",
            )


def _name_conflicts(now: _Now, step: Step) -> Iterator[Finding]:
    """Names in the source schema that were taken while the tables were away."""
    source = str(step.detail["from"])
    coming: list[str] = []
    for member in step.members:
        if member.oid in now.tables and now.tables[member.oid].schema != source:
            table = now.tables[member.oid]
            coming += [table.name, *(i.name for i in table.indexes), *(s.name for s in table.sequences)]
    for name in coming:
        there = now.source.get(name)
        if there is not None and not (there.kind == "v" and name in now.views):
            yield _taken(source, name, RELATION_KINDS.get(there.kind, "relation"))
    for member in step.members:
        moved = now.tables.get(member.oid)
        if moved is not None and moved.schema != source:
            yield from _type_conflicts(now, source, moved)


def _type_conflicts(now: _Now, source: str, table: Table) -> Iterator[Finding]:
    """The same for the types of a table's rows and of arrays of them; PostgreSQL lets others have the view's array type's name."""
    there = now.source.get(table.array_type)
    if there is not None and there.kind in ROW_TYPE_KINDS and not (there.kind == "v" and there.name in now.views):
        yield _taken(source, table.array_type, RELATION_KINDS[there.kind])
    for name in (table.row_type, table.array_type):
        if name in now.source_types:
            yield _taken(source, name, now.source_types[name])


def _taken(source: str, name: str, kind: str) -> Finding:
    return Finding(
        "name_taken",
        REFUSE,
        qualified(source, name),
        f"A {kind} of that name was made in {source} since, so what had it cannot come back.",
        "Rename or drop it.",
    )


def _belongings(now: _Now, entries: Sequence[Entry]) -> set[int]:
    """Everything in the targets that goes back with the tables."""
    belongs: set[int] = set()
    for entry in entries:
        if entry.step.kind == MoveTables.kind:
            belongs.update(member.oid for member in (*entry.step.members, *_as_found(now, entry.step).members))
        elif entry.step.kind == MoveType.kind:
            belongs.update((entry.step.detail["type"], entry.step.detail["relation"]))
    for oid in belongs & now.tables.keys():
        belongs.update(index.oid for index in now.tables[oid].indexes)
        belongs.update(sequence.oid for sequence in now.tables[oid].sequences)
    return belongs


def _strangers(now: _Now, entries: Sequence[Entry], accepted: frozenset[tuple[str, str]]) -> Iterator[Finding]:
    """What others have put into a schema that we created: dropping the schema would lose it."""
    catalog = now.catalog
    created = {entry.step.detail["schema"] for entry in entries if entry.step.kind == CreateSchema.kind}
    inside: dict[str, list[str]] = {}
    belongs = _belongings(now, entries)
    for item in catalog.contents:
        if item.schema in created and item.oid not in belongs:
            inside.setdefault(item.schema, []).append(item.description)
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


def _not_renamable(catalog: Catalog, steps: Sequence[tuple[Entry, Step]]) -> Iterator[Finding]:
    """A schema is renamed before it is dropped, and PostgreSQL asks for the right to create schemas for that."""
    server = catalog.server
    names = [step.detail["schema"] for _, step in steps if step.kind == CreateSchema.kind and step.undo]
    if names and not (server.superuser or server.create_on_database):
        yield Finding(
            "undo_impossible",
            REFUSE,
            ", ".join(sorted(names)),
            f"{server.user} may not create schemas in this database any more, and without that it cannot rename one either: before a "
            "schema is dropped its name is taken away, so that no session stumbles over it.",
            f"GRANT CREATE ON DATABASE {Name(server.database).as_string()} TO {Name(server.user).as_string()}.",
        )


def plan_rollback(catalog: Catalog, done: Sequence[Entry], accepted: frozenset[tuple[str, str]] = frozenset()) -> WayBack:
    """Decide how to undo everything that the journal records as done.

    :param catalog: what is there now.
    :param done: journal entries in effect, in the order in which they were done.
    :param accepted: pairs (finding, object) that a person has decided to live with.
    """
    now = _Now(catalog, done)
    steps: list[tuple[Entry, Step]] = []
    refusals: list[Finding] = []
    gone: list[str] = []
    for entry in reversed(done):
        step = entry.step
        if step.kind == MoveTables.kind:
            refusals.extend(_dependents(now, step))
            refusals.extend(_replaced(now, entry))
            refusals.extend(_moved_on(now, step))
            gone.extend(_gone(now, step))
            step = _as_found(now, step)
            refusals.extend(_name_conflicts(now, step))
        elif step.kind == MoveType.kind:
            step, found, lost = type_back(catalog, step)
            refusals.extend(found)
            gone.extend(lost)
        elif step.kind == SetSearchPath.kind:
            step, found = path_back(catalog, step, accepted)
            refusals.extend(found)
        elif step.kind == RoutinePath.kind:
            step = RoutinePath.as_found(catalog, step)
        elif catalog.schema(str(step.detail["schema"])) is None:
            step = replace(step, undo=(), title=f"Undo: {step.title}; the schema is gone already")
        elif step.kind == CreateSchema.kind and ("schema_not_empty", step.detail["schema"]) in accepted:
            step = replace(step, undo=(), title=f"Leave schema {step.detail['schema']}, which others use")
        else:
            step = replace(step, title=f"Undo: {step.title}")
        steps.append((entry, step))
    refusals.extend(_strangers(now, done, accepted))
    refusals.extend(_not_renamable(catalog, steps))
    server = catalog.server
    moves = any(step.kind in (MoveTables.kind, MoveType.kind) for _, step in steps)
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
    return WayBack(tuple(steps), tuple(refusals), tuple(gone))
