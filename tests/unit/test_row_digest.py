"""The statement that digests a table's rows."""

from __future__ import annotations

from ansible_collections.dbops.multischema.plugins.module_utils.row_digest import row_digest

INT4, TEXT, JSONB = 23, 25, 3802


def test_names_are_quoted_and_each_column_has_a_seed_of_its_own() -> None:
    text = row_digest('a"b', "Table", [("x; --", INT4), ("{y}", INT4), ("order", JSONB)])
    assert 'FROM ONLY "a""b"."Table" AS multischema_row' in text
    assert 'hashint4extended(multischema_row."x; --", 1836411252), 1836411252)' in text
    assert 'hashint4extended(multischema_row."{y}", 1836411254), 1836411254)' in text
    assert 'ROW(multischema_row."order")::pg_catalog.text' in text


def test_what_is_no_common_type_goes_in_as_one_text() -> None:
    text = row_digest("s", "t", [("a", JSONB), ("b", TEXT), ("c", 99999)])
    assert text.count("ROW(") == 1
    assert "ROW(multischema_row.a, multischema_row.c)" in text
    assert "ROW()" in row_digest("s", "t", [])
    assert "ROW(" not in row_digest("s", "t", [("b", TEXT)])
