"""Findings about the objects that move and what goes along with them."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import RELATION_KINDS, Table
from ansible_collections.dbops.multischema.plugins.module_utils.plan import AUTO, REFUSE, WARN, Finding
from ansible_collections.dbops.multischema.plugins.module_utils.situation import Situation, table_name
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name, qualified

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
        row, array = (target, table.row_type), (target, table.array_type)
        if row in types and row not in relations:
            yield _collision(table, f"row type {table.row_type}", target, "a type of that name")
        # The array type of what has just been told of comes and goes with it.
        if array in types and not (types[array] == "b" and (row in types or (target, table.name) in relations)):
            yield _collision(table, f"array type {table.array_type}", target, "a type of that name")
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


def shared_sequences(s: Situation) -> Iterator[Finding]:
    """A sequence moves with the column that owns it; defaults of other tables know it by OID and go on."""
    owners = {sequence.oid: (table, sequence.name, target) for _, table, target in s.moves for sequence in table.sequences}
    users: dict[int, list[str]] = {}
    for table in s.catalog.tables:
        for sequence in {oid for default in table.defaults for oid in default.sequences} & owners.keys():
            if owners[sequence][0].oid != table.oid:
                users.setdefault(sequence, []).append(table_name(table))
    for sequence, names in users.items():
        owner, name, target = owners[sequence]
        yield Finding(
            "shared_sequence",
            AUTO,
            qualified(owner.schema, name),
            f"It belongs to {table_name(owner)} and goes to {target} with it. Defaults of {len(names)} other table"
            f"{'s' if len(names) > 1 else ''} take numbers from it, by OID, and go on doing so.",
            affects=tuple(sorted(names)),
        )


def extension_tables(s: Situation) -> Iterator[Finding]:
    """An extension's table stays; below a table that moves it would have to go along, and then the extension is stuck."""
    for group in s.placed.groups:
        for table in group.members:
            if table.extension is None:
                continue
            if group.schema is not None:
                yield Finding(
                    "extension_member",
                    REFUSE,
                    table_name(table),
                    f"It belongs to the extension {table.extension} and is a member of {group.root.name}, which goes to {group.schema}. "
                    "Once it has moved, PostgreSQL can no longer move the extension, nor upgrade it where that touches the table.",
                    f"Add {group.root.name} to multischema_keep.",
                )
            elif group.glob is not None:
                yield Finding(
                    "extension_table_stays",
                    AUTO,
                    table_name(table),
                    f"The pattern {group.glob} matches it, but it belongs to the extension {table.extension}: it stays in {table.schema}.",
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


def migration_tools(s: Situation) -> Iterator[Finding]:
    """Tools that change the schema look for tables by name, and where they find none, some are content."""
    if not s.moves:
        return
    source = s.catalog.source_schema
    bare = [table_name(table) for group, table, _ in s.moves if not group.view]
    reason = (
        f"A migration tool finds views in {source} where tables were: ALTER TABLE fails there, and comparing models with the database "
        "proposes to create every table again."
    )
    if bare:
        some = ", ".join(bare[:5]) + (f" and {len(bare) - 5} more" if len(bare) > 5 else "")
        reason += f" Where there is no view ({some}), ALTER TABLE IF EXISTS does nothing and reports success."
    yield Finding(
        "migration_tools",
        WARN,
        source,
        reason,
        "Run no migrations of the application during the window. Afterwards give the role that runs them a search_path that begins with "
        "the new schemas, or let the tool name them.",
    )
