"""What has changed since the plan was made is named; what does not matter is not; what is left to do is found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog, Publication, Table
from ansible_collections.dbops.multischema.plugins.module_utils.drift import (
    as_saved,
    differences,
    pending,
    require_no_drift,
    require_same_direction,
)
from ansible_collections.dbops.multischema.plugins.module_utils.errors import JournalError, PlanRefused
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Step
from ansible_collections.dbops.multischema.plugins.module_utils.steps import rewind
from tests.unit.builders import (
    catalog,
    configuration,
    default_privileges,
    everything,
    grant,
    index,
    oid,
    partition,
    plan,
    schema,
    sequence,
    server,
    statistics,
    step_named,
    table,
    view,
)
from tests.unit.simulation import run

ORDERS = table("orders", sequences=(sequence("orders_id_seq"),), statistics=(statistics("orders_stx"),))
BEFORE = catalog(
    ORDERS,
    table("events", "p"),
    partition("events_1", "events"),
    table("parent"),
    table("child", parents=["parent"]),
    table("kept"),
    views=[view("totals", "orders")],
    publications=(Publication("cdc", "postgres", False, tables=(oid("orders"),)),),
    default_privileges=(default_privileges("app_owner", "public", *grant("web")),),
)
WANTED = configuration(keep=["kept"])
SAVED = plan(BEFORE, WANTED)


def changed(one: str, **values: Any) -> Catalog:
    return replace(BEFORE, tables=tuple(replace(t, **values) if t.name == one else t for t in BEFORE.tables))


def added(*tables: Table) -> Catalog:
    return replace(BEFORE, tables=(*BEFORE.tables, *tables))


def dropped(name: str) -> Catalog:
    return replace(BEFORE, tables=tuple(t for t in BEFORE.tables if t.name != name))


def drift(now: Catalog) -> list[str]:
    return list(differences(SAVED, now))


def test_nothing_changed_is_no_drift() -> None:
    assert drift(BEFORE) == []
    require_no_drift(SAVED, BEFORE)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (dropped("child"), "public.child is gone"),
        (dropped("kept"), "public.kept is gone"),
        (added(table("brand_new")), "public.brand_new is new"),
        (added(table("grandchild", parents=["child"])), "public.grandchild is new"),
        (added(partition("loose", "elsewhere")), "public.loose is new"),
        (added(partition("kept_1", "kept")), "public.kept_1 is new"),
        (changed("orders", name="purchases"), "public.purchases (was public.orders): name changed"),
        (changed("orders", owner="other"), "public.orders: owner changed"),
        (changed("orders", acl=everything("app_owner")), "public.orders: acl changed"),
        (changed("orders", column_grants=grant("web", column="id")), "public.orders: column grants changed"),
        (changed("orders", row_security=True), "public.orders: row security changed"),
        (changed("orders", structure={"columns": "c2", "constraints": "k1"}), "public.orders: columns changed"),
        (changed("kept", structure={"columns": "c1", "constraints": "k1", "triggers": "t"}), "public.kept: triggers changed"),
        (changed("events_1", parents=(), is_partition=False), "public.events_1: parents changed"),
        (changed("kept", parents=(oid("events"),), is_partition=True), "public.kept: parents changed"),
        (changed("orders", sequences=()), "public.orders: sequences changed"),
        (changed("orders", sequences=(sequence("renamed_seq"),)), "public.orders: sequences changed"),
        (changed("orders", statistics=(statistics("orders_stx"), statistics("more"))), "public.orders: statistics changed"),
        (replace(BEFORE, views=()), "views that read the tables changed: public.totals"),
        (replace(BEFORE, views=(replace(BEFORE.views[0], definition="other"),)), "views that read the tables changed: public.totals"),
        (replace(BEFORE, publications=()), "publications changed: cdc"),
        (replace(BEFORE, publications=(replace(BEFORE.publications[0], tables=()),)), "publications changed: cdc"),
        (replace(BEFORE, default_privileges=()), "default privileges changed: app_owner in public"),
        (
            replace(BEFORE, default_privileges=(*BEFORE.default_privileges, default_privileges("boss", None, *grant("web")))),
            "default privileges changed: boss in all schemas",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_change_is_named(now: Catalog, said: str) -> None:
    assert drift(now) == [said]
    with pytest.raises(PlanRefused) as caught:
        require_no_drift(SAVED, now)
    assert f"- {said}" in caught.value.found
    assert "plan.yml" in caught.value.remedy


def test_an_index_counts_as_the_structure_of_its_table_does() -> None:
    assert drift(changed("orders", structure={"columns": "c1", "constraints": "k1", "indexes": "i1"})) == ["public.orders: indexes changed"]


def test_a_table_made_anew_under_its_old_name_is_another_table() -> None:
    assert sorted(drift(changed("child", oid=1))) == ["public.child is gone", "public.child is new"]


def test_all_changes_are_named_and_very_many_are_counted() -> None:
    now = added(*(table(f"new_{n:02d}") for n in range(25)))
    with pytest.raises(PlanRefused) as caught:
        require_no_drift(SAVED, now)
    assert caught.value.found.count("is new") == 20
    assert "and 5 more" in caught.value.found


@pytest.mark.parametrize("change", [{"rows_estimate": 10**6}, {"bytes_estimate": 10**9}, {"comment": "new"}, {"columns": ("id",)}])
def test_statistics_sizes_and_comments_do_not_count(change: dict[str, Any]) -> None:
    assert drift(changed("orders", **change)) == []


def test_what_happens_in_other_schemas_does_not_count() -> None:
    now = replace(BEFORE, tables=(*BEFORE.tables, table("new", schema="elsewhere")), schemas=(*BEFORE.schemas, schema("more")))
    assert drift(now) == []


def test_a_new_partition_of_a_planned_tree_joins_it() -> None:
    assert drift(added(partition("events_2", "events"))) == []
    assert drift(added(partition("events_2", "events", "p"), partition("events_2_a", "events_2"))) == []
    assert drift(added(partition("events_1_a", "events_1"))) == []


def test_a_new_column_of_a_partition_is_still_named_when_others_join() -> None:
    now = replace(changed("events_1", structure={"columns": "c2", "constraints": "k1"}))
    now = replace(now, tables=(*now.tables, partition("events_2", "events")))
    assert drift(now) == ["public.events_1: columns changed"]


@pytest.mark.parametrize("other", [{"database_oid": 1}, {"system_identifier": "1"}])
def test_the_plan_of_another_database_is_refused(other: dict[str, Any]) -> None:
    with pytest.raises(PlanRefused, match="another server or before it was restored"):
        require_no_drift(SAVED, replace(BEFORE, server=server(**other)))


def test_a_renamed_database_or_another_user_is_no_other_database() -> None:
    require_no_drift(SAVED, replace(BEFORE, server=server(database="renamed", user="someone", major=17)))


def test_our_own_steps_are_no_drift() -> None:
    for count in range(len(SAVED.steps) + 1):
        done = SAVED.steps[:count]
        now = run(BEFORE, *(statement for step in done for statement in step.do))
        assert drift(rewind(now, done)) == []


# --- what is left to do ---


def ids(steps: Iterable[Step]) -> list[str]:
    return [step.id for step in steps]


def test_at_first_everything_is_left() -> None:
    assert pending(SAVED, []) == list(SAVED.steps)


def test_what_is_done_is_not_left_and_the_order_stays() -> None:
    done = [SAVED.steps[0], SAVED.steps[2]]
    assert ids(pending(SAVED, done)) == [i for n, i in enumerate(ids(SAVED.steps)) if n not in (0, 2)]
    assert pending(SAVED, SAVED.steps) == []


def test_a_partition_that_joined_before_the_move_goes_with_the_tree() -> None:
    fresh = plan(added(partition("events_2", "events")), WANTED)
    (step,) = [step for step in pending(fresh, []) if step.id == "move:public.events"]
    assert "ALTER TABLE public.events_2 SET SCHEMA tenant" in step.do


def test_a_partition_that_joined_after_the_move_gets_a_step_of_its_own() -> None:
    fresh = plan(added(partition("events_2", "events"), partition("events_3", "events")), WANTED)
    (step,) = pending(fresh, SAVED.steps)
    assert step.id == "move:public.events_2"
    assert (step.phase, step.detail["to"]) == (2, "tenant")
    assert [member.name for member in step.members if member.kind == "r"] == ["events_2", "events_3"]
    assert step.do[0] == "LOCK TABLE public.events_2, public.events_3 IN ACCESS EXCLUSIVE MODE"
    assert "CREATE VIEW public.events_2 WITH (security_invoker=true) AS SELECT * FROM tenant.events_2" in step.do
    assert pending(fresh, [*SAVED.steps, step]) == []


def test_a_partition_of_a_tree_that_moved_without_views_gets_none() -> None:
    bare = configuration(keep=["kept"], compatibility_views=False)
    fresh = plan(added(partition("events_2", "events")), bare)
    (step,) = pending(fresh, plan(BEFORE, bare).steps)
    assert not [text for text in step.do if "VIEW" in text]


def test_an_index_made_after_the_move_leaves_nothing_to_do() -> None:
    fresh = plan(changed("orders", indexes=(index("orders_pkey"), index("later"))), WANTED)
    assert pending(fresh, SAVED.steps) == []


def test_a_table_that_was_renamed_after_it_had_moved_leaves_nothing_to_do() -> None:
    renamed_after = plan(changed("orders", name="purchases"), WANTED)
    assert "move:public.purchases" in ids(renamed_after.steps)
    assert pending(renamed_after, SAVED.steps) == []


def test_a_partition_that_was_detached_after_it_had_moved_leaves_nothing_to_do() -> None:
    assert pending(plan(changed("events_1", parents=(), is_partition=False), WANTED), SAVED.steps) == []


# --- the journal against the plan ---


def test_what_was_done_by_this_plan_fits_it() -> None:
    require_same_direction(SAVED, SAVED.steps)
    require_same_direction(SAVED, [])


def test_a_table_that_went_elsewhere_does_not_fit() -> None:
    other = plan(BEFORE, configuration({"elsewhere": "orders", "tenant": "*"}, keep=["kept"]))
    with pytest.raises(JournalError) as caught:
        require_same_direction(SAVED, [step_named(other.steps, "move:public.orders")])
    assert "move:public.orders went to elsewhere, planned is tenant" in caught.value.found
    assert "rollback.yml" in caught.value.remedy


def test_a_table_that_moved_and_is_to_stay_does_not_fit() -> None:
    done = plan(BEFORE, configuration()).steps
    with pytest.raises(JournalError, match="kept went to tenant"):
        require_same_direction(SAVED, done)


def test_a_late_partition_s_own_step_fits() -> None:
    fresh = plan(added(partition("events_2", "events")), WANTED)
    (step,) = pending(fresh, SAVED.steps)
    require_same_direction(fresh, [*SAVED.steps, step])


def test_steps_of_phase_1_never_contradict() -> None:
    other = plan(BEFORE, configuration({"elsewhere": "*"}))
    require_same_direction(SAVED, other.of_phase(1))


def test_a_fresh_plan_goes_under_the_saved_one_s_name() -> None:
    saved = replace(SAVED, made_at="yesterday", environment="staging", host="db1", version="0.1")
    fresh = plan(BEFORE, WANTED, made_at="now")
    again = as_saved(saved, fresh)
    assert (again.made_at, again.environment, again.host, again.version) == ("yesterday", "staging", "db1", "0.1")
    assert again.steps == fresh.steps
