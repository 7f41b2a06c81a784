"""How a step is tried again, given up, and proved, as far as that can be told without a server."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils import relocation, step_transaction
from ansible_collections.dbops.multischema.plugins.module_utils.configuration import TargetSchema
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError, JournalError, ServerRefused, StepFailed
from ansible_collections.dbops.multischema.plugins.module_utils.identity import KEPT
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Step
from ansible_collections.dbops.multischema.plugins.module_utils.proof import Former
from ansible_collections.dbops.multischema.plugins.module_utils.relocation import Outcome, Pace, Relocator, check_pace
from ansible_collections.dbops.multischema.plugins.module_utils.schema_steps import CreateSchema
from ansible_collections.dbops.multischema.plugins.module_utils.step_transaction import of_step
from ansible_collections.dbops.multischema.plugins.module_utils.troubles import LOCK_TABLE_FULL
from tests.unit.builders import catalog, configuration, journaled, oid, partition, plan, table
from tests.unit.fake_database import FakeDatabase, refusal
from tests.unit.test_readiness import holder

STEP = CreateSchema.build(TargetSchema("tenant"))
OTHER = CreateSchema.build(TargetSchema("other"))
LOCK_TIMEOUT = "55P03"


class Clock:
    """Time that passes only when someone sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(relocation, "time", made)
    return made


class Server(FakeDatabase):
    """Refuses the first statements of a step with these SQLSTATEs, one an attempt."""

    def __init__(self, *refusals: str, blockers: list[Any] | None = None, **answers: Any) -> None:
        super().__init__({"pg_locks": blockers or [], "deadlock_timeout": [(1000,)], "pg_cancel_backend": [(True,)], **answers})
        self.left = list(refusals)
        self.on_execute = self._refuse

    def _refuse(self, statement: str) -> None:
        if statement.startswith(("CREATE SCHEMA", "LOCK TABLE", "DROP")) and self.left:
            raise refusal(self.left.pop(0))

    def count(self, text: str) -> int:
        return sum(1 for statement in self.sent if statement.startswith(text))


def relocator(database: FakeDatabase, deadline_s: float = 300.0, stop: Callable[[], bool] = lambda: False) -> Relocator:
    return Relocator(database, "run-1", Pace(50, deadline_s), stop)


def test_a_step_and_its_journal_row_are_one_transaction(clock: Clock) -> None:
    database = Server()
    (outcome,) = relocator(database).apply([STEP])
    assert (outcome.step_id, outcome.attempts, outcome.longest_wait_ms, outcome.waited_for) == ("create_schema:tenant", 1, 0.0, [])
    assert database.sent == [
        "BEGIN",
        "SET LOCAL lock_timeout = 50",
        "CREATE SCHEMA tenant",
        "multischema_record",
        "COMMIT",
    ]


def test_without_its_lease_a_step_is_rolled_back(clock: Clock) -> None:
    database = Server()
    database.on_execute = lambda text: _raise(refusal("23502")) if "multischema_record" in text else None
    with pytest.raises(JournalError, match="lost its lease"):
        list(relocator(database).apply([STEP]))
    assert database.sent[-1] == "ROLLBACK"


@pytest.mark.parametrize("sqlstate", [LOCK_TIMEOUT, "40P01", "57014"])
def test_a_lock_that_is_not_there_is_tried_again_after_a_rollback(clock: Clock, sqlstate: str) -> None:
    database = Server(sqlstate, sqlstate)
    (outcome,) = relocator(database).apply([STEP])
    assert outcome.attempts == 3
    assert (database.count("BEGIN"), database.count("ROLLBACK"), database.count("COMMIT")) == (3, 2, 1)
    assert database.sent.index("ROLLBACK") < next(n for n, text in enumerate(database.sent) if "pg_locks" in text)


@pytest.mark.parametrize("sqlstate", ["42501", "42P07", "23505", "", "53300"])
def test_any_other_error_is_not_tried_again(clock: Clock, sqlstate: str) -> None:
    database = Server(sqlstate)
    with pytest.raises(StepFailed) as caught:
        list(relocator(database).apply([STEP]))
    assert caught.value.step_id == "create_schema:tenant"
    assert "statement: LOCK TABLE x" in caught.value.found
    assert database.count("BEGIN") == 1


def test_a_lost_connection_says_that_the_run_can_go_on(clock: Clock) -> None:
    database = Server("08006")
    database.gone = True
    with pytest.raises(StepFailed, match="the connection was lost") as caught:
        list(relocator(database).apply([STEP]))
    assert "Run the same playbook again" in caught.value.remedy


