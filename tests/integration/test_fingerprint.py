"""Content digests: they find what has changed, do not mind the order, and are equal on every version."""

from __future__ import annotations

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.connection import parse_url
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ServerRefused
from ansible_collections.dbops.multischema.plugins.module_utils.fingerprint import (
    BY_RECORD,
    BY_TEXT,
    Fingerprint,
    TableDigest,
    compare,
    read_fingerprint,
)
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from tests.integration.databases import MAJORS, ServerPool, Target, new_database

# One table for each type that PostgreSQL cannot hash, and one for those that it can.
TYPES = {
    "json": "'{\"a\": [1, 2]}'",
    "point": "'(1,2)'",
    "tsvector": "'a fat cat'",
    "bit(3)": "'101'",
    "box": "'(1,1),(2,2)'",
    "point[]": '\'{"(1,2)","(3,4)"}\'',
    "tsquery": "'a & b'",
    "xml": "'<a>1</a>'",
    "money": "12.5",
    "float8": "0.1 + 0.2",
    "interval": "'1 mon 2 days'",
    "timestamptz": "'2026-03-29 02:30:00+02'",
    "bytea": "'\\x00ff'",
    "jsonb": '\'{"b": 1, "a": null}\'',
    "int4range": "'[1,9)'",
    "text": "E'a\\tb\\\\c'",
    "numeric": "'NaN'",
    "inet": "'10.0.0.1/8'",
    "uuid": "'00000000-0000-0000-0000-000000000001'",
}


def _read(target: Target, *schemas: str, user: str | None = None, password: str | None = None) -> Fingerprint:
    with Database(parse_url(target.url(user, password)), "test") as database:
        return read_fingerprint(database, schemas or ("public",))


def _digest(target: Target, name: str = "t") -> TableDigest:
    return next(table for table in _read(target).tables if table.name == name)


def _fill(target: Target) -> list[str]:
    """One table a type; the names of those that could be made (xml needs a build with libxml)."""
    names = []
    for number, (kind, value) in enumerate(TYPES.items()):
        if kind == "xml" and not _has_xml(target):
            continue
        name = f"t{number}"
        target.execute(f"CREATE TABLE {name} (id int, v {kind})", f"INSERT INTO {name} VALUES (1, {value}), (2, NULL)")
        names.append(name)
    return names


def _has_xml(target: Target) -> bool:
    try:
        target.execute("SELECT '<a/>'::xml")
    except Exception:
        return False
    return True


@pytest.mark.no_role("digests of the same rows, compared over all versions")
@pytest.mark.xdist_group("test_fingerprint-all")
def test_digests_are_equal_on_every_version(server_pool: ServerPool) -> None:
    found: dict[int, dict[str, tuple[int, str | None, str]]] = {}
    for major in MAJORS:
        try:
            target = new_database(server_pool.get(major))
        except LookupError as error:
            pytest.skip(reason=str(error))
        _fill(target)
        found[major] = {table.name: (table.rows, table.digest, table.method) for table in _read(target).tables}
        target.drop()
    common = set.intersection(*(set(tables) for tables in found.values()))
    assert len(common) >= len(TYPES) - 1
    oldest, *others = ({name: tables[name] for name in sorted(common)} for tables in found.values())
    assert all(other == oldest for other in others)
    assert {method for _, _, method in oldest.values()} == {BY_RECORD, BY_TEXT}


def test_every_type_tells_a_changed_value(empty: Target) -> None:
    names = _fill(empty)
    before = _read(empty)
    assert list(compare(before, _read(empty))) == []
    empty.execute(*(f"UPDATE {name} SET v = NULL WHERE id = 1" for name in names))
    said = list(compare(before, _read(empty)))
    assert sorted(said) == sorted(f"public.{name}: 2 rows as before, but their content differs" for name in names)


@pytest.mark.parametrize(
    ("kind", "value"), [("float8", "0"), ("float4", "0"), ("numeric", "0"), ("numeric", "'Infinity'"), ("int", "0"), ("text", "''")]
)
def test_null_is_not_the_same_as_nothing(empty: Target, kind: str, value: str) -> None:
    empty.execute(f"CREATE TABLE t (v {kind})", f"INSERT INTO t VALUES ({value})")
    before = _digest(empty)
    empty.execute("UPDATE t SET v = NULL")
    assert _digest(empty).digest != before.digest


