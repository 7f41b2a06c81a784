"""A connection is read from a URL or from options, and no secret is ever shown."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.connection import parse_url, read_connection
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError

SECRET = "s3cr3t"


def parameters(url: str) -> dict[str, str]:
    return dict(parse_url(url).parameters)


def refused(url: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        parse_url(url)
    return str(caught.value)


def test_every_part_of_a_url_is_read() -> None:
    assert parameters("postgresql://migrator:s3cr3t@db.example.com:5433/shop?sslmode=require") == {
        "host": "db.example.com",
        "port": "5433",
        "user": "migrator",
        "password": "s3cr3t",
        "dbname": "shop",
        "sslmode": "require",
    }


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "POSTGRESQL"])
def test_both_schemes_are_known(scheme: str) -> None:
    assert parameters(f"{scheme}://h/shop") == {"host": "h", "dbname": "shop"}


def test_percent_encoding_is_undone_everywhere() -> None:
    assert parameters("postgresql://a%40b:p%40%2F%3F%23%25w@h/db%20x") == {
        "user": "a@b",
        "password": "p@/?#%w",
        "host": "h",
        "dbname": "db x",
    }


def test_an_ipv6_address_stands_in_brackets() -> None:
    assert parameters("postgresql://u@[2001:db8::1]:5433/shop")["host"] == "2001:db8::1"
    assert parameters("postgresql://u@[::1]/shop") == {"host": "::1", "user": "u", "dbname": "shop"}
    assert "cannot be used" in refused("postgresql://u@::1/shop")


def test_a_socket_directory_is_a_host() -> None:
    assert parameters("postgresql:///shop?host=/var/run/postgresql") == {"dbname": "shop", "host": "/var/run/postgresql"}
    assert parameters("postgresql://%2Fvar%2Frun%2FPostgreSQL/shop")["host"] == "/var/run/PostgreSQL"


def test_a_parameter_comes_before_the_part_of_the_same_name() -> None:
    assert parameters("postgresql://u@h/shop?dbname=other&host=h2") == {"host": "h2", "user": "u", "dbname": "other"}


@pytest.mark.parametrize(
    "parameter", ["schema=public", "connection_limit=5", "pool_timeout=10", "statement_cache_size=0", "socket_timeout=3"]
)
def test_what_only_prisma_reads_is_left_out_with_a_note(parameter: str) -> None:
    settings = parse_url(f"postgresql://u@h/shop?{parameter}&sslmode=require")
    assert dict(settings.parameters) == {"host": "h", "user": "u", "dbname": "shop", "sslmode": "require"}
    assert len(settings.notes) == 1
    assert parameter in settings.notes[0]


@pytest.mark.parametrize("value", ["true", "TRUE", "1"])
def test_a_url_through_a_pooler_is_refused(value: str) -> None:
    message = refused(f"postgresql://u:{SECRET}@h:6432/shop?pgbouncer={value}")
    assert "pooler" in message
    assert "DIRECT_URL" in message
    assert SECRET not in message


def test_a_url_that_says_pgbouncer_false_is_direct() -> None:
    assert parameters("postgresql://u@h/shop?pgbouncer=false") == {"host": "h", "user": "u", "dbname": "shop"}


@pytest.mark.parametrize("port", ["x", "99999", "0", "", "-1", "5432x"])
def test_a_malformed_port_is_refused(port: str) -> None:
    assert "port" in refused(f"postgresql://u@h:{port}/shop")


@pytest.mark.parametrize("url", ["postgresql://u@h", "postgresql://u@h/", "postgresql://u@h:5432/?sslmode=require"])
def test_a_url_without_a_database_is_refused(url: str) -> None:
    assert "names no database" in refused(url)


@pytest.mark.parametrize("url", ["mysql://u@h/shop", "jdbc:postgresql://h/shop", "h:5432/shop", "host=h dbname=shop", "://"])
def test_what_is_not_a_postgresql_url_is_refused(url: str) -> None:
    assert "does not begin with postgresql://" in refused(url)


def test_an_unknown_parameter_is_named() -> None:
    message = refused("postgresql://u@h/shop?sslmod=require")
    assert "'sslmod'" in message
    assert "percent-encoded" in message


# What a person writes who does not know that a password must be percent-encoded.
UNENCODED = ["#s3cr3t", "s3#cr3t", "s3/cr3t", "s3?cr3t", "s3 cr3t", "s3[cr3t", "12/s3cr3t", "12?s3cr3t", "12#s3cr3t"]


@pytest.mark.parametrize("password", UNENCODED)
def test_a_password_that_breaks_the_url_is_refused_without_showing_it(password: str) -> None:
    message = refused(f"postgresql://migrator:{password}@h:5432/shop")
    assert "percent-encoded" in message
    for part in re.split(r"[#/? \[]", password):
        assert len(part) < 2 or part not in message.replace("5432", "")


def test_a_password_that_breaks_a_url_without_a_database_is_refused() -> None:
    assert "34" not in refused("postgresql://u:12/34@h").replace("5432", "")


def test_a_plus_sign_is_a_plus_sign() -> None:
    assert parameters("postgresql://u@h/shop?password=a+b")["password"] == "a+b", "libpq decodes %XX and nothing else"


def test_nul_is_refused() -> None:
    assert "cannot be used" in refused(f"postgresql://u:{SECRET}%00@h/shop")


def test_the_password_is_in_neither_representation_nor_label_nor_notes() -> None:
    settings = parse_url(f"postgresql://migrator:{SECRET}@h:5433/shop?schema=public")
    assert settings.password == SECRET
    assert settings.label == "migrator@h:5433/shop"
    assert SECRET not in f"{settings!r} {settings} {settings.label} {settings.notes}"


def test_the_label_says_what_is_left_to_libpq() -> None:
    assert parse_url("postgresql:///shop").label == "default user@local socket:5432/shop"
    assert parse_url("postgresql://h?dbname=shop").label == "default user@h:5432/shop"


OPTIONS: dict[str, Any] = {"login_host": "h", "login_port": 5433, "login_user": "u", "login_password": SECRET, "login_db": "shop"}


def test_options_are_read() -> None:
    settings = read_connection({**OPTIONS, "ssl_mode": "verify-full", "ca_cert": "/ca.pem", "login_unix_socket": None})
    assert dict(settings.parameters) == {
        "host": "h",
        "port": "5433",
        "user": "u",
        "password": SECRET,
        "dbname": "shop",
        "sslmode": "verify-full",
        "sslrootcert": "/ca.pem",
    }
    assert settings.label == "u@h:5433/shop"


def test_what_is_not_given_is_left_to_libpq() -> None:
    assert dict(read_connection({"login_db": "shop", "login_host": ""}).parameters) == {"dbname": "shop", "sslmode": "prefer"}


def test_a_socket_comes_before_a_host() -> None:
    assert read_connection({**OPTIONS, "login_unix_socket": "/run/pg"}).parameters["host"] == "/run/pg"


def test_a_url_comes_before_the_other_options() -> None:
    assert dict(read_connection({**OPTIONS, "database_url": "postgresql://h2/other"}).parameters) == {"host": "h2", "dbname": "other"}


def test_an_empty_url_is_no_url() -> None:
    assert read_connection({**OPTIONS, "database_url": ""}).parameters["host"] == "h"


def test_options_without_a_database_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="No database is named") as caught:
        read_connection({**OPTIONS, "login_db": None})
    assert SECRET not in str(caught.value)
    assert "multischema_login_db" in str(caught.value)


def test_an_unknown_ssl_mode_is_refused_and_the_known_ones_are_listed() -> None:
    with pytest.raises(ConfigurationError, match="verify-full"):
        read_connection({**OPTIONS, "ssl_mode": "on"})
