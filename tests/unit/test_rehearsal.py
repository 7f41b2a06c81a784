"""A rehearsal's receipt: which plan it is about, whether it counts, what it predicts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_paths import PathUser
from ansible_collections.dbops.multischema.plugins.module_utils.checks import WIDTH, Check
from ansible_collections.dbops.multischema.plugins.module_utils.connection import options_for, read_connection
from ansible_collections.dbops.multischema.plugins.module_utils.content import Content, SequenceContent, TableContent
from ansible_collections.dbops.multischema.plugins.module_utils.copy_picture import (
    Picture,
    after_the_move,
    differences,
    moved_differences,
)
from ansible_collections.dbops.multischema.plugins.module_utils.copying import CopyFailed, new_name, require_space, size_text
from ansible_collections.dbops.multischema.plugins.module_utils.database_identity import observed_identity
from ansible_collections.dbops.multischema.plugins.module_utils.disk_room import Room
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Plan
from ansible_collections.dbops.multischema.plugins.module_utils.rehearsal import (
    SCRATCH,
    NotARehearsal,
    Rehearsal,
    Rehearsed,
    RestoredBackup,
    Taken,
    parse_rehearsal,
    predictions,
)
from ansible_collections.dbops.multischema.plugins.module_utils.rehearsal_judgement import RehearsalDemand, judge, read_demand
from ansible_collections.dbops.multischema.plugins.module_utils.rehearsal_plan import (
    differing_shapes,
    differing_steps,
    reaching_beyond,
    step_digests,
    structures,
    without_joined,
)
from ansible_collections.dbops.multischema.plugins.module_utils.rehearsal_timing import compared_lines, rehearsal_lines
from tests.unit import builders as make

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TABLES = (make.table("orders"), make.table("visits", "p"), make.partition("visits_1", "visits"))


def other_oids(catalog: Catalog) -> Catalog:
    """The same database as a restore makes it: every OID is another one, and so are name and server."""

    def moved(value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool) and value > 20000:
            return value + 7_000_000
        if isinstance(value, tuple):
            return tuple(map(moved, value))
        if hasattr(value, "__dataclass_fields__") and not isinstance(value, type(catalog.server)):
            return replace(value, **{name: moved(getattr(value, name)) for name in value.__dataclass_fields__})
        return value

    copied: Catalog = moved(catalog)
    return replace(copied, server=replace(catalog.server, database="shop_rehearsal_00000000", database_oid=99, system_identifier="8"))


def a_plan(*tables: Any, **changes: Any) -> Plan:
    catalog = make.catalog(*(tables or TABLES), **changes)
    return make.plan(catalog, CONFIGURATION)


CONFIGURATION = make.configuration(
    schemas=[{"name": "sales"}],
    placement=[{"schema": "sales", "tables": ["*"]}],
    application_roles=["web"],
)


def receipt(plan: Plan, **changes: Any) -> Rehearsal:
    taken = {step.id: Taken(10.0 + number, 3.0) for number, step in enumerate(plan.steps)}
    made = Rehearsal(
        environment="production",
        host="shop",
        made_at=(NOW - timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        made_by={"user": "u", "machine": "m"},
        version="0",
        database=observed_identity(plan.server),
        server="18.4",
        plan_digest=plan.digest,
        steps=predictions(plan, step_digests(plan), taken, taken),
        structures=structures(plan.catalog),
        copy=Rehearsed(SCRATCH, "shop_rehearsal_0a1b2c3d", "u@h:5432/shop_rehearsal_0a1b2c3d", 3, 1200, 1.5),
        seconds={"copy": 1.5, "phase 1": 0.5, "phase 2": 2.0, "rollback": 1.0},
        pace={"workers": 1},
        checks=({"name": "schemas exist", "status": "pass", "detail": "sales"},),
    )
    return replace(made, **changes)


def demand(**changes: Any) -> RehearsalDemand:
    return replace(RehearsalDemand(True, "", timedelta(hours=168), False, NOW), **changes)


def verdict(found: Rehearsal | str | None, plan: Plan, **changes: Any) -> Check:
    def again(known: Rehearsal) -> Plan:
        return make.plan(without_joined(plan.catalog, known.structures), CONFIGURATION)

    return judge(found, plan, again, demand(**changes))


# --- which plan ---


def test_the_plan_of_a_copy_has_the_steps_of_its_original_under_other_oids() -> None:
    plan = a_plan()
    copied = make.plan(other_oids(plan.catalog), CONFIGURATION)
    assert copied.digest != plan.digest
    assert {m.oid for s in copied.steps for m in s.members}.isdisjoint(m.oid for s in plan.steps for m in s.members)
    assert step_digests(copied) == step_digests(plan)


def test_the_shape_of_a_table_counts_by_names_and_not_by_oids() -> None:
    live = a_plan().catalog
    assert list(differing_shapes(live, other_oids(live))) == []
    orders, visits, part = live.source_tables
    changed = replace(live, tables=(replace(orders, columns=(*orders.columns, "note")), visits, make.table("later")))
    assert list(differing_shapes(live, changed)) == [
        f"{part.schema}.{part.name} is not in it",
        "public.later is gone from the database",
        "public.orders was another one",
    ]


def test_a_receipt_names_the_backup_that_it_was_restored_from_and_nothing_where_there_was_none() -> None:
    found = receipt(a_plan())
    assert "backup" not in json.loads(found.to_bytes())["copy"]
    assert parse_rehearsal(found.to_bytes()) == found
    restored = replace(found, copy=replace(found.copy, backup=RestoredBackup("b", "0" * 64, "2026-03-01T10:00:00Z", "2 h")))
    assert parse_rehearsal(restored.to_bytes()) == restored
    assert "the backup b, which was 2 h old" in " ".join(rehearsal_lines(restored, "here", "dropped"))


def test_in_the_facts_of_a_step_names_count_and_not_oids_and_what_undoes_it_counts_too() -> None:
    plan = a_plan()
    move = next(step for step in plan.steps if step.id == "move:public.orders")
    here, there = plan.catalog.tables[0].oid, plan.catalog.tables[1].oid

    def digest(catalog: Catalog, **changes: Any) -> str:
        return step_digests(replace(plan, catalog=catalog, steps=(replace(move, **changes),)))[move.id]

    copied = other_oids(plan.catalog)
    for part, ours, theirs, another in (
        ("publications", [["all", here]], [["all", copied.tables[0].oid]], [["all", there]]),
        ("settled", [here], [copied.tables[0].oid], [there]),
    ):
        expected = digest(plan.catalog, detail={**move.detail, part: ours})
        assert digest(copied, detail={**move.detail, part: theirs}) == expected
        assert digest(plan.catalog, detail={**move.detail, part: another}) != expected
    assert digest(plan.catalog, undo=(*move.undo, "SELECT 1")) != digest(plan.catalog)


@pytest.mark.parametrize(
    ("tables", "word"),
    [
        ((*TABLES, make.table("notes")), "move:public.notes is only in there"),
        (TABLES[1:], "move:public.orders is only in here"),
        ((make.table("orders", acl=make.grant("web")), *TABLES[1:]), "move:public.orders does something else in there"),
        ((*TABLES, make.partition("visits_2", "visits")), "move:public.visits does something else in there"),
    ],
)
def test_another_plan_is_told_by_its_steps(tables: tuple[Any, ...], word: str) -> None:
    assert word in list(differing_steps(step_digests(a_plan()), step_digests(a_plan(*tables)), "here", "there"))


def test_a_path_that_is_set_in_another_database_than_the_plan_s_is_noticed() -> None:
    plan = a_plan(path_users=(PathUser("web", uses=("public",)),))
    assert [step.kind for step in plan.steps][-1] == "search_path"
    assert reaching_beyond(plan) == []
    elsewhere = replace(plan, server=replace(plan.server, database="shop_rehearsal_0a1b2c3d"))
    assert reaching_beyond(elsewhere) == ["search_path:role:web"]


# --- the file ---


def test_a_receipt_is_read_as_it_was_written_and_says_what_was_shown() -> None:
    written = receipt(a_plan())
    assert parse_rehearsal(written.to_bytes()) == written
    assert json.loads(written.to_bytes())["statement"] == ("the rollback of exactly this plan digest was run and restored the former state")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d | {"made_at": "2026-02-28T12:00:00Z"}, "edited"),
        (lambda d: d | {"digest": "0" * 64}, "edited"),
        (lambda d: d | {"structures": {}}, "edited"),
        (lambda d: d | {"steps": []}, "edited"),
        (lambda d: d | {"statement": "nothing was run"}, "edited"),
        (lambda d: d | {"kind": "dbops.multischema.backup"}, "of kind"),
        (lambda d: d | {"format": 2}, "format 2"),
        (lambda d: {k: v for k, v in d.items() if k != "copy"}, "cannot be read"),
        (lambda d: d | {"made_at": "yesterday"}, "cannot be read"),
    ],
)
def test_a_receipt_that_somebody_has_touched_is_none(change: Any, words: str) -> None:
    document: Mapping[str, Any] = json.loads(receipt(a_plan()).to_bytes())
    with pytest.raises(NotARehearsal, match=words):
        parse_rehearsal((json.dumps(change(document), indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"null", b"[" * 100_000, "ü".encode("latin-1")])
def test_what_is_no_receipt_at_all_is_none(data: bytes) -> None:
    with pytest.raises(NotARehearsal):
        parse_rehearsal(data)


# --- does it count ---


def test_exactly_this_plan_of_this_database_counts() -> None:
    plan = a_plan()
    found = verdict(receipt(plan), plan)
    assert (found.status, found.detail) == ("pass", "4 steps there and back on a copy (3 tables with 1,200 rows), 2 h ago")


def altered(name: str) -> tuple[Any, ...]:
    """The tables, one of them with another structure, which no step shows."""
    return tuple(replace(t, structure={"columns": "other"}) if t.name == name else t for t in TABLES)


@pytest.mark.parametrize(
    ("found", "now", "words"),
    [
        (None, a_plan(), "missing: nobody has tried"),
        ("it was edited", a_plan(), "the receipt cannot be used: it was edited"),
        (receipt(a_plan()), a_plan(*TABLES, make.table("notes")), "move:public.notes is only in the present plan"),
        (receipt(a_plan()), a_plan(*altered("orders")), "public.orders has changed"),
        (receipt(a_plan()), a_plan(*TABLES[1:]), "public.orders is gone"),
        (receipt(a_plan()), make.plan(other_oids(a_plan().catalog), CONFIGURATION), "about another database: shop (OID 16384)"),
        (receipt(a_plan(), made_at="2026-02-01T00:00:00Z"), a_plan(), "is 684 h old, and 168 h are allowed (rehearsal_max_age_h)"),
        (receipt(a_plan(), made_at="2026-03-01T13:00:00Z"), a_plan(), "in the future"),
    ],
)
def test_what_does_not_count_is_refused_with_the_reason_and_what_to_run(found: Any, now: Plan, words: str) -> None:
    required = verdict(found, now)
    assert required.status == "fail"
    assert words in required.detail
    assert "playbooks/rehearse.yml" in required.remedy
    assert "multischema_checklist.rehearsal.waived" in required.remedy
    assert verdict(found, now, required=False).status == "warn"
    waived = verdict(found, now, waived="no disk for a second one")
    assert (waived.status, waived.detail.startswith("waived: no disk for a second one (")) == ("warn", True)
    assert words in waived.detail


def test_once_the_migration_has_begun_age_does_not_count_any_more() -> None:
    plan = a_plan()
    old = receipt(plan, made_at="2026-02-01T00:00:00Z")
    assert verdict(old, plan, begun=True).status == "pass"
    assert verdict(old, a_plan(*altered("orders")), begun=True).status == "fail"


def test_a_partition_that_has_joined_a_rehearsed_tree_is_no_other_plan() -> None:
    known = receipt(a_plan())
    joined = (*TABLES, make.partition("visits_2", "visits", "p"), make.partition("visits_2a", "visits_2"))
    assert verdict(known, a_plan(*joined)).status == "pass"
    stranger = verdict(known, a_plan(*joined, make.table("other", "p"), make.partition("other_1", "other")))
    assert stranger.status == "fail"
    assert "public.other is new" in stranger.detail
    assert "visits" not in stranger.detail


@pytest.mark.parametrize(
    ("item", "required", "waived"),
    [
        (None, True, ""),
        ({"required": False}, False, ""),
        ({"required": "no"}, False, ""),
        ({"required": True, "waived": " staging is a copy of it "}, True, "staging is a copy of it"),
        ({}, True, ""),
    ],
)
def test_the_checklist_decides_about_the_rehearsal(item: Any, required: bool, waived: str) -> None:
    found = read_demand(item, True, 24, False, NOW)
    assert (found.required, found.waived, found.max_age) == (required, waived, timedelta(hours=24))


@pytest.mark.parametrize("item", ["yes", {"waived": "no"}, {"waived": 7}, {"reason": "none"}, {"done": "by me, yesterday"}])
def test_a_rehearsal_is_not_believed_and_a_waiver_gives_a_reason(item: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"multischema_checklist\.rehearsal"):
        read_demand(item, True, 24, False, NOW)


# --- what it predicts ---


def test_the_report_says_what_was_shown_and_what_to_expect() -> None:
    lines = rehearsal_lines(receipt(a_plan()), "artifacts/production/shop/rehearsal.json", "The copy shop_rehearsal_0a1b2c3d was dropped.")
    text = " ".join(" ".join(lines).split())
    assert "the rollback of exactly this plan digest was run and restored the former state" in text
    assert "phase 2 2 steps in 2.0 s, no lock held for longer than 3 ms" in text
    assert "rollback" in text
    assert "artifacts/production/shop/rehearsal.json" in text
    assert max(map(len, lines)) <= WIDTH


def test_predicted_and_real_are_compared_for_the_steps_that_were_done() -> None:
    plan = a_plan()
    steps = receipt(plan).steps
    real = {"move:public.orders": Taken(4012.0, 44.0), "move:public.unknown": Taken(9e9, 9e9)}
    lines = compared_lines(steps, real)
    text = " ".join(" ".join(lines).split())
    predicted = next(step for step in steps if step.id == "move:public.orders")
    assert f"1 step, {predicted.duration_ms:.0f} ms of work predicted, 4012 ms needed; longest lock 3 ms predicted, 44 ms held" in text
    assert "locked 3 ms → 44 ms: Move public.orders to sales" in text
    assert max(map(len, lines)) <= WIDTH
    assert compared_lines(steps, {}) == []


# --- the copy ---


def room(free: int | None) -> Room:
    return Room(10 << 30, "/var/lib/postgresql", free)


@pytest.mark.parametrize(
    ("free", "checked", "words"),
    [
        (None, False, "Nobody can see from here how much space is free"),
        ((20 << 30) - 1, False, "A copy takes up to 20.0 GiB"),
        ((20 << 30) - 1, True, "20.0 GiB are free in /var/lib/postgresql"),
    ],
)
def test_a_copy_that_could_fill_the_disk_of_the_live_database_is_refused(free: int | None, checked: bool, words: str) -> None:
    with pytest.raises(CopyFailed) as refused:
        require_space(room(free), checked)
    assert words in str(refused.value)
    assert "rehearsal_database_url" in str(refused.value)


@pytest.mark.parametrize(("free", "checked"), [(20 << 30, False), (None, True)])
def test_a_copy_that_fits_or_that_somebody_has_looked_after_is_made(free: int | None, checked: bool) -> None:
    require_space(room(free), checked)


@pytest.mark.parametrize("database", ["shop", "x" * 63, "Läden \"of\" 'ours'"])
def test_the_name_of_a_copy_is_new_each_time_and_fits(database: str) -> None:
    one, other = new_name(database), new_name(database)
    assert one != other
    assert len(one.encode()) <= 63
    assert re.fullmatch(r"[ -~]+_rehearsal_[0-9a-f]{8}", one)


def test_sizes_are_said_in_a_unit_that_fits() -> None:
    assert [size_text(size) for size in (1, 5 << 20, 1 << 30, 3 << 40)] == ["1 MiB", "5 MiB", "1.0 GiB", "3072.0 GiB"]


# --- the same content under other names ---


def test_after_the_move_the_same_rows_are_expected_under_the_new_names() -> None:
    plan = a_plan()
    tables = tuple(TableContent("public", name, 7, "1") for name in ("orders", "visits_1", "other"))
    before = Picture(Content(tables, (SequenceContent("public", "other_id", 1, 1),)), "", (), (("public", "orders"),))
    expected = after_the_move(before, plan.steps)
    assert [(t.schema, t.name) for t in expected.content.tables] == [("sales", "orders"), ("sales", "visits_1"), ("public", "other")]
    assert list(moved_differences(expected, expected)) == []
    assert next(moved_differences(expected, before)) == "sales.orders is missing (7 rows)"

    def with_digest(name: str, digest: str) -> Picture:
        changed = tuple(replace(t, digest=digest) if t.name == name else t for t in expected.content.tables)
        return replace(expected, content=replace(expected.content, tables=changed))

    assert list(moved_differences(expected, with_digest("orders", "2"))) == [], "it names what has moved, so it reads otherwise"
    assert list(moved_differences(expected, with_digest("other", "2"))) == ["public.other: 7 rows as recorded, but their content differs"]


def test_what_the_way_back_has_not_restored_is_named() -> None:
    before = Picture(Content(), "CREATE TABLE a;\n-- a comment\n", (("web", "search_path", "public"),))
    after = Picture(Content(), "CREATE TABLE b;\n", (("", "work_mem", "5MB"),))
    assert list(differences(before, before)) == []
    assert list(differences(before, after)) == [
        "work_mem of the database: 5MB is new",
        "search_path of web: public is gone",
        "the schema differs in 2 lines: -CREATE TABLE a; | +CREATE TABLE b;",
    ]
    assert Picture.from_dict(json.loads(json.dumps(before.to_dict()))) == before


def test_another_database_of_the_same_server_is_reached_by_the_same_options() -> None:
    name = "shop 'x'?#_rehearsal_0a1b2c3d"
    url = {"database_url": "postgresql://u:p%40ss@h:5433/shop?sslmode=require&dbname=other&schema=public"}
    found = read_connection(options_for(url, name)).parameters
    assert found == {"host": "h", "port": "5433", "user": "u", "password": "p@ss", "dbname": name, "sslmode": "require"}
    single = {"login_host": "h", "login_db": "shop", "login_user": "u"}
    assert read_connection(options_for(single, name)).parameters["dbname"] == name
