"""Functions and procedures that name a table in every way that people write."""

from __future__ import annotations

from dataclasses import dataclass

from tests.property.columns import value
from tests.property.model import PARTITION, Table, World, quoted, text

FUNCTION, PROCEDURE = "FUNCTION", "PROCEDURE"


@dataclass(frozen=True)
class Recipe:
    """One routine.

    ``<t>`` stands for the table as the body names it, ``<table>`` for its qualified name, ``<insert>`` for an INSERT of a row by
    ``<t>``, ``<sequence>`` for a sequence that moves with it, ``<key>`` for its constraint.

    :param construct: listed in `excuses.py` where a view does not stand in for the table.
    :param plain: whether a view stands in for the table in it, so that nothing excuses another answer.
    """

    construct: str
    returns: str
    body: str
    language: str = "plpgsql"
    plain: bool = True
    arguments: str = ""
    call: str = "SELECT * FROM <f>()"
    kind: str = FUNCTION
    least: int = 0


# Those first that a compatibility view stands in for.
RECIPES = (
    Recipe("sql", "TABLE (n bigint, first text)", "SELECT count(*), min(x.txt) FROM <t> x", "sql"),
    Recipe("writer", "text", "<insert> RETURNING txt", "sql"),
    Recipe(
        "loop",
        "text",
        "DECLARE r record; n text := ''; BEGIN FOR r IN SELECT txt FROM <t> ORDER BY txt LOOP n := n || r.txt; END LOOP; RETURN n; END",
    ),
    Recipe("column_type", "text", "DECLARE v <t>.txt%TYPE; BEGIN SELECT min(txt) INTO v FROM <t>; RETURN v; END"),
    Recipe("row_type", "text", "DECLARE r <t>%ROWTYPE; BEGIN SELECT * INTO r FROM <t> ORDER BY txt LIMIT 1; RETURN r.txt; END"),
    Recipe("rows", "SETOF <table>", "SELECT * FROM <t>", "sql"),
    Recipe("rows", "SETOF <table>", "BEGIN RETURN QUERY SELECT * FROM <t>; END"),
    Recipe("returned row", "<table>", "DECLARE r <t>%ROWTYPE; BEGIN SELECT * INTO r FROM <t> ORDER BY txt LIMIT 1; RETURN r; END"),
    Recipe("dynamic", "bigint", "DECLARE n bigint; BEGIN EXECUTE 'SELECT count(*) FROM ' || <'t'> INTO n; RETURN n; END"),
    Recipe("dynamic %I", "bigint", "DECLARE n int; BEGIN EXECUTE format('SELECT count(*) FROM %I.%I', <'s', 't'>) INTO n; RETURN n; END"),
    Recipe("procedure", "", "BEGIN <insert>; UPDATE <t> SET txt = txt WHERE id = 1; END", call="CALL <f>()", kind=PROCEDURE),
    Recipe("atomic", "bigint", "BEGIN ATOMIC SELECT count(*) FROM <table>; END", "sql"),
    Recipe("undefined", "bigint", "BEGIN RETURN (SELECT count(*) FROM <t>); EXCEPTION WHEN undefined_table THEN RETURN -1; END"),
    Recipe("cursor", "text", "DECLARE c CURSOR FOR SELECT txt FROM <t> ORDER BY txt; v text; BEGIN OPEN c; FETCH c INTO v; RETURN v; END"),
    Recipe("locking", "bigint", "BEGIN LOCK TABLE <t> IN SHARE MODE; RETURN (SELECT count(*) FROM <t>); END"),
    Recipe("temporary", "bigint", "BEGIN CREATE TEMP TABLE mine AS SELECT * FROM <t>; RETURN (SELECT count(*) FROM pg_temp.mine); END"),
    Recipe("row_argument", "text", "SELECT $1.txt", "sql", arguments="<table>", call="SELECT <f>(x) FROM <table> x"),
    Recipe("rows_argument", "int", "SELECT cardinality($1)", "sql", arguments="<table>[]", call="SELECT <f>(NULL)"),
    Recipe("sequence_by_name", "bigint", "BEGIN RETURN nextval(<sequence>); END", plain=False),
    Recipe("whole_row", "<table>", "SELECT x FROM <t> x ORDER BY txt LIMIT 1", "sql", plain=False),
    Recipe("truncate", "void", "BEGIN TRUNCATE <t> CASCADE; END", plain=False),
    Recipe("on_constraint", "text", "DECLARE v text; BEGIN <insert> ON CONFLICT ON CONSTRAINT <key> DO NOTHING RETURNING txt INTO v;"
           " RETURN v; END", plain=False),
    Recipe("update_default", "text", "BEGIN UPDATE <t> SET txt = DEFAULT; RETURN (SELECT min(txt) FROM <t>); END", plain=False),
    Recipe("only", "bigint", "SELECT count(*) FROM ONLY <t>", "sql", plain=False),
    Recipe("system_columns", "bigint", "BEGIN RETURN (SELECT count(xmin) FROM <t>); END", plain=False),
    Recipe("look_up", "text", "BEGIN RETURN (SELECT relkind FROM pg_class WHERE oid = to_regclass(<'table'>)); END", plain=False),
    Recipe("sample", "bigint", "BEGIN RETURN (SELECT count(*) FROM <t> TABLESAMPLE SYSTEM (100)); END", plain=False),
    Recipe("like", "bigint", "BEGIN CREATE TEMP TABLE mine (LIKE <t> INCLUDING DEFAULTS INCLUDING CONSTRAINTS); RETURN (SELECT count(*)"
           " FROM pg_attribute WHERE attrelid = 'mine'::regclass AND attnum > 0 AND attnotnull); END", plain=False),
    Recipe("merge", "bigint", "BEGIN MERGE INTO <t> x USING (SELECT 2 AS n) s ON x.id = s.n WHEN MATCHED THEN UPDATE SET txt = 'merged';"
           " RETURN (SELECT count(*) FROM <t> WHERE txt = 'merged'); END", plain=False, least=15),
    Recipe("size", "boolean", "BEGIN RETURN pg_relation_size(<'table'>) > 0; END", plain=False),
)  # fmt: skip


