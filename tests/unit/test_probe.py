"""What the reader beside the move reads, and what it says about it."""

from __future__ import annotations

from ansible_collections.dbops.multischema.plugins.module_utils.configuration import TargetSchema
from ansible_collections.dbops.multischema.plugins.module_utils.plan import PHASE_TABLES, Member, Step
from ansible_collections.dbops.multischema.plugins.module_utils.probe import KINDS_OF_FAILURE, LARGEST_TREE, Probe, Reading, names_to_read
from ansible_collections.dbops.multischema.plugins.module_utils.schema_steps import CreateSchema
from tests.unit.fake_database import FakeDatabase, refusal


def step(*members: tuple[str, str]) -> Step:
    made = tuple(Member(number, kind, name) for number, (kind, name) in enumerate(members))
    return Step("move:x", PHASE_TABLES, "move_tables", "Move x", (), (), members=made, detail={"from": "public", "to": "tenant"})


def tree(size: int) -> Step:
    return step(("p", "root"), *(("r", f"leaf_{n}") for n in range(size - 1)))


def test_of_one_table_the_table_is_read_and_nothing_that_belongs_to_it() -> None:
    assert names_to_read(step(("r", "orders"), ("i", "orders_pkey"), ("S", "orders_id_seq"), ("s", "orders_stats"))) == ["orders"]


def test_of_a_tree_the_root_and_a_few_members_are_read() -> None:
    assert names_to_read(tree(10)) == ["root", "leaf_0", "leaf_3", "leaf_6"]
    assert names_to_read(tree(2)) == ["root", "leaf_0"]


def test_the_root_of_a_large_tree_is_not_read_because_that_locks_every_member() -> None:
    names = names_to_read(tree(LARGEST_TREE + 1))
    assert "root" not in names
    assert len(names) == 3


def test_a_foreign_table_is_not_read() -> None:
    assert names_to_read(step(("f", "elsewhere"))) == []


def test_steps_without_tables_are_not_read() -> None:
    assert names_to_read(CreateSchema.build(TargetSchema("tenant"))) == []


def test_a_reading_keeps_the_longest_and_where_it_was() -> None:
    total = Reading()
    for name, took in (("public.a", 3.0), ("public.b", 9.0), ("public.a", 4.0)):
        total.note(name, took)
    total.add(Reading(5, 7.0, "public.c", {"gone": 2}))
    assert (total.reads, total.longest_ms, total.on, total.failed) == (8, 9.0, "public.b", {"gone": 2})


def test_kinds_of_failure_are_few_however_many_tables_there_are() -> None:
    total = Reading()
    for number in range(1000):
        total.note_failure(f'relation "t{number}" does not exist')
    assert len(total.failed) == KINDS_OF_FAILURE + 1
    assert total.failed["other reasons"] == 1000 - KINDS_OF_FAILURE


def test_a_server_without_a_free_connection_switches_it_off_with_the_reason() -> None:
    def connect() -> FakeDatabase:
        raise refusal("53300", "PostgreSQL: too many clients")

    with Probe(connect, 1300) as probe:
        assert probe.off == "PostgreSQL: too many clients"
        assert probe.watch(tree(2)) is None
