"""What a path cannot serve, who may not set it, and who has set another one: said, refused, or left alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg2
import pytest
from psycopg2 import sql

from tests.integration.core import Core
from tests.integration.databases import Target
from tests.integration.evidence import require_same, state
from tests.integration.path_shop import IN_DATABASE, OWN_ROLES, PASSWORD, Shop, named, opened


@pytest.fixture
def shop(empty: Target) -> Iterator[Shop]:
    """The database and its roles."""
    with opened(empty) as made:
        yield made


@pytest.mark.parametrize("extension", ["citext", "vector"])
def test_the_schema_of_an_extension_stays_on_the_path_and_its_loss_is_warned_of(shop: Shop, extension: str) -> None:
    target = shop.target
    if not target.value("SELECT count(*) FROM pg_available_extensions WHERE name = %s", (extension,)):
        pytest.skip(reason=f"{extension} is not installed with PostgreSQL {target.server.major} here")
    values = {"citext": ("citext", "'BOB'", "x = 'bob'"), "vector": ("vector(2)", "'[1,2]'", "x <-> '[1,2]' = 0")}
    of_type, value, condition = values[extension]
    target.execute(
        f"CREATE EXTENSION {extension}",
        f"CREATE TABLE people (x {of_type})",
        f"INSERT INTO people VALUES ({value})",
    )
    web = shop.role("web")
    lost = shop.role("lost", "", "ALTER ROLE {} IN DATABASE {d} SET search_path = sales")
    target.execute(
        "CREATE FUNCTION pinned() RETURNS int LANGUAGE sql SET search_path = sales AS 'SELECT 1'",
        "CREATE FUNCTION unpinned() RETURNS int LANGUAGE sql SET search_path = sales, public AS 'SELECT 1'",
    )
    core = shop.core(web, lost, placement=[{"schema": "sales", "tables": ["people"]}], schemas=[{"name": "sales"}])
    warned = [f.object for f in named(core.plan(), "search_path_loses_extension")]
    assert warned == [f"role {lost}: {extension}", f"routine public.pinned(): {extension}"]
    core.apply()
    count = f"SELECT count(*) FROM people WHERE {condition}"
    assert shop.asks(web, count) == 1
    if extension == "citext":
        assert shop.asks(lost, count) == 0, "no error, and another answer"
    else:
        with pytest.raises(psycopg2.errors.UndefinedFunction):
            shop.asks(lost, count)
    core.roll_back()


def test_bookkeeping_tables_stay_and_moving_one_is_refused(shop: Shop) -> None:
    core = shop.core(placement=[{"schema": "sales", "tables": ["*"]}], schemas=[{"name": "sales"}])
    core.apply()
    assert shop.target.value("SELECT 'public.django_migrations'::regclass::oid = oid FROM pg_class WHERE relname = 'django_migrations'")
    core.roll_back()
    named_it = shop.core(placement=[{"schema": "sales", "tables": ["django_migrations"]}], schemas=[{"name": "sales"}])
    assert [f.object for f in named_it.plan().refusals] == ["public.django_migrations"]


def test_a_migration_tool_is_warned_of_and_says_so_itself_only_where_there_is_a_view(shop: Shop) -> None:
    add = "ALTER TABLE IF EXISTS public.{} ADD COLUMN extra int"
    rules = [{"schema": "sales", "tables": ["orders"]}, {"schema": "sales", "tables": ["plans"], "compatibility_view": False}]
    core = shop.core(shop.role("web"), placement=rules, schemas=[{"name": "sales"}])
    assert ["public.plans" in f.reason for f in named(core.plan(), "migration_tools")] == [True]
    core.apply()
    with pytest.raises(psycopg2.errors.WrongObjectType):
        shop.target.execute(add.format("orders"))
    shop.target.execute(add.format("plans"))
    assert shop.target.value("SELECT count(*) FROM pg_attribute WHERE attrelid = 'sales.plans'::regclass AND attname = 'extra'") == 0
    core.roll_back()


def test_row_types_that_other_tables_use_follow_by_oid(shop: Shop) -> None:
    target = shop.target
    target.execute(
        "CREATE TYPE pair AS (a int, b text)",
        "CREATE TABLE typed OF pair",
        "INSERT INTO typed VALUES (1, 'x')",
        "CREATE TABLE holder (o orders, many orders[])",
        "INSERT INTO holder SELECT o, ARRAY[o] FROM orders o WHERE id = 1",
    )
    before = state(target)
    core = shop.core(placement=[{"schema": "sales", "tables": ["typed", "orders"]}], schemas=[{"name": "sales"}])
    core.apply()
    assert target.rows("SELECT (o).total, (many[1]).id FROM holder") == [(1, 1)]
    assert target.rows("SELECT reloftype::regtype::text FROM pg_class WHERE oid = 'sales.typed'::regclass") == [("pair",)]
    core.roll_back()
    require_same(before, state(target))


def _login(shop: Shop, mover: str) -> Callable[..., Core]:
    def core(*roles: str) -> Core:
        return Core(shop.target, shop.values(*roles), user=mover, password=PASSWORD)

    return core


@OWN_ROLES
def test_a_path_that_the_connected_role_may_not_set_is_left_with_the_statements(shop: Shop) -> None:
    target = shop.target
    web, mine = shop.role("web"), shop.role("mine")
    mover = shop.role("mover", "CREATEROLE")
    identifiers = {"m": sql.Identifier(mover), "w": sql.Identifier(mine), "d": sql.Identifier(target.name)}
    target.execute(
        *(sql.SQL("ALTER TABLE {} OWNER TO {m}").format(sql.Identifier(t), **identifiers) for t in ("orders", "Items", "plans")),
        sql.SQL("GRANT CREATE ON DATABASE {d} TO {m}").format(**identifiers),
        sql.SQL("GRANT CREATE ON SCHEMA public TO {m}").format(**identifiers),
        sql.SQL("GRANT {w} TO {m} WITH ADMIN OPTION").format(**identifiers),
    )
    settings = shop.settings()
    core = _login(shop, mover)(web, mine, mover)
    plan = core.plan()
    by_hand, by_step = named(plan, "search_path_by_hand"), {f.object for f in named(plan, "search_path")}
    if target.server.major >= 16:
        assert (by_step, [f.object for f in by_hand]) == ({mine, mover}, [web])
    else:
        assert (by_step, by_hand) == ({web, mine, mover}, [])
    core.apply()
    assert core.plan().digest == plan.digest, "also where its own path now hides that of the server"
    assert "sales" in shop.asks(mine, "SHOW search_path")
    for finding in by_hand:
        forth, back = (text.split(": ", 1)[1].strip(" .") for text in finding.remedy.split("; and before a rollback"))
        target.execute(forth)
        assert "sales" in shop.asks(web, "SHOW search_path")
        target.execute(back)
    core.roll_back()
    assert shop.settings() == settings


def test_a_path_that_someone_has_set_since_is_not_overwritten_by_the_rollback(shop: Shop) -> None:
    target, web, other = shop.target, shop.role("web"), shop.role("other")
    core = shop.core(web, other)
    core.apply()
    change = sql.SQL("ALTER ROLE {} IN DATABASE {} SET search_path = sales, pg_catalog").format(
        sql.Identifier(web), sql.Identifier(target.name)
    )
    reset = sql.SQL("ALTER ROLE {} IN DATABASE {} RESET search_path").format(sql.Identifier(other), sql.Identifier(target.name))
    target.execute(change, reset)
    refusals = core.way_back().refusals
    assert [(f.id, f.object) for f in refusals] == [("search_path_changed", web)]
    core.accepted_back = frozenset({("search_path_changed", web)})
    core.roll_back()
    assert target.rows(IN_DATABASE, (web,)) == [("search_path=sales, pg_catalog",)]
    assert target.rows(IN_DATABASE, (other,)) == []


@OWN_ROLES
def test_a_path_of_the_server_that_cannot_be_seen_is_left_alone(shop: Shop) -> None:
    web = shop.role("web")
    mover = shop.role("mover", "CREATEROLE", "ALTER ROLE {} SET search_path = pg_catalog")
    seen = _login(shop, mover)(web).plan()
    assert [f.object for f in named(seen, "search_path_unknown")] == [web]
    superuser = shop.role("boss", "SUPERUSER", "ALTER ROLE {} SET search_path = pg_catalog")
    by_files = _login(shop, superuser)(web).plan()
    assert named(by_files, "search_path_unknown") == []
    assert "sales" in named(by_files, "search_path")[0].reason
