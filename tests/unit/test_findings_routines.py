"""Findings about what is text: routines, expressions, jobs, foreign tables."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_paths import PathSetting
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_routines import (
    Argument,
    Expression,
    Mention,
    RemoteTable,
    Routine,
    Wiring,
)
from ansible_collections.dbops.multischema.plugins.module_utils.steps import rewind
from tests.unit import builders as b
from tests.unit.builders import catalog, configuration, found, mover, named, oid, one, plan, relation, schema, table

USERS = table("users", columns=("id", "name", "state"), filled=("id", "state"), sequences=(b.sequence("users_id_seq"),))
WITHOUT_VIEWS = configuration(compatibility_views=False)
ON_USERS = Wiring("trigger", "users_audit", oid("users"), "public", "users")


def routine(statements: str, name: str = "work", **facts: Any) -> Routine:
    """A PL/pgSQL function of these statements."""
    source = facts.pop("source", f"\nBEGIN\n{statements}\nEND")
    return Routine(oid(name), "public", name, f"public.{name}()", source, **{"returns": "void", "owner": "postgres", **facts})


def holding(*routines: Routine, **values: Any) -> Catalog:
    """A database with users and orders, and these routines."""
    return catalog(USERS, table("orders"), schemas=[schema("tenant")], routines=routines, **values)


def ids(seen: Catalog, wanted: Any = None) -> set[str]:
    """What is found about the routine work."""
    return {finding.id for finding in found(seen, wanted) if finding.object == "public.work()"}


@pytest.mark.parametrize(
    "use", ["SELECT 1 FROM users", "INSERT INTO public.users VALUES (1)", "LOCK TABLE users", "UPDATE users SET name = ''"]
)
def test_what_a_view_can_do_is_not_mentioned(use: str) -> None:
    statement = use.replace("SELECT", "PERFORM", 1) if use.startswith("SELECT") else use
    assert ids(holding(routine(f"{statement};"))) == set()


def test_what_fails_in_a_trigger_refuses_and_says_line_caller_and_remedy() -> None:
    finding = one(found(holding(routine("  NULL;\n  TRUNCATE public.users;", wiring=(ON_USERS,)))), "routine_breaks")
    assert (finding.severity, finding.acceptable) == ("refuse", True)
    assert "line 4: public.users, TRUNCATE is refused on a view" in finding.reason
    assert "trigger users_audit of public.users" in finding.reason
    assert "tenant.users instead of public.users (line 4)" in finding.remedy


def test_what_fails_and_is_called_by_nothing_warns() -> None:
    finding = one(found(holding(routine("TRUNCATE public.users;"))), "routine_breaks")
    assert (finding.severity, finding.acceptable) == ("warn", False)
    assert "Nothing in the catalog is known to call it." in finding.reason


def test_a_routine_that_a_trigger_function_calls_is_wired_in_too() -> None:
    caller = routine("PERFORM public.work();", "audit", wiring=(ON_USERS,))
    finding = one(found(holding(routine("TRUNCATE users;"), caller)), "routine_breaks")
    assert finding.severity == "refuse"
    assert "public.audit() (trigger users_audit of public.users)" in finding.reason


def test_without_a_view_every_name_is_refused() -> None:
    assert ids(holding(routine("PERFORM 1 FROM users;")), WITHOUT_VIEWS) == {"routine_without_view"}
    finding = one(found(holding(routine("PERFORM 1 FROM users;")), WITHOUT_VIEWS), "routine_without_view")
    assert (finding.severity, finding.acceptable) == ("refuse", True)
    assert "'public.work()' in multischema_repair_routines" in finding.remedy


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (None, {"routine_breaks"}),
        (("public",), {"routine_breaks"}),
        (("public", "tenant"), {"routine_breaks"}),
        (("tenant", "public"), set()),
        (("other",), set()),
    ],
)
def test_a_bare_name_is_looked_up_on_the_routine_s_own_path(path: tuple[str, ...] | None, expected: set[str]) -> None:
    assert ids(holding(routine("TRUNCATE users;", search_path=path))) == expected


def test_names_of_other_schemas_are_no_concern() -> None:
    assert ids(holding(routine("TRUNCATE tenant.users; TRUNCATE other.users;"))) == set()


def test_a_name_that_an_earlier_schema_of_the_path_holds_is_not_ours() -> None:
    kept = relation("users", schema="kept")
    seen = holding(routine("TRUNCATE users;", search_path=("kept", "public")), relations=[kept])
    assert ids(seen, configuration({"tenant": "*"})) == set()


def test_answers_that_change_warn() -> None:
    seen = holding(routine("UPDATE users SET state = DEFAULT;", wiring=(ON_USERS,)))
    finding = one(found(seen), "routine_changes")
    assert finding.severity == "warn"
    assert "SET state = DEFAULT writes NULL" in finding.reason
    assert ids(holding(routine("UPDATE users SET name = DEFAULT;"))) == set(), "name has no default"


def test_an_error_that_is_caught_changes_the_answer() -> None:
    body = "BEGIN TRUNCATE users; EXCEPTION WHEN wrong_object_type THEN NULL; END;"
    assert "a handler catches the error" in one(found(holding(routine(body))), "routine_changes").reason
    assert ids(holding(routine(body.replace("wrong_object_type", "unique_violation")))) == {"routine_breaks"}
    assert ids(holding(routine("BEGIN NULL; EXCEPTION WHEN OTHERS THEN TRUNCATE users; END;"))) == {"routine_breaks"}


def test_merge_works_on_views_since_17() -> None:
    merge = routine("MERGE INTO users u USING orders o ON o.id = u.id WHEN MATCHED THEN DO NOTHING;")
    assert ids(holding(merge, server=b.server(16))) == {"routine_breaks"}
    assert ids(holding(merge, server=b.server(17))) == set()


def test_the_trigger_s_schema_matters_on_tables_that_move() -> None:
    body = routine("RAISE NOTICE '%', TG_TABLE_SCHEMA;", returns="trigger", wiring=(ON_USERS,))
    assert "TG_TABLE_SCHEMA (line 3)" in one(found(holding(body)), "trigger_schema").reason
    elsewhere = Wiring("trigger", "other", oid("elsewhere"), "other", "elsewhere")
    assert ids(holding(replace(body, wiring=(elsewhere,)))) == set()


def test_questions_to_the_catalog() -> None:
    asks = "PERFORM 1 FROM pg_tables WHERE schemaname = 'public' AND tablename = 'users';"
    assert "pg_tables does not show it in public" in one(found(holding(routine(asks))), "catalog_query").reason
    assert ids(holding(routine(asks.replace("public", "other").replace("users", "stays")))) == set()


def test_dynamic_sql_that_cannot_be_read_is_said() -> None:
    finding = one(found(holding(routine("EXECUTE 'DELETE FROM ' || tg_argv[0];", returns="trigger"))), "dynamic_sql")
    assert (finding.severity, "line 3: 'DELETE FROM ' || tg_argv[0]" in finding.reason) == ("warn", True)
    assert ids(holding(routine("EXECUTE 'DELETE FROM users';"))) == set()


def test_what_cannot_be_parsed_is_scanned_by_words() -> None:
    python = routine("", source="plpy.execute('select * from users')", language="plpython3u")
    finding = one(found(holding(python)), "routine_unread")
    assert finding.severity == "warn"
    assert "it is written in plpython3u" in finding.reason
    assert "table users (to tenant)" in finding.reason
    assert one(found(holding(python), WITHOUT_VIEWS), "routine_unread").severity == "refuse"
    broken = routine("this is no statement;")
    assert "no name of what moves is among them" in one(found(holding(broken)), "routine_unread").reason


def test_a_text_in_a_default_refuses() -> None:
    default = Expression("default", "id", oid("orders"), "public", "orders", "nextval(('public.users_id_seq'::text)::regclass)")
    finding = one(found(holding(expressions=(default,))), "expression_names")
    assert (finding.severity, finding.acceptable, finding.object) == ("refuse", True, "public.orders: id")
    follows = replace(default, text="nextval('public.users_id_seq'::regclass)")
    assert named(found(holding(expressions=(follows,))), "expression_names") == []


def test_jobs_that_name_what_moves() -> None:
    job = Mention("cron", "job", "command", "jobid 7", ("users", "strange"))
    finding = one(found(holding(mentions=(job,))), "job_text")
    assert (finding.severity, finding.object) == ("warn", "cron.job: jobid 7")
    assert "tenant.users for public.users" in finding.remedy
    assert named(found(holding(mentions=(replace(job, names=("strange",)),))), "job_text") == []


def test_foreign_tables_that_may_be_our_own() -> None:
    remote = RemoteTable("far", "users", "loop", "shop", "public", "users")
    assert "far.users" in one(found(holding(remote_tables=(remote,))), "foreign_table_text").object
    assert named(found(holding(remote_tables=(replace(remote, database="another"),))), "foreign_table_text") == []


# --- repairs ---

REPAIR = configuration(repair_routines=["work"])


def test_a_listed_routine_is_repaired_after_the_moves() -> None:
    made = plan(holding(routine("TRUNCATE users;", wiring=(ON_USERS,))), REPAIR)
    assert made.status == "ready"
    assert made.steps[-1].do == ("ALTER ROUTINE public.work() SET search_path TO '$user', 'tenant', 'public'",)
    assert made.steps[-1].undo == ("ALTER ROUTINE public.work() RESET search_path",)
    assert one(made.findings, "routine_repaired").severity == "auto"
    assert named(made.findings, "routine_breaks") == []


@pytest.mark.parametrize(
    ("former", "definer", "do", "undo"),
    [
        (("public",), False, "'tenant', 'public'", "SET search_path TO 'public'"),
        (("a", "public", "pg_temp"), True, "'a', 'tenant', 'public', 'pg_temp'", "SET search_path TO 'a', 'public', 'pg_temp'"),
        (("pg_temp", "public"), True, "'tenant', 'public', 'pg_temp'", "SET search_path TO 'pg_temp', 'public'"),
        (None, True, "'$user', 'tenant', 'public', 'pg_temp'", "RESET search_path"),
    ],
)
def test_the_former_path_is_kept_and_comes_back(former: tuple[str, ...] | None, definer: bool, do: str, undo: str) -> None:
    step = plan(holding(routine("TRUNCATE users;", search_path=former, security_definer=definer)), REPAIR).steps[-1]
    assert step.do[0].endswith(f"SET search_path TO {do}")
    assert step.undo[0].endswith(undo)


def test_the_path_of_the_database_is_what_a_routine_without_one_has() -> None:
    paths = (PathSetting(None, True, "first, public, extensions"),)
    step = plan(holding(routine("TRUNCATE users;"), search_paths=paths), REPAIR).steps[-1]
    assert step.do[0].endswith("SET search_path TO 'first', 'tenant', 'public', 'extensions'")


def test_an_argument_of_a_moved_row_type_is_written_by_its_new_name() -> None:
    arguments = (
        Argument("i", "u", "", "users", oid("users")),
        Argument("i", "n", "pg_catalog", "int4"),
        Argument("o", "x", "pg_catalog", "text"),
    )
    step = plan(holding(routine("TRUNCATE users;", arguments=arguments, returns="")), REPAIR).steps[-1]
    assert step.do[0].startswith("ALTER ROUTINE public.work(tenant.users, pg_catalog.int4) SET")


def test_a_repair_is_rewound() -> None:
    seen = holding(routine("TRUNCATE users;", search_path=("public",)))
    step = plan(seen, REPAIR).steps[-1]
    after = replace(seen, routines=(replace(seen.routines[0], search_path=("tenant", "public")),))
    assert rewind(after, [step]) == seen


@pytest.mark.parametrize(
    ("body", "facts", "says"),
    [
        ("TRUNCATE users; COMMIT;", {"kind": "p"}, "commits or rolls back"),
        ("TRUNCATE users; PERFORM 1 FROM settings;", {}, "settings would be found in a target schema"),
        ("SET LOCAL search_path TO public; TRUNCATE users;", {}, "sets search_path by itself"),
    ],
)
def test_some_routines_must_not_get_a_path(body: str, facts: dict[str, Any], says: str) -> None:
    both = [relation("settings", schema="public"), relation("settings", schema="tenant")]
    finding = one(found(holding(routine(body, **facts), relations=both), REPAIR), "repair_impossible")
    assert says in finding.reason


def test_qualified_names_are_not_repaired() -> None:
    findings = found(holding(routine("TRUNCATE public.users;")), REPAIR)
    assert {f.id for f in findings} >= {"routine_breaks", "repair_needless"}
    assert one(findings, "repair_needless").severity == "warn"


def test_an_entry_that_names_no_routine_is_refused() -> None:
    assert one(found(holding(), REPAIR), "repair_needless").severity == "refuse"


def test_only_who_may_alter_it_can_repair_a_routine() -> None:
    seen = holding(routine("TRUNCATE users;", owner="someone"), server=mover())
    assert "someone" in one(found(seen, REPAIR), "repair_not_owner").reason
