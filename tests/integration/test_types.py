"""Types stay unless a rule names them; one that moves leaves what old clients need, or says that nothing can."""

from __future__ import annotations

import uuid
from typing import Any

import psycopg2
import pytest
from psycopg2 import sql

from ansible_collections.dbops.multischema.plugins.module_utils.plan import Finding, Plan
from tests.integration import movers
from tests.integration.core import Core
from tests.integration.databases import Target
from tests.integration.evidence import require_same, state

TYPES_SQL = """
CREATE TYPE "Role" AS ENUM ('ADMIN', 'USER');
CREATE DOMAIN email AS text CHECK (VALUE ~ '@');
CREATE TYPE address AS (street text, number int);
CREATE TYPE span AS RANGE (subtype = int);
CREATE DOMAIN code AS text;
CREATE DOMAIN amount AS int;
CREATE TYPE unused AS ENUM ('x');
CREATE TABLE people (id int PRIMARY KEY, role "Role" NOT NULL, mail email, home address, years span, codes code[], total amount);
INSERT INTO people VALUES (1, 'ADMIN', 'a@b', ROW('x', 1), '[1,5)', '{k}', 3), (2, 'USER', 'c@d', ROW('y', 2), '[5,9)', '{l}', 4);
CREATE FUNCTION mail_of(m email) RETURNS text LANGUAGE sql AS 'SELECT m::text';
CREATE FUNCTION street_of(a address) RETURNS text LANGUAGE plpgsql AS $$ DECLARE v public.address := a; BEGIN RETURN v.street; END $$;
CREATE FUNCTION kind_of(a amount) RETURNS text LANGUAGE sql AS $$ SELECT 'amount' $$;
CREATE FUNCTION kind_of(a int) RETURNS text LANGUAGE sql AS $$ SELECT 'int' $$;
"""
PRISMA = 'SELECT count(*) FROM people WHERE role = CAST($1 AS "public"."Role")'

# What a client that knows the old names says of types that an alias stands in for; each returns 1 row that is true.
BY_OLD_NAMES = (
    "SELECT count(*) = 1 FROM people WHERE mail = CAST('a@b' AS public.email)",
    "SELECT count(*) = 1 FROM people WHERE mail = ANY (ARRAY['a@b']::public.email[])",
    "SELECT public.mail_of('a@b'::public.email) = 'a@b'",
    "SELECT count(*) = 1 FROM people WHERE home = ROW('x', 1)::public.address",
    "SELECT (ROW('x', 1)::public.address).street = 'x'",
    "SELECT public.street_of(ROW('q', 1)::public.address) = 'q'",
    "SELECT street = 'j' FROM json_populate_record(NULL::public.address, '{\"street\": \"j\"}')",
    "SELECT count(*) = 1 FROM people WHERE years && '[1,3)'::public.span",
    "SELECT public.span(1, 5) = years FROM people WHERE id = 1",
    "SELECT lower('[2,5)'::public.span) = 2",
    "SELECT COALESCE(home, ROW('x', 1)::public.address) = home FROM people WHERE id = 1",
)

_PLACES = """
SELECT t.typname, n.nspname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_type b ON b.oid = t.typbasetype
  LEFT JOIN pg_class c ON c.oid = t.typrelid
 WHERE n.nspname IN ('public', 'who') AND (t.typtype IN ('e', 'r') OR c.relkind = 'c'
       OR (t.typtype = 'd' AND b.typnamespace = 'pg_catalog'::regnamespace)) ORDER BY 1
"""


@pytest.fixture
def typed(empty: Target) -> Target:
    """A database with a type of each kind."""
    empty.execute(TYPES_SQL)
    return empty


def core(target: Target, *types: str, accept: tuple[Finding, ...] = (), **more: Any) -> Core:
    """Everything goes to ``who``, and these types too."""
    rule: dict[str, Any] = {"schema": "who", "tables": ["people"]} | ({"types": list(types)} if types else {})
    accepted = [{"finding": f.id, "object": f.object, "reason": "a test"} for f in accept]
    return Core(target, {"schemas": [{"name": "who"}], "placement": [rule], "accept": accepted} | more)


def named(plan: Plan, finding: str) -> list[Finding]:
    """The findings of one kind."""
    return [found for found in plan.findings if found.id == finding]


def places(target: Target) -> dict[str, str]:
    """Where the types stand that are no domains over others of ours."""
    rows = target.rows(_PLACES)
    return dict(rows)


