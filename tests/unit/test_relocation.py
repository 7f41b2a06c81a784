"""How a step is tried again and given up, as far as that can be told without a server."""

from __future__ import annotations

import random

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils import relocation
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError, JournalError, ServerRefused, StepFailed
from ansible_collections.dbops.multischema.plugins.module_utils.relocation import Pace, check_pace
from ansible_collections.dbops.multischema.plugins.module_utils.troubles import LOCK_TABLE_FULL
from tests.unit.fake_database import refusal
from tests.unit.fake_relocation import LOCK_TIMEOUT, OTHER, STEP, Clock, Server, raise_error, relocator
from tests.unit.test_readiness import holder


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
    database.on_execute = lambda text: raise_error(refusal("23502")) if "multischema_record" in text else None
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
    database.on_execute = lambda text: raise_error(refusal("42501")) if text == "CREATE SCHEMA other" else None
    with pytest.raises(StepFailed):
        done.extend(outcome.step_id for outcome in relocator(database).apply([STEP, OTHER]))
    assert done == ["create_schema:tenant"]


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


# --- limits ---


@pytest.mark.parametrize(("limit", "fine"), [(1, True), (50, True), (999, True), (0, False), (-5, False), (1000, False), (5000, False)])
def test_the_wait_for_a_lock_stays_below_the_deadlock_timeout(limit: int, fine: bool) -> None:
    if fine:
        check_pace(Server(), Pace(limit))
    else:
        with pytest.raises(ConfigurationError, match="multischema_lock_timeout_ms"):
            check_pace(Server(), Pace(limit))


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
