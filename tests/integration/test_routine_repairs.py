"""Listed routines are repaired with the move, as they were they come back, and what must not be repaired is not."""

from __future__ import annotations

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.drift import differences
from tests.integration.core import Core
from tests.integration.databases import Target
from tests.integration.evidence import require_same_schema
from tests.integration.head_start import ready_with
from tests.integration.placements import sample
from tests.integration.playbooks import Playbooks
from tests.integration.routine_migration import answer, fails, filled, observed_now, only, ready, values
from tests.integration.routines import PROBES, TABLES, plain


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
def test_listed_routines_are_repaired_and_restored(empty: Target) -> None:
    database = filled(empty)
    database.execute(DEFINER.create, TAKES_ROW)
    before = {probe.name: answer(database, probe, "public") for probe in PROBES}
    dump = database.server.dump_schema(database.name)
    core = ready(database, repair_routines=[*REPAIRABLE, "public.wipe(users, int4)"])
    plan = core.plan()
    assert {f.object for f in plan.findings if f.id == "routine_repaired"} == {f"public.{name}()" for name in REPAIRABLE} | {
        "public.wipe(users, int4)"
    }
    core.apply()
    assert core.plan().digest == plan.digest
    for probe in (*PROBES, DEFINER):
        if probe.name in REPAIRABLE:
            assert not answer(database, probe, "app")[0], probe.name
            assert probe.name not in before or answer(database, probe, "app") == before[probe.name]
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
    core = ready(empty, repair_routines=["first", "second", "third"])
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
    saved = ready(empty, repair_routines=["first"]).plan()
    assert list(differences(saved, observed_now(empty))) == []
    empty.execute(made.create.replace("CREATE", "CREATE OR REPLACE").replace("TRUNCATE", "DELETE FROM"))
    assert list(differences(saved, observed_now(empty))) == ["public.first() changed"]


@pytest.mark.majors(18)
def test_repairs_wait_for_all_tables_where_several_move_side_by_side(empty: Target) -> None:
    empty.execute(TABLES, TAKES_ROW)
    core = ready(empty, repair_routines=["wipe"])
    core.apply(workers=3)
    assert core.left() == []
    assert empty.value("SELECT public.wipe(u) FROM app.users u WHERE id = 1") == "ann"


COMMITS = "CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$ BEGIN COMMIT; TRUNCATE app_log; END $$"


@pytest.mark.majors(16)
def test_what_must_not_be_repaired_is_not(empty: Target) -> None:
    empty.execute(TABLES, COMMITS, plain("qualified", "TRUNCATE public.app_log").create)
    plan = Core(empty, values(repair_routines=["commits", "qualified", "absent"])).plan()
    assert only(plan, "repair_impossible").object == "public.commits()"
    needless = {finding.object: finding.severity for finding in plan.findings if finding.id == "repair_needless"}
    assert needless == {"multischema_repair_routines: qualified": "warn", "multischema_repair_routines: absent": "refuse"}
    empty.execute("ALTER PROCEDURE commits() SET search_path = public")
    assert fails(empty, "CALL commits()"), "then it would be no harm"


@pytest.mark.own_roles("a role that is no member of the owner")
@pytest.mark.majors(16)
def test_only_the_owner_s_members_may_repair(empty: Target) -> None:
    role = f"mover_{empty.name}"
    empty.execute(TABLES, plain("first", "TRUNCATE app_log").create, f"CREATE ROLE {role} LOGIN PASSWORD 'let me in'")
    try:
        plan = Core(empty, values(repair_routines=["first"]), user=role, password="let me in").plan()
        assert only(plan, "repair_not_owner").severity == "refuse"
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
