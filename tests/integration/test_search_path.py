"""New sessions find the moved tables by their bare names, and everybody's settings come back to the byte."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg2
import pytest
from psycopg2 import sql

from tests.integration import movers
from tests.integration.databases import Target
from tests.integration.evidence import require_same, state
from tests.integration.path_shop import IN_DATABASE, ODD, Shop, ask, named, opened


@pytest.fixture
def shop(empty: Target) -> Iterator[Shop]:
    """The database and its roles."""
    with opened(empty) as made:
        yield made


RAW = (
    "SET LOCAL search_path TO DEFAULT; SELECT set_config('search_path', 'Extra,public', true); "
    "ALTER ROLE {} IN DATABASE {d} SET search_path FROM CURRENT"
)


def test_each_former_path_is_kept_in_order_and_comes_back_to_the_byte(shop: Shop) -> None:
    target = shop.target
    target.execute('CREATE SCHEMA "a, b"', 'CREATE SCHEMA "Up"', "CREATE SCHEMA extra")
    plain = shop.role("plain")
    everywhere = shop.role("everywhere", "", 'ALTER ROLE {} SET search_path = "$user", "a, b", public, extra')
    here = shop.role(
        "here", "", "ALTER ROLE {} IN DATABASE {d} SET work_mem = '5MB'", 'ALTER ROLE {} IN DATABASE {d} SET search_path = "Up", public'
    )
    raw = shop.role("raw", "", RAW)
    without = shop.role("without", "", "ALTER ROLE {} IN DATABASE {d} SET search_path = extra")
    target.execute(sql.SQL("ALTER DATABASE {} SET search_path = public, extra").format(sql.Identifier(target.name)))
    roles = [plain, everywhere, here, raw, without]
    settings, before = shop.settings(), state(target)
    assert target.rows(IN_DATABASE, (raw,)) == [("search_path=Extra,public",)], "a text that SET itself would never store"
    core = shop.core(*roles)
    digest = core.plan().digest
    assert [f.object for f in named(core.plan(), "search_path_left")] == [without]
    core.apply()

    odd = '"Odd ""x"", y"'
    assert shop.asks(plain, "SHOW search_path") == f"sales, {odd}, public, extra"
    assert shop.asks(everywhere, "SHOW search_path") == f'"$user", "a, b", sales, {odd}, public, extra'
    assert shop.asks(here, "SHOW search_path") == f'"Up", sales, {odd}, public'
    assert shop.asks(raw, "SHOW search_path") == f"extra, sales, {odd}, public"
    assert shop.asks(without, "SHOW search_path") == "extra"
    assert shop.asks(plain, "SELECT to_regclass('plans')::oid::regclass::text LIKE '%plans' FROM plans RIGHT JOIN orders ON false LIMIT 1")
    assert shop.asks(plain, "SELECT relkind FROM pg_class WHERE oid = to_regclass('\"Items\"')") == "r"
    assert shop.asks(plain, "INSERT INTO orders (total) VALUES (3) RETURNING currval('orders_id_seq')") == 3
    target.execute("DELETE FROM sales.orders WHERE total = 3")

    assert core.plan().digest == digest, "planning again half-way gives the same plan"
    assert core.left() == []
    core.roll_back()
    assert shop.settings() == settings
    after = state(target)
    require_same(type(after)(before.schema, before.rows, after.sequences, before.settings), after)


def test_open_sessions_keep_their_path_and_the_views_serve_them(shop: Shop) -> None:
    web = shop.role("web")
    with shop.session(web) as connection:
        shop.core(web).apply()
        for statement in ("DISCARD ALL", f"SET ROLE {web}", "RESET search_path"):
            ask(connection, statement)
        assert ask(connection, "SHOW search_path") == '"$user", public'
        assert ask(connection, "SELECT relkind FROM pg_class WHERE oid = 'orders'::regclass") == "v"
        assert ask(connection, "SELECT count(*) FROM orders") == 2
    assert shop.asks(web, "SELECT relkind FROM pg_class WHERE oid = 'orders'::regclass") == "r"
    assert shop.asks(web, "SHOW search_path", options="-c search_path=public") == "public", "what a client asks for goes first"


def test_prepared_statements_plan_themselves_anew_there_and_back(shop: Shop) -> None:
    web = shop.role("web")
    core = shop.core(web)
    with shop.session(web) as connection:
        ask(connection, "PREPARE all_orders AS SELECT * FROM orders WHERE id > $1 ORDER BY id")
        for _ in range(7):  # beyond the fifth it may be a generic plan
            assert ask(connection, "EXECUTE all_orders (0)") == 1
        core.apply()
        assert ask(connection, "EXECUTE all_orders (1)") == 2
        core.roll_back()
        assert ask(connection, "EXECUTE all_orders (1)") == 2
        shop.target.execute("CREATE SCHEMA bare", "ALTER TABLE orders SET SCHEMA bare")
        with pytest.raises(psycopg2.errors.UndefinedTable):
            ask(connection, "EXECUTE all_orders (1)")


def test_the_path_of_a_database_is_set_only_where_no_role_overrides_it(shop: Shop) -> None:
    web, pinned = shop.role("web"), shop.role("pinned", "", "ALTER ROLE {} SET search_path = public")
    if shop.target.mover is not None:
        shop.target.server.execute(f"ALTER DATABASE {shop.target.name} OWNER TO {shop.target.mover.user}")
    settings = shop.settings()
    refused = named(shop.core(web, pinned, search_path="database").plan(), "search_path_overridden")
    assert [(f.object, f.blocks) for f in refused] == [(pinned, True)]
    core = shop.core(web, search_path="database")
    core.apply()
    assert shop.asks(web, "SHOW search_path").startswith('"$user", sales, ')
    assert shop.asks(pinned, "SHOW search_path") == "public", "as the refusal says"
    core.roll_back()
    assert shop.settings() == settings
    shop.target.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(pinned)))
    assert [f.object for f in named(shop.core(web, pinned).plan(), "search_path_no_login")] == [pinned]
    left = shop.core(web, search_path="unchanged")
    left.apply()
    assert shop.settings() == settings
    left.roll_back()


BACKWARDS = """
CREATE OPERATOR CLASS {}.backwards FOR TYPE int USING btree AS
  OPERATOR 1 >, OPERATOR 2 >=, OPERATOR 3 =, OPERATOR 4 <=, OPERATOR 5 <, FUNCTION 1 btint4cmp(int, int)
