"""The filters that roles use: connection options, failed checks, the maintenance window, what is wrong with variables."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.dbops.multischema.plugins.filter.connection_options import connection_options
from ansible_collections.dbops.multischema.plugins.filter.failed_checks import failed_checks
from ansible_collections.dbops.multischema.plugins.filter.maintenance_window import maintenance_window
from ansible_collections.dbops.multischema.plugins.filter.variable_problems import variable_problems
from ansible_collections.dbops.multischema.plugins.module_utils.checks import WIDTH

# --- connection_options ---


def test_variables_become_the_options_of_community_postgresql() -> None:
    variables = {
        "multischema_login_host": "h",
        "multischema_login_port": "5433",
        "multischema_login_user": "u",
        "multischema_login_password": "s3cr3t",
        "multischema_login_db": "shop",
        "multischema_ca_cert": "/ca.pem",
        "multischema_ssl_mode": "require",
    }
    assert connection_options(variables) == {
        "login_host": "h",
        "login_port": 5433,
        "login_user": "u",
        "login_password": "s3cr3t",
        "login_db": "shop",
        "ca_cert": "/ca.pem",
        "ssl_mode": "require",
    }


def test_a_url_becomes_the_same_options_and_the_rest_goes_to_connect_params() -> None:
    url = "postgresql://u:s3cr3t@h:5433/shop?sslmode=require&connect_timeout=3&schema=public"
    assert connection_options({"multischema_database_url": url}) == {
        "login_host": "h",
        "login_port": 5433,
        "login_user": "u",
        "login_password": "s3cr3t",
        "login_db": "shop",
        "ssl_mode": "require",
        "connect_params": {"connect_timeout": "3"},
    }


def test_a_socket_is_an_option_of_its_own_and_no_user_is_guessed() -> None:
    assert connection_options({"multischema_database_url": "postgresql:///shop?host=/run/pg"}) == {
        "login_unix_socket": "/run/pg",
        "login_db": "shop",
        "login_user": "",
    }


def test_what_cannot_be_used_is_refused_without_the_secret() -> None:
    with pytest.raises(AnsibleFilterError, match="names no database") as caught:
        connection_options({"multischema_database_url": "postgresql://u:s3cr3t@h"})
    assert "s3cr3t" not in str(caught.value)


# --- maintenance_window ---

WINDOW = {"start": "2026-03-01T22:00:00+01:00", "end": "2026-03-02T04:00:00+01:00"}


@pytest.mark.parametrize("value", [None, {}, ""])
def test_no_window_allows_everything(value: Any) -> None:
    assert maintenance_window(value) == {"state": "none", "text": "", "refusal": ""}


@pytest.mark.parametrize(
    ("now", "state", "text"),
    [
        ("2026-03-01T21:59:59+01:00", "early", "it opens in 1 s"),
        ("2026-02-27T20:00:00+01:00", "early", "it opens in 2 d 2 h"),
        ("2026-03-01T22:00:00+01:00", "open", "6 h left"),
        ("2026-03-01T21:00:00Z", "open", "6 h left"),
        ("2026-03-02T02:59:30Z", "open", "30 s left"),
        ("2026-03-02T03:00:00Z", "late", "it closed 0 s ago"),
        ("2026-03-02T04:05:00+01:00", "late", "it closed 5 min ago"),
    ],
)
def test_a_window_is_early_open_or_late(now: str, state: str, text: str) -> None:
    found = maintenance_window(WINDOW, now)
    assert found["state"] == state
    assert text in found["text"]
    assert bool(found["refusal"]) == (state != "open")


def test_a_window_may_be_given_as_times() -> None:
    times = {key: datetime.fromisoformat(value) for key, value in WINDOW.items()}
    assert maintenance_window(times, "2026-03-01T23:00:00+01:00")["state"] == "open"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("tonight", "not a mapping with start and end"),
        (["a"], "not a mapping with start and end"),
        ({"start": WINDOW["start"]}, "it has no end"),
        ({**WINDOW, "stop": 1}, "unknown key stop"),
        ({**WINDOW, "end": "soon"}, "not a time in ISO 8601"),
        ({**WINDOW, "start": "2026-03-01T22:00:00"}, "no time zone"),
        ({"start": WINDOW["end"], "end": WINDOW["start"]}, "is not after its start"),
        ({"start": WINDOW["end"], "end": WINDOW["end"]}, "is not after its start"),
    ],
)
def test_a_window_that_cannot_be_read_refuses_and_says_how_to_write_one(value: Any, text: str) -> None:
    found = maintenance_window(value, "2026-03-01T23:00:00+01:00")
    assert found["state"] == "malformed"
    assert text in found["text"]
    assert "start:" in found["refusal"]


# --- variable_problems ---

SPECIFICATION: dict[str, Any] = {
    "multischema_placement": {
        "type": "list",
        "elements": "dict",
        "required_one_of": [["tables", "types"]],
        "options": {"tables": {"type": "raw"}, "types": {"type": "raw"}},
    },
    "multischema_workers": {"type": "int", "default": 1},
    "multischema_no_log": {"type": "bool", "default": True},
    "multischema_login_password": {"type": "str", "no_log": True},
    "multischema_unplaced": {"type": "str", "choices": ["refuse", "keep"], "default": "refuse"},
    "multischema_deadline_s": {"type": "float", "default": 300},
    "multischema_schemas": {
        "type": "list",
        "elements": "dict",
        "options": {"name": {"type": "str", "required": True}, "owner": {"type": "str"}},
    },
    "multischema_window": {"type": "dict", "options": {"start": {"type": "raw"}}},
}


def problems(**variables: Any) -> list[str]:
    return variable_problems({f"multischema_{name}": value for name, value in variables.items()}, SPECIFICATION)


@pytest.mark.parametrize(
    "fine",
    [
        {"workers": 2},
        {"workers": "2"},
        {"workers": None},
        {"no_log": "yes"},
        {"no_log": False},
        {"unplaced": "keep"},
        {"deadline_s": 1.5},
        {"deadline_s": "1.5"},
        {"schemas": [{"name": "a", "owner": None}]},
        {"schemas": []},
        {"placement": [{"tables": "a"}, {"types": ["b"]}, {"tables": [], "types": "*"}]},
        {"window": {"start": 1}},
        {"login_password": "s3cr3t"},
    ],
)
def test_what_can_be_used_is_no_problem(fine: dict[str, Any]) -> None:
    assert problems(**fine) == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"workers": "many"}, "multischema_workers is 'many': write a whole number, for example 1."),
        ({"workers": True}, "multischema_workers is True: write a whole number, for example 1."),
        ({"workers": 1.5}, "multischema_workers is 1.5: write a whole number"),
        ({"no_log": "maybe"}, "multischema_no_log is 'maybe': write true or false"),
        ({"no_log": 2}, "multischema_no_log is 2: write true or false"),
        ({"unplaced": "refus"}, "multischema_unplaced is 'refus': write one of refuse, keep. Did you mean refuse?"),
        ({"deadline_s": "soon"}, "multischema_deadline_s is 'soon': write a number"),
        ({"schemas": "a, b"}, "multischema_schemas is 'a, b': write a list of mappings with name, owner."),
        ({"schemas": ["a"]}, "multischema_schemas[0] is 'a': write a mapping with name, owner."),
        ({"schemas": [{"owner": "x"}]}, "multischema_schemas[0] has no name: every entry needs name."),
        ({"placement": [{"types": None}]}, "multischema_placement[0] has no tables: every entry needs one of tables, types."),
        (
            {"schemas": [{"name": "a", "ownr": "x"}]},
            "multischema_schemas[0].ownr is unknown: write one of name, owner. Did you mean owner?",
        ),
        ({"schemas": [{"name": ["a"]}]}, "multischema_schemas[0].name is ['a']: write text."),
        ({"window": "now"}, "multischema_window is 'now': write a mapping with start."),
        ({"wokers": 2}, "multischema_wokers is unknown: nothing reads it. Did you mean multischema_workers?"),
        ({"xyzzy": 2}, "multischema_xyzzy is unknown: nothing reads it."),
    ],
)
def test_a_problem_is_said_in_one_sentence(wrong: dict[str, Any], said: str) -> None:
    (found,) = problems(**wrong)
    assert found.startswith(said)


def test_all_problems_are_said_in_the_order_of_their_names() -> None:
    found = problems(workers="x", no_log="x", wokers=1)
    assert [text.split()[0] for text in found] == ["multischema_no_log", "multischema_wokers", "multischema_workers"]


def test_a_secret_of_the_wrong_type_is_not_shown() -> None:
    (found,) = problems(login_password=["s3cr3t"])
    assert found == "multischema_login_password is something else (not shown): write text."


def test_a_long_value_is_cut() -> None:
    (found,) = problems(workers="x" * 500)
    assert len(found) < 150


# --- failed_checks ---


def test_failed_checks_are_listed_with_what_to_do_and_fit_the_terminal() -> None:
    checks = [
        {"name": "connection", "status": "pass", "detail": "all is well", "remedy": ""},
        {"name": "backup", "status": "fail", "detail": "there is none " * 9, "remedy": "run backup.yml " * 9},
        {"name": "room", "status": "warn", "detail": "little is left", "remedy": ""},
        {"name": "locks", "status": "fail", "detail": "too few", "remedy": ""},
    ]
    lines = failed_checks(checks).split("\n")
    assert [line[:14] for line in lines if line.startswith("  - ")] == ["  - backup: th", "  - locks: too"]
    assert sum(line.startswith("    What to do: run") for line in lines) == 1
    assert max(map(len, lines)) <= WIDTH < sum(map(len, lines))
    assert failed_checks(checks[:1]) == ""
