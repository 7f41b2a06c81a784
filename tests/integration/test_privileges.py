"""Nobody may do more or less than before: the matrix of roles, objects and privileges, by real attempts, before and after."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from psycopg2 import sql

from ansible_collections.dbops.multischema.plugins.module_utils.access import shut_out
from tests.integration import movers
from tests.integration import privilege_matrix as matrices
from tests.integration.core import Core
from tests.integration.databases import Target
from tests.integration.evidence import require_same_schema, state
from tests.integration.placements import SAMPLE_TARGETS
from tests.integration.placements import sample as sample_values

ROLES = (
    "pm_owner",
    "pm_other_owner",
    "pm_reader",
    "pm_columns",
    "pm_first",  # may grant on what the owner has granted to it,
    "pm_second",  # was granted by pm_first, and may grant on,
    "pm_third",  # was granted by pm_second
    "pm_group",
    "pm_member",
    "pm_no_inherit",
    "pm_bypass",
    "pm_inserter",
    "pm_blind",  # is granted tables, but not the schema
    "pm_nobody",  # has only what everyone has
    "pm_super",
)
WITHOUT_USAGE = ("pm_blind", "pm_nobody")
SETUP = """
ALTER ROLE pm_super SUPERUSER;
ALTER ROLE pm_bypass BYPASSRLS;
ALTER ROLE pm_no_inherit NOINHERIT;
GRANT pm_group TO pm_member, pm_no_inherit;
"""
# Every table is called in a way that says what is special about it.
TABLES = """
CREATE TABLE plain (id int PRIMARY KEY, name text);
CREATE TABLE granted (id serial PRIMARY KEY, name text);
CREATE TABLE by_columns (id int PRIMARY KEY, name text, secret text DEFAULT 'hidden');
CREATE TABLE by_table_and_columns (id int PRIMARY KEY, name text, secret text);
CREATE TABLE chained (id int PRIMARY KEY, name text, secret text);
CREATE TABLE chained_columns (id int PRIMARY KEY, name text, secret text);
CREATE TABLE for_everyone (id int PRIMARY KEY, name text);
CREATE TABLE one_column_for_everyone (id int PRIMARY KEY, secret text);
CREATE TABLE owner_gave_up (id int PRIMARY KEY, name text);
CREATE TABLE owner_gave_up_everything (id int PRIMARY KEY, name text);
CREATE TABLE for_nobody (id int PRIMARY KEY, name text);
CREATE TABLE only_inserted (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
CREATE TABLE by_rows (id int PRIMARY KEY, who text);
CREATE TABLE by_rows_for_the_owner_too (id int PRIMARY KEY, who text);
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent ON DELETE CASCADE);
CREATE TABLE tree (id int, at date NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE tree_2026 PARTITION OF tree FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO plain VALUES (1, 'a');
INSERT INTO granted (name) VALUES ('a'), ('b');
INSERT INTO by_columns VALUES (1, 'a', 'x');
INSERT INTO for_everyone VALUES (1, 'a');
INSERT INTO for_nobody VALUES (1, 'a');
INSERT INTO by_rows VALUES (1, 'pm_reader'), (2, 'pm_reader'), (3, 'pm_owner'), (4, 'pm_nobody');
INSERT INTO by_rows_for_the_owner_too TABLE by_rows;
INSERT INTO parent VALUES (1);
INSERT INTO child VALUES (1, 1);
INSERT INTO tree VALUES (1, '2026-02-02');
DO $$
DECLARE one regclass;
BEGIN
  FOR one IN SELECT oid FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') LOOP
    EXECUTE format('ALTER TABLE %s OWNER TO pm_owner', one);
  END LOOP;
END $$;
ALTER TABLE parent OWNER TO pm_other_owner;
CREATE TABLE other_owner_gave_up (id int PRIMARY KEY, name text);
ALTER TABLE other_owner_gave_up OWNER TO pm_other_owner;
SET ROLE pm_other_owner; REVOKE INSERT, DELETE ON other_owner_gave_up FROM pm_other_owner; RESET ROLE;
SET ROLE pm_other_owner; GRANT REFERENCES ON parent TO pm_owner; GRANT DELETE, SELECT ON parent TO pm_reader; RESET ROLE;
SET ROLE pm_owner;
GRANT SELECT, INSERT ON granted TO pm_reader;
GRANT USAGE ON SEQUENCE granted_id_seq TO pm_reader;
GRANT SELECT, INSERT ON granted TO pm_inserter;
GRANT DELETE, UPDATE ON granted TO pm_group;
GRANT SELECT (id, name), UPDATE (name), INSERT (id, name), REFERENCES (id) ON by_columns TO pm_columns;
GRANT SELECT (id) ON by_columns TO pm_group WITH GRANT OPTION;
GRANT SELECT (id), UPDATE (id) ON by_table_and_columns TO pm_columns, pm_reader;
GRANT SELECT, TRUNCATE, TRIGGER, REFERENCES ON by_table_and_columns TO pm_reader;
GRANT SELECT, UPDATE ON chained TO pm_first WITH GRANT OPTION;
GRANT SELECT (id, name) ON chained_columns TO pm_first WITH GRANT OPTION;
GRANT UPDATE ON chained TO pm_second WITH GRANT OPTION;  -- and once more by pm_first, without
GRANT SELECT (name) ON chained_columns TO pm_second WITH GRANT OPTION;
GRANT SELECT, INSERT ON for_everyone TO PUBLIC;
GRANT SELECT (id) ON one_column_for_everyone TO PUBLIC;
REVOKE INSERT, UPDATE, TRUNCATE ON owner_gave_up FROM pm_owner;
GRANT SELECT ON owner_gave_up TO pm_reader;
REVOKE ALL ON owner_gave_up_everything FROM pm_owner;
GRANT INSERT ON only_inserted TO pm_inserter;
GRANT SELECT, DELETE, UPDATE ON by_rows, by_rows_for_the_owner_too TO pm_reader, pm_group, pm_bypass, pm_blind;
GRANT ALL ON plain TO pm_first WITH GRANT OPTION;
GRANT SELECT ON plain, granted, chained TO pm_blind;
GRANT SELECT, INSERT ON tree TO pm_reader;
ALTER TABLE by_rows ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON by_rows USING (who = current_user);
ALTER TABLE by_rows_for_the_owner_too ENABLE ROW LEVEL SECURITY;
ALTER TABLE by_rows_for_the_owner_too FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON by_rows_for_the_owner_too USING (who = current_user);
CREATE VIEW of_owner AS SELECT * FROM for_nobody;
CREATE VIEW of_caller AS SELECT * FROM granted;
ALTER VIEW of_caller SET (security_invoker = true);
GRANT SELECT ON of_owner, of_caller TO pm_reader, pm_group;
CREATE FUNCTION secrets() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS 'SELECT count(*) FROM for_nobody';
CREATE FUNCTION granted_rows() RETURNS bigint LANGUAGE sql SET search_path FROM CURRENT AS 'SELECT count(*) FROM granted';
SET ROLE pm_first;
GRANT SELECT ON chained TO pm_second WITH GRANT OPTION;
GRANT SELECT (id) ON chained_columns TO pm_second WITH GRANT OPTION;
GRANT UPDATE ON chained TO pm_second;
GRANT SELECT (name) ON chained_columns TO pm_second;
SET ROLE pm_second;
GRANT SELECT ON chained TO pm_third;
GRANT SELECT (id) ON chained_columns TO pm_third;
RESET ROLE;
"""
TARGETS = ("east", "west")
_CALLS = ("SELECT secrets()", "SELECT granted_rows()", "SELECT count(*) FROM of_owner", "SELECT count(*) FROM of_caller")


def _values(source: str) -> dict[str, Any]:
    return {
        "source_schema": source,
        "schemas": [{"name": "east"}, {"name": "west"}],
        "placement": [{"schema": "east", "tables": ["plain", "granted", "child", "b*", "o*"]}, {"schema": "west", "tables": "*"}],
    }


@pytest.fixture(params=["public", "home"])
def source(request: pytest.FixtureRequest) -> str:
    """A schema that everyone may use, and one that only some may."""
    return str(request.param)


@pytest.fixture
def guarded(empty: Target, source: str) -> Iterator[Target]:
    """The database with all of it, in the source schema."""
    server, empty = empty.server, replace(empty, owner=None)
    names = sql.SQL(", ").join(map(sql.Identifier, ROLES))
    for role in ROLES:
        server.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
    server.execute(SETUP)
    if source == "home":
        users = sql.SQL(", ").join(sql.Identifier(role) for role in ROLES if role not in WITHOUT_USAGE)
        empty.execute("CREATE SCHEMA home", sql.SQL("GRANT USAGE ON SCHEMA home TO {}").format(users))
    empty.execute(
        f"GRANT CREATE ON SCHEMA {source} TO pm_owner",  # an ordinary mover keeps the views over what is pm_other_owner's
        f"SET search_path = {source}; {TABLES}",
        # They reach every table and view that the mover makes, and give what the tables above have been denied.
        f"ALTER DEFAULT PRIVILEGES IN SCHEMA {source} GRANT SELECT ON TABLES TO pm_nobody, pm_blind",
        "ALTER DEFAULT PRIVILEGES GRANT DELETE ON TABLES TO pm_reader",
        "ALTER DEFAULT PRIVILEGES FOR ROLE pm_owner GRANT UPDATE ON TABLES TO pm_nobody",
    )
    if source == "public":
        empty.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    if empty.mover is not None:
        mover, owners = empty.mover.user, ("pm_owner", "pm_other_owner")
        empty.execute(movers.right("membership", empty, mover, owners), movers.right("source", empty, mover, owners, source))
        empty.execute(
            f"ALTER DEFAULT PRIVILEGES FOR ROLE {mover} IN SCHEMA {source} GRANT SELECT ON TABLES TO pm_nobody, pm_blind",
            f"ALTER DEFAULT PRIVILEGES FOR ROLE {mover} GRANT DELETE ON TABLES TO pm_reader",
        )
    matrices.prepare(empty)
    yield empty
    empty.drop()
    server.execute(sql.SQL("DROP OWNED BY {}").format(names))
    server.execute(sql.SQL("DROP ROLE {}").format(names))


def _calls(target: Target, source: str) -> dict[tuple[str, str], str]:
    """What functions and views of the application give to each role."""
    outcomes = {}
    with target.session() as connection, connection.cursor() as cursor:
        for role in ROLES:
            cursor.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
            cursor.execute(sql.SQL("SET search_path = {}").format(sql.Identifier(source)))
            for call in _CALLS:
                try:
                    cursor.execute(call)
                    outcomes[role, call] = str(cursor.fetchone())
                except Exception as error:
                    outcomes[role, call] = str(getattr(error, "pgcode", error))
            cursor.execute("RESET ROLE")
    return outcomes


@pytest.mark.ordinary(18)
def test_nobody_may_do_more_or_less_than_before(guarded: Target, source: str) -> None:
    start = state(guarded).schema
    before = matrices.matrix(guarded, ROLES, matrices.objects(guarded, [source]))
    called = _calls(guarded, source)
    assert len(set(before.values())) > 5, "the attempts say too little"
    core = Core(guarded, _values(source))
    passed_on = {finding.object.partition(".")[2] for finding in core.plan().findings if finding.id == "grants_passed_on"}
    assert passed_on == {"chained", "chained_columns"}
    core.apply()
    now = matrices.objects(guarded, TARGETS)
    assert matrices.changes(before, matrices.matrix(guarded, ROLES, now)) == []
    assert matrices.changes(before, matrices.matrix(guarded, ROLES, matrices.by_old_names(now, source)), by_old_name=True) == []
    assert _calls(guarded, source) == called
    with core.connect() as database:  # what verify asks, which must agree
        moved = "SELECT oid::bigint FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace::regnamespace::text = ANY(%s)"
        assert shut_out(database, source, [oid for (oid,) in guarded.rows(moved, (list(TARGETS),))]) == []
    core.roll_back()
    assert matrices.changes(before, matrices.matrix(guarded, ROLES, matrices.objects(guarded, [source]))) == []
    require_same_schema(start, state(guarded).schema)


def test_nobody_may_do_more_or_less_in_the_sample(sample: Target) -> None:
    roles = ["app_owner", "analytics_owner", "app_web", "app_worker"]
    roles += [row[0] for row in sample.rows("SELECT rolname FROM pg_roles WHERE rolname ~ '^(app|analytics|report)' ORDER BY 1")]
    roles = list(dict.fromkeys(roles))
    matrices.prepare(sample)
    before = matrices.matrix(sample, roles, matrices.objects(sample, ["public"]))
    core = Core(sample, sample_values())
    core.apply()
    now = matrices.objects(sample, SAMPLE_TARGETS)
    assert matrices.changes(before, matrices.matrix(sample, roles, [*now, *matrices.objects(sample, ["public"])])) == []
    assert matrices.changes(before, matrices.matrix(sample, roles, matrices.by_old_names(now, "public")), by_old_name=True) == []
