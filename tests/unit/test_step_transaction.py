"""The transaction of a step, as it is sent and as it is shown."""

from __future__ import annotations

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.configuration import TargetSchema
from ansible_collections.dbops.multischema.plugins.module_utils.plain import to_plain
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Step, step_from_dict, step_to_dict
from ansible_collections.dbops.multischema.plugins.module_utils.schema_steps import CreateSchema
from ansible_collections.dbops.multischema.plugins.module_utils.step_transaction import of_plain_step, of_step
from tests.unit.builders import catalog, configuration, index, partition, plan, sequence, table

TABLE = table("orders", indexes=(index("orders_pkey"),), sequences=(sequence("orders_id_seq"),))
TREE = (table("events", "p"), partition("events_1", "events"))


def move(*tables: object) -> Step:
    return plan(catalog(*tables), configuration(schemas=[{"name": "tenant"}])).steps[-1]  # type: ignore[arg-type]


def test_a_table_has_a_limit_for_each_lock() -> None:
    assert of_step(move(TABLE), False, 70).statements[:4] == [
        "BEGIN",
        "SET LOCAL lock_timeout = 70",
        "LOCK TABLE public.orders IN ACCESS EXCLUSIVE MODE",
        "ALTER TABLE public.orders SET SCHEMA tenant",
    ]


def test_a_tree_has_a_limit_for_all_its_locks_together_which_ends_with_them() -> None:
    step = move(*TREE)
    assert of_step(step, False, 50).statements[:6] == [
        "BEGIN",
        "SET LOCAL lock_timeout = 50",
        f"SET LOCAL statement_timeout = {50 + 2 * len(step.members)}",
        "LOCK TABLE public.events IN ACCESS EXCLUSIVE MODE",
        "SET LOCAL statement_timeout = 0",
        "ALTER TABLE public.events SET SCHEMA tenant",
    ]
    assert of_step(step, False, 50).statements[-1] == "COMMIT"


def test_what_is_undone_is_the_undo() -> None:
    statements = of_step(move(TABLE), True, 50).statements
    assert statements[2] == "DROP VIEW public.orders"
    assert statements[3] == "LOCK TABLE tenant.orders IN ACCESS EXCLUSIVE MODE"
    assert statements[4] == "ALTER TABLE tenant.orders SET SCHEMA public"


def test_of_a_tree_the_views_have_the_limit_and_the_tables_have_it() -> None:
    step = move(*TREE)
    assert of_step(step, True, 50).statements[2:6] == [
        f"SET LOCAL statement_timeout = {50 + 2 * len(step.members)}",
        "DROP VIEW public.events, public.events_1",
        "LOCK TABLE tenant.events IN ACCESS EXCLUSIVE MODE",
        "SET LOCAL statement_timeout = 0",
    ]


def test_what_cannot_be_locked_has_only_the_limit_for_each_lock() -> None:
    assert of_step(CreateSchema.build(TargetSchema("tenant")), False, 50).statements == [
        "BEGIN",
        "SET LOCAL lock_timeout = 50",
        "CREATE SCHEMA tenant",
        "COMMIT",
    ]


@pytest.mark.parametrize("undo", [False, True])
def test_a_plan_file_shows_the_same_as_the_plan(undo: bool) -> None:
    for step in (move(TABLE), move(*TREE)):
        assert of_plain_step(step_to_dict(step), undo, 50).statements == of_step(step, undo, 50).statements


def test_a_step_in_plain_form_is_what_every_dataclass_becomes() -> None:
    for step in (move(TABLE), move(*TREE), CreateSchema.build(TargetSchema("tenant"))):
        assert step_to_dict(step) == to_plain(step)
        assert step_from_dict(step_to_dict(step)) == step