def test_steps_before_the_one_that_fails_are_reported(clock: Clock) -> None:
    database = Server()
    done: list[str] = []
    database.on_execute = lambda text: _raise(refusal("42501")) if text == "CREATE SCHEMA other" else None
    with pytest.raises(StepFailed):
        done.extend(outcome.step_id for outcome in relocator(database).apply([STEP, OTHER]))
    assert done == ["create_schema:tenant"]


def _raise(error: Exception) -> None:
    raise error


def test_the_deadline_ends_the_attempts_and_says_who_is_in_front(clock: Clock) -> None:
    database = Server(*[LOCK_TIMEOUT] * 1000, blockers=[holder()])
    with pytest.raises(StepFailed, match=r"no lock within 10 s \(\d+ attempts\)\. In front: pid 7, user web") as caught:
        list(relocator(database, deadline_s=10.0).apply([STEP]))
    assert "multischema_deadline_s" in caught.value.remedy
    assert 10.0 <= clock.now - 1000.0 < 14.0


def test_a_deadline_of_nothing_is_one_attempt(clock: Clock) -> None:
    database = Server(*[LOCK_TIMEOUT] * 9)
    clock.sleep(0.0)
    with pytest.raises(StepFailed, match="sessions that come and go"):
        list(relocator(database, deadline_s=-1.0).apply([STEP]))
    assert database.count("BEGIN") == 1


