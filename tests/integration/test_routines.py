"""What the plan says of routines is what happens: predicted to fail if and only if it fails, to change if and only if it changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.plan import Finding
from tests.integration.core import Core
from tests.integration.databases import Target
from tests.integration.evidence import require_same_schema
from tests.integration.routine_migration import answer, fails, filled, only, ready, values
from tests.integration.routines import MOVES, PROBES, TABLES, Probe

FAILING = ("routine_breaks", "sequence_named", "routine_without_view")
CHANGING = ("routine_changes", "trigger_schema", "catalog_query")


def _predicted(findings: Iterable[Finding], probe: Probe) -> str:
    names = tuple(f"public.{name}(" for name in (probe.name, probe.calls) if name)
    ids = {f.id for f in findings if f.object.startswith(names)}
    return "fails" if ids.intersection(FAILING) else "changes" if ids.intersection(CHANGING) else "same"


def _observed(before: tuple[bool, str], after: tuple[bool, str]) -> str:
    return "fails" if after[0] else "same" if after == before else "changes"


@pytest.fixture
def database(empty: Target) -> Target:
    return filled(empty)


VARIANTS: dict[str, dict[str, Any]] = {
    "with views": {},
    "without views": {"compatibility_views": False},
    "with types": {"placement": [{"schema": "app", "tables": MOVES, "types": ["mood", "pair"]}]},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_is_predicted_is_what_happens(database: Target, variant: str) -> None:
    before = {probe.name: answer(database, probe, "public") for probe in PROBES}
    assert {name: said for name, (failed, said) in before.items() if failed} == {}, "they work before"
    dump = database.server.dump_schema(database.name)
    core = ready(database, **VARIANTS[variant])
    plan = core.plan()
    core.apply()
    after = {probe.name: answer(database, probe, "app") for probe in PROBES}
    wrong = {}
    for probe in PROBES:
        predicted, observed = _predicted(plan.findings, probe), _observed(before[probe.name], after[probe.name])
        if predicted != observed:
            wrong[probe.name] = f"predicted {predicted}, observed {observed}: {before[probe.name][1]} -> {after[probe.name][1]}"
    assert wrong == {}
    assert core.plan().digest == plan.digest
    core.roll_back()
    require_same_schema(dump, database.server.dump_schema(database.name))


# Each names a sequence that moves, as text, and is resolved with every row.
IN_EXPRESSIONS = {
    "public.stays: number": (
        "ALTER TABLE stays ADD COLUMN number int DEFAULT nextval('public.users_id_seq'::text)",
        "INSERT INTO stays (id) VALUES (100)",
    ),
    "public.stays: positive": (
        "ALTER TABLE stays ADD CONSTRAINT positive CHECK (to_regclass('public.users_name'::text) IS NOT NULL) NOT VALID",
        "INSERT INTO stays (id, number) VALUES (101, 1)",
    ),
    "public.shown": (
        "CREATE VIEW shown AS SELECT id, currval('public.users_id_seq'::text) AS now FROM stays",
        "SELECT nextval('app.users_id_seq'); SELECT * FROM public.shown",
    ),
}


def test_names_in_expressions_are_found_and_fail(empty: Target) -> None:
    empty.execute(TABLES, *(made for made, _ in IN_EXPRESSIONS.values()))
    plan = Core(empty, values()).plan()
    found = {finding.object: finding for finding in plan.findings if finding.id == "expression_names"}
    assert found.keys() == IN_EXPRESSIONS.keys()
    assert {name: finding.severity for name, finding in found.items()} == {
        "public.stays: number": "refuse",
        "public.stays: positive": "warn",
        "public.shown": "refuse",
    }
    Core(empty, values(plan)).apply()
    assert {name for name, (_, use) in IN_EXPRESSIONS.items() if not fails(empty, use)} == set()


@pytest.mark.majors(18)
def test_a_default_that_follows_by_oid_is_not_mentioned(empty: Target) -> None:
    empty.execute(TABLES, "ALTER TABLE stays ADD COLUMN number int DEFAULT nextval('users_id_seq')")
    core = ready(empty)
    assert [finding for finding in core.plan().findings if finding.id == "expression_names"] == []
    core.apply()
    empty.execute("INSERT INTO stays (id) VALUES (100)")


# One function with a text body, called from everywhere where the catalog keeps an expression.
WIRED = """
CREATE FUNCTION members() RETURNS bigint LANGUAGE sql IMMUTABLE AS $$ SELECT count(*) FROM public.users $$;
CREATE TABLE checked (n int CONSTRAINT few CHECK (n < members() + 10));
CREATE TABLE indexed (n int);
INSERT INTO indexed SELECT generate_series(1, 5);
CREATE INDEX indexed_members ON indexed ((n + members()));
CREATE MATERIALIZED VIEW shown AS SELECT members() AS n;
CREATE TABLE secret (n int);
INSERT INTO secret VALUES (1);
ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
CREATE POLICY seldom ON secret USING (n < members());
CREATE TABLE filled (n bigint DEFAULT members());
GRANT SELECT ON secret, users TO reader_{0};
"""
USES = (
    "INSERT INTO checked VALUES (1)",
    "INSERT INTO indexed VALUES (6)",
    "ANALYZE indexed",
    "REINDEX TABLE indexed",
    "REFRESH MATERIALIZED VIEW shown",
    "INSERT INTO filled DEFAULT VALUES",
    "SET ROLE reader_{0}; SELECT * FROM secret",
)


@pytest.mark.parametrize("views", [True, False], ids=["with views", "without views"])
def test_functions_behind_checks_indexes_policies_and_materialized_views(empty: Target, views: bool) -> None:
    empty.execute(f"CREATE ROLE reader_{empty.name}", TABLES, WIRED.format(empty.name))
    try:
        core = ready(empty, compatibility_views=views)
        found = [finding for finding in core.plan().findings if finding.object == "public.members()"]
        assert [(finding.id, finding.severity) for finding in found] == ([] if views else [("routine_without_view", "refuse")])
        for where in (
            ()
            if views
            else (
                "check few of public.checked",
                "default n of public.filled",
                "index indexed_members of public.indexed",
                "materialized view public.shown",
                "policy seldom of public.secret",
            )
        ):
            assert where in found[0].reason
        core.apply()
        failing = [use for use in USES if fails(empty, use.format(empty.name))]
        assert failing == ([] if views else list(USES))
        core.roll_back()
        assert [use for use in USES if fails(empty, use.format(empty.name))] == []
    finally:
        empty.execute(f"DROP OWNED BY reader_{empty.name}", f"DROP ROLE reader_{empty.name}")


EVENT_TRIGGER = """
CREATE FUNCTION note_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO {} VALUES (tg_tag); END $$;
CREATE EVENT TRIGGER note_ddl ON ddl_command_end EXECUTE FUNCTION note_ddl();
"""


@pytest.mark.majors(15, 18)
def test_an_event_trigger_that_writes_to_a_moved_table_is_refused_and_would_fail(empty: Target) -> None:
    empty.execute(TABLES, EVENT_TRIGGER.format("public.app_log"))
    plan = Core(empty, values()).plan()
    finding = only(plan, "event_trigger_table")
    assert (finding.severity, finding.object) == ("refuse", "public.app_log")
    assert fails(empty, "CREATE SCHEMA app; ALTER TABLE public.app_log SET SCHEMA app")


@pytest.mark.majors(18)
def test_an_event_trigger_that_names_nothing_that_moves_lets_everything_pass(empty: Target) -> None:
    empty.execute(TABLES, "CREATE TABLE ddl_log (tag text)", EVENT_TRIGGER.format("public.ddl_log"))
    core = ready(empty)
    assert only(core.plan(), "event_trigger").severity == "warn"
    core.apply()
    assert empty.value("SELECT count(*) > 5 FROM ddl_log WHERE tag = 'ALTER TABLE'")
    core.roll_back()


JOBS = """
CREATE SCHEMA cron;
CREATE TABLE cron.job (jobid bigint, command text);
INSERT INTO cron.job VALUES (1, 'VACUUM public.users'), (2, 'SELECT refresh()'), (3, 'DELETE FROM "notes"'), (4, 'DELETE FROM users_old');
CREATE SCHEMA hdb_catalog;
CREATE TABLE hdb_catalog.hdb_metadata (id int, metadata json);
INSERT INTO hdb_catalog.hdb_metadata VALUES (1, '{"tables": [{"table": {"schema": "public", "name": "orders"}}]}');
CREATE SCHEMA partman;
CREATE TABLE partman.part_config (parent_table text, template_table text);
INSERT INTO partman.part_config VALUES ('public.mothers', 'partman.template'), ('public.stays', NULL);
"""


@pytest.mark.majors(16)
def test_jobs_and_metadata_are_looked_through(empty: Target) -> None:
    empty.execute(TABLES, JOBS)
    core = ready(empty)
    plan = core.plan()
    found = {finding.object: finding for finding in plan.findings if finding.id == "job_text"}
    assert found.keys() == {
        "cron.job: jobid 1",
        "cron.job: jobid 3",
        "hdb_catalog.hdb_metadata: id 1",
        "partman.part_config: parent_table public.mothers",
    }
    assert "app.users for public.users" in found["cron.job: jobid 1"].remedy
    core.apply()
    assert core.plan().digest == plan.digest
    # What such a job does from then on: a warning, and nothing is vacuumed.
    with empty.session() as connection, connection.cursor() as cursor:
        cursor.execute("VACUUM public.users")
        assert any("cannot vacuum non-tables" in notice for notice in connection.notices), connection.notices


@pytest.mark.majors(15)  # the only one here with contrib
def test_foreign_tables_of_this_very_database_are_found(empty: Target) -> None:
    empty.execute(
        TABLES,
        "CREATE EXTENSION postgres_fdw",
        f"CREATE SERVER loop FOREIGN DATA WRAPPER postgres_fdw OPTIONS (dbname '{empty.name}')",
        "CREATE SERVER other FOREIGN DATA WRAPPER postgres_fdw OPTIONS (dbname 'elsewhere')",
        "CREATE SCHEMA far",
        "CREATE FOREIGN TABLE far.users (id int) SERVER loop OPTIONS (schema_name 'public')",
        "CREATE FOREIGN TABLE far.theirs (id int) SERVER other OPTIONS (schema_name 'public', table_name 'users')",
    )
    assert only(Core(empty, values()).plan(), "foreign_table_text").object == "far.users"


UNREADABLE = (
    "SET check_function_bodies = off",
    "CREATE FUNCTION broken() RETURNS void LANGUAGE plpgsql AS $$ BEGIN selec 1 FROM users; END $$",
    "CREATE FUNCTION dynamic(t text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'DELETE FROM ' || t; END $$",
    "CREATE FUNCTION dblink_exec(text, text) RETURNS text LANGUAGE sql AS 'SELECT $2'",  # like the extension's
    "CREATE FUNCTION handed_on() RETURNS text LANGUAGE sql AS $$ SELECT dblink_exec('dbname=shop', 'TRUNCATE users') $$",
)


@pytest.mark.majors(16)
def test_what_cannot_be_read_is_said(empty: Target) -> None:
    empty.execute(TABLES, *UNREADABLE)
    plan = Core(empty, values()).plan()
    assert "table users (to app)" in only(plan, "routine_unread").reason
    dynamic = {finding.object: finding for finding in plan.findings if finding.id == "dynamic_sql"}
    assert dynamic.keys() == {"public.dynamic(text)", "public.handed_on()"}
    assert "line 1: dblink_exec(dbname=shop, TRUNCATE users)" in dynamic["public.handed_on()"].reason
    assert only(plan, "row_type_argument").object == "public.full_name(users)"