def test_the_order_of_rows_does_not_matter(empty: Target) -> None:
    empty.execute("CREATE TABLE t (a int, b text)", "INSERT INTO t SELECT n, n::text FROM generate_series(1, 100) n")
    before = _digest(empty)
    empty.execute("TRUNCATE t", "INSERT INTO t SELECT n, n::text FROM generate_series(100, 1, -1) n")
    assert _digest(empty) == before


@pytest.mark.parametrize("column", ["a int", "a json"])
def test_duplicates_count(empty: Target, column: str) -> None:
    empty.execute(f"CREATE TABLE t ({column})", "INSERT INTO t VALUES ('1'), ('1'), ('2')")
    before = _read(empty)
    empty.execute("TRUNCATE t", "INSERT INTO t VALUES ('1'), ('2'), ('2')")
    assert list(compare(before, _read(empty))) == ["public.t: 3 rows as before, but their content differs"]
    empty.execute("TRUNCATE t", "INSERT INTO t VALUES ('3'), ('3'), ('2')")
    assert list(compare(before, _read(empty))) == ["public.t: 3 rows as before, but their content differs"]


def test_a_value_that_wanders_to_another_column_is_found(empty: Target) -> None:
    empty.execute("CREATE TABLE t (a text, b text)", "INSERT INTO t VALUES ('x', NULL), ('a,b', '')")
    before = _digest(empty)
    empty.execute("TRUNCATE t", "INSERT INTO t VALUES (NULL, 'x'), ('a', 'b,')")
    assert _digest(empty).digest != before.digest


def test_an_empty_table_and_one_without_columns(empty: Target) -> None:
    empty.execute("CREATE TABLE t (a int)", "CREATE TABLE bare ()", "INSERT INTO bare DEFAULT VALUES")
    found = {table.name: table.rows for table in _read(empty).tables}
    assert found == {"t": 0, "bare": 1}


def test_a_column_called_like_the_alias(empty: Target) -> None:
    empty.execute("CREATE TABLE t (multischema_row int, t int)", "INSERT INTO t VALUES (1, 2)")
    before = _digest(empty)
    empty.execute("UPDATE t SET multischema_row = 2, t = 1")
    assert _digest(empty).digest != before.digest


def test_each_partition_and_each_child_is_counted_once(empty: Target) -> None:
    empty.execute(
        "CREATE TABLE p (a int) PARTITION BY LIST (a)",
        "CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1)",
        "CREATE TABLE parent (a int)",
        "CREATE TABLE child () INHERITS (parent)",
        "INSERT INTO p VALUES (1), (1)",
        "INSERT INTO child VALUES (1)",
    )
    assert {table.name: table.rows for table in _read(empty).tables} == {"p1": 2, "parent": 0, "child": 1}


def test_sequences_and_tables_that_come_and_go_are_named(empty: Target) -> None:
    empty.execute("CREATE TABLE gone (a int)", "CREATE SEQUENCE s", "CREATE SEQUENCE lost")
    before = _read(empty)
    empty.execute("DROP TABLE gone", "SELECT nextval('s')", "DROP SEQUENCE lost", "CREATE TABLE fresh (a int)")
    assert sorted(compare(before, _read(empty))) == [
        "public.fresh is new (0 rows)",
        "public.gone is gone (0 rows)",
        "sequence public.lost is gone",
        "sequence public.s: at None before, 1 now",
    ]


def test_row_security_is_an_error_and_not_a_smaller_digest(empty: Target) -> None:
    empty.execute(
        "DROP ROLE IF EXISTS half_blind",
        "CREATE ROLE half_blind LOGIN PASSWORD 'x'",
        "CREATE TABLE t (a int)",
        "INSERT INTO t VALUES (1), (2)",
        "GRANT SELECT ON t TO half_blind",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY only_one ON t USING (a = 1)",
    )
    with pytest.raises(ServerRefused, match=r"public\.t cannot be read") as refusal:
        _read(empty, user="half_blind", password="x")
    assert "BYPASSRLS" in refusal.value.remedy
