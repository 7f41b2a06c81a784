"""Names and literals come out of SQL as they went in, whatever is in them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import (
    Name,
    Text,
    comma,
    fragment,
    keyword,
    nothing,
    qualified,
    role,
    statement,
)

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
# As PostgreSQL's lexer tells them apart (scan.l): a quoted or a bare identifier, a plain or an escaped string.
IDENTIFIER = re.compile(r'"(?P<quoted>(?:[^"]|"")+)"|(?P<bare>[a-z_][a-z0-9_$]*)')
STRING = re.compile(r"'(?P<plain>(?:[^']|'')*)'|E'(?P<escaped>(?:[^'\\]|\\.|'')*)'", re.DOTALL)


def read_identifier(sql: str) -> str:
    match = IDENTIFIER.fullmatch(sql)
    assert match, sql
    return match["bare"] or match["quoted"].replace('""', '"')


def read_string(sql: str) -> str:
    match = STRING.fullmatch(sql)
    assert match, sql
    if match["escaped"] is None:
        assert "\\" not in match["plain"], "its meaning would depend on standard_conforming_strings"
        return match["plain"].replace("''", "'")
    return re.sub(r"\\(.)", r"\1", match["escaped"].replace("''", "'"), flags=re.DOTALL)


@pytest.mark.parametrize(
    ("name", "sql"),
    [
        ("orders", "orders"),
        ("_order$1", "_order$1"),
        ("order", '"order"'),
        ("user", '"user"'),
        ("table", '"table"'),
        ("between", '"between"'),
        ("authorization", '"authorization"'),
        ("Orders", '"Orders"'),
        ("Grade Book", '"Grade Book"'),
        ("1st", '"1st"'),
        ("$x", '"$x"'),
        ("kurse_ü", '"kurse_ü"'),
        ("课程", '"课程"'),
        ('say "hi"', '"say ""hi"""'),
        ('a"; DROP TABLE x; --', '"a""; DROP TABLE x; --"'),
        ("a.b", '"a.b"'),
        ("back\\slash", '"back\\slash"'),
        ("two\nlines", '"two\nlines"'),
        ("orders\n", '"orders\n"'),
        ("100%s", '"100%s"'),
        ("{}", '"{}"'),
    ],
)
def test_a_name_is_quoted_where_postgresql_needs_it(name: str, sql: str) -> None:
    assert Name(name).as_string() == sql


@given(TEXT.filter(bool))
@settings(max_examples=200, deadline=None, database=None)
def test_any_name_is_read_back_as_it_was(name: str) -> None:
    assert read_identifier(Name(name).as_string()) == name


@given(TEXT)
@settings(max_examples=200, deadline=None, database=None)
def test_any_text_is_read_back_as_it_was(text: str) -> None:
    assert read_string(Text(text).as_string()) == text


def test_parts_are_quoted_one_by_one() -> None:
    assert Name("public", "order").as_string() == 'public."order"'
    assert qualified("Big", "a.b") == '"Big"."a.b"'


@pytest.mark.parametrize("parts", [(), ("",), ("public", "")])
def test_an_empty_name_is_refused(parts: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="empty"):
        Name(*parts)


@pytest.mark.parametrize("make", [Name, Text])
def test_nul_is_refused(make: type) -> None:
    with pytest.raises(ConfigurationError, match="NUL"):
        make("a\x00b")


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("", "''"),
        ("it's", "'it''s'"),
        ("a\\b", "E'a\\\\b'"),
        ("\\'; DROP TABLE x; --", "E'\\\\''; DROP TABLE x; --'"),
        ("two\nlines", "'two\nlines'"),
    ],
)
def test_a_literal_is_safe_whatever_standard_conforming_strings_says(text: str, sql: str) -> None:
    assert Text(text).as_string() == sql


def test_a_statement_is_composed_of_its_parts() -> None:
    names = comma(Name("public", name) for name in ("a", "Order"))
    assert (
        statement("LOCK TABLE {} IN {} MODE", names, keyword("ACCESS EXCLUSIVE"))
        == 'LOCK TABLE public.a, public."Order" IN ACCESS EXCLUSIVE MODE'
    )
    assert statement("SELECT {value}", value=Text("{}")) == "SELECT '{}'"
    assert (
        statement("GRANT {} ON {}{}", fragment("{} ({})", keyword("SELECT"), Name("Id")), Name("t"), nothing())
        == 'GRANT SELECT ("Id") ON t'
    )


def test_an_empty_clause_leaves_no_space_behind() -> None:
    assert statement("GRANT SELECT TO {} {}", Name("a"), nothing()) == "GRANT SELECT TO a"


@pytest.mark.parametrize("word", ["SELECT; DROP", "", '"x"', "1", "SELECT--"])
def test_only_words_pass_as_key_words(word: str) -> None:
    with pytest.raises(ValueError, match="not a key word"):
        keyword(word)


def test_public_is_everyone_and_any_other_role_is_a_name() -> None:
    assert statement("GRANT x TO {}", role("PUBLIC")) == "GRANT x TO PUBLIC"
    assert statement("GRANT x TO {}", role("user")) == 'GRANT x TO "user"'
    assert statement("GRANT x TO {}", role("Public")) == 'GRANT x TO "Public"'
