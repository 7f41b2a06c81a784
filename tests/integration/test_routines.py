"""What the plan says of routines is what happens: predicted to fail if and only if it fails, to change if and only if it changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg2
import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog
from ansible_collections.dbops.multischema.plugins.module_utils.drift import differences
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Finding, Plan
from tests.integration.core import Core
from tests.integration.databases import Target
from tests.integration.evidence import require_same_schema
from tests.integration.head_start import ready_with
from tests.integration.placements import sample
from tests.integration.playbooks import Playbooks
from tests.integration.routines import MOVES, PROBES, TABLES, Probe, plain, wired

FAILING = ("routine_breaks", "sequence_named", "routine_without_view")
CHANGING = ("routine_changes", "trigger_schema", "catalog_query")


def _values(plan: Plan | None = None, **further: Any) -> dict[str, Any]:
    """The configuration; with a plan, all that it refuses is accepted."""
    refused = plan.refusals if plan is not None else ()
    return {
        "schemas": [{"name": "app"}],
        "placement": [{"schema": "app", "tables": MOVES}],
        "unplaced": "keep",
        "accept": [{"finding": f.id, "object": f.object, "reason": "to see what happens"} for f in refused],
        **further,
    }


def _ready(target: Target, **further: Any) -> Core:
    """A migration of which everything that is refused has been accepted."""
    return Core(target, _values(Core(target, _values(**further)).plan(), **further))


def _answer(target: Target, probe: Probe, schema: str) -> tuple[bool, str]:
    """Call it in a new session and undo what it did. :returns: whether it failed, and what it said."""
    connection = target.server.connect(target.name)
    try:
        with connection.cursor() as cursor:
            cursor.execute(probe.statement.format(t=schema))
            return False, str(cursor.fetchall())
    except psycopg2.Error as error:
        return True, f"{error.pgcode} {error}".strip()
    finally:
        connection.rollback()
        connection.close()


def _predicted(findings: Iterable[Finding], probe: Probe) -> str:
    names = tuple(f"public.{name}(" for name in (probe.name, probe.calls) if name)
    ids = {f.id for f in findings if f.object.startswith(names)}
    return "fails" if ids.intersection(FAILING) else "changes" if ids.intersection(CHANGING) else "same"


def _observed(before: tuple[bool, str], after: tuple[bool, str]) -> str:
    return "fails" if after[0] else "same" if after == before else "changes"


@pytest.fixture
def database(empty: Target) -> Target:
    empty.execute(TABLES, *(probe.create for probe in PROBES), *wired())
    return empty


VARIANTS: dict[str, dict[str, Any]] = {
    "with views": {},
    "without views": {"compatibility_views": False},
    "with types": {"placement": [{"schema": "app", "tables": MOVES, "types": ["mood", "pair"]}]},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_is_predicted_is_what_happens(database: Target, variant: str) -> None:
    before = {probe.name: _answer(database, probe, "public") for probe in PROBES}
    assert {name: said for name, (failed, said) in before.items() if failed} == {}, "they work before"
    dump = database.server.dump_schema(database.name)
    core = _ready(database, **VARIANTS[variant])
    plan = core.plan()
    core.apply()
    after = {probe.name: _answer(database, probe, "app") for probe in PROBES}
    wrong = {}
    for probe in PROBES:
        predicted, observed = _predicted(plan.findings, probe), _observed(before[probe.name], after[probe.name])
        if predicted != observed:
            wrong[probe.name] = f"predicted {predicted}, observed {observed}: {before[probe.name][1]} -> {after[probe.name][1]}"
    assert wrong == {}
    assert core.plan().digest == plan.digest
    core.roll_back()
    require_same_schema(dump, database.server.dump_schema(database.name))


def _observed_now(target: Target) -> Catalog:
    """The catalog as it is, of a database in which nothing was done yet."""
    return Core(target, _values()).observe()[0]


def _only(plan: Plan, finding_id: str) -> Finding:
    found = [finding for finding in plan.findings if finding.id == finding_id]
    assert len(found) == 1, f"{finding_id}: {found}"
    return found[0]


def _fails(target: Target, statement: str) -> bool:
    """Whether a statement fails in a new session."""
    try:
        target.execute(statement)
    except psycopg2.Error:
        return True
    return False


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
    plan = Core(empty, _values()).plan()
    found = {finding.object: finding for finding in plan.findings if finding.id == "expression_names"}
    assert found.keys() == IN_EXPRESSIONS.keys()
    assert {name: finding.severity for name, finding in found.items()} == {
        "public.stays: number": "refuse",
        "public.stays: positive": "warn",
        "public.shown": "refuse",
    }
    Core(empty, _values(plan)).apply()
    assert {name for name, (_, use) in IN_EXPRESSIONS.items() if not _fails(empty, use)} == set()


@pytest.mark.majors(18)
def test_a_default_that_follows_by_oid_is_not_mentioned(empty: Target) -> None:
    empty.execute(TABLES, "ALTER TABLE stays ADD COLUMN number int DEFAULT nextval('users_id_seq')")
    core = _ready(empty)
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
        core = _ready(empty, compatibility_views=views)
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
        failing = [use for use in USES if _fails(empty, use.format(empty.name))]
        assert failing == ([] if views else list(USES))
        core.roll_back()
        assert [use for use in USES if _fails(empty, use.format(empty.name))] == []
    finally:
        empty.execute(f"DROP OWNED BY reader_{empty.name}", f"DROP ROLE reader_{empty.name}")


EVENT_TRIGGER = """
CREATE FUNCTION note_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO {} VALUES (tg_tag); END $$;
CREATE EVENT TRIGGER note_ddl ON ddl_command_end EXECUTE FUNCTION note_ddl();
"""


@pytest.mark.majors(15, 18)
def test_an_event_trigger_that_writes_to_a_moved_table_is_refused_and_would_fail(empty: Target) -> None:
    empty.execute(TABLES, EVENT_TRIGGER.format("public.app_log"))
    plan = Core(empty, _values()).plan()
    finding = _only(plan, "event_trigger_table")
    assert (finding.severity, finding.object) == ("refuse", "public.app_log")
    assert _fails(empty, "CREATE SCHEMA app; ALTER TABLE public.app_log SET SCHEMA app")


@pytest.mark.majors(18)
def test_an_event_trigger_that_names_nothing_that_moves_lets_everything_pass(empty: Target) -> None:
    empty.execute(TABLES, "CREATE TABLE ddl_log (tag text)", EVENT_TRIGGER.format("public.ddl_log"))
    core = _ready(empty)
    assert _only(core.plan(), "event_trigger").severity == "warn"
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
    core = _ready(empty)
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
    assert _only(Core(empty, _values()).plan(), "foreign_table_text").object == "far.users"


def _verified(core: Core) -> str:
    """What verify.yml says of routines."""
    return next(check.status for check in core.verify() if check.name == "search_path of routines")


REPAIRABLE = ("p_truncate_sql", "t_truncate", "p_setval", "p_constraint", "p_definer_truncate")
DEFINER = plain("p_definer_truncate", "TRUNCATE app_log", settings="SECURITY DEFINER SET search_path = public SET work_mem = '1MB'")
TAKES_ROW = """
CREATE FUNCTION wipe(users, int DEFAULT 1) RETURNS text LANGUAGE plpgsql AS $$ BEGIN TRUNCATE app_log; RETURN $1.name; END $$;
"""


@pytest.mark.majors(15, 18)
@pytest.mark.ordinary(18)
def test_listed_routines_are_repaired_and_restored(database: Target) -> None:
    database.execute(DEFINER.create, TAKES_ROW)
    before = {probe.name: _answer(database, probe, "public") for probe in PROBES}
    dump = database.server.dump_schema(database.name)
    core = _ready(database, repair_routines=[*REPAIRABLE, "public.wipe(users, int4)"])
    plan = core.plan()
    assert {f.object for f in plan.findings if f.id == "routine_repaired"} == {f"public.{name}()" for name in REPAIRABLE} | {
        "public.wipe(users, int4)"
    }
    core.apply()
    assert core.plan().digest == plan.digest
    for probe in (*PROBES, DEFINER):
        if probe.name in REPAIRABLE:
            assert not _answer(database, probe, "app")[0], probe.name
            assert probe.name not in before or _answer(database, probe, "app") == before[probe.name]
    assert database.value("SELECT public.wipe(u) FROM app.users u WHERE id = 1") == "ann"
    path = database.value("SELECT proconfig::text FROM pg_proc WHERE proname = 'p_definer_truncate'")
    assert path == '{"search_path=app, public, pg_temp",work_mem=1MB}'
    assert _verified(core) == "pass"
    database.execute("ALTER FUNCTION p_truncate_sql() RESET search_path")
    assert _verified(core) == "fail"
    database.execute("ALTER FUNCTION p_truncate_sql() SET search_path = '$user', app, public")
    core.roll_back()
    require_same_schema(dump, database.server.dump_schema(database.name))


@pytest.mark.majors(18)
def test_a_routine_that_was_dropped_or_changed_since_does_not_stop_the_way_back(empty: Target) -> None:
    made = [plain(name, "TRUNCATE app_log") for name in ("first", "second", "third")]
    empty.execute(TABLES, *(probe.create for probe in made))
    core = _ready(empty, repair_routines=["first", "second", "third"])
    core.apply()
    empty.execute("DROP FUNCTION first()", "ALTER FUNCTION second() SET search_path = app, public, extra")
    core.roll_back()
    assert empty.rows("SELECT proname, proconfig[1] FROM pg_proc WHERE proname IN ('first', 'second', 'third') ORDER BY 1") == [
        ("second", "search_path=app, public, extra"),
        ("third", None),
    ]


@pytest.mark.majors(16)
def test_a_routine_that_changes_between_plan_and_phase_2_is_drift(empty: Target) -> None:
    made = plain("first", "TRUNCATE app_log")
    empty.execute(TABLES, made.create)
    saved = _ready(empty, repair_routines=["first"]).plan()
    assert list(differences(saved, _observed_now(empty))) == []
    empty.execute(made.create.replace("CREATE", "CREATE OR REPLACE").replace("TRUNCATE", "DELETE FROM"))
    assert list(differences(saved, _observed_now(empty))) == ["public.first() changed"]


@pytest.mark.majors(18)
def test_repairs_wait_for_all_tables_where_several_move_side_by_side(empty: Target) -> None:
    empty.execute(TABLES, TAKES_ROW)
    core = _ready(empty, repair_routines=["wipe"])
    core.apply(workers=3)
    assert core.left() == []
    assert empty.value("SELECT public.wipe(u) FROM app.users u WHERE id = 1") == "ann"


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
    plan = Core(empty, _values()).plan()
    assert "table users (to app)" in _only(plan, "routine_unread").reason
    dynamic = {finding.object: finding for finding in plan.findings if finding.id == "dynamic_sql"}
    assert dynamic.keys() == {"public.dynamic(text)", "public.handed_on()"}
    assert "line 1: dblink_exec(dbname=shop, TRUNCATE users)" in dynamic["public.handed_on()"].reason
    assert _only(plan, "row_type_argument").object == "public.full_name(users)"


COMMITS = "CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$ BEGIN COMMIT; TRUNCATE app_log; END $$"


@pytest.mark.majors(16)
def test_what_must_not_be_repaired_is_not(empty: Target) -> None:
    empty.execute(TABLES, COMMITS, plain("qualified", "TRUNCATE public.app_log").create)
    plan = Core(empty, _values(repair_routines=["commits", "qualified", "absent"])).plan()
    assert _only(plan, "repair_impossible").object == "public.commits()"
    needless = {finding.object: finding.severity for finding in plan.findings if finding.id == "repair_needless"}
    assert needless == {"multischema_repair_routines: qualified": "warn", "multischema_repair_routines: absent": "refuse"}
    empty.execute("ALTER PROCEDURE commits() SET search_path = public")
    assert _fails(empty, "CALL commits()"), "then it would be no harm"


@pytest.mark.own_roles("a role that is no member of the owner")
@pytest.mark.majors(16)
def test_only_the_owner_s_members_may_repair(empty: Target) -> None:
    role = f"mover_{empty.name}"
    empty.execute(TABLES, plain("first", "TRUNCATE app_log").create, f"CREATE ROLE {role} LOGIN PASSWORD 'let me in'")
    try:
        plan = Core(empty, _values(repair_routines=["first"]), user=role, password="let me in").plan()
        assert _only(plan, "repair_not_owner").severity == "refuse"
    finally:
        empty.execute(f"DROP ROLE {role}")


@pytest.mark.playbook
@pytest.mark.majors(18)
def test_the_playbooks_repair_a_listed_routine(playbooks: Playbooks) -> None:
    target = playbooks.target
    target.execute("CREATE FUNCTION public.forget() RETURNS void LANGUAGE plpgsql AS $$ BEGIN\n  TRUNCATE page_views;\nEND $$")
    dump = target.server.dump_schema(target.name)
    said = " ".join(playbooks.run("plan").ok().output.split())
    assert "line 2: page_views, TRUNCATE is refused on a view" in said
    assert "'public.forget()' in multischema_repair_routines" in said
    playbooks.configure(multischema_repair_routines=["public.forget()"])
    core = ready_with(Core(target, sample() | {"repair_routines": ["public.forget()"]}), playbooks.plan_file)
    playbooks.run("phase2").ok()
    target.execute("SELECT public.forget()")
    assert target.value("SELECT count(*) FROM page_views") == 0
    core.roll_back()
    require_same_schema(dump, target.server.dump_schema(target.name))