"""


def test_a_bare_name_that_would_mean_something_else_is_refused(shop: Shop) -> None:
    target, web = shop.target, shop.role("web")
    target.execute(
        "CREATE SCHEMA sales",
        "CREATE FUNCTION public.tax(int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE FUNCTION sales.tax(int) RETURNS int LANGUAGE sql AS 'SELECT 2'",
        "CREATE FUNCTION public.fee() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE FUNCTION sales.fee(int, int) RETURNS int LANGUAGE sql AS 'SELECT 2'",
        "CREATE TYPE public.mood AS ENUM ('ok')",
        "CREATE TYPE sales.mood AS ENUM ('bad')",
        "CREATE TABLE sales.plans (id int)",
        "CREATE TABLE sales.alone (id int)",
        "CREATE OPERATOR public.#+# (FUNCTION = numeric_add, LEFTARG = numeric, RIGHTARG = numeric)",
        "CREATE OPERATOR sales.#+# (FUNCTION = int4mi, LEFTARG = int, RIGHTARG = int)",  # which fits better
        "CREATE OPERATOR public.#*# (FUNCTION = int4mul, LEFTARG = int, RIGHTARG = int)",
        "CREATE OPERATOR sales.#*# (FUNCTION = int4pl, LEFTARG = int, RIGHTARG = int)",
        "CREATE OPERATOR public.~~~ (FUNCTION = texteq, LEFTARG = text, RIGHTARG = text)",
        "CREATE OPERATOR sales.~~~ (FUNCTION = point_distance, LEFTARG = point, RIGHTARG = point)",  # for which nobody takes a text
        *(BACKWARDS.format(schema) for schema in ("public", "sales")),
        sql.SQL("GRANT USAGE ON SCHEMA sales TO {}").format(sql.Identifier(web)),
    )
    core = shop.core(web)
    found = named(core.plan(), "search_path_ambiguous")
    assert {f.object: f.reason.partition(" this ")[2].partition(" comes")[0] for f in found} == {
        "sales.backwards for btree": "operator class",
        "sales.int4 #*# int4": "operator",
        "sales.int4 #+# int4": "operator",
        "sales.mood": "type",
        "sales.plans": "relation",
        "sales.tax(int4)": "routine",
    }
    assert not any("public.plans" in f.reason for f in found), "it is the moved table that is meant"
    asked = ("SELECT tax(1)", "SELECT 4 #*# 3", "SELECT (4 #+# 3)::int", "SELECT 'a' ~~~ 'a'")
    before = [shop.asks(web, one) for one in asked]
    accepted = [{"finding": f.id, "object": f.object, "reason": "a test"} for f in found]
    core = shop.core(web, accept=accepted)
    digest = core.plan().digest
    core.apply()
    assert core.plan().digest == digest
    assert (before, [shop.asks(web, one) for one in asked]) == ([1, 12, 7, True], [2, 7, 1, True]), "what was refused does happen"
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        shop.asks(web, "SELECT * FROM plans")
    core.roll_back()


def test_creating_without_a_schema_goes_to_the_first_one_and_is_warned_of(shop: Shop) -> None:
    target = shop.target
    maker, owner = shop.role("maker"), shop.role("owner")
    movers.joined(target, owner)
    target.execute(sql.SQL("GRANT CREATE ON SCHEMA public TO {}").format(sql.Identifier(maker)))
    schemas = [{"name": "sales", "owner": owner}, {"name": ODD}]
    core = shop.core(maker, owner, schemas=schemas)
    found = {f.object: f.reason for f in named(core.plan(), "search_path_creates")}
    assert set(found) == {maker, owner}
    core.apply()
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        shop.asks(maker, "CREATE TABLE fresh (a int)")
    assert shop.asks(owner, "CREATE TABLE IF NOT EXISTS orders (id int); SELECT count(*) FROM orders") == 2, "most tables are in the first"
    shop.asks(owner, "CREATE TABLE IF NOT EXISTS plans (id int)")
    assert shop.asks(owner, "SELECT 'plans'::regclass::text") == "plans"
    assert target.value("SELECT to_regclass('sales.plans') IS NOT NULL"), "the empty shadow that the warning speaks of"
    target.execute("DROP TABLE sales.plans")
    core.roll_back()


def test_without_the_views_an_application_that_creates_its_tables_splits_its_data(shop: Shop) -> None:
    """Why there are views: ``create_all()`` of an ORM makes what it doesn't find where it always was."""
    create = "CREATE TABLE IF NOT EXISTS public.orders (id serial PRIMARY KEY, total int)"
    with_views, without = shop.core(), shop.core(compatibility_views=False)
    with_views.apply()
    shop.target.execute(create, "INSERT INTO public.orders (total) VALUES (9)")
    assert shop.target.value("SELECT count(*) FROM sales.orders") == 3
    with_views.roll_back()
    without.apply()
    shop.target.execute(create, "INSERT INTO public.orders (total) VALUES (9)")
    assert shop.target.value("SELECT count(*) FROM sales.orders") == 3, "the row went into another table"
    assert [f.id for f in without.way_back().refusals].count("name_taken") >= 1
