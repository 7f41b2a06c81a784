"""What libpq and the server say becomes what is wrong and what to do, and holds no password."""

from __future__ import annotations

from typing import Any

import psycopg2
import pytest

from ansible_collections.dbops.multischema.plugins.module_utils import postgres
from ansible_collections.dbops.multischema.plugins.module_utils.blockers import Blocker
from ansible_collections.dbops.multischema.plugins.module_utils.connection import parse_url
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConnectionFailed, MultischemaError, ServerRefused
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database

SETTINGS = parse_url("postgresql://migrator:s3cr3t@db.example.com:5433/shop")


def explained(monkeypatch: pytest.MonkeyPatch, text: str) -> ConnectionFailed:
    def connect(**_: Any) -> Any:
        raise psycopg2.OperationalError(text)

    monkeypatch.setattr(psycopg2, "connect", connect)
    with pytest.raises(ConnectionFailed) as caught:
        Database(SETTINGS)
    return caught.value


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ('FATAL:  password authentication failed for user "migrator"', "multischema_login_password"),
        ("fe_sendauth: no password supplied", "multischema_login_password"),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1"', "pg_hba.conf"),
        ('FATAL:  Peer authentication failed for user "migrator"', "multischema_become_user"),
        ('FATAL:  database "shop" does not exist', "multischema_login_db"),
        ('FATAL:  role "migrator" does not exist', "multischema_login_user"),
        ('could not translate host name "db.example.com" to address', "multischema_login_host"),
        ("connection to server failed: Connection refused", "multischema_login_port"),
        ("connection to server failed: timeout expired", "multischema_login_port"),
        ('connection to server on socket "/tmp/.s.PGSQL.5433" failed: No such file or directory', "multischema_login_port"),
        ("server does not support SSL, but SSL was required", "multischema_ssl_mode"),
        ('root certificate file "/ca.pem" does not exist\nEither provide the file, or change sslmode', "multischema_ca_cert"),
        ("FATAL:  sorry, too many clients already", "max_connections"),
        ("FATAL:  the database system is starting up", "Wait until"),
        ("FATAL:  out of shared memory", "max_locks_per_transaction"),
        ("something that nobody has seen before", "Correct the connection settings"),
    ],
)
def test_a_failed_connection_says_what_to_do(monkeypatch: pytest.MonkeyPatch, text: str, remedy: str) -> None:
    error = explained(monkeypatch, text)
    assert remedy in error.remedy
    assert error.found.startswith("Cannot connect to migrator@db.example.com:5433/shop: ")


def test_the_password_is_masked_wherever_libpq_repeats_it(monkeypatch: pytest.MonkeyPatch) -> None:
    error = explained(monkeypatch, 'invalid connection option "password=s3cr3t" or s3cr3t')
    assert "s3cr3t" not in str(error)


def test_the_password_does_not_reach_the_label_of_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def connect(**parameters: Any) -> Any:
        seen.update(parameters)
        raise psycopg2.OperationalError("Connection refused")

    monkeypatch.setattr(psycopg2, "connect", connect)
    with pytest.raises(ConnectionFailed):
        Database(SETTINGS, "catalog")
    assert seen["application_name"] == "dbops.multischema catalog"
    assert seen["connect_timeout"] == "10"
    assert (seen["host"], seen["port"], seen["password"]) == ("db.example.com", "5433", "s3cr3t")


def test_a_url_may_set_its_own_timeout_and_not_the_application_name(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def connect(**parameters: Any) -> Any:
        seen.update(parameters)
        raise psycopg2.OperationalError("Connection refused")

    monkeypatch.setattr(psycopg2, "connect", connect)
    with pytest.raises(ConnectionFailed):
        Database(parse_url("postgresql://h/shop?connect_timeout=3&application_name=mine"))
    assert (seen["connect_timeout"], seen["application_name"]) == ("3", "dbops.multischema")


def test_without_the_driver_the_package_to_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "psycopg2", None)
    with pytest.raises(ConnectionFailed, match="psycopg2 is not installed") as caught:
        Database(SETTINGS)
    assert "python3-psycopg2" in caught.value.remedy