def test_pauses_grow_with_jitter_and_stay_short(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    for share in (0.5, 1.5):
        monkeypatch.setattr(random, "uniform", lambda *_, share=share: share)
        for attempt in (1, 2, 5, 50):
            before = clock.now
            assert relocator(Server())._pause(attempt) is False
            pauses.append(round(clock.now - before, 4))
    assert pauses == [0.05, 0.075, 0.2531, 1.0, 0.15, 0.225, 0.7594, 3.0]


def test_the_jitter_is_random(clock: Clock) -> None:
    pauses = set()
    for _ in range(5):
        before = clock.now
        relocator(Server())._pause(4)
        pauses.add(clock.now - before)
    assert len(pauses) > 1


def test_the_longest_wait_and_who_was_in_front_are_reported(clock: Clock) -> None:
    database = Server(LOCK_TIMEOUT, LOCK_TIMEOUT, blockers=[holder()])
    inner = database.on_execute
    waits = [0.03, 0.05, 0.0]

    def slow(statement: str) -> None:
        if statement.startswith("CREATE"):
            clock.now += waits.pop(0)
        inner(statement)

    database.on_execute = slow
    (outcome,) = relocator(database).apply([STEP])
    assert round(outcome.longest_wait_ms) == 50
    assert outcome.waited_for[0].startswith("pid 7")


# --- stopping ---


def test_a_stop_between_two_steps_leaves_the_rest(clock: Clock) -> None:
    stops = iter([False, True])
    database = Server()
    assert [outcome.step_id for outcome in relocator(database, stop=lambda: next(stops)).apply([STEP, OTHER])] == ["create_schema:tenant"]
    assert database.count("CREATE SCHEMA") == 1


def test_a_stop_while_waiting_leaves_the_step_unfinished(clock: Clock) -> None:
    database = Server(*[LOCK_TIMEOUT] * 99, blockers=[holder()])
    worker = relocator(database, stop=lambda: database.count("BEGIN") >= 3)
    assert list(worker.apply([STEP, OTHER])) == []
    assert worker.unfinished is not None
    assert (worker.unfinished.step_id, worker.unfinished.attempts) == ("create_schema:tenant", 3)
    assert database.sent[-1] != "COMMIT"


def test_after_a_step_nothing_is_unfinished(clock: Clock) -> None:
    worker = relocator(Server(LOCK_TIMEOUT))
    assert len(list(worker.apply([STEP]))) == 1
    assert worker.unfinished is None


def test_the_lease_is_renewed_while_a_step_waits(clock: Clock) -> None:
    database = Server(*[LOCK_TIMEOUT] * 12)
    list(relocator(database).apply([STEP]))
    waited = clock.now - 1000.0
    assert (
        waited / relocation.LONGEST_PAUSE_S / 2 - 1
        <= database.count("UPDATE multischema_journal.lease")
        <= waited / relocation.RENEW_EVERY_S
    )


# --- who will not go by himself ---


def test_a_prepared_transaction_is_named_at_once(clock: Clock) -> None:
    database = Server(*[LOCK_TIMEOUT] * 9, blockers=[holder(gid="tx-1", pid=None)])
    with pytest.raises(StepFailed, match="prepared transaction 'tx-1'") as caught:
        list(relocator(database).apply([STEP]))
    assert "ROLLBACK PREPARED 'tx-1'" in caught.value.remedy
    assert database.count("BEGIN") == 1


def test_the_name_of_a_prepared_transaction_is_a_literal(clock: Clock) -> None:
    database = Server(LOCK_TIMEOUT, blockers=[holder(gid="it's", pid=None)])
    with pytest.raises(StepFailed) as caught:
        list(relocator(database).apply([STEP]))
    assert "ROLLBACK PREPARED 'it''s'" in caught.value.remedy


VACUUM = {"backend_type": "autovacuum worker", "query": "autovacuum: VACUUM public.orders"}


def test_a_vacuum_that_protects_the_server_is_left_alone(clock: Clock) -> None:
    database = Server(LOCK_TIMEOUT, blockers=[holder(**{**VACUUM, "query": "autovacuum: VACUUM x (to prevent wraparound)"})])
    with pytest.raises(StepFailed, match="wraparound"):
        list(relocator(database).apply([STEP]))
    assert not [text for text in database.sent if "pg_cancel_backend" in text]


def test_an_ordinary_vacuum_is_cancelled_and_counted(clock: Clock) -> None:
    database = Server(LOCK_TIMEOUT, blockers=[holder(**VACUUM)])
    (outcome,) = relocator(database).apply([STEP])
    assert (outcome.cancelled, outcome.attempts) == (1, 2)
    assert database.count("SELECT pg_cancel_backend") == 1


HIDDEN = {"user": None, "application": None, "backend_type": None, "state": None, "age": None, "query": None}


def test_what_can_only_be_a_vacuum_is_cancelled_where_its_activity_is_hidden(clock: Clock) -> None:
    database = Server(LOCK_TIMEOUT, blockers=[holder(**HIDDEN, mode="ShareUpdateExclusiveLock")])
    (outcome,) = relocator(database).apply([STEP])
    assert outcome.cancelled == 1
    assert "probably an autovacuum worker" in outcome.waited_for[0]


@pytest.mark.parametrize("mode", ["RowExclusiveLock", "AccessExclusiveLock"])
def test_the_lock_on_an_index_and_the_one_of_the_truncation_are_a_vacuum_s_too(clock: Clock, mode: str) -> None:
    database = Server(LOCK_TIMEOUT, blockers=[holder(**HIDDEN, mode=mode)])
    assert [outcome.cancelled for outcome in relocator(database).apply([STEP])] == [1]


@pytest.mark.parametrize("other", [{"user": "web"}, {"backend_type": "client backend"}])
def test_what_may_be_a_session_is_not(clock: Clock, other: dict[str, str]) -> None:
    database = Server(LOCK_TIMEOUT, blockers=[holder(**{**HIDDEN, "mode": "ShareUpdateExclusiveLock", **other})])
    assert [outcome.cancelled for outcome in relocator(database).apply([STEP])] == [0]


def test_a_session_is_never_cancelled(clock: Clock) -> None:
    database = Server(LOCK_TIMEOUT, blockers=[holder(**VACUUM), holder()])
    (outcome,) = relocator(database).apply([STEP])
    assert outcome.cancelled == 0
    assert database.count("SELECT pg_cancel_backend") == 0


def test_without_the_right_to_cancel_one_attempt_waits_for_the_deadlock_check(clock: Clock) -> None:
    database = Server(LOCK_TIMEOUT, blockers=[holder(**VACUUM)], pg_cancel_backend=refusal("42501"))
    assert len(list(relocator(database).apply([STEP]))) == 1
    limits = [text for text in database.sent if text.startswith("SET LOCAL lock_timeout")]
    assert [limit.split(";")[0] for limit in limits] == ["SET LOCAL lock_timeout = 50", "SET LOCAL lock_timeout = 1300"]


def test_a_vacuum_that_outlives_the_long_attempt_is_refused_and_not_waited_for_again(clock: Clock) -> None:
    """What else it does, a role without pg_monitor may not see: one that prevents wraparound would stall readers again and again."""
    database = Server(*[LOCK_TIMEOUT] * 9, blockers=[holder(**HIDDEN)], pg_cancel_backend=refusal("42501"))
    with pytest.raises(StepFailed, match="an autovacuum does not give way: pid 7") as caught:
        list(relocator(database).apply([STEP]))
    assert "pg_monitor" in caught.value.remedy
    limits = [text.split(";")[0] for text in database.sent if text.startswith("SET LOCAL lock_timeout")]
    assert limits == ["SET LOCAL lock_timeout = 50", "SET LOCAL lock_timeout = 1300"]


def test_readers_that_come_and_go_do_not_protect_a_vacuum(clock: Clock) -> None:
    database = Server(LOCK_TIMEOUT, blockers=[holder(**VACUUM), holder(pid=8, age=-1.0)])
    assert [outcome.cancelled for outcome in relocator(database).apply([STEP])] == [1]


def test_where_ages_are_hidden_who_was_there_before_stays(clock: Clock) -> None:
    reader = holder(**{**HIDDEN, "user": "web"}, pid=8)
    database = Server(*[LOCK_TIMEOUT] * 3, blockers=[holder(**HIDDEN), reader], pg_cancel_backend=refusal("42501"))
    list(relocator(database).apply([STEP]))
    limits = [text.split(";")[0] for text in database.sent if text.startswith("SET LOCAL lock_timeout")]
    assert limits == ["SET LOCAL lock_timeout = 50"] * 4


def test_a_standby_that_is_behind_is_waited_for_and_named(clock: Clock) -> None:
    database = Server(pg_stat_replication=[("replica at 10.0.0.7", 12.34, 5000)])
    with pytest.raises(StepFailed, match=r"standby replica at 10\.0\.0\.7 is 12\.3 s behind"):
        list(Relocator(database, "r1", Pace(deadline_s=3.0, max_replay_lag_s=5.0)).apply([STEP]))
    assert database.count("BEGIN") == 0
    assert 3.0 <= clock.now - 1000.0 < 4.0


def test_a_stop_while_a_standby_is_waited_for_leaves_the_step_unfinished(clock: Clock) -> None:
    database = Server(pg_stat_replication=[("replica", 12.34, 5000)])
    worker = Relocator(database, "r1", Pace(max_replay_lag_s=5.0), lambda: clock.now > 1001.0)
    assert list(worker.apply([STEP])) == []
    assert worker.unfinished is not None
    assert worker.unfinished.waited_for[0].startswith("standby replica")


def test_nobody_looks_at_standbys_where_that_is_switched_off(clock: Clock) -> None:
    database = Server(pg_stat_replication=[("replica", 12.34, 5000)])
    assert len(list(Relocator(database, "r1", Pace(max_replay_lag_s=0.0)).apply([STEP]))) == 1


# --- limits ---


@pytest.mark.parametrize(("limit", "fine"), [(1, True), (50, True), (999, True), (0, False), (-5, False), (1000, False), (5000, False)])
def test_the_wait_for_a_lock_stays_below_the_deadlock_timeout(limit: int, fine: bool) -> None:
    if fine:
        check_pace(Server(), Pace(limit))
    else:
        with pytest.raises(ConfigurationError, match="multischema_lock_timeout_ms"):
            check_pace(Server(), Pace(limit))


# --- the proof inside a move ---

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
    database.on_execute = lambda text: _raise(refusal("42P07")) if text.startswith("CREATE VIEW") else None
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
    database.on_execute = lambda text: _raise(refusal("23502")) if "multischema_record" in text else None
    with pytest.raises(JournalError, match="lost its lease"):
        whole(database)
    assert database.sent[-1] == "ROLLBACK"


def test_what_was_not_read_before_is_done_one_statement_at_a_time(clock: Clock) -> None:
    database = Whole()
    assert whole(database, before={}).attempts == 1
    assert database.count("BEGIN;") == 0
    assert "multischema_identities" in database.sent


FULL = "53200"


def test_a_full_lock_table_is_waited_for_like_a_lock(clock: Clock) -> None:
    database = Server(FULL, FULL)
    (outcome,) = relocator(database).apply([STEP])
    assert outcome.attempts == 3
    assert len(clock.slept) > 0


def test_a_lock_table_that_stays_full_ends_the_step_in_words(clock: Clock) -> None:
    database = Server()

    def refuse(statement: str) -> None:
        if statement.startswith("CREATE SCHEMA"):
            raise ServerRefused("PostgreSQL: out of shared memory [53200]", LOCK_TABLE_FULL.why, LOCK_TABLE_FULL.remedy, FULL)

    database.on_execute = refuse
    with pytest.raises(StepFailed, match=r"out of shared memory.*Nothing is half done") as caught:
        list(relocator(database, deadline_s=3).apply([STEP]))
    assert "max_locks_per_transaction" in caught.value.remedy
    assert database.sent[-1] != "COMMIT"


def test_a_lock_table_that_is_too_full_for_the_question_who_fills_it_is_waited_for_too(clock: Clock) -> None:
    database = Server(FULL, blockers=refusal(FULL))  # type: ignore[arg-type]
    (outcome,) = relocator(database).apply([STEP])
    assert outcome.attempts == 2
