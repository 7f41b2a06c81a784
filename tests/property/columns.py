"""Types, and a value of each for the n-th row."""

from __future__ import annotations

from tests.property.model import Column, World, quoted

BUILT_IN = {
    "text": "text",
    "varchar": "varchar(40)",
    "int": "int",
    "numeric": "numeric(10,2)",
    "bool": "boolean",
    "date": "date",
    "timestamptz": "timestamptz",
    "jsonb": "jsonb",
    "uuid": "uuid",
    "bytea": "bytea",
    "int4range": "int4range",
    "array": "text[]",
}
_VALUES = {
    "text": "'v {n}'",
    "varchar": "'v {n}'",
    "int": "{n}",
    "numeric": "{n}.5",
    "bool": "({n} % 2 = 0)",
    "date": "date '2025-01-01' + {n}",
    "timestamptz": "timestamptz '2025-01-01 00:00+00' + {n} * interval '1 day'",
    "jsonb": "jsonb_build_object('n', {n})",
    "uuid": "md5('{n}')::uuid",
    "bytea": "decode(md5('{n}'), 'hex')",
    "int4range": "int4range({n} * 10, {n} * 10 + 5)",
    "array": "ARRAY['a', 'b{n}']",
    "enum": "('{{sad,ok,\"very happy\"}}'::text[])[1 + {n} % 3]::{type}",
    "domain": "'d {n}'",
    "composite": "ROW({n}, 'c')::{type}",
    "span": "{type}({n}, {n} + 1)",
    "enums": "ARRAY['ok']::{type}[]",
}


def value(world: World, column: Column, n: int) -> str:
    """An expression; other rows have other values, as far as the type goes."""
    kind = "enum" if column.kind == "enums" else column.kind
    template = _VALUES[column.kind]
    return template.format(n=n, type=world.types.get(kind, ""))


def make_types(world: World) -> None:
    """Types of the user's own, and functions that need no table."""
    source = world.source
    if world.has("check function", 60):
        name = quoted(source, "not_empty")
        world.functions["check"] = name
        world.do(f"CREATE FUNCTION {name}(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $body$SELECT $1 <> ''$body$")
    if world.has("index function", 50):
        name = quoted(source, "Folded")
        world.functions["index"] = name
        world.do(f"CREATE FUNCTION {name}(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $body$BEGIN RETURN lower($1); END$body$")
    if world.has("enum", 50):
        world.types["enum"] = quoted(source, "Mood")
        world.do(f"CREATE TYPE {world.types['enum']} AS ENUM ('sad', 'ok', 'very happy')")
    if world.has("domain", 40):
        world.types["domain"] = quoted(source, "label")
        check = f"{world.functions['check']}(VALUE)" if "check" in world.functions else "VALUE <> ''"
        world.do(f"CREATE DOMAIN {world.types['domain']} AS text CHECK ({check})")
    if world.has("composite type", 40):
        world.types["composite"] = quoted(source, "pair")
        world.do(f"CREATE TYPE {world.types['composite']} AS (n int, what text)")
    if world.has("range type", 25):
        world.types["span"] = quoted(source, "span")
        world.do(f"CREATE TYPE {world.types['span']} AS RANGE (subtype = float8)")


def more_columns(world: World, most: int) -> list[Column]:
    """A text column, and up to so many others."""
    kinds = [*BUILT_IN, *world.types, *(["enums"] if "enum" in world.types else [])]
    names = ("body", "Camel Case", "kind", "at", "extra", "data", "größe")
    columns = [Column("txt", "text", type="text", extra=world.dice.pick(("", " NOT NULL", " DEFAULT 'dflt'", ' COLLATE "C"')))]
    for name in names[: world.dice.number(0, most)]:
        kind = world.dice.pick(kinds)
        type_name = BUILT_IN.get(kind) or (f"{world.types['enum']}[]" if kind == "enums" else world.types[kind])
        columns.append(Column(name, kind, type=type_name))
    return columns
