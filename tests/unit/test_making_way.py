"""Who stands in the way of a step and does not go by himself."""

from __future__ import annotations

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.errors import StepFailed
from ansible_collections.dbops.multischema.plugins.module_utils.relocation import Pace, Relocator
from tests.unit.fake_database import refusal
from tests.unit.fake_relocation import LOCK_TIMEOUT, STEP, Clock, Server, relocator
from tests.unit.test_readiness import holder


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


def test_a_vacuum_that_ends_a_moment_after_the_long_attempt_has_given_way(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server has told it to end, and its process has not had its turn yet."""
    database = Server(*[LOCK_TIMEOUT] * 2, blockers=[holder(**HIDDEN)], pg_cancel_backend=refusal("42501"))
    sleep = clock.sleep

    def asleep(seconds: float) -> None:
        sleep(seconds)
        if database.left == [] and clock.now > 1002.0:
            database.answers["pg_locks"] = []

    monkeypatch.setattr(clock, "sleep", asleep)
    (outcome,) = relocator(database).apply([STEP])
    assert outcome.attempts == 3
    limits = [text.split(";")[0] for text in database.sent if text.startswith("SET LOCAL lock_timeout")]
    assert limits == [f"SET LOCAL lock_timeout = {limit}" for limit in (50, 1300, 50)]


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
