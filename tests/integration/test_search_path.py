"""New sessions find the moved tables by their bare names, and everybody's settings come back to the byte."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg2
import pytest
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from ansible_collections.dbops.multischema.plugins.module_utils.plan import Finding, Plan
from tests.integration import movers
from tests.integration.core import Core
from tests.integration.databases import Target
from tests.integration.evidence import require_same, state

PASSWORD = "sample"
OWN_ROLES = pytest.mark.own_roles("roles with this or that right to set the paths of others connect")
ODD = 'Odd "x", y'  # a schema whose name hurts in a list
SHOP_SQL = """
CREATE TABLE orders (id serial PRIMARY KEY, total int);
CREATE TABLE "Items" (id int PRIMARY KEY);
CREATE TABLE plans (id int PRIMARY KEY);
CREATE TABLE django_migrations (id serial PRIMARY KEY, app text);
INSERT INTO orders (total) VALUES (1), (2);
INSERT INTO django_migrations (app) VALUES ('shop');
"""
_ALL_SETTINGS = "SELECT setdatabase, setrole, setconfig::text FROM pg_db_role_setting ORDER BY 1, 2"
_IN_DATABASE = """
SELECT c FROM pg_db_role_setting s, unnest(s.setconfig) c JOIN pg_roles r ON r.rolname = %s
 WHERE s.setrole = r.oid AND s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) AND c LIKE 'search_path=%%'
"""


@dataclass
class Shop:
    """A database with a few tables, and roles that log in."""

    target: Target
    suffix: str = field(default_factory=lambda: uuid.uuid4().hex[:6])
    roles: list[str] = field(default_factory=list)

    def role(self, name: str, options: str = "", *settings: str) -> str:
        """Make a role that may use the tables. ``{}`` in a setting is the role; ``{d}`` the database."""
        role = f"{name}_{self.suffix}"
        self.target.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} " + options).format(sql.Identifier(role), sql.Literal(PASSWORD)),
            sql.SQL("GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO {}").format(sql.Identifier(role)),
            sql.SQL("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {}").format(sql.Identifier(role)),
        )
        self.roles.append(role)
        self._let_the_mover_set_paths(role)
        for setting in settings:
            self.target.execute(sql.SQL(setting).format(sql.Identifier(role), d=sql.Identifier(self.target.name)))
        return role

    def _let_the_mover_set_paths(self, role: str) -> None:
        """In a run as an ordinary role: with what the README's table says that it needs for this."""
        if self.target.mover is None:
            return
        mover = self.target.mover.user
        only = " WITH ADMIN TRUE, INHERIT FALSE, SET FALSE" if self.target.server.major >= 16 else ""
        self.target.execute(f"ALTER ROLE {mover} CREATEROLE", f"GRANT {role} TO {mover}{only}")

    def values(self, *roles: str, **more: Any) -> dict[str, Any]:
        """A configuration for these roles of the application."""
        base: dict[str, Any] = {
            "schemas": [{"name": "sales"}, {"name": ODD}],
            "placement": [{"schema": ODD, "tables": ["plans"]}, {"schema": "sales", "tables": ["orders", "Items"]}],
            "application_roles": list(roles),
            "unplaced": "keep",
        }
        return base | more

    def core(self, *roles: str, **more: Any) -> Core:
        """The core on it."""
        return Core(self.target, self.values(*roles, **more))

    def session(self, role: str, **options: Any) -> Any:
        """A new connection of a role."""
        return self.target.session(user=role, password=PASSWORD, **options)

    def asks(self, role: str, query: str, **options: Any) -> Any:
        """The answer that a new session of a role gets."""
        with self.session(role, **options) as connection:
            return ask(connection, query)

    def settings(self) -> list[tuple[Any, ...]]:
        """Everybody's, of all databases."""
        return self.target.rows(_ALL_SETTINGS)


def ask(connection: Connection, query: str) -> Any:
    """The first column of the first row."""
    with connection.cursor() as cursor:
        cursor.execute(query)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def named(plan: Plan, finding: str) -> list[Finding]:
    """The findings of one kind."""
    return [found for found in plan.findings if found.id == finding]


@pytest.fixture
def shop(empty: Target) -> Iterator[Shop]:
    """The database and its roles."""
    empty.execute(SHOP_SQL)
    made = Shop(empty)
    yield made
    empty.drop()
    for role in made.roles:
        empty.server.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


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
    assert target.rows(_IN_DATABASE, (raw,)) == [("search_path=Extra,public",)], "a text that SET itself would never store"
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


@pytest.mark.parametrize("extension", ["citext", "vector"])
def test_the_schema_of_an_extension_stays_on_the_path_and_its_loss_is_warned_of(shop: Shop, extension: str) -> None:
    target = shop.target
    if not target.value("SELECT count(*) FROM pg_available_extensions WHERE name = %s", (extension,)):
        pytest.skip(f"{extension} is not installed with PostgreSQL {target.server.major} here")
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
    assert target.rows(_IN_DATABASE, (web,)) == [("search_path=sales, pg_catalog",)]
    assert target.rows(_IN_DATABASE, (other,)) == []


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
