"""Owners, schemas and what hangs on them: foreign keys across schemas, USAGE, default privileges, what else may be moved."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
from psycopg2 import sql

from ansible_collections.dbops.multischema.plugins.module_utils.access import shut_out
from ansible_collections.dbops.multischema.plugins.module_utils.identity import view_problems
from tests.integration import movers
from tests.integration.core import Core
from tests.integration.databases import Target
from tests.integration.evidence import require_same_schema, state

pytestmark = pytest.mark.majors(15, 18)
ROLES = ("ro_parents", "ro_children", "ro_web", "ro_late")
TABLES = """
CREATE TABLE public.parents (id int PRIMARY KEY, other int);
CREATE TABLE public.children (id serial PRIMARY KEY, parent int REFERENCES parents ON DELETE CASCADE ON UPDATE CASCADE DEFERRABLE);
CREATE TABLE public.strict (id int PRIMARY KEY, parent int REFERENCES parents ON DELETE RESTRICT);
ALTER TABLE public.parents ADD FOREIGN KEY (other) REFERENCES children DEFERRABLE INITIALLY DEFERRED;
CREATE TABLE public.hidden (id int, secret text);
ALTER TABLE public.parents OWNER TO ro_parents;
ALTER TABLE public.children OWNER TO ro_children;
ALTER TABLE public.strict OWNER TO ro_children;
GRANT REFERENCES ON public.parents TO ro_children;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.parents, public.children, public.strict TO ro_web;
GRANT USAGE ON SEQUENCE public.children_id_seq TO ro_web;
"""
ROWS = """
INSERT INTO public.parents VALUES (1), (2);
INSERT INTO public.children (parent) VALUES (1), (2);
INSERT INTO public.strict VALUES (1, 2);
INSERT INTO public.hidden VALUES (1, 'secret');
"""
VALUES: dict[str, Any] = {
    "schemas": [{"name": "up"}, {"name": "down"}],
    "placement": [{"schema": "up", "tables": ["parents", "hidden"]}, {"schema": "down", "tables": ["children", "strict"]}],
}


@pytest.fixture
def family(empty: Target) -> Iterator[Target]:
    """Parents and children of different owners."""
    for role in ROLES:
        empty.server.execute(f"CREATE ROLE {role}")
    movers.joined(empty, "ro_parents", "ro_children")
    empty.execute("GRANT CREATE ON SCHEMA public TO ro_parents, ro_children", TABLES, ROWS)
    yield empty
    empty.drop()
    for role in ROLES:
        empty.server.execute(f"DROP ROLE {role}")


def _as(target: Target, role: str, *statements: str) -> list[tuple[Any, ...]]:
    with target.session(options=f"-c role={role}") as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []


def test_foreign_keys_work_across_schemas_also_where_owners_had_no_use_of_the_target(family: Target) -> None:
    # A bare ALTER breaks every check, also for a superuser: they run as the owner of the table.
    family.execute("CREATE SCHEMA down", "ALTER TABLE children SET SCHEMA down")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="schema down"):
        family.execute("DELETE FROM parents WHERE id = 1")
    family.execute("ALTER TABLE down.children SET SCHEMA public", "DROP SCHEMA down")
    before = state(family).schema
    core = Core(family, VALUES)
    core.apply()
    for schema, other in (("public", "public"), ("up", "down")):
        _as(
            family,
            "ro_web",
            f"INSERT INTO {other}.children (parent) VALUES (1)",
            f"UPDATE {schema}.parents SET id = 10 WHERE id = 1",
            f"DELETE FROM {schema}.parents WHERE id = 10",
            f"INSERT INTO {schema}.parents VALUES (1)",
        )
        assert family.value("SELECT count(*) FROM down.children WHERE parent = 1") == 0
        with pytest.raises(psycopg2.errors.ForeignKeyViolation):
            _as(family, "ro_web", f"INSERT INTO {other}.children (parent) VALUES (99)")
        with pytest.raises(psycopg2.errors.IntegrityError):
            _as(family, "ro_web", f"DELETE FROM {schema}.parents WHERE id = 2")
    core.roll_back()
    require_same_schema(before, state(family).schema)


def test_a_grant_on_the_table_is_worth_nothing_without_the_schema_and_the_plan_gives_it(family: Target) -> None:
    core = Core(family, VALUES)
    (given,) = {f.reason for f in core.plan().findings if f.id == "schema_usage" and f.object == "down"}
    assert "ro_children, ro_web get it" in given
    core.apply()
    assert _as(family, "ro_web", "SELECT count(*) FROM down.children") == [(2,)]
    # Without it the qualified name is refused, and an unqualified one is not even found; the view needs none.
    oids = [
        oid for (oid,) in family.rows("SELECT oid::bigint FROM pg_class WHERE relnamespace IN ('up'::regnamespace, 'down'::regnamespace)")
    ]
    with core.connect() as database:
        assert shut_out(database, "public", oids) == []
    family.execute("REVOKE USAGE ON SCHEMA down FROM ro_web")
    with core.connect() as database:
        assert shut_out(database, "public", oids) == [("ro_web", "down")]
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        _as(family, "ro_web", "SELECT count(*) FROM down.children")
    with pytest.raises(psycopg2.errors.UndefinedTable):
        _as(family, "ro_web", "SET search_path = down", "SELECT count(*) FROM children")
    assert _as(family, "ro_web", "SELECT count(*) FROM public.children") == [(2,)]
    _as(family, "ro_web", "INSERT INTO public.children (parent) VALUES (1)")
    family.execute("GRANT USAGE ON SCHEMA down TO ro_web")
    core.roll_back()


def test_default_privileges_reach_later_tables_of_the_target_and_not_the_views(family: Target) -> None:
    user = family.mover.user if family.mover else family.server.user
    defaults = f"ALTER DEFAULT PRIVILEGES FOR ROLE {user} IN SCHEMA public"
    family.execute(f"{defaults} GRANT SELECT ON TABLES TO ro_late", f"{defaults} GRANT USAGE ON SEQUENCES TO ro_late")
    before = state(family).schema
    core = Core(family, VALUES)
    assert "public.hidden" in {f.object for f in core.plan().findings if f.id == "default_privileges_on_view"}
    core.apply()
    for name in ("public.hidden", "up.hidden"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            _as(family, "ro_late", f"SELECT * FROM {name}")
    _as(family, user, "CREATE TABLE up.later (id serial)", "GRANT USAGE ON SCHEMA up TO ro_late")
    assert _as(family, "ro_late", "SELECT count(*) FROM up.later") == [(0,)]
    assert _as(family, "ro_late", "SELECT nextval('up.later_id_seq')") == [(1,)]
    family.execute("DROP TABLE up.later", "REVOKE USAGE ON SCHEMA up FROM ro_late")
    core.roll_back()
    require_same_schema(before, state(family).schema)
    family.execute(f"{defaults} REVOKE ALL ON TABLES FROM ro_late", f"{defaults} REVOKE ALL ON SEQUENCES FROM ro_late")


@pytest.mark.parametrize("name", ["pg_catalog", "information_schema", "pg_toast", "pg_mine", "multischema_journal", "public"])
def test_a_target_that_belongs_to_postgresql_is_refused(family: Target, name: str) -> None:
    values = {"schemas": [{"name": name}], "placement": [{"schema": name, "tables": "*"}]}
    assert "reserved_target" in {refusal.id for refusal in Core(family, values).plan().refusals}


def test_what_is_no_table_stays_and_goes_on_working(family: Target) -> None:
    family.execute(
        "CREATE VIEW public.seen AS SELECT * FROM parents",
        "CREATE MATERIALIZED VIEW public.kept AS SELECT count(*) AS n FROM children",
        "CREATE SEQUENCE public.loose",
        "CREATE FOREIGN DATA WRAPPER nowhere",
        "CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere",
        "GRANT USAGE ON FOREIGN SERVER nowhere TO PUBLIC",
        "CREATE FOREIGN TABLE public.far (id int) SERVER nowhere OPTIONS (schema_name 'there', table_name 'far')",
    )
    before = state(family).schema
    core = Core(family, {**VALUES, "placement": [*VALUES["placement"], {"schema": "up", "tables": "far"}]})
    core.apply()
    names = "('seen', 'kept', 'loose', 'far')"
    places = f"SELECT relname, relnamespace::regnamespace::text FROM pg_class WHERE relname IN {names} AND relkind <> 'v'"
    assert dict(family.rows(places)) == {"kept": "public", "loose": "public", "far": "up"}
    assert family.value("SELECT ftoptions FROM pg_foreign_table WHERE ftrelid = 'up.far'::regclass") == [
        "schema_name=there",
        "table_name=far",
    ]
    family.execute("INSERT INTO up.parents VALUES (77)", "REFRESH MATERIALIZED VIEW public.kept")
    assert family.value("SELECT count(*) FROM public.seen WHERE id = 77") == 1
    # PostgreSQL itself would move the others by the same statement.
    family.execute(*(sql.SQL("ALTER TABLE public.{} SET SCHEMA up").format(sql.Identifier(name)) for name in ("seen", "kept", "loose")))
    family.execute(*(sql.SQL("ALTER TABLE up.{} SET SCHEMA public").format(sql.Identifier(name)) for name in ("seen", "kept", "loose")))
    core.roll_back()
    require_same_schema(before, state(family).schema)


def test_a_view_that_was_replaced_without_its_option_is_noticed(family: Target) -> None:
    family.execute(
        "ALTER TABLE parents ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY first ON parents USING (id = 1)",
        "ALTER TABLE strict OWNER TO ro_parents",
    )
    core = Core(family, VALUES)
    core.apply()
    assert _as(family, "ro_web", "SELECT count(*) FROM public.parents") == [(1,)]
    assert core.way_back().refusals == ()
    family.execute("CREATE OR REPLACE VIEW public.parents AS SELECT * FROM up.parents")
    assert _as(family, "ro_web", "SELECT count(*) FROM public.parents") == [(2,)], "PostgreSQL has kept the option"
    assert [(refusal.id, refusal.object) for refusal in core.way_back().refusals] == [("view_replaced", "public.parents")]
    family.execute("ALTER VIEW public.parents SET (security_invoker = true)")
    assert core.way_back().refusals == ()
    core.roll_back()


def _found(core: Core, finding: str) -> list[tuple[str, str]]:
    return [(found.severity, found.object) for found in core.plan().findings if found.id == finding]


def test_a_schema_of_someone_else_keeps_its_owner_and_that_is_said(family: Target) -> None:
    family.execute("CREATE SCHEMA up AUTHORIZATION ro_web")
    values = {**VALUES, "schemas": [{"name": "up", "owner": "ro_parents"}, {"name": "down"}]}
    assert _found(Core(family, values), "schema_owner_differs") == [("warn", "up")]


@pytest.mark.own_roles("an ordinary role that lacks a grant option")
def test_usage_that_cannot_be_granted_is_asked_for(family: Target) -> None:
    """A GRANT by someone who may not grant is only a warning in PostgreSQL, and the checks of foreign keys would fail later."""
    superuser, family = family, movers.ordinary(family, ("ro_parents", "ro_children"))
    assert family.mover is not None
    mover = family.mover.user
    superuser.execute(
        "ALTER TABLE hidden OWNER TO ro_parents",
        "CREATE SCHEMA up AUTHORIZATION ro_web",
        f"GRANT USAGE, CREATE ON SCHEMA up TO {mover}",
    )
    core = Core(family, VALUES)
    (refusal,) = core.plan().refusals
    assert (refusal.id, refusal.object) == ("usage_not_grantable", "up")
    superuser.execute(refusal.remedy.partition(": ")[2].rstrip("."))
    assert core.plan().refusals == ()
    core.apply()
    core.roll_back()
    family.drop()
    movers.dismiss(family)


def test_a_role_that_is_called_public_is_told_from_everyone(family: Target) -> None:
    family.execute('CREATE ROLE "PUBLIC"', 'GRANT SELECT ON hidden TO "PUBLIC"')
    try:
        assert _found(Core(family, VALUES), "role_called_public") == [("refuse", '"PUBLIC"')]
    finally:
        family.execute('DROP OWNED BY "PUBLIC"', 'DROP ROLE "PUBLIC"')


def test_column_privileges_of_a_view_are_compared_with_those_of_its_table(family: Target) -> None:
    family.execute("GRANT SELECT (id) ON hidden TO ro_web")
    core = Core(family, VALUES)
    core.apply()
    oid = family.value("SELECT 'up.hidden'::regclass::oid::bigint")

    def problems() -> list[tuple[str, str]]:
        with core.connect() as database:
            return view_problems(database, "public", [oid])

    assert problems() == []
    family.execute("GRANT SELECT (secret) ON public.hidden TO ro_web")
    assert problems() == [("hidden", "has other column privileges than its table")]
    family.execute("REVOKE SELECT (secret) ON public.hidden FROM ro_web")
    core.roll_back()


PAIR = """
DROP SCHEMA IF EXISTS up CASCADE; CREATE SCHEMA up; GRANT USAGE ON SCHEMA up TO PUBLIC; CREATE TABLE up.t (id int, secret text);
CREATE VIEW public.t AS SELECT * FROM up.t;
"""
PLAIN = "GRANT {what} ON {on} TO ro_web; "
GRANTABLE = "GRANT {what} ON {on} TO ro_web WITH GRANT OPTION; "
ANOTHER = "GRANT {what} ON {on} TO ro_late WITH GRANT OPTION; "
BY_ANOTHER = ANOTHER + "SET ROLE ro_late; GRANT {what} ON {on} TO ro_web; RESET ROLE; "


@pytest.mark.no_role("two relations are compared, whoever compares them")
@pytest.mark.parametrize(("what", "word"), [("SELECT", "other privileges"), ("SELECT (id)", "other column privileges")])
def test_a_privilege_or_a_grant_option_that_only_a_table_or_only_its_view_has_is_seen(family: Target, what: str, word: str) -> None:
    for here, there, differs in (
        (PLAIN, "", True),
        (PLAIN, PLAIN, False),
        (GRANTABLE, PLAIN, True),
        (GRANTABLE, GRANTABLE, False),
        (BY_ANOTHER + GRANTABLE, BY_ANOTHER + PLAIN, True),
        # Two have granted it, one of them with grant option: that is the same as once, with grant option.
        (BY_ANOTHER + GRANTABLE, ANOTHER + GRANTABLE, False),
    ):
        for first, second in (("up.t", "public.t"), ("public.t", "up.t")):
            family.execute(PAIR, here.format(what=what, on=first) + there.format(what=what, on=second))
            oid = family.value("SELECT 'up.t'::regclass::oid::bigint")
            with Core(family, VALUES).connect() as database:
                found = view_problems(database, "public", [oid])
            assert found == ([("t", f"has {word} than its table")] if differs else []), (here, first)
