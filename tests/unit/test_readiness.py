"""Preflight: each check passes and fails; the checklist is done, missing, or waived with a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils import readiness
from ansible_collections.dbops.multischema.plugins.module_utils.checks import Check
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError
from ansible_collections.dbops.multischema.plugins.module_utils.readiness import Question, examine_checklist
from tests.unit.fake_database import FakeDatabase

Answers = dict[str, Any]


def ask(check: Callable[[Question], Iterator[Check]], answers: Answers, **values: Any) -> list[Check]:
    settings = {"lock_timeout_ms": 50, "oids": [], "locks": 1, **values}
    return list(check(Question(FakeDatabase(answers), **settings)))


def only(checks: list[Check]) -> Check:
    (check,) = checks
    assert check.remedy or check.status == "pass", "what is not as it should be says what to do"
    return check


def holder(**values: Any) -> tuple[Any, ...]:
    found = {
        "pid": 7,
        "user": "web",
        "application": "puma",
        "backend_type": "client backend",
        "state": "idle in transaction",
        "age": 61.0,
        "query": "SELECT 1",
        "relation": "orders",
        "mode": "AccessShareLock",
        "gid": None,
        **values,
    }
    return tuple(found.values())


WRITABLE: Answers = {"pg_is_in_recovery": [(False,)], "pg_settings": [("off",)]}
VACUUM = {"backend_type": "autovacuum worker", "query": "autovacuum: VACUUM public.orders"}


@pytest.mark.parametrize(
    ("check", "answers", "values", "status"),
    [
        ("server_version", {"server_version": [(160004, "16.4")]}, {}, "pass"),
        ("server_version", {"server_version": [(130000, "13.0")]}, {}, "pass"),
        ("server_version", {"server_version": [(190001, "19.1")]}, {}, "warn"),
        ("accepts_ddl", WRITABLE, {}, "pass"),
        ("accepts_ddl", {**WRITABLE, "pg_is_in_recovery": [(True,)]}, {}, "fail"),
        ("accepts_ddl", {**WRITABLE, "pg_settings": [("on",)]}, {}, "fail"),
        ("event_triggers", {"pg_event_trigger": [(1,)], "pg_settings": [("session_replication_role", "replica")]}, {}, "warn"),
        ("lock_timeout", {"pg_settings": [("1000",)]}, {}, "pass"),
        ("lock_timeout", {"pg_settings": [("1000",)]}, {"lock_timeout_ms": 999}, "pass"),
        ("lock_timeout", {"pg_settings": [("1000",)]}, {"lock_timeout_ms": 1000}, "fail"),
        ("lock_timeout", {"pg_settings": [("1000",)]}, {"lock_timeout_ms": 0}, "fail"),
        ("lock_timeout", {"pg_settings": [("50",)]}, {}, "fail"),
        ("lock_table", {"max_locks_per_transaction": [(200,)]}, {"locks": 49}, "pass"),
        ("lock_table", {"max_locks_per_transaction": [(200,)]}, {"locks": 50}, "fail"),
        ("visibility", {"pg_has_role": [(True,)]}, {}, "pass"),
        ("visibility", {"pg_has_role": [(False,)]}, {}, "warn"),
        ("prepared_transactions", {}, {}, "pass"),
        ("prepared_transactions", {"pg_locks": [holder(pid=None, gid="tx-1")], "pg_prepared_xacts": [("tx-1", "web", 90)]}, {}, "fail"),
        ("prepared_transactions", {"pg_locks": [holder(pid=None, gid="tx-2")], "pg_prepared_xacts": [("tx-1", "web", 90)]}, {}, "warn"),
        ("prepared_transactions", {"pg_locks": [], "pg_prepared_xacts": [("tx-1", "web", 90)]}, {}, "warn"),
        ("dumps", {}, {}, "pass"),
        ("dumps", {"pg_stat_activity": [(7, "backup", "pg_dump", 90)]}, {}, "fail"),
        ("blockers", {}, {}, "pass"),
        ("blockers", {"pg_locks": [holder()]}, {}, "warn"),
        ("blockers", {"pg_locks": [holder(age=59.0)]}, {}, "pass"),
        ("blockers", {"pg_locks": [holder(**VACUUM, age=3.0)]}, {}, "pass"),
        ("blockers", {"pg_locks": [holder(**{**VACUUM, "query": "autovacuum: VACUUM x (to prevent wraparound)"}, age=3.0)]}, {}, "fail"),
        ("standbys", {"pg_stat_replication": [("replica", "streaming")]}, {}, "warn"),
        ("connections", {"max_connections": [(88, 100)]}, {}, "pass"),
        ("connections", {"max_connections": [(89, 100)]}, {}, "warn"),
        ("connections", {"max_connections": [(89, 100)]}, {"probe": False}, "pass"),
        ("connections", {"max_connections": [(81, 100)]}, {"workers": 4}, "pass"),
        ("connections", {"max_connections": [(82, 100)]}, {"workers": 4}, "warn"),
    ],
)
def test_a_check_gives_its_verdict(check: str, answers: Answers, values: dict[str, Any], status: str) -> None:
    assert only(ask(getattr(readiness, check), answers, **values)).status == status


def test_event_triggers_that_do_not_exist_are_nothing_to_say() -> None:
    assert ask(readiness.event_triggers, {"pg_event_trigger": [(0,)], "pg_settings": [("event_triggers", "off")]}) == []
    assert ask(readiness.event_triggers, {"pg_event_trigger": [(3,)], "pg_settings": []}) == []


def test_no_standby_is_nothing_to_say() -> None:
    assert ask(readiness.standbys, {}) == []


def test_who_stands_in_the_way_is_named() -> None:
    check = only(ask(readiness.blockers, {"pg_locks": [holder()]}))
    assert check.detail == "pid 7, user web, puma, idle in transaction, for 61.0 s, holds AccessShareLock on orders: SELECT 1"


def test_each_prepared_transaction_and_each_dump_is_named() -> None:
    answers = {"pg_locks": [], "pg_prepared_xacts": [("tx-1", "web", 90), ("tx-2", "web", 9)]}
    prepared = ask(readiness.prepared_transactions, answers)
    assert [check.detail.split(" of ")[0] for check in prepared] == ["'tx-1'", "'tx-2'"]
    running = ask(readiness.dumps, {"pg_stat_activity": [(7, "backup", "pg_dump", 90), (8, "backup", "pg_dumpall", 1)]})
    assert len(running) == 2
    assert "pg_dumpall of backup, pid 8" in running[1].detail


def test_every_check_of_the_module_is_run() -> None:
    functions = {
        name for name, found in vars(readiness).items() if getattr(found, "__annotations__", {}).get("return") == "Iterator[Check]"
    }
    assert {function.__name__ for function in readiness.CHECKS} == functions


# --- the checklist ---


def item(**value: Any) -> Check:
    return only(examine_checklist({"backup": value}))


def test_what_is_done_passes_with_its_evidence() -> None:
    check = item(required=True, done="pgbackrest 20260105, restored on db-test")
    assert (check.status, check.detail) == ("pass", "done: pgbackrest 20260105, restored on db-test")


@pytest.mark.parametrize(("required", "status"), [(True, "fail"), (False, "warn")])
def test_what_is_missing_fails_where_it_is_required(required: bool, status: str) -> None:
    check = item(required=required)
    assert check.status == status
    assert "multischema_checklist.backup.done" in check.remedy


def test_an_item_is_required_unless_it_says_otherwise() -> None:
    assert item().status == "fail"


@pytest.mark.parametrize(("text", "status"), [("true", "fail"), ("yes", "fail"), ("false", "warn"), ("no", "warn"), ("off", "warn")])
def test_required_may_be_text(text: str, status: str) -> None:
    assert item(required=text).status == status


def test_what_is_waived_is_a_warning_with_the_reason() -> None:
    (check,) = examine_checklist({"backup": {"required": True, "waived": "one server, by decision of the board"}})
    assert (check.status, check.detail) == ("warn", "waived: one server, by decision of the board")


def test_what_is_done_needs_no_waiver() -> None:
    assert item(done="restored on db-test", waived="no time for it").status == "pass"


@pytest.mark.parametrize("value", [True, 1, [], {"by": "Ann"}, "no", "x"])
def test_a_waiver_needs_a_reason_that_a_person_understands(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"multischema_checklist\.backup\.waived"):
        item(waived=value)


@pytest.mark.parametrize("value", [True, 1, []])
def test_evidence_is_a_text(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"multischema_checklist\.backup\.done"):
        item(done=value)


@pytest.mark.parametrize("text", ["", None])
def test_an_empty_text_says_nothing(text: Any) -> None:
    assert item(waived=text, done=text).status == "fail"


@pytest.mark.parametrize("key", ["done", "waived"])
def test_blanks_say_nothing(key: str) -> None:
    try:
        (check,) = examine_checklist({"backup": {key: "      "}})
    except ConfigurationError:
        return
    assert check.status == "fail"


@pytest.mark.parametrize("value", ["done", True, None, ["done"], {"finished": "yes"}])
def test_an_item_that_cannot_be_read_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"multischema_checklist\.backup is"):
        examine_checklist({"backup": value})


def test_items_of_an_environment_s_own_are_checked_too_in_their_order() -> None:
    checks = examine_checklist({"backup": {"done": "restored"}, "legal has agreed": {"required": False}})
    assert [check.name for check in checks] == ["checklist, backup", "checklist, legal has agreed"]
