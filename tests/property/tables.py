"""Tables of every shape, with their constraints and indexes, and a few rows in each."""

from __future__ import annotations

import itertools

from tests.property.columns import more_columns, value
from tests.property.model import CHILD, OWNERS, PARTITION, PARTITIONED, PLAIN, TABLE_NAMES, TYPED, Column, Table, World, quoted, short, text

ROWS = 3


def _key(world: World, name: str) -> tuple[Column, dict[str, object]]:
    """The ``id`` column: every way in which people number their rows."""
    ways = ["serial", "bigserial", "always", "by default", "plain", "owned", "owned text", "free", "free text", "borrowed"]
    way = world.dice.pick(ways)
    world.features.add(f"key: {way}")
    column = Column("id", "int", given=way == "plain", type="int")
    more: dict[str, object] = {}
    if way in ("serial", "bigserial"):
        column.type = way
        more["sequence"] = f"{name}_id_seq" if name.isascii() and len(name) < 40 else None
    elif way in ("always", "by default"):
        column.extra = f" GENERATED {way.upper()} AS IDENTITY"
        more["identity_always"] = way == "always"
    elif way in ("owned", "owned text"):
        sequence = f"{short(name)}_numbers"
        world.do(f"CREATE SEQUENCE {quoted(world.source, sequence)}")
        cast = "text" if way == "owned text" else "regclass"
        column.extra = f" DEFAULT nextval({text(quoted(world.source, sequence))}::{cast})"
        more["sequence"] = sequence
        more["owned"] = sequence
        if way == "owned text":
            more["constructs"] = {"sequence_text_default"}
    elif way != "plain":
        borrowed = [t.sequence for t in world.tables.values() if t.sequence] if way == "borrowed" else []
        sequence = world.dice.pick(borrowed) if borrowed else _free_sequence(world)
        cast = "text" if way == "free text" else "regclass"
        column.extra = f" DEFAULT nextval({text(quoted(world.source, sequence))}::{cast})"
        if borrowed:
            world.do(f"SELECT setval({text(quoted(world.source, sequence))}, 100)")  # so that the rows are there only once
    return column, more


def _free_sequence(world: World) -> str:
    if world.free_sequences and world.dice.chance(50):
        return world.dice.pick(world.free_sequences)
    name = f"Free Sequence {len(world.free_sequences)}"
    world.do(f"CREATE SEQUENCE {quoted(world.source, name)} START 1")
    world.free_sequences.append(name)
    return name


def _definition(column: Column) -> str:
    return f"{quoted(column.name)} {column.type}{column.extra}"


def _owner(world: World) -> str:
    if world.as_mover or world.dice.chance(60):
        return world.dice.pick(OWNERS)
    return "postgres"


def fill(world: World, table: Table, rows: int = ROWS, first: int = 1) -> None:
    """A few rows, with the ids that the defaults give."""
    columns = [c for c in table.columns if c.given]
    names = ", ".join(quoted(c.name) for c in columns)
    values = ", ".join("(" + ", ".join(value(world, c, n) for c in columns) + ")" for n in range(first, first + rows))
    world.do(f"INSERT INTO {world.name(table.name)} ({names}) VALUES {values}")