def _insert(world: World, table: Table, target: str) -> str:
    columns = [c for c in table.columns if c.given]
    names = ", ".join(quoted(c.name) for c in columns)
    return f"INSERT INTO {target} ({names}) VALUES ({', '.join(value(world, c, 77) for c in columns)})"


def _filled(world: World, recipe: Recipe, table: Table, named: str, template: str) -> str:
    key = f"{table.name}_pkey" if table.key and len(table.name) < 50 else "Checked"
    parts = {
        "<t>": named,
        "<'t'>": text(named),
        "<'s', 't'>": f"{text(world.source)}, {text(table.name)}",
        "<table>": world.name(table.name),
        "<'table'>": text(world.name(table.name)),
        "<insert>": _insert(world, table, named),
        "<sequence>": text(quoted(world.source, table.sequence or "")),
        "<key>": quoted(key),
    }
    for part, meaning in parts.items():
        template = template.replace(part, meaning)
    return template


def _make(world: World, recipe: Recipe, table: Table, named: str, options: str) -> None:
    name = f"r{sum(1 for p in world.probes if p.routines)} {recipe.construct}"
    routine = quoted(world.source, name)
    body = _filled(world, recipe, table, named, recipe.body)
    tail = f"{options} AS $body${body}$body$"
    if recipe.construct == "atomic":
        tail = f" {body}"
    returns = f" RETURNS {_filled(world, recipe, table, named, recipe.returns)}" if recipe.returns else ""
    arguments = _filled(world, recipe, table, named, recipe.arguments)
    world.do(f"CREATE {recipe.kind} {routine}({arguments}){returns} LANGUAGE {recipe.language}{tail}")
    world.features.add(f"routine: {recipe.construct}")
    call = _filled(world, recipe, table, named, recipe.call.replace("<f>", routine))
    look = [f"SELECT count(*), min(txt) FROM {world.name(table.name)}"] if recipe.kind == PROCEDURE else []
    constructs = () if recipe.plain else (recipe.construct,)
    asks = [table.name] if look or "<table>" in recipe.call else []
    world.probe(f"call {name}", [call, *look], tables=[table.name], asks=asks, routines=[name], constructs=constructs)


def make_routines(world: World) -> None:
    """Up to eight, each of which names a table in some way."""
    tables = [t for t in world.tables.values() if t.name != "audit" and t.kind not in (PARTITION, "foreign")]
    recipes = [recipe for recipe in RECIPES if recipe.least <= world.major]
    for _ in range(world.dice.number(0, 8)):
        table, recipe = world.dice.pick(tables), world.dice.pick(recipes)
        if "<sequence>" in recipe.body and not table.sequence:
            continue
        path = f" SET search_path = {quoted(world.source)}, pg_temp"
        ways = (
            (world.name(table.name), ""),
            (quoted(table.name), ""),
            (quoted(table.name), path),
            (world.name(table.name), " SET search_path = ''"),
        )
        named, options = world.dice.pick(ways)
        if world.has("security definer", 20):
            options += " SECURITY DEFINER"
        _make(world, recipe, table, named, options)
