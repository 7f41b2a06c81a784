"""What a role or a database has set for its sessions does not decide what the migration does."""

from __future__ import annotations

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.readiness import Question, examine
from ansible_collections.dbops.multischema.plugins.module_utils.relocation import Pace
from tests.integration.core import Core
from tests.integration.databases import Target
from tests.integration.evidence import disagreements, require_same, state
from tests.integration.placements import SHOP, SHOP_SQL, SHOP_TARGETS

pytestmark = pytest.mark.own_roles("an ordinary role connects, with hostile settings of its own")
ROLE = "stubborn"
# So long that none of them ends a session which has just begun, before it has set its own: what is in force then is looked at.
TIMEOUTS = {
    "statement_timeout": "'20s'",
    "lock_timeout": "'19s'",
    "idle_in_transaction_session_timeout": "'18s'",
    "idle_session_timeout": "'17s'",
    "transaction_timeout": "'21s'",
}
HOSTILE = {
    **TIMEOUTS,
    "search_path": "evil, pg_catalog",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "standard_conforming_strings": "off",
    "quote_all_identifiers": "on",
    "array_nulls": "off",
    "row_security": "off",
    "datestyle": "'German, DMY'",
    "intervalstyle": "'sql_standard'",
    "timezone": "'Asia/Kathmandu'",
    "bytea_output": "'escape'",
    "extra_float_digits": "-15",
    "client_min_messages": "'error'",
    "client_encoding": "'LATIN1'",
    "plan_cache_mode": "'force_custom_plan'",
    "session_replication_role": "replica",
}
# What would be found first, with pg_catalog behind.
EVIL_SQL = """
CREATE SCHEMA evil;
GRANT USAGE ON SCHEMA evil TO PUBLIC;
CREATE FUNCTION evil.current_setting(text) RETURNS text LANGUAGE sql AS $$ SELECT '80000' $$;
CREATE FUNCTION evil.pg_backend_pid() RETURNS int LANGUAGE sql AS 'SELECT -1';
CREATE FUNCTION evil.has_schema_privilege(name, oid, text) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE TABLE evil.pg_class (oid oid, relname name);
GRANT SELECT ON evil.pg_class TO PUBLIC;
"""
ORDINARY = ("customers", "orders", "visits", "visits_2025", "visits_2026", "notes")


@pytest.fixture
def shop(empty: Target) -> Core:
    """A small database, and an ordinary role that owns it."""
    empty.execute(SHOP_SQL, EVIL_SQL, f"DROP ROLE IF EXISTS {ROLE}", f"CREATE ROLE {ROLE} LOGIN PASSWORD 'every setting'")
    empty.execute(f"GRANT CREATE ON DATABASE {empty.name} TO {ROLE}", f"GRANT CREATE ON SCHEMA public TO {ROLE}")
    empty.execute(*(f"ALTER TABLE {name} OWNER TO {ROLE}" for name in ORDINARY))
    empty.execute(f"ALTER STATISTICS customers_name_region OWNER TO {ROLE}")
    return Core(empty, {**SHOP, "unplaced": "keep"}, Pace(50, 30.0, probe=True, max_replay_lag_s=5), ROLE, "every setting")


@pytest.mark.parametrize("whose", ["role", "database"])
def test_settings_of_a_role_or_a_database_change_nothing(shop: Core, whose: str) -> None:
    target = shop.target
    plan = shop.plan()
    known = {name for (name,) in target.rows("SELECT name FROM pg_settings")}
    who = f"ROLE {ROLE}" if whose == "role" else f"DATABASE {target.name}"
    with target.session() as connection, connection.cursor() as cursor:  # one that was there before the database's settings
        for name, value in HOSTILE.items():
            if name in known:
                cursor.execute(f"ALTER {who} SET {name} = {value}")
        try:
            now = shop.plan()
            assert (now.steps, now.findings) == (plan.steps, plan.findings)
            with shop.connect() as database:
                in_force = {name: database.value("SELECT current_setting(%s)", (name,)) for name in TIMEOUTS if name in known}
            assert set(in_force.values()) == {"0"}, in_force
            shop.apply()
            assert shop.left() == []
            shop.roll_back()
            shop.apply(workers=1)
        finally:
            cursor.execute(f"ALTER {who} RESET ALL")
    assert {"statement_timeout", "lock_timeout", "search_path"} <= known
    assert disagreements(target, SHOP_TARGETS) == []


def test_the_way_back_under_such_settings_leads_to_the_exact_former_state(shop: Core) -> None:
    target = shop.target
    before = state(target)
    known = {name for (name,) in target.rows("SELECT name FROM pg_settings")}
    target.execute(*(f"ALTER ROLE {ROLE} SET {name} = {value}" for name, value in HOSTILE.items() if name in known))
    shop.apply()
    shop.roll_back()
    target.execute(f"ALTER ROLE {ROLE} RESET ALL")
    require_same(before, state(target))


def test_a_role_that_acts_as_another_is_taken_at_its_word(shop: Core) -> None:
    """``ALTER ROLE … SET role`` is how a login becomes the owner: its rights are the owner's, and so is what it makes."""
    target = shop.target
    target.execute("DROP ROLE IF EXISTS login", "CREATE ROLE login LOGIN NOINHERIT PASSWORD 'acts as'", f"GRANT {ROLE} TO login")
    target.execute(f"ALTER ROLE login SET role = {ROLE}")
    shop.user, shop.password = "login", "acts as"
    shop.apply()
    owner = "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'sales'"
    assert target.value(owner) == ROLE
    assert shop.left() == []


def test_what_stops_schema_changes_is_said_before_anything_is_touched(shop: Core) -> None:
    target = shop.target
    target.execute("CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'")
    target.execute("CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION watch()")
    target.execute(f"ALTER ROLE {ROLE} SET default_transaction_read_only = on", f"ALTER ROLE {ROLE} SET session_replication_role = replica")
    with shop.connect() as database:
        checks = {check.name: check for check in examine(Question(database, 50, [], 1))}
    assert checks["writable"].status == "fail"
    assert "default_transaction_read_only" in checks["writable"].detail
    assert checks["event triggers"].status == "warn"
    assert "session_replication_role is replica" in checks["event triggers"].detail
