"""What is read from the texts of dumps: their ends, the roles in them, the schema among the data."""

from __future__ import annotations

import threading

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.database_belongings import Belongings, giving
from ansible_collections.dbops.multischema.plugins.module_utils.database_shape import DatabaseShape, beside, creation, recorded_shape
from ansible_collections.dbops.multischema.plugins.module_utils.globals_script import for_a_scratch_server, is_complete, statements
from ansible_collections.dbops.multischema.plugins.module_utils.restoring import RestoreFailed, require_complete
from ansible_collections.dbops.multischema.plugins.module_utils.schema_text import without_data
from ansible_collections.dbops.multischema.plugins.module_utils.watch import Watch

END = b"--\n-- PostgreSQL database dump complete\n--\n\n"


@pytest.mark.parametrize("tail", [END, END + b"\\unrestrict abc\n\n", b"x\n" + END.replace(b"\n", b"\r\n").replace(b"\r", b"")])
def test_a_whole_script_ends_with_the_last_line_of_pg_dump(tail: bytes) -> None:
    require_complete(tail)


@pytest.mark.parametrize("tail", [b"", b"COPY public.t (a) FROM stdin;\n1\n", END + b"DROP TABLE x;\n", END[:30]])
def test_a_script_that_ends_otherwise_is_cut_off_or_was_added_to(tail: bytes) -> None:
    with pytest.raises(RestoreFailed, match="cut off"):
        require_complete(tail)


ROLES = """\\restrict Fq
-- PostgreSQL database cluster dump
SET default_transaction_read_only = off;
CREATE ROLE "a;b";
ALTER ROLE "a;b" WITH LOGIN PASSWORD 'SCRAM-SHA-256$4096:x''y;=';
CREATE ROLE postgres;
ALTER ROLE postgres WITH SUPERUSER;
ALTER ROLE postgres SET default_transaction_read_only TO 'on';
ALTER ROLE "a;b" SET search_path TO 'x', E'y\\';z';
COMMENT ON ROLE "a;b" IS 'it''s -- no comment;
of two lines';
GRANT "a;b" TO postgres WITH ADMIN OPTION, INHERIT TRUE GRANTED BY postgres;
CREATE TABLESPACE fast OWNER postgres LOCATION '/srv/fast';
GRANT ALL ON TABLESPACE fast TO "a;b";
\\unrestrict Fq
-- PostgreSQL database cluster dump complete
"""


def test_statements_are_told_apart_whatever_is_quoted_in_them() -> None:
    found = list(statements(ROLES))
    assert len(found) == 11
    assert found[0] == "SET default_transaction_read_only = off"
    assert found[6] == "ALTER ROLE \"a;b\" SET search_path TO 'x', E'y\\';z'"
    assert found[7].endswith("'it''s -- no comment;\nof two lines'")


def test_on_a_scratch_server_the_first_superuser_is_there_and_tablespaces_are_not_made() -> None:
    kept = list(for_a_scratch_server(ROLES, "postgres"))
    assert [text for text in kept if "TABLESPACE" in text] == []
    assert [text for text in kept if "ROLE postgres" in text] == []
    assert any(text.startswith('GRANT "a;b" TO postgres') for text in kept)
    assert len(kept) == 6


def test_roles_that_were_cut_off_are_not_complete() -> None:
    assert is_complete(ROLES)
    assert not is_complete(ROLES[:-60])


SCRIPT = b"""--
-- PostgreSQL database dump
--

SET client_encoding = 'UTF8';

--
-- Name: t; Type: TABLE; Schema: public; Owner: o
--

CREATE TABLE public.t (a text);


--
-- Data for Name: t; Type: TABLE DATA; Schema: public; Owner: o
--

COPY public.t (a) FROM stdin;
--
-- Name: fake; Type: TABLE; Schema: public; Owner: o
\\.


--
-- Name: s; Type: SEQUENCE SET; Schema: public; Owner: o
--

SELECT pg_catalog.setval('public.s', 4, true);


--
-- Name: t_a; Type: INDEX; Schema: public; Owner: o
--

CREATE INDEX t_a ON public.t (a);


--
-- PostgreSQL database dump complete
--

"""


def test_the_schema_of_a_script_is_what_is_left_without_its_data() -> None:
    text = b"".join(without_data(SCRIPT.splitlines(keepends=True)))
    assert b"setval" not in text
    assert b"COPY" not in text
    assert text.index(b"CREATE TABLE") < text.index(b"CREATE INDEX") < text.index(b"dump complete")


def test_a_database_is_made_as_the_original_was() -> None:
    assert creation("a b", DatabaseShape("LATIN1", "c", "de_DE", "C"), "o") == (
        "CREATE DATABASE \"a b\" WITH TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'de_DE' LC_CTYPE 'C' OWNER o"
    )
    icu = DatabaseShape("UTF8", "i", "C", "C", "und", "&a < b")
    assert " LOCALE_PROVIDER icu ICU_LOCALE 'und' ICU_RULES '&a < b'" in creation("x", icu)
    builtin = DatabaseShape("UTF8", "b", "C", "C", "C.UTF-8")
    assert creation("x", builtin).endswith("LC_CTYPE 'C' LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'")
    assert creation("x", DatabaseShape(), tablespace="fast").endswith(" TABLESPACE fast")
    assert "TABLESPACE" not in creation("x", DatabaseShape(), tablespace="pg_default"), "an ordinary role may take it, but not name it"
    assert recorded_shape({"shape": icu.to_dict()}) == icu
    assert recorded_shape({}) == DatabaseShape()


def test_what_hangs_on_a_database_is_given_to_another() -> None:
    settings = (("", "search_path", '"$user", public, "A b"'), ("w", "my.own", "x, y"), ("", "temp_tablespaces", 'a, "B"'))
    grants = (("PUBLIC", "CONNECT", False), ("w", "TEMPORARY", True))
    found = Belongings(1, "o", "pg_default", 5, connections_allowed=True, comment="it's", settings=settings, grants=grants)
    assert list(giving("d", found)) == [
        'ALTER DATABASE d SET search_path = "$user", public, "A b"',
        "ALTER ROLE w IN DATABASE d SET my.own TO 'x, y'",
        "ALTER DATABASE d SET temp_tablespaces TO 'a', 'B'",
        "REVOKE ALL ON DATABASE d FROM PUBLIC, o",
        "GRANT CONNECT ON DATABASE d TO PUBLIC",
        "GRANT TEMPORARY ON DATABASE d TO w WITH GRANT OPTION",
        "COMMENT ON DATABASE d IS 'it''s'",
        "ALTER DATABASE d CONNECTION LIMIT 5",
    ]


def test_names_of_our_own_are_cut_where_postgresql_would_cut_them() -> None:
    assert beside("shop", "_restoring_0") == "shop_restoring_0"
    long = beside("ä" * 31, "_before_restore_20300105T030000")
    assert long.endswith("ä_before_restore_20300105T030000")
    assert len(long.encode()) <= 63


def test_work_that_should_end_is_cancelled_and_the_reason_comes_out() -> None:
    cancelled = threading.Event()

    def check() -> None:
        raise KeyError("nobody asks")

    def work() -> None:
        with Watch(check) as watch, watch.over(cancelled.set):
            assert cancelled.wait(60)
            raise RuntimeError("cancelled")

    with pytest.raises(KeyError, match="nobody asks"):
        work()


def test_work_that_ends_by_itself_is_not_disturbed() -> None:
    with Watch(lambda: None) as watch, watch.over(lambda: pytest.fail("cancelled")):
        pass
