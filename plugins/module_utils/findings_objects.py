"""Findings about the objects that move and what goes along with them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import RELATION_KINDS, Table
from ansible_collections.dbops.multischema.plugins.module_utils.plan import AUTO, REFUSE, WARN, Finding
from ansible_collections.dbops.multischema.plugins.module_utils.situation import Situation, table_name
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name

LARGE_TREE = 100
MEMBER_MS = 3  # measured: moving one partition and making its view, on two busy cores


def collisions(s: Situation) -> Iterator[Finding]:
    """Tables, views, indexes and sequences share one namespace; types another; statistics a third."""
    relations = {(r.schema, r.name): r.kind for r in s.catalog.relations}
    types = {(t.schema, t.name): t.kind for t in s.catalog.types}
    statistics = {(st.schema, st.name) for st in s.catalog.statistics}
    for _, table, target in s.moves:
        goes = [("table", table.name)]
        goes += [("index", index.name) for index in table.indexes]
        goes += [("sequence", sequence.name) for sequence in table.sequences]
        for what, name in goes:
            if (target, name) in relations:
                there = RELATION_KINDS.get(relations[(target, name)], "relation")
                yield _collision(table, f"{what} {name}", target, f"a {there} of that name")
        for name in filter(None, (table.row_type, table.array_type)):
            # A relation of the table's own name was reported above; one called like the array type has a row type of that name.
            if (target, name) in types and not (name == table.name and (target, name) in relations):
                yield _collision(table, f"row type {name}", target, "a type of that name")
        for stats in table.statistics:
            if stats.schema == table.schema and (target, stats.name) in statistics:
                yield _collision(table, f"statistics {stats.name}", target, "a statistics object of that name")


def _collision(table: Table, what: str, target: str, there: str) -> Finding:
    return Finding(
        "collision",
        REFUSE,
        table_name(table),
        f"Its {what} cannot go to {target}: {there} is already there.",
        f"Rename or remove the one in {Name(target).as_string()}, or place {table.name} elsewhere.",
    )


def statistics_objects(s: Situation) -> Iterator[Finding]:
    """Extended statistics do not follow their table."""
    for _, table, target in s.moves:
        names = [stats.name for stats in table.statistics if stats.schema == table.schema]
        if names:
            yield Finding(
                "statistics",
                AUTO,
                table_name(table),
                f"Its extended statistics {', '.join(names)} would stay behind; they go to {target} in the same transaction.",
            )


def large_trees(s: Situation) -> Iterator[Finding]:
    """A tree moves in one transaction, so all of it is locked until the last member has moved."""
    for group in s.placed.moving:
        if len(group.members) > LARGE_TREE:
            yield Finding(
                "large_tree",
                WARN,
                table_name(group.root),
                f"It moves with {len(group.members) - 1} members in one transaction; expect it to be locked for about "
                f"{len(group.members) * MEMBER_MS / 1000:.1f} s.",
                "Move it in a quiet minute, or rehearse on a copy to see how long it takes there.",
            )


def event_triggers(s: Situation) -> Iterator[Finding]:
    """Event triggers run inside our transactions; one that names a table in the text of its function fails when it moves."""
    for trigger in s.catalog.event_triggers:
        if not trigger.enabled or not s.moves:
            continue
        words = set(re.findall(r"\w+", trigger.source))
        named = [table for _, table, _ in s.moves if table.name in words]
        disable = f"ALTER EVENT TRIGGER {Name(trigger.name).as_string()} DISABLE for the window, if it may"
        for table in named:
            yield Finding(
                "event_trigger_table",
                REFUSE,
                table_name(table),
                f"The function {trigger.function}() of event trigger {trigger.name} names it, and runs in the middle of its own move, "
                "when neither name stands for it.",
                f"Add {table.name} to multischema_keep; or {disable}, and accept the finding event_trigger_table.",
                acceptable=True,
            )
        if not named:
            yield Finding(
                "event_trigger",
                WARN,
                trigger.name,
                f"Event trigger on {trigger.event}: {trigger.function}() runs inside every step, and can slow it down or veto it.",
                f"Read the function; {disable}.",
            )


def dumps_by_name(s: Situation) -> Iterator[Finding]:
    """The most dangerous silent one: a backup that succeeds and holds nothing."""
    if s.moves:
        source = s.catalog.source_schema
        yield Finding(
            "dump_by_name",
            WARN,
            source,
            f"A backup job that names schemas or tables (pg_dump -n {source}, pg_dump -t {source}.x) will go on to succeed and "
            "hold no rows of what has moved.",
            f"Dump the whole database, or add -n {' -n '.join(sorted(s.targets))} to such jobs before phase 2.",
        )
