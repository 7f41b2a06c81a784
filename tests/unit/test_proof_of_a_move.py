"""A move proves itself in its own transaction, or nothing has happened."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils import step_transaction
from ansible_collections.dbops.multischema.plugins.module_utils.errors import JournalError, StepFailed
from ansible_collections.dbops.multischema.plugins.module_utils.identity import KEPT
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Step
from ansible_collections.dbops.multischema.plugins.module_utils.proof import Former
from ansible_collections.dbops.multischema.plugins.module_utils.relocation import Outcome, Pace, Relocator
from ansible_collections.dbops.multischema.plugins.module_utils.step_transaction import of_step
from tests.unit.builders import catalog, configuration, journaled, oid, partition, plan, table
from tests.unit.fake_database import refusal
from tests.unit.fake_relocation import LOCK_TIMEOUT, Clock, Server, raise_error, relocator
from tests.unit.test_readiness import holder

MOVED = catalog(table("events", "p"), partition("events_1", "events"))
MOVE: Step = plan(MOVED, configuration(schemas=[{"name": "tenant"}])).steps[-1]


def identities(schema: str, **changes: Any) -> dict[int, dict[str, Any]]:
    return {m.oid: {**dict.fromkeys(KEPT, 1), "name": m.name, "schema": schema, **changes} for m in MOVE.members}


class Moving(Server):
    """Shows identities before, then after."""

    def __init__(self, after: dict[int, Any], before: dict[int, Any] | None = None, **answers: Any) -> None:
        super().__init__(**answers)
        self.shown = [before or identities("public"), after]

    def prepared(self, name: str, query: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        if name == "multischema_identities":
            self.sent.append(name)
            return list(self.shown.pop(0).items())
        return super().prepared(name, query, parameters)


def moving(database: Moving) -> Outcome:
    (outcome,) = relocator(database).apply([MOVE])
    return outcome


def refused_because(database: Moving) -> str:
    with pytest.raises(StepFailed) as caught:
        moving(database)
    assert "ROLLBACK" in database.sent
    assert "multischema_record" not in database.sent
    return caught.value.found


def test_a_move_that_moved_exactly_what_was_planned_is_recorded(clock: Clock) -> None:
    database = Moving(identities("tenant"))
    assert moving(database).attempts == 1
    order = [text for text in database.sent if text.startswith(("BEGIN", "LOCK", "multischema", "COMMIT")) or "SCHEMA" in text]
    assert order == [
        "BEGIN",
        "LOCK TABLE public.events IN ACCESS EXCLUSIVE MODE",
        "multischema_identities",
        "ALTER TABLE public.events SET SCHEMA tenant",
        "ALTER TABLE public.events_1 SET SCHEMA tenant",
        "multischema_identities",
        "multischema_view_problems",
        "multischema_views",
        "multischema_record",
        "COMMIT",
    ]


def test_the_lock_on_a_tree_has_a_limit_as_a_whole(clock: Clock) -> None:
    database = Moving(identities("tenant"))
    moving(database)
    limit = 50 + step_transaction.PER_MEMBER_MS * len(MOVE.members)
    assert f"SET LOCAL lock_timeout = 50; SET LOCAL statement_timeout = {limit}" in database.sent
    assert database.sent.index("SET LOCAL statement_timeout = 0") > database.sent.index("LOCK TABLE public.events IN ACCESS EXCLUSIVE MODE")


def test_a_table_that_was_renamed_or_dropped_since_is_not_moved(clock: Clock) -> None:
    before = identities("public")
    del before[oid("events_1")]
    assert "public.events_1" in refused_because(Moving(identities("tenant"), before))
    assert "is not there any more" in refused_because(Moving(identities("tenant"), identities("public", name="other")))
    assert "is not there any more" in refused_because(Moving(identities("tenant"), identities("elsewhere")))


def test_a_member_that_did_not_go_along_undoes_the_move(clock: Clock) -> None:
    after = identities("tenant")
    after[oid("events_pkey")]["schema"] = "public"
    assert "events_pkey is in public and not in tenant" in refused_because(Moving(after))


@pytest.mark.parametrize("part", ["relfilenode", "owner", "acl", "row_security"])
def test_a_change_of_anything_but_the_schema_undoes_the_move(clock: Clock, part: str) -> None:
    assert f"{part}: 1 → 2" in refused_because(Moving(identities("tenant", **{part: 2})))


def test_a_partition_that_joined_since_undoes_the_move(clock: Clock) -> None:
    database = Moving(identities("tenant", has_children=True), pg_inherits=[("events_2",)])
    assert "public.events_2 has joined the tree since it was planned" in refused_because(database)


def test_a_view_that_differs_from_its_table_undoes_the_move(clock: Clock) -> None:
    database = Moving(identities("tenant"), multischema_view_problems=[("events", "has other privileges than its table")])
    assert "the view public.events has other privileges than its table" in refused_because(database)


def test_many_problems_are_counted(clock: Clock) -> None:
    found = [(f"v{n}", "is missing") for n in range(8)]
    assert "and 3 more" in refused_because(Moving(identities("tenant"), multischema_view_problems=found))


def test_an_undo_is_proved_and_journaled_in_the_same_transaction(clock: Clock) -> None:
    database = Moving(identities("public"), identities("tenant"))
    (entry,) = journaled([MOVE])
    (outcome,) = relocator(database).roll_back([(entry, MOVE)])
    assert outcome.step_id == MOVE.id
    assert database.sent.index("multischema_record_undone") < database.sent.index("COMMIT")


def test_an_undo_that_leaves_something_behind_is_rolled_back(clock: Clock) -> None:
    database = Moving(identities("tenant"), identities("tenant"))
    (entry,) = journaled([MOVE])
    with pytest.raises(StepFailed, match="and not in public"):
        list(relocator(database).roll_back([(entry, replace(MOVE))]))
    assert "multischema_record_undone" not in database.sent


# --- a step that is sent as a whole ---

ONE = catalog(table("orders"))
SINGLE: Step = plan(ONE, configuration(schemas=[{"name": "tenant"}])).steps[-1]


def stands(schema: str, **changes: Any) -> dict[int, dict[str, Any]]:
    return {m.oid: {**dict.fromkeys(KEPT, 1), "name": m.name, "schema": schema, **changes} for m in SINGLE.members}


FORMER = {oid: Former("public", False, "(kept)", identity) for oid, identity in stands("public").items()}


def proof_row(member: Any, schema: str, *, kept: str = "(kept)", fits: bool = True) -> tuple[Any, ...]:
    """What the query behind the work returns."""
    return (member.oid, schema, False, kept, 4711, "digest", fits)


class Whole(Moving):
    """Answers the message of a whole step with the proof, or refuses it; then statement by statement as `Moving`."""

    def __init__(self, *rows: tuple[Any, ...], refused: str | None = None, **answers: Any) -> None:
        super().__init__(stands("tenant"), stands("public"), **answers)
        self.proof, self.refused = list(rows), refused

    def rows(self, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        if query.startswith("BEGIN;"):
            self.sent.append(query)
            if self.refused:
                raise refusal(self.refused)
            return self.proof
        return super().rows(query, parameters)


def whole(database: Whole, before: dict[int, Former] | None = None) -> Outcome:
    known = FORMER if before is None else before
    (outcome,) = Relocator(database, "run-1", Pace(50, 300.0), before=known).apply([SINGLE])
    return outcome


ALL_MOVED = [proof_row(member, "tenant") for member in SINGLE.members]


def test_a_step_whose_objects_are_known_takes_two_messages(clock: Clock) -> None:
    database = Whole(*ALL_MOVED)
    assert whole(database).attempts == 1
    assert [text.split("\n")[0] for text in database.sent] == ["BEGIN;", "multischema_record;"]
    assert database.sent[-1] == "multischema_record;\nCOMMIT"
    assert database.sent[0].split(";\n") == [*of_step(SINGLE, False, 50).statements[:-1], "multischema_moved_with_views"]


def test_what_has_changed_since_it_was_read_is_looked_at_again_under_the_lock(clock: Clock) -> None:
    database = Whole(*[proof_row(member, "tenant", kept="(rewritten)") for member in SINGLE.members])
    assert whole(database).attempts == 2
    assert database.sent.count("multischema_record") == 1
    assert database.sent.index("ROLLBACK") < database.sent.index("multischema_identities") < database.sent.index("multischema_record")


def test_a_statement_that_is_refused_in_a_whole_step_is_found_one_by_one(clock: Clock) -> None:
    database = Whole(refused="42P07")
    database.on_execute = lambda text: raise_error(refusal("42P07")) if text.startswith("CREATE VIEW") else None
    with pytest.raises(StepFailed, match="statement: "):
        whole(database)
    assert database.count("CREATE VIEW") == 1
    assert "multischema_record" not in database.sent


def test_a_lock_that_is_not_had_is_tried_again_as_a_whole(clock: Clock) -> None:
    database = Whole(*ALL_MOVED, refused=LOCK_TIMEOUT)
    database.answers["pg_locks"] = [holder()]
    ask = database.rows

    def once(query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        try:
            return ask(query, parameters)
        finally:
            database.refused = None

    database.rows = once  # type: ignore[method-assign]
    outcome = whole(database)
    assert (outcome.attempts, outcome.waited_for[0][:5]) == (2, "pid 7")
    assert database.count("BEGIN;") == 2


def test_a_view_that_is_not_the_same_at_first_sight_is_compared_thoroughly(clock: Clock) -> None:
    rows = [proof_row(member, "tenant", fits=False) for member in SINGLE.members]
    database = Whole(*rows)
    assert whole(database).attempts == 1
    assert "multischema_view_problems" in database.sent
    with pytest.raises(StepFailed, match=r"the view public\.orders is missing"):
        whole(Whole(*rows, multischema_view_problems=[("orders", "is missing")]))


def test_a_whole_step_without_its_lease_is_rolled_back(clock: Clock) -> None:
    database = Whole(*ALL_MOVED)
    database.on_execute = lambda text: raise_error(refusal("23502")) if "multischema_record" in text else None
    with pytest.raises(JournalError, match="lost its lease"):
        whole(database)
    assert database.sent[-1] == "ROLLBACK"


def test_what_was_not_read_before_is_done_one_statement_at_a_time(clock: Clock) -> None:
    database = Whole()
    assert whole(database, before={}).attempts == 1
    assert database.count("BEGIN;") == 0
    assert "multischema_identities" in database.sent
