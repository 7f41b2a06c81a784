"""The digest of a table's rows: the same on every server, another one for whatever differs."""

from __future__ import annotations

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.connection import parse_url
from ansible_collections.dbops.multischema.plugins.module_utils.content import SETTINGS, TableContent, read_table
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from tests.integration.databases import Target

pytestmark = pytest.mark.no_role("what is computed of rows, whoever reads them")

MAKE = (
    "CREATE TYPE public.mood AS ENUM ('low', 'high')",
    """CREATE TABLE public.t (
        yes bool, small int2, whole int4, big int8, body text, short varchar(9), plain timestamp, zoned timestamptz, key uuid,
        exact numeric, doc jsonb, day date, mood public.mood, raw bytea, list text[], padded char(4), other text COLLATE "C")""",
    """INSERT INTO public.t VALUES (true, 1, 2, 3, 'b', 'v', '2026-01-02 03:04:05.678901', '2026-01-02 03:04:05.678901+02',
        '00000000-0000-0000-0000-00000000002a', 1.50, '{"a": 1}', '2026-01-02', 'low', '\\x00ff', '{a,NULL}', 'x', 'o')""",
    "INSERT INTO public.t (big, plain, zoned, day) VALUES (-1, 'infinity', '-infinity', 'infinity')",
    "INSERT INTO public.t (big, plain, zoned, day) VALUES (9223372036854775807, '4714-11-24 BC', '294276-12-31', '5874897-12-31')",
    "INSERT INTO public.t DEFAULT VALUES",
    "INSERT INTO public.t DEFAULT VALUES",
)
ALWAYS = TableContent("public", "t", 5, "-12013131197626789870")
FIRST, SECOND = "WHERE yes", "WHERE big = -1"
CHANGES = [
    f"UPDATE public.t SET yes = false {FIRST}",
    f"UPDATE public.t SET yes = NULL {FIRST}",
    f"UPDATE public.t SET small = 2 {FIRST}",
    f"UPDATE public.t SET small = 2, whole = 1 {FIRST}",
    f"UPDATE public.t SET whole = NULL {FIRST}",
    f"UPDATE public.t SET big = 3 + (1::int8 << 32) {FIRST}",
    f"UPDATE public.t SET big = 4294967295 {SECOND}",
    f"UPDATE public.t SET body = 'v', short = 'b' {FIRST}",
    f"UPDATE public.t SET body = 'B' {FIRST}",
    f"UPDATE public.t SET body = '' {SECOND}",
    f"UPDATE public.t SET short = 'v ' {FIRST}",
    f"UPDATE public.t SET plain = plain + interval '1 microsecond' {FIRST}",
    f"UPDATE public.t SET zoned = zoned - interval '1 microsecond' {FIRST}",
    f"UPDATE public.t SET plain = '-infinity' {SECOND}",
    f"UPDATE public.t SET key = '00000000-0000-0000-0000-00000000002b' {FIRST}",
    f"UPDATE public.t SET exact = 1.5 {FIRST}",
    f"UPDATE public.t SET doc = '{{\"a\": 1.0}}' {FIRST}",
    f"UPDATE public.t SET day = day + 1 {FIRST}",
    f"UPDATE public.t SET mood = 'high' {FIRST}",
    f"UPDATE public.t SET raw = '\\xff00' {FIRST}",
    f"UPDATE public.t SET list = '{{a,\"NULL\"}}' {FIRST}",
    f"UPDATE public.t SET body = other, other = body {FIRST}",
    "UPDATE public.t SET day = CASE WHEN yes THEN date 'infinity' ELSE date '2026-01-02' END WHERE yes OR big = -1",
    "UPDATE public.t SET body = CASE WHEN yes THEN NULL ELSE 'b' END WHERE yes OR big = -1",
]


def digest(target: Target) -> TableContent:
    with Database(parse_url(target.superuser_url), "test") as database, database.snapshot():
        database.execute(SETTINGS)
        return read_table(database, "public", "t")


@pytest.mark.majors(15, 16, 18)
def test_equal_rows_have_the_same_digest_on_every_server(empty: Target) -> None:
    empty.execute(*MAKE)
    assert digest(empty) == ALWAYS
    empty.execute("CREATE TABLE public.u AS SELECT * FROM public.t ORDER BY big", "DROP TABLE public.t", "ALTER TABLE public.u RENAME TO t")
    assert digest(empty) == ALWAYS, "in whatever order they are"
    empty.execute("SET TimeZone = 'Asia/Kolkata'", f"ALTER DATABASE \"{empty.name}\" SET TimeZone = 'Asia/Kolkata'")
    assert digest(empty) == ALWAYS, "in whatever time zone"


@pytest.mark.majors(15, 18)
def test_whatever_differs_has_another_digest(empty: Target) -> None:
    empty.execute(*MAKE)
    found = {digest(empty): "as it was"}
    for change in CHANGES:
        with empty.session() as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE before AS SELECT * FROM public.t")
            cursor.execute(change)
            now = digest(empty)
            assert now not in found, f"{change} is like {found[now]}"
            found[now] = change
            cursor.execute("TRUNCATE public.t; INSERT INTO public.t SELECT * FROM before; DROP TABLE before")
    assert len(found) == len(CHANGES) + 1


@pytest.mark.majors(18)
def test_a_table_without_columns_has_a_digest_of_how_many_rows_it_has(empty: Target) -> None:
    empty.execute("CREATE TABLE public.t ()", "INSERT INTO public.t DEFAULT VALUES")
    one = digest(empty)
    empty.execute("INSERT INTO public.t DEFAULT VALUES")
    two = digest(empty)
    assert (one.rows, two.rows) == (1, 2)
    assert one.digest != two.digest