def _plain(world: World, name: str) -> Table:
    key, more = _key(world, name)
    columns = [key, *more_columns(world, 4)]
    owned, constructs = more.pop("owned", None), more.pop("constructs", set())
    table = Table(name, PLAIN, columns, _owner(world), **more)  # type: ignore[arg-type]
    table.constructs |= constructs  # type: ignore[arg-type]
    parts = [_definition(c) for c in columns]
    if world.has("generated column", 25):
        parts.append('"doubled" bigint GENERATED ALWAYS AS ("id" * 2) STORED')
        columns.append(Column("doubled", "generated", given=False))
    if not world.has("no key", 10):
        parts.append("PRIMARY KEY (id)" if world.dice.chance(80) else 'CONSTRAINT "The Key" UNIQUE (id)')
        if "The Key" in parts[-1]:
            parts[-1] = parts[-1].replace("The Key", f"Key of {short(name)}".replace('"', '""'))
        table.key = "id"
    if world.has("check", 40):
        check = f"{world.functions['check']}(txt)" if "check" in world.functions and world.dice.chance(60) else "txt <> 'never'"
        parts.append(f'CONSTRAINT "Checked" CHECK ({check})')
    ranged = table.column("int4range")
    if ranged is not None and world.has("exclusion constraint", 70):
        parts.append(f"EXCLUDE USING gist ({quoted(ranged.name)} WITH &&)")
    table.unlogged = world.has("unlogged", 10)
    options = " WITH (fillfactor = 70, autovacuum_enabled = off)" if world.has("reloptions", 15) else ""
    world.do(f"CREATE {'UNLOGGED ' if table.unlogged else ''}TABLE {world.name(name)} ({', '.join(parts)}){options}")
    if owned:
        world.do(f"ALTER SEQUENCE {quoted(world.source, str(owned))} OWNED BY {world.name(name)}.id")
    fill(world, table)
    _indexes(world, table)
    return table


def _indexes(world: World, table: Table) -> None:
    name, brief = world.name(table.name), short(table.name)
    if world.has("unique index", 25):
        world.do(f"CREATE UNIQUE INDEX {quoted(brief + ' unique')} ON {name} (txt)")
    if world.has("partial index", 20):
        world.do(f"CREATE INDEX ON {name} (id) WHERE txt <> 'x'")
    if world.has("expression index", 25):
        call = f"{world.functions['index']}(txt)" if "index" in world.functions else "lower(txt)"
        world.do(f"CREATE INDEX {quoted(brief + ' expression')} ON {name} ({call})")
    if world.has("extended statistics", 25):
        statistics = quoted(world.source, brief + " statistics")
        world.do(f"CREATE STATISTICS {statistics} ON id, txt FROM {name}", f"ALTER STATISTICS {statistics} OWNER TO {quoted(table.owner)}")


def _tree(world: World, name: str) -> Table:
    """A partition tree, two levels of it in some cases."""
    way = world.dice.pick(("RANGE", "LIST", "HASH"))
    world.features.add(f"partitions: {way.lower()}")
    columns = [
        Column("id", "int", type=world.dice.pick(("int", "serial")), extra=""),
        Column("at", "date", type="date", extra=" NOT NULL"),
        Column("txt", "text", type="text"),
        *[c for c in more_columns(world, 2) if c.name not in ("txt", "at")],
    ]
    columns[0].given = columns[0].type == "int"
    table = Table(name, PARTITIONED, columns, _owner(world))
    by = {"RANGE": "at", "LIST": "txt", "HASH": "id"}[way]
    parts = [_definition(c) for c in columns]
    if world.has("key of a tree", 60):
        columns_of_key = ["id"] if by == "id" else ["id", by]
        parts.append(f"PRIMARY KEY ({', '.join(columns_of_key)})")
        table.key = "id" if by == "id" else None
    world.do(f"CREATE TABLE {world.name(name)} ({', '.join(parts)}) PARTITION BY {way} ({by})")
    bounds = {
        "RANGE": ["FROM ('2025-01-01') TO ('2025-01-03')", "FROM ('2025-01-03') TO ('2026-01-01')"],
        "LIST": ["IN ('v 1', 'v 2')", "IN ('v 3', 'v 77', 'v 78')"],
        "HASH": ["WITH (MODULUS 2, REMAINDER 0)", "WITH (MODULUS 2, REMAINDER 1)"],
    }[way]
    for number, bound in enumerate(bounds):
        part = f"{short(name)}_{number}"
        sub = number == 1 and way != "HASH" and world.has("sub-partitions", 30)
        world.do(
            f"CREATE TABLE {world.name(part)} PARTITION OF {world.name(name)} FOR VALUES {bound}"
            + (" PARTITION BY HASH (id)" if sub else "")
        )
        _member(world, table, part)
        for remainder in range(2) if sub else ():
            leaf = f"{part}_{remainder}"
            world.do(f"CREATE TABLE {world.name(leaf)} PARTITION OF {world.name(part)} FOR VALUES WITH (MODULUS 2, REMAINDER {remainder})")
            _member(world, table, leaf)
    if way != "HASH" and world.has("default partition", 40):
        world.do(f"CREATE TABLE {world.name(short(name) + '_rest')} PARTITION OF {world.name(name)} DEFAULT")
        _member(world, table, short(name) + "_rest")
    fill(world, table)
    if world.has("index of a tree", 40):
        world.do(f"CREATE INDEX ON {world.name(name)} (txt)")
    return table