def test_types_stay_and_the_plan_lists_those_that_moved_tables_use(typed: Target) -> None:
    before = state(typed)
    stays = core(typed)
    listed = named(stays.plan(), "types_stay")
    assert [f.severity for f in listed] == ["auto"]
    assert '"Role", address, amount, code, email, span.' in listed[0].reason
    stays.apply()
    assert set(places(typed).values()) == {"public"}
    assert typed.value('SELECT count(*) FROM who.people WHERE role = CAST(\'ADMIN\' AS "public"."Role")') == 1
    with pytest.raises(psycopg2.errors.UndefinedObject):
        typed.execute("SET search_path = who; SELECT 'ADMIN'::\"Role\"")
    stays.roll_back()
    require_same(before, state(typed))


def test_domains_composites_and_ranges_move_and_their_old_names_go_on_working(typed: Target) -> None:
    role = f"reader_{uuid.uuid4().hex[:6]}"
    typed.server.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
    movers.joined(typed, role)
    try:
        typed.execute(
            sql.SQL("REVOKE USAGE ON TYPE email FROM PUBLIC; GRANT USAGE ON TYPE email TO {}").format(sql.Identifier(role)),
            sql.SQL("ALTER DOMAIN email OWNER TO {}").format(sql.Identifier(role)),
        )
        before = state(typed)
        moves = core(typed, "email", "address", "span")
        digest = moves.plan().digest
        assert [f.object for f in named(moves.plan(), "type_alias")] == ["public.address", "public.email", "public.span"]
        with typed.session() as connection, connection.cursor() as cursor:
            cursor.execute("PREPARE by_mail(public.email) AS SELECT count(*) FROM people WHERE mail = $1")
            moves.apply()
            cursor.execute("EXECUTE by_mail('a@b')")
            assert cursor.fetchone() == (1,)
            for query in BY_OLD_NAMES:
                cursor.execute(query)
                assert cursor.fetchall() == [(True,)], query
            with pytest.raises(psycopg2.errors.CheckViolation):
                cursor.execute("SELECT 'nobody'::public.email")
        assert {name for name, schema in places(typed).items() if schema == "who"} == {"email", "address", "span"}
        owner_and_acl = "SELECT typowner, typacl::text FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace WHERE typname = 'email'"
        assert len(set(typed.rows(owner_and_acl))) == 1, "the alias belongs to the same role, with the same privileges"
        assert moves.plan().digest == digest
        assert moves.left() == []
        moves.roll_back()
        require_same(before, state(typed))
    finally:
        typed.drop()
        typed.server.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def test_an_enum_moves_only_once_somebody_has_accepted_what_breaks(typed: Target) -> None:
    before = state(typed)
    refused = named(core(typed, "Role").plan(), "type_moves")
    assert [(f.object, f.blocks) for f in refused] == [('public."Role"', True)]
    assert 'CAST($1 AS "public"."Role")' in refused[0].reason
    assert '@@schema("who")' in refused[0].remedy
    moves = core(typed, "Role", accept=tuple(refused))
    with typed.session() as connection, connection.cursor() as cursor:
        moves.apply()
        with pytest.raises(psycopg2.errors.UndefinedObject):
            cursor.execute(PRISMA.replace("$1", "'ADMIN'"))
        cursor.execute(PRISMA.replace("$1", "'ADMIN'").replace('"public"', '"who"'))
        assert cursor.fetchone() == (1,)
    typed.execute('CREATE DOMAIN public."Role" AS who."Role"')
    with pytest.raises(psycopg2.errors.UndefinedFunction):
        typed.value(PRISMA.replace("$1", "'ADMIN'"))
    typed.execute('DROP DOMAIN public."Role"')
    moves.roll_back()
    require_same(before, state(typed))


def test_where_an_alias_is_no_type_of_its_own_the_plan_refuses(typed: Target) -> None:
    refused = named(core(typed, "code", "amount").plan(), "type_moves")
    assert [f.object for f in refused] == ["public.amount", "public.code"]
    moves = core(typed, "code", "amount", accept=tuple(refused))
    compared = "SELECT count(*) FROM people WHERE codes = ARRAY['k']::public.code[]"
    chosen = "SELECT public.kind_of(1::public.amount)"
    assert (typed.value(compared), typed.value(chosen)) == (1, "amount")
    moves.apply()
    with pytest.raises(psycopg2.errors.UndefinedFunction):
        typed.value(compared)
    assert typed.value(chosen) == "int", "without an error"
    moves.roll_back()
    assert (typed.value(compared), typed.value(chosen)) == (1, "amount")