class FakeConnection:
    """Enough of a connection to get through the first questions."""

    def __init__(self, version: int, answering_pid: int = 7, libpq_pid: int = 7) -> None:
        self.version, self.answering_pid = version, answering_pid
        self.info = type("Info", (), {"backend_pid": libpq_pid})()
        self.autocommit, self.closed = False, 0
        self.description: Any = True
        self.rowcount = -1

    def cursor(self) -> FakeConnection:
        return self

    def __enter__(self) -> FakeConnection:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self, query: str, _parameters: Any) -> None:
        self.last = query

    def fetchall(self) -> list[tuple[Any, ...]]:
        return [("12.9",)] if self.last.startswith("SHOW") else [(self.version, self.answering_pid, True)]

    def close(self) -> None:
        self.closed = 1


def through(monkeypatch: pytest.MonkeyPatch, connection: FakeConnection) -> Database:
    monkeypatch.setattr(psycopg2, "connect", lambda **_: connection)
    return Database(SETTINGS)


def test_a_direct_connection_to_a_new_enough_server_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = FakeConnection(130000)
    assert not through(monkeypatch, connection).broken
    assert connection.autocommit


def test_a_server_that_is_too_old_is_refused_and_the_connection_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = FakeConnection(129999)
    with pytest.raises(ConnectionFailed, match=r"PostgreSQL 12\.9"):
        through(monkeypatch, connection)
    assert connection.closed


def test_a_pooler_is_recognized_by_the_process_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = FakeConnection(160000, answering_pid=8)
    with pytest.raises(ConnectionFailed, match="connection pooler") as caught:
        through(monkeypatch, connection)
    assert "5432 instead of 6432" in caught.value.remedy
    assert connection.closed


# --- errors and blockers ---


def test_an_error_says_what_was_found_why_and_what_to_do() -> None:
    assert str(MultischemaError("It is so. ", " Because.", "Do that.")) == "It is so.\nWhy: Because.\nWhat to do: Do that."
    assert str(MultischemaError("It is so.")) == "It is so."
    assert ServerRefused("no", sqlstate="42501", statement="DROP").sqlstate == "42501"


def blocker(**values: Any) -> Blocker:
    given: dict[str, Any] = {
        "pid": 7,
        "user": "web",
        "application": "",
        "backend_type": "client backend",
        "state": "active",
        "age_s": 1.25,
        "query": "SELECT 1",
        "relation": "orders",
        "mode": "AccessShareLock",
        "gid": None,
    }
    return Blocker(**{**given, **values})


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({}, "pid 7, user web, active, for 1.2 s, holds AccessShareLock on orders: SELECT 1"),
        ({"application": "puma"}, "pid 7, user web, puma, active, for 1.2 s, holds AccessShareLock on orders: SELECT 1"),
        (
            {"user": None, "state": None, "age_s": None, "query": None},
            "pid 7, user ?, state unknown, holds AccessShareLock on orders: (no query shown)",
        ),
        (
            {"backend_type": "autovacuum worker"},
            "pid 7, user web, autovacuum worker, active, for 1.2 s, holds AccessShareLock on orders: SELECT 1",
        ),
        ({"gid": "tx-1", "pid": None}, "prepared transaction 'tx-1' of web, for 1.2 s, holds AccessShareLock on orders"),
    ],
)
def test_who_stands_in_the_way_is_named(values: dict[str, Any], text: str) -> None:
    assert str(blocker(**values)) == text


@pytest.mark.parametrize(
    ("backend_type", "query", "yields", "must_not"),
    [
        ("autovacuum worker", "autovacuum: VACUUM public.orders", True, False),
        ("autovacuum worker", "autovacuum: VACUUM public.orders (to prevent wraparound)", False, True),
        ("autovacuum worker", None, True, False),
        ("client backend", "VACUUM (to prevent wraparound)", False, False),
    ],
)
def test_which_vacuums_give_way(backend_type: str, query: str | None, yields: bool, must_not: bool) -> None:
    found = blocker(backend_type=backend_type, query=query)
    assert (found.autovacuum, found.wraparound) == (yields, must_not)