def _member(world: World, root: Table, name: str) -> None:
    world.tables[name] = Table(name, PARTITION, root.columns, root.owner, links={root.name})
    root.links.add(name)


def _child(world: World, name: str, parent: Table) -> Table:
    had = {c.name for c in parent.columns}
    column = next(name for name in ("more", "even more", *(f"more {depth}" for depth in itertools.count(3))) if name not in had)
    columns = [*parent.columns, Column(column, "int", type="int")]
    table = Table(name, CHILD, columns, parent.owner, links={parent.name} | parent.links, constructs=set(parent.constructs))
    world.do(f"CREATE TABLE {world.name(name)} ({quoted(column)} int) INHERITS ({world.name(parent.name)})")
    # Ids of their own: the parent's key does not reach its children.
    mine = [c for c in columns if c.given and c.name != "id"]
    names = ", ".join(["id", *(quoted(c.name) for c in mine)])
    values = ", ".join(["51", *(value(world, c, 51) for c in mine)])
    world.do(f"INSERT INTO {world.name(name)} ({names}) VALUES ({values})")
    parent.links.add(name)
    return table


def _typed(world: World, name: str) -> Table:
    row = quoted(world.source, f"{short(name)} row")
    world.do(f"CREATE TYPE {row} AS (id int, txt text)", f"CREATE TABLE {world.name(name)} OF {row} (PRIMARY KEY (id))")
    table = Table(name, TYPED, [Column("id", "int"), Column("txt", "text")], _owner(world), key="id")
    fill(world, table)
    return table


def make_tables(world: World) -> None:
    """Between two and six, and what they have to do with each other."""
    for name in world.dice.shuffled(TABLE_NAMES, world.dice.number(2, 6)):
        parents = [t for t in world.roots(PLAIN, CHILD) if not t.identity_always]
        kinds = [PLAIN, PLAIN, PLAIN, PARTITIONED, TYPED] + ([CHILD] if parents else [])
        kind = world.dice.pick(kinds)
        world.features.add(f"table: {kind}")
        if kind == PLAIN:
            table = _plain(world, name)
        elif kind == PARTITIONED:
            table = _tree(world, name)
        elif kind == TYPED:
            table = _typed(world, name)
        else:
            table = _child(world, name, world.dice.pick(parents))
        world.tables[name] = table
    _foreign_keys(world)


def _foreign_keys(world: World) -> None:
    """In any direction, also in circles and to itself."""
    parents = [t for t in world.roots(PLAIN, TYPED, PARTITIONED) if t.key]
    children = world.roots(PLAIN, PARTITIONED)
    if not parents or not children:
        return
    for number in range(world.dice.number(0, 4)):
        child, parent = world.dice.pick(children), world.dice.pick(parents)
        if parent.unlogged and not child.unlogged:
            continue
        world.features.add("foreign key to itself" if child is parent else "foreign key")
        column = f"ref {number}"
        action = world.dice.pick(("", " ON DELETE CASCADE", " ON DELETE SET NULL", " ON UPDATE CASCADE"))
        deferrable = world.dice.pick(("", " DEFERRABLE", " DEFERRABLE INITIALLY DEFERRED"))
        target, name = world.name(parent.name), world.name(child.name)
        own = target if parent.kind == PARTITIONED else f"ONLY {target}"  # a key does not reach the rows of tables that inherit
        world.do(
            f"ALTER TABLE {name} ADD COLUMN {quoted(column)} int",
            f"UPDATE {name} SET {quoted(column)} = (SELECT min(id) FROM {own})",
            f"ALTER TABLE {name} ADD FOREIGN KEY ({quoted(column)}) REFERENCES {target} (id){action}{deferrable}",
        )
        child.links.add(parent.name)
        parent.links.add(child.name)