def test_routines_that_name_a_type_which_no_alias_serves_are_found_by_their_text(typed: Target) -> None:
    typed.execute(
        "CREATE FUNCTION admins() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM people WHERE role = 'ADMIN'::public.\"Role\" $$",
        "CREATE FUNCTION first_home() RETURNS text LANGUAGE plpgsql AS $$ DECLARE h address%ROWTYPE; BEGIN RETURN h.street; END $$",
        "CREATE FUNCTION plain() RETURNS text LANGUAGE plpgsql AS $$ DECLARE h address; m email := 'a@b'; BEGIN RETURN m; END $$",
        'CREATE FUNCTION taking(m email, r "Role") RETURNS void LANGUAGE plpgsql AS $$ BEGIN TRUNCATE people; END $$',
    )
    before = state(typed)
    types, repair = ("email", "address", "Role"), ["taking"]
    refused = named(core(typed, *types).plan(), "type_moves")
    refused += [
        f for f in core(typed, *types, repair_routines=repair).plan().refusals if f.object in ("public.admins()", "public.first_home()")
    ]
    moves = core(typed, *types, accept=tuple(refused), repair_routines=repair)
    plan = moves.plan()
    said = {f.object for f in plan.findings if f.id in ("routine_without_view", "routine_breaks")}
    assert said == {"public.admins()", "public.first_home()"}
    assert "routine_path" in {step.kind for step in plan.steps}
    moves.apply()
    assert moves.plan().digest == plan.digest, "also where the signature of a routine names a type that has moved"
    for query in ("SELECT admins()", "SELECT first_home()"):
        with pytest.raises(psycopg2.Error):
            typed.value(query)
    assert typed.value("SELECT plain()") == "a@b"
    moves.roll_back()
    require_same(before, state(typed))


def test_rules_and_names_that_cannot_be_followed_are_refused(typed: Target) -> None:
    typed.execute("CREATE SCHEMA who", "CREATE TABLE who.email (a int)", "CREATE TYPE who.address AS ENUM ('x')")
    plan = core(typed, "email", "address", "adress").plan()
    assert sorted(f.object for f in named(plan, "collision")) == ["public.address", "public.email"]
    assert [f.object for f in named(plan, "rule_matches_nothing")] == ["multischema_placement[0].types: adress"]
    assert "'address'" in named(plan, "rule_matches_nothing")[0].remedy


def test_what_was_made_with_an_alias_stops_the_rollback(typed: Target) -> None:
    before = state(typed)
    moves = core(typed, "email", placement=[{"schema": "who", "types": ["email"]}], unplaced="keep")
    moves.apply()
    typed.execute("CREATE TABLE public.letters (sender public.email)")
    assert [(f.id, f.object) for f in moves.way_back().refusals] == [("alias_has_dependents", "column sender of table public.letters")]
    typed.execute("DROP TABLE public.letters")
    moves.roll_back()
    require_same(before, state(typed))


@pytest.mark.own_roles("a role that is made a member of the owner in the middle")
def test_a_role_without_the_owner_s_rights_may_not_move_a_type_and_one_with_them_may(typed: Target) -> None:
    suffix = uuid.uuid4().hex[:6]
    owner, mover = (sql.Identifier(f"{name}_{suffix}") for name in ("owner", "mover"))
    typed.execute(
        sql.SQL("CREATE ROLE {}").format(owner),
        sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'sample'").format(mover),
        sql.SQL("ALTER DOMAIN email OWNER TO {}").format(owner),
        sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(sql.Identifier(typed.name), mover),
        sql.SQL("GRANT CREATE ON SCHEMA public TO {}, {}").format(mover, owner),
    )
    try:
        before = state(typed)
        moves = core(typed, placement=[{"schema": "who", "types": ["email"]}], unplaced="keep")
        moves.user, moves.password = f"mover_{suffix}", "sample"
        assert [(f.id, f.object) for f in moves.plan().refusals] == [("not_owner", "public.email")]
        typed.execute(sql.SQL("GRANT {} TO {}").format(owner, mover))
        before = state(typed)
        moves.apply()
        assert places(typed)["email"] == "who"
        moves.roll_back()
        require_same(before, state(typed))
    finally:
        typed.drop()
        for role in (mover, owner):
            typed.server.execute(sql.SQL("DROP ROLE {}").format(role))
