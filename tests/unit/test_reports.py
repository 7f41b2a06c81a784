"""What is shown to a person fits the terminal and says the worst first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import ColumnDefault, Extension, Role
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_routines import Routine
from ansible_collections.dbops.multischema.plugins.module_utils.checks import FAIL, PASS, WARN, Check, passed, report, wrap
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Finding
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name
from ansible_collections.dbops.multischema.plugins.plugin_utils.plan_report import (
    MOST_OF_A_KIND,
    finding_lines,
    plan_report,
    size_text,
    step_sql,
)
from ansible_collections.dbops.multischema.plugins.plugin_utils.progress import Progress
from tests.support.plan_documents import campus, large, refused
from tests.unit.builders import OWNER, catalog, configuration, mover, oid, partition, plan, schema, sequence, statistics, table

COLUMNS = 100
LONG = "It was found that the application holds a lock on this table and does not give it back for a while. " * 4


def test_every_line_of_a_report_fits() -> None:
    lines = report([Check("server version", status, LONG, LONG) for status in (PASS, WARN, FAIL)])
    assert max(map(len, lines)) <= COLUMNS - 8, "Ansible indents what it shows"
    assert len(lines) > 12


def test_failures_come_first_then_warnings() -> None:
    lines = report([Check("a", PASS, "fine"), Check("b", WARN, "hm"), Check("c", FAIL, "no"), Check("d", PASS, "fine")])
    assert [line.split()[0] for line in lines] == ["FAIL", "WARN", "ok", "ok"]
    assert lines[0] == "FAIL c: no"


def test_the_way_out_is_shown_where_something_is_to_be_done() -> None:
    assert report([Check("a", FAIL, "no", "Do this.")]) == ["FAIL a: no", "     → Do this."]
    assert report([Check("a", PASS, "yes", "Do this.")]) == ["ok   a: yes"]


def test_only_a_failure_fails() -> None:
    assert passed([])
    assert passed([Check("a", PASS, ""), Check("b", WARN, "")])
    assert not passed([Check("a", PASS, ""), Check("b", FAIL, "")])


def test_line_breaks_of_a_text_are_kept() -> None:
    assert wrap("one\ntwo", indent="  ", first="- ") == ["- one", "  two"]
    assert wrap("") == [""]


def test_a_check_is_plain_data() -> None:
    assert Check(**Check("a", FAIL, "b", "c").to_dict()) == Check("a", FAIL, "b", "c")


# --- the plan ---

FILES = {kind: f"artifacts/production/shop_production/plan.{kind}" for kind in ("html", "sql", "json")}


@pytest.mark.parametrize("draft", [campus(), refused(), large(300)], ids=["campus", "refused", "large"])
def test_every_line_of_a_plan_fits(draft: Any) -> None:
    assert max(map(len, plan_report(draft.plan(), 7, FILES))) <= COLUMNS


def first_line(made: Any, left: int) -> str:
    return plan_report(made, left, {})[0]


def test_the_verdict_comes_first() -> None:
    ready = plan(catalog(table("a"), table("b")))
    assert len(ready.steps) == 4
    assert first_line(ready, 4).startswith("READY: 4 steps to do")
    assert first_line(ready, 1).startswith("READY: 1 step to do, 3 done already")
    assert first_line(ready, 0).startswith("DONE: all 4 steps are in the journal")
    assert first_line(plan(catalog(schemas=[schema("tenant")]), configuration(placement=[])), 0).startswith("NOTHING TO DO")
    assert first_line(plan(catalog(table("a")), configuration({"x": "b"})), 9).startswith("REFUSED: 2 findings")


def test_refusals_come_before_warnings_and_both_say_the_way_out() -> None:
    text = "\n".join(plan_report(plan(catalog(table("a")), configuration({"x": "b"})), 1, {}))
    assert text.index("Refused:") < text.index("rule_matches_nothing: multischema_placement[0]: b")
    assert "→ Add 'a' to a rule" in text


def test_what_a_person_accepted_is_shown_with_the_reason() -> None:
    made = plan(catalog(table("a")))
    made = replace(made, findings=(Finding("x", "refuse", "public.a", "It is so.", "Do that.", True, "checked by Ann"),))
    text = "\n".join(plan_report(made, 1, {}))
    assert "Accepted by a person:" in text
    assert "accepted: checked by Ann" in text
    assert "Refused:" not in text
    assert "Do that." not in text


def test_what_is_said_of_many_objects_is_said_once() -> None:
    lines = finding_lines(Finding("x", "warn", f"public.t{n}", "It is so.", "Do that.") for n in range(300))
    text = " ".join(" ".join(lines).split())
    assert text == "- x: 300 objects (public.t0, public.t1, public.t2, public.t3 and 296 more): It is so. → Do that."


def test_a_text_that_names_its_object_is_folded_too_and_says_so() -> None:
    names = ("orders", 'Line "x"', "users")
    found = [Finding("x", "refuse", Name("public", n).as_string(), f"{n} has no rule.", f"Add {n!r}.") for n in names]
    text = " ".join(" ".join(finding_lines(found)).split())
    assert text.count("has no rule") == 1
    assert "3 objects" in text
    assert "(of public.orders; likewise of the others)" in text


def test_different_texts_of_one_kind_are_counted_after_a_few() -> None:
    found = [Finding("x", "warn", f"public.t{n}", f"Reason {chr(97 + n)}.") for n in range(10)]
    text = " ".join(" ".join(finding_lines(found)).split())
    assert text.count("Reason") == MOST_OF_A_KIND
    assert "x: 7 more like these: public.t3, public.t4, public.t5, public.t6 and 3 more." in text


def test_what_differs_in_what_may_be_done_is_not_folded() -> None:
    found = [Finding("x", "refuse", f"public.t{n}", "It is so.", "", n == 0) for n in range(2)]
    assert len(finding_lines(found)) == 2


def test_the_objects_that_a_finding_is_about_are_shortened() -> None:
    (finding, names) = finding_lines([Finding("x", "warn", "public", "It is so.", affects=tuple(f"t{n}" for n in range(9)))])
    assert finding == "  - x: public: It is so."
    assert names.strip() == "t0, t1, t2, t3 and 5 more"


def test_the_report_of_a_large_database_is_still_read_by_a_person() -> None:
    kept = ColumnDefault("state", "'new'::text")
    tables = [
        table(f"t{n:03}", sequences=(sequence(f"t{n:03}_id_seq"),), defaults=(kept,), statistics=(statistics(f"s{n:03}"),))
        for n in range(400)
    ]
    trees = [table(f"events_{n}", "p") for n in range(30)]
    routines = [Routine(oid(f"f{n}"), "public", f"f{n}", f"public.f{n}()", row_types=(oid(f"t{n:03}"),)) for n in range(200)]
    made = plan(catalog(*tables, *trees, routines=tuple(routines), roles=[Role(OWNER, mover_can_become=False)], server=mover()))
    assert len(made.findings) > 800
    assert len(plan_report(made, 430, {})) < 120


def test_backups_come_first_among_the_warnings() -> None:
    seen = catalog(table("a", "p"), partition("a_1", "a"), extensions=(Extension("pg_stat_statements", "public"),))
    warnings = [f.id for f in plan(seen).findings if f.severity == "warn"]
    assert warnings[0] == "dump_by_name"
    assert len(warnings) > 4
    assert warnings[1:] == sorted(warnings[1:])


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (150_000, "150 kB"), (2_000_000_000, "2.0 GB"), (5 * 10**15, "5000 TB")],
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert size_text(size) == text


def test_the_sql_of_a_step_is_what_is_sent() -> None:
    step = plan(catalog(table("a", owner="postgres")), configuration(compatibility_views=False)).steps[-1]
    assert step_sql([step], lock_timeout_ms=70) == [
        "-- Move public.a to tenant",
        "BEGIN;",
        "SET LOCAL lock_timeout = 70;",
        "LOCK TABLE public.a IN ACCESS EXCLUSIVE MODE;",
        "ALTER TABLE public.a SET SCHEMA tenant;",
        "COMMIT;",
        "",
    ]
    assert "ALTER TABLE tenant.a SET SCHEMA public;" in step_sql([step], undo=True)


@pytest.mark.parametrize("name", ["two\nDROP TABLE x;", "two\rDROP TABLE x;"])
def test_no_name_gets_out_of_a_comment(name: str) -> None:
    step = plan(catalog(table(name))).steps[-1]
    text = "\n".join(step_sql([step]))
    comment, _, _ = text.partition("\nBEGIN;")
    assert len(comment.splitlines()) == 1, "what follows the line break would be run by whoever pastes it"


# --- progress ---


def outcome(**values: Any) -> dict[str, Any]:
    base = {"step_id": "move:public.a", "attempts": 1, "cancelled": 0, "longest_wait_ms": 0.0, "elapsed_ms": 2.0, "held_ms": 1.0}
    return {**base, **values}


def progress(total: int = 10, verb: str = "done") -> tuple[Progress, list[str]]:
    lines: list[str] = []
    return Progress(lines.append, total, verb), lines


def test_progress_counts_steps_retries_and_the_longest_wait() -> None:
    shown, lines = progress()
    shown.add([outcome(), outcome(attempts=4, longest_wait_ms=48.6), outcome(attempts=2, longest_wait_ms=12.0)])
    shown.show()
    assert lines[0].startswith("3 of 10 steps done, 4 retries, longest wait for a lock 49 ms, about ")
    assert lines[0].endswith(" s to go")


def test_the_time_to_go_is_not_guessed_before_anything_is_done_or_when_all_is() -> None:
    shown, lines = progress(1)
    shown.show()
    shown.add([outcome()])
    shown.show()
    assert not [line for line in lines if "to go" in line]


def test_who_stands_in_the_way_is_said() -> None:
    shown, lines = progress()
    shown.show([{**outcome(attempts=3), "title": "Move public.a to tenant", "waited_for": ["pid 7, user web", "pid 8, user web"]}])
    assert lines[1] == "  waiting: Move public.a to tenant. In front: pid 7, user web; pid 8, user web"
    shown.show([{**outcome(), "title": "Move public.a to tenant", "waited_for": []}])
    assert len(lines) == 3


def test_the_line_of_progress_fits_beside_the_name_of_a_host() -> None:
    shown, lines = progress(10_000)
    shown.add([outcome(attempts=9, longest_wait_ms=1234.5)] * 5000)
    shown.show()
    assert len(f"[sandbox] {lines[0]}") <= COLUMNS + 8


def test_the_line_about_who_is_in_front_fits() -> None:
    shown, lines = progress()
    who = (
        "pid 12345, user shop_web, puma: cluster worker 2, idle in transaction, for 12.3 s, holds AccessShareLock on orders: "
        + "SELECT x " * 17
    )
    shown.show([{**outcome(attempts=3), "title": "Move public.orders with 12 members to tenant_shared", "waited_for": [who]}])
    assert max(len(part) for line in lines for part in line.splitlines()) <= COLUMNS


def read(longest_ms: float, on: str, **failed: int) -> dict[str, Any]:
    return outcome(stall={"reads": 2, "longest_ms": longest_ms, "on": on, "failed": failed})


def test_the_longest_stall_of_a_reader_is_said_while_it_grows() -> None:
    shown, lines = progress()
    shown.add([read(3.0, "public.a"), read(38.2, "public.b"), read(1.0, "public.c")])
    shown.show()
    assert lines[1] == "  longest stall of a reader 38 ms on public.b, so far"
    shown.add([read(20.0, "public.d")])
    shown.show()
    assert len(lines) == 3
    assert shown.stall_summary() == "Longest stall of a reader 38 ms on public.b, of 8 reads while the tables moved."


def test_what_a_reader_notices_of_a_waiting_step_counts_too() -> None:
    shown, _ = progress()
    shown.show([{**read(51.0, "public.a"), "title": "Move", "waited_for": []}])
    assert shown.stall.longest_ms == 51.0


def test_reads_that_failed_are_said() -> None:
    shown, _ = progress()
    shown.add([read(3.0, "public.a", gone=2)])
    assert shown.stall_summary().endswith("; of further reads 2 failed: gone.")


def test_where_nobody_could_read_the_reason_is_said() -> None:
    shown, _ = progress()
    assert shown.stall_summary() == ""
    shown.probe_off = "too many connections"
    assert shown.stall_summary() == "No reader has measured what the application notices: too many connections."


def test_the_summary_says_what_it_took() -> None:
    shown, _ = progress(2, "undone")
    shown.add([outcome(held_ms=3.4), outcome(attempts=3, cancelled=2, longest_wait_ms=51.0, held_ms=7.2)])
    text = shown.summary()
    assert text.startswith("2 steps undone in ")
    assert "2 retries, longest wait for a lock 51 ms, longest lock held 7 ms, 2 autovacuum runs cancelled" in text
