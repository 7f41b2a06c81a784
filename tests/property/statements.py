"""What clients send: a battery for each table, by its old name, and what roles may do."""

from __future__ import annotations

from tests.property.case import NEW_NAME
from tests.property.columns import value
from tests.property.model import PARTITION, USERS, Table, World, quoted


def make_statements(world: World) -> None:
    """For every table and some of the partitions."""
    tables = [t for t in world.tables.values() if t.kind != "foreign" and (t.kind != PARTITION or world.dice.chance(30))]
    for table in tables:
        _battery(world, table, quoted(table.name) if world.dice.chance(50) else world.name(table.name))
    for one, other in zip(tables, tables[1:], strict=False):
        if one.name != "audit" and other.name != "audit":
            join = f"SELECT a.id, b.txt FROM {quoted(one.name)} a JOIN {world.name(other.name)} b ON b.id = a.id"
            world.probe(f"join {one.name} and {other.name}", [join], tables=[one.name, other.name])


def _ask(world: World, table: Table, label: str, named: str, *templates: str, role: str | None = None) -> None:
    """One probe by the old name, and by the new one where a superuser asks."""
    template = list(templates)
    old = [part.replace(NEW_NAME, named) for part in template]
    new = () if role else tuple(template)
    named_too = [other for other in ("audit",) if any(f".{quoted(other)}" in part for part in template)]
    world.probe(f"{label} {table.name}", old, subject=table.name, tables=[table.name, *named_too], role=role, new=new)


def _battery(world: World, table: Table, named: str) -> None:
    t = NEW_NAME
    given = [c for c in table.columns if c.given]
    names = ", ".join(quoted(c.name) for c in given)
    row = ", ".join(value(world, c, 77) for c in given)
    check = "SET CONSTRAINTS ALL IMMEDIATE"
    after = [f"SELECT * FROM {world.name('audit')}"] if "audit" in table.reaches | table.links else []
    _ask(world, table, "select", named, f"SELECT * FROM {t}")
    _ask(world, table, "count", named, f"SELECT count(*), min(txt) FROM {t} x" if table.name != "audit" else f"SELECT count(*) FROM {t}")
    _ask(world, table, "insert", named, f"INSERT INTO {t} ({names}) VALUES ({row}) RETURNING *", check, *after)
    role = world.dice.pick(USERS)
    _ask(world, table, "select as someone", named, f"SELECT * FROM {t}", role=role)
    if table.name == "audit":
        return
    _ask(world, table, "update", named, f"UPDATE {t} SET txt = 'v 78' WHERE id = 2 RETURNING *", check, *after)
    _ask(world, table, "delete", named, f"DELETE FROM {t} WHERE id = 1 RETURNING txt", check, *after)
    _ask(world, table, "for update", named, f"SELECT id FROM {t} WHERE id <= 2 FOR UPDATE")
    others = [c for c in given if c.name != "id"]
    if table.key and table.kind != PARTITION:
        overriding = " OVERRIDING SYSTEM VALUE" if table.identity_always else ""
        keyed = ", ".join(["id", *(quoted(c.name) for c in others)])
        values = ", ".join(["1", *(value(world, c, 1) for c in others)])
        conflict = "ON CONFLICT (id) DO UPDATE SET txt = EXCLUDED.txt || '!'"
        _ask(
            world, table, "upsert", named, f"INSERT INTO {t} ({keyed}){overriding} VALUES ({values}) {conflict} RETURNING *", check, *after
        )
    _ask(world, table, "insert as someone", named, f"INSERT INTO {t} ({names}) VALUES ({row})", check, role=role)
    _ask(world, table, "update as someone", named, f"UPDATE {t} SET txt = 'by {role}' WHERE id <= 2 RETURNING id", check, role=role)
