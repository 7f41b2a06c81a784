"""What is read from a text: small bodies, and exactly the names that they use."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.catalog_routines import Argument, Expression, Routine
from ansible_collections.dbops.multischema.plugins.module_utils.reading import Reading
from ansible_collections.dbops.multischema.plugins.plugin_utils import source_reader
from ansible_collections.dbops.multischema.plugins.plugin_utils.source_reader import read_expression, read_routine

ROW_FUNCTIONS = frozenset({"full_name"})
AGGREGATES = frozenset({"sum_up"})
BUILT_IN_TYPES = {"int", "text", "record", "int4", "bigint", "json", "regclass", "refcursor"}


def read(source: str, language: str = "plpgsql", **facts: Any) -> Reading:
    """The reading of one routine, which must be one."""
    reading = read_routine(Routine(1, "public", "f", "f()", source, language=language, **facts), ROW_FUNCTIONS, AGGREGATES)
    assert reading.problem == ""
    return reading


def uses(reading: Reading) -> list[str]:
    """Each use as ``use name(detail)``, built-in types left out."""
    return [
        f"{ref.use} {'.'.join(filter(None, (ref.schema, ref.name)))}" + (f"({ref.detail})" if ref.detail else "")
        for ref in reading.references
        if not (ref.use == "type" and ref.name in BUILT_IN_TYPES)
    ]


SQL = {
    "SELECT * FROM a.b": ["read a.b"],
    'SELECT * FROM "Odd Name" o JOIN c ON true': ["read Odd Name", "read c"],
    "SELECT (SELECT 1 FROM b) FROM a WHERE EXISTS (SELECT 1 FROM c)": ["read b", "read a", "read c"],
    "WITH b AS (SELECT 1) SELECT * FROM b": [],
    "WITH b AS (SELECT * FROM b) SELECT * FROM b": ["read b"],
    "WITH RECURSIVE b AS (SELECT 1 UNION ALL SELECT * FROM b) SELECT * FROM b": [],
    "WITH b AS (SELECT 1) SELECT * FROM a.b": ["read a.b"],
    "WITH gone AS (DELETE FROM a RETURNING *) INSERT INTO b SELECT * FROM gone": ["delete a", "insert b"],
    "SELECT * FROM (SELECT * FROM a) AS b": ["read a"],
    "SELECT * FROM generate_series(1, 2) AS a": [],
    "INSERT INTO a VALUES (1) ON CONFLICT ON CONSTRAINT a_key DO NOTHING": ["insert a", "on constraint a(a_key)"],
    "INSERT INTO a VALUES (1) ON CONFLICT (x) DO UPDATE SET y = DEFAULT": ["insert a", "set default a(y)"],
    "INSERT INTO a VALUES (DEFAULT)": ["insert a"],
    "UPDATE a SET (x, y) = (1, DEFAULT) FROM b": ["update a", "set default a(y)", "read b"],
    "DELETE FROM ONLY a USING b": ["delete a", "only a", "read b"],
    "SELECT * FROM ONLY a": ["read a", "only a"],
    "MERGE INTO a USING b ON true WHEN MATCHED THEN UPDATE SET x = DEFAULT": ["merge a", "set default a(x)", "read b"],
    "TRUNCATE a, b.c": ["truncate a(TRUNCATE)", "truncate b.c(TRUNCATE)"],
    "LOCK TABLE a": ["lock a(LOCK)"],
    "COPY a FROM '/x'": ["copy a"],
    "COPY (SELECT * FROM a) TO '/x'": ["read a"],
    "SELECT * FROM a TABLESAMPLE SYSTEM (1)": ["tablesample a"],
    "ALTER TABLE a ADD COLUMN x int": ["ddl a(ALTER TABLE)"],
    "ALTER TABLE a ALTER x SET DEFAULT 1": ["ddl on view a(ALTER TABLE)"],
    "ALTER TABLE a RENAME TO b": ["ddl on view a(ALTER … RENAME)"],
    "ALTER TABLE a ADD FOREIGN KEY (x) REFERENCES b": ["ddl a(ALTER TABLE)", "ddl b(REFERENCES)"],
    "CREATE INDEX ON a (x)": ["ddl a(CREATE INDEX)"],
    "DROP TABLE IF EXISTS a, b.c": ["ddl a(DROP TABLE)", "ddl b.c(DROP TABLE)"],
    "DROP TRIGGER t ON a.b": ["ddl a.b(DROP … ON)"],
    "DROP FUNCTION a.b()": [],
    "CREATE TABLE b PARTITION OF a DEFAULT": ["ddl a(PARTITION OF)"],
    "CREATE TABLE b (LIKE a INCLUDING ALL)": ["like a"],
    "CREATE TEMP TABLE b AS SELECT * FROM a; TRUNCATE b": ["read a"],
    "CREATE TEMP TABLE b (x int); TRUNCATE public.b": ["truncate public.b(TRUNCATE)"],
    "COMMENT ON TABLE a IS 'x'": ["ddl a(COMMENT ON TABLE)"],
    "GRANT SELECT ON a TO x": ["ddl on view a(GRANT)"],
    "GRANT USAGE ON SEQUENCE s TO x": ["ddl s(GRANT)"],
    "ALTER SEQUENCE s RESTART": ["ddl s(ALTER SEQUENCE)"],
    "SET CONSTRAINTS a.x, y DEFERRED": ["set constraints a.x", "set constraints y"],
    "ANALYZE a": ["ddl on view a(ANALYZE)"],
    "SELECT nextval('s'), currval('a.s'::regclass), pg_catalog.setval('\"Odd\"', 1)": [
        "sequence s(nextval)",
        "sequence a.s(currval)",
        "sequence Odd(setval)",
    ],
    "SELECT nextval(pg_get_serial_sequence('a.b', 'id'))": ["pg_get_serial_sequence a.b(pg_get_serial_sequence)"],
    "SELECT other.nextval('s')": [],
    "SELECT 'a.b'::regclass": ["regclass a.b"],
    "SELECT to_regclass('a')": ["to_regclass a(to_regclass)"],
    "SELECT to_regclass('a') IS NULL": ["existence a"],
    "SELECT pg_total_relation_size('a')": ["size a(pg_total_relation_size)"],
    "SELECT 'a'": [],
    "SELECT NULL::a.b": ["type a.b"],
    "SELECT ctid FROM a": ["system column a(ctid)", "read a"],
    "SELECT x.xmin FROM a x JOIN b ON true": ["system column a(xmin)", "read a", "read b"],
    "SELECT id, name FROM a GROUP BY id": ["group by key a(name)", "read a"],
    "SELECT id, name, count(*) FROM a GROUP BY id, name": ["read a"],
    "SELECT id, max(name), sum_up(name) FROM a GROUP BY 1": ["read a"],
    "SELECT lower(x.name) FROM a x JOIN b y ON true GROUP BY x.id": ["group by key a(name)", "read a", "read b"],
    "SELECT lower(name) AS low FROM a GROUP BY low ORDER BY low": ["read a"],
    "SELECT date_trunc('day', at) FROM a GROUP BY date_trunc('day', at)": ["read a"],
    "SELECT id FROM a GROUP BY ROLLUP (id)": ["read a"],
    "SELECT full_name(x) FROM a x": ["row argument a(full_name)", "read a"],
    "SELECT full_name(x.*) FROM a x": ["row argument a(full_name)", "read a"],
    "SELECT x.full_name FROM a x": ["row field a(full_name)", "read a"],
    "SELECT full_name(NULL::a)": ["row argument a(full_name)", "type a"],
}


@pytest.mark.parametrize("sql", SQL)
def test_sql_is_read(sql: str) -> None:
    assert uses(read(sql, "sql")) == SQL[sql]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT u FROM a.users u", True),
        ("SELECT u.* FROM a.users u", False),
        ("SELECT * FROM a.users u", False),
        ("SELECT NULL::a.users", True),
        ("SELECT array_agg(u) FROM a.users u", True),
        ("SELECT ARRAY(SELECT u FROM a.users u)", True),
        ("SELECT coalesce(u, NULL) FROM a.users u", True),
        ("SELECT CASE WHEN true THEN u END FROM a.users u", True),
        ("SELECT 1 UNION SELECT u FROM a.users u", True),
        ("WITH u AS (SELECT 1) SELECT u FROM u", False),
        ("UPDATE a.users u SET name = '' RETURNING u", True),
        ("DELETE FROM a.users u RETURNING u", True),
        ("INSERT INTO a.users AS u DEFAULT VALUES RETURNING u", True),
        ("SELECT u FROM a.users u; SELECT 1", False),
        ("SELECT (SELECT u FROM b.other u)", False),
    ],
)
def test_a_whole_row_as_a_function_s_result_is_noticed(sql: str, expected: bool) -> None:
    assert ("row result a.users" in uses(read(sql, "sql", result_table=7))) is expected
    assert "row result a.users" not in uses(read(sql, "sql"))


def body(statements: str, declare: str = "") -> str:
    """A PL/pgSQL body whose statements begin on line 4."""
    return f"\nDECLARE {declare}\nBEGIN\n{statements}\nEND"


@pytest.mark.parametrize(
    ("declare", "expected"),
    [
        ("v a.b.c%TYPE;", ["%type a.b(c)"]),
        ("v b.c%TYPE := 1;", ["%type b(c)"]),
        ("v a.b%ROWTYPE;", ["%rowtype a.b"]),
        ("v CONSTANT b%ROWTYPE := NULL;", ["%rowtype b"]),
        ("v a.b[];", ["type a.b"]),
        ("v int; w v%TYPE;", []),
        ("r record; v r.x%TYPE;", []),
        ('v "Odd"."Name"%ROWTYPE;', ["%rowtype Odd.Name"]),
        ("c CURSOR (k mood) FOR SELECT * FROM a WHERE x = k;", ["read a"]),
        ("v int := (SELECT max(x) FROM a);", ["read a"]),
        ("v numeric(10, 2) NOT NULL DEFAULT 0;", []),
    ],
)
def test_declarations_are_read(declare: str, expected: list[str]) -> None:
    found = [use for use in uses(read(body("RETURN;", declare), returns="void")) if use != "type numeric"]
    assert found == expected


@pytest.mark.parametrize(
    ("statements", "line", "expected"),
    [
        ("PERFORM 1\n  FROM a;", 5, "read a"),
        ("x := (SELECT 1\n  FROM a);", 5, "read a"),
        ("IF x = 1\n AND EXISTS (SELECT 1 FROM a) THEN NULL; END IF;", 5, "read a"),
        ("SELECT y,\n z INTO x\n FROM a;", 6, "read a"),
        ("FOR r IN SELECT *\n FROM a LOOP NULL; END LOOP;", 5, "read a"),
        ("\n\nRAISE NOTICE '%', (SELECT 1 FROM a);", 6, "read a"),
        ("RETURN QUERY SELECT 1\nFROM a;", 5, "read a"),
        ("\nEXECUTE 'TRUNCATE a';", 5, "truncate a(TRUNCATE)"),
        ("OPEN c FOR SELECT 1\n FROM a;", 5, "read a"),
        ("WHILE EXISTS (SELECT 1 FROM a) LOOP NULL; END LOOP;", 4, "read a"),
        ("CASE WHEN x = (SELECT 1 FROM a) THEN NULL; ELSE NULL; END CASE;", 4, "read a"),
        ("CALL p((SELECT 1 FROM a));", 4, "read a"),
    ],
)
def test_every_statement_is_read_with_its_line(statements: str, line: int, expected: str) -> None:
    reading = read(body(statements, "x int; r record; c refcursor;"), returns_set="QUERY" in statements, returns="")
    found = [ref for ref in reading.references if ref.use != "type"]
    assert [(use, ref.line) for use, ref in zip([u for u in uses(reading) if not u.startswith("type")], found, strict=True)] == [
        (expected, line)
    ]


@pytest.mark.parametrize(
    ("execute", "expected", "dynamic"),
    [
        ("'DELETE FROM a.b'", ["delete a.b"], False),
        ("'DELETE FROM ' || 'a' || ' WHERE true'", ["delete a"], False),
        ("format('DELETE FROM %I.%I', 'a', 'Odd')", ["delete a.Odd"], False),
        ("format('DELETE FROM a WHERE x = %L AND y = %s', p, 1)", ["delete a"], True),
        ("format('DELETE FROM a WHERE x = %L', p)", ["delete a"], False),
        ("format('UPDATE a SET %I = 1', p)", ["update a"], False),
        ("format('DELETE FROM %2$I', p, 'a')", ["delete a"], False),
        ("format('DELETE FROM %I', p)", [], True),
        ("format('DELETE FROM %I.a', p)", [], True),
        ("'DELETE FROM a_' || p", [], True),
        ("'DELETE FROM a WHERE x = ' || quote_literal(p)", ["delete a"], False),
        ("p", [], True),
        ("q", ["truncate a(TRUNCATE)"], False),
        ("'no SQL at all'", [], True),
    ],
)
def test_dynamic_sql_is_read_as_far_as_it_is_constant(execute: str, expected: list[str], dynamic: bool) -> None:
    reading = read(body(f"EXECUTE {execute};", "p text; q text := 'TRUNCATE a';"), returns="void")
    assert uses(reading) == expected
    assert [note.line for note in reading.noted("dynamic")] == ([4] if dynamic else [])


@pytest.mark.parametrize(
    ("call", "expected", "shown"),
    [
        ("dblink_exec('host=elsewhere', 'TRUNCATE a')", [], "dblink_exec(host=elsewhere, TRUNCATE a)"),
        ("extensions.dblink('DELETE FROM a WHERE x = ' || p)", [], "extensions.dblink(DELETE FROM a WHERE x = …)"),
        ("cron.schedule('nightly', '0 1 * * *', $$VACUUM a$$)", [], "cron.schedule(nightly, 0 1 * * *, VACUUM a)"),
        ("schedule('nightly', 'VACUUM a')", [], None),  # of somebody else
        ("query_to_xml('SELECT * FROM ONLY a.b', true, true, '')", ["read a.b", "only a.b"], None),
        ("ts_stat(format('SELECT v FROM %I', 'a'))", ["read a"], None),
        ("crosstab('SELECT ' || p)", [], "what crosstab is handed"),
        ("ts_stat('no SQL at all')", [], "what ts_stat is handed"),
    ],
)
def test_sql_in_an_argument_is_read_where_it_is_run_and_noted_where_it_is_handed_on(
    call: str, expected: list[str], shown: str | None
) -> None:
    for reading in (read(f"SELECT 1;\nSELECT {call}", "sql"), read(body("", f"p text := {call.replace('p)', 'q)')};"), returns="void")):
        assert [use for use in uses(reading) if not use.startswith("type")] == expected
        assert [note.detail for note in reading.noted("dynamic")] == ([shown] if shown else [])
    assert [note.line for note in read(f"SELECT 1;\nSELECT {call}", "sql").noted("dynamic")] == ([2] if shown else [])


def test_handlers_protect_their_block_and_not_themselves() -> None:
    inner = "BEGIN DELETE FROM a; EXCEPTION WHEN undefined_table OR SQLSTATE '23505' THEN DELETE FROM b; END;"
    reading = read(body(f"BEGIN {inner} DELETE FROM c; EXCEPTION WHEN OTHERS THEN NULL; END; DELETE FROM d;"), returns="void")
    assert {ref.name: ref.caught for ref in reading.references} == {
        "a": ("others", "undefined_table", "23505"),
        "b": ("others",),
        "c": ("others",),
        "d": (),
    }


def test_other_things_are_noted() -> None:
    reading = read(body("NEW.x := TG_TABLE_SCHEMA;\nNEW.y := TG_RELID::regclass;\nRETURN NEW;"), returns="trigger")
    assert [(note.detail, note.line) for note in reading.noted("tg_table_schema")] == [("TG_TABLE_SCHEMA", 4), ("tg_relid::regclass", 5)]
    assert read("BEGIN COMMIT; END", kind="p").noted("transaction")
    assert read(body('SET LOCAL search_path = a, "B";'), returns="void").path == ("a", "B")
    assert read("SELECT set_config('search_path', 'a, public', true)", "sql").path == ("a", "public")
    asked = read("SELECT 1 FROM information_schema.tables WHERE table_schema = 'public'", "sql").noted("catalog")
    assert [(note.detail, note.literals) for note in asked] == [("information_schema.tables table_schema", ("public",))]


def test_calls_are_listed() -> None:
    assert read("SELECT a.f(g(1)), now()", "sql").calls == (("a", "f"), (None, "g"), (None, "now"))


# Routines as they are written: what a parser without a catalog stumbles over.
WRITTEN = [
    ("BEGIN RETURN NEW; END", {"returns": "trigger"}),
    ("DECLARE a ALIAS FOR $1; BEGIN RETURN a; END", {"arguments": (Argument("i", "", "pg_catalog", "int4"),)}),
    ("DECLARE m mood; n int; BEGIN SELECT 1, 2 INTO m, n; END", {"returns": "void"}),
    ("DECLARE m a.mood[]; BEGIN m[1] := 'x'; END", {"returns": "void"}),
    ("DECLARE u users; n int; BEGIN u.id := 1; SELECT 1 INTO n; END", {"returns": "void"}),
    ("DECLARE n users.id%TYPE; m int; BEGIN SELECT n.id, 2 INTO n, m FROM users n; END", {"returns": "void"}),
    ("BEGIN row.id := 1; RETURN row; END", {"arguments": (Argument("i", "row", "", "users", 1),)}),
    ("BEGIN a := 1; b := 2; RETURN NEXT; END", {"arguments": tuple(Argument("t", n, "x", "y") for n in "ab"), "returns_set": True}),
    ("BEGIN RETURN QUERY EXECUTE 'SELECT 1'; END", {"returns_set": True}),
    ("BEGIN FOREACH x IN ARRAY xs LOOP NULL; END LOOP; END",
     {"arguments": (Argument("v", "xs", "pg_catalog", "_int4"), Argument("o", "x", "pg_catalog", "int4"))}),
    ("BEGIN FETCH c INTO r; END", {"arguments": (Argument("i", "c", "pg_catalog", "refcursor"), Argument("o", "r", "pg_catalog", "text"))}),
    ("<<first>>\nDECLARE x int := 1;\nBEGIN\n<<inner>> DECLARE x int := first.x; BEGIN NULL; END; END", {"returns": "void"}),
    ("#variable_conflict use_column\nBEGIN NULL; END", {"returns": "void"}),
    ("DECLARE /* a; b */ x int; -- c;\nBEGIN NULL; END", {"returns": "void"}),
    ("BEGIN INSERT INTO log VALUES (tg_tag); END", {"returns": "event_trigger"}),
    ("BEGIN COMMIT; CALL other(1); END", {"kind": "p", "arguments": (Argument("b", "a", "pg_catalog", "int4"),)}),
    ("DECLARE c CURSOR (a mood, b a.x) IS SELECT 1; BEGIN OPEN c(1, 2); CLOSE c; END", {"returns": "void"}),
    ("DECLARE é text := '$_body$'; BEGIN RAISE NOTICE '%', é; END", {"returns": "void"}),
    ("BEGIN GET DIAGNOSTICS n = ROW_COUNT; ASSERT n > 0; END", {"arguments": (Argument("o", "n", "pg_catalog", "int4"),)}),
    ("DECLARE n int; BEGIN n := count(*) FROM a; IF count(*) > 1 FROM b THEN NULL; END IF; END", {"returns": "void"}),
]  # fmt: skip


@pytest.mark.parametrize(("source", "facts"), WRITTEN)
def test_what_people_write_can_be_read(source: str, facts: dict[str, Any]) -> None:
    read(source, **facts)


@pytest.mark.parametrize(
    ("source", "language", "says"),
    [
        ("print(1)", "plpython3u", "it is written in plpython3u"),
        ("BEGIN selec 1; END", "plpgsql", "the PL/pgSQL parser says"),
        ("BEGIN PERFORM 'not closed; END", "plpgsql", "the PL/pgSQL parser says"),
        ("SELECT FROM WHERE", "sql", "the SQL parser says"),
        ("\ud800", "sql", "the SQL parser says"),
    ],
)
def test_what_cannot_be_read_is_said_and_never_raised(source: str, language: str, says: str) -> None:
    assert says in read_routine(Routine(1, "public", "f", "f()", source, language=language)).problem


def test_deep_nesting_does_not_end_the_plan() -> None:
    for deep in ("SELECT 1" + " + 1" * 60_000, "SELECT " + "(" * 20_000 + "1" + ")" * 20_000):
        assert read_routine(Routine(1, "public", "f", "f()", deep, language="sql")).references == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nextval(('public.s'::text)::regclass)", ["sequence public.s(nextval)"]),
        ("nextval('public.s'::regclass)", []),
        ("(to_regclass('a.b'::text) IS NOT NULL)", ["existence a.b"]),
        ("('a'::text)::regclass", ["regclass a"]),
        ("'a'::regclass", []),
    ],
)
def test_expressions_of_the_catalog_are_read_as_postgresql_prints_them(text: str, expected: list[str]) -> None:
    assert uses(read_expression(Expression("default", "x", 1, "public", "t", text))) == expected


def test_a_text_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    routine = Routine(1, "public", "f", "f()", "SELECT 42 FROM read_once", language="sql")
    first = read_routine(routine)
    monkeypatch.setattr(source_reader, "_read_afresh", lambda *_: pytest.fail("it was read again"))
    assert read_routine(routine) is first
