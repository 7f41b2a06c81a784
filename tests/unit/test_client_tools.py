"""Which programs are taken, how they compress, and how they are told where to connect."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils import client_tools
from ansible_collections.dbops.multischema.plugins.module_utils.client_tools import (
    DUMPING,
    RESTORING,
    choose_compression,
    connection_string,
    find_tools,
    libpq_environment,
)
from ansible_collections.dbops.multischema.plugins.module_utils.connection import PASSED_ON, ConnectionSettings, parse_url
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError, MultischemaError

# Says a version; as pg_dump it refuses the compressions that it was not built with, as the real one does: before it connects.
PROGRAM = """#!/bin/sh
if [ "$1" = --version ]; then echo "{name} (PostgreSQL) {version}"; exit; fi
case "$*" in
  *--compress=zstd*{without}*) echo "pg_dump: error: invalid compression specification: this build does not support it" >&2; exit 1;;
esac
echo "pg_dump: error: connection to server on socket /nonexistent failed" >&2; exit 1
"""


def install(directory: Path, version: str, names: tuple[str, ...] = (*DUMPING, *RESTORING), zstd: bool = False) -> str:
    """Programs of a version in a directory of their own."""
    directory.mkdir()
    for name in names:
        file = directory / name
        file.write_text(PROGRAM.format(name=name, version=version, without="never" if zstd else ""))
        file.chmod(0o755)
    return str(directory)


@pytest.fixture(autouse=True)
def _nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(client_tools, "_INSTALLED", (str(tmp_path / "lib" / "*" / "bin"),))
    monkeypatch.setenv("PATH", "/nonexistent")


def offer(monkeypatch: pytest.MonkeyPatch, *directories: str) -> None:
    """Put directories into PATH, and /bin behind them for the programs' own sake."""
    monkeypatch.setenv("PATH", ":".join([*directories, "/bin", "/usr/bin"]))
    monkeypatch.setattr(client_tools, "_directories", lambda _: list(directories))


@pytest.mark.parametrize(
    ("server", "there", "taken"),
    [(150018, ("14.2", "15.18", "18.4"), "15.18"), (160003, ("15.18", "18.4", "17.1"), "17.1"), (190000, ("19beta1",), "19beta1")],
)
def test_the_server_s_own_version_is_taken_else_the_next_newer_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: int, there: tuple[str, ...], taken: str
) -> None:
    offer(monkeypatch, *(install(tmp_path / version, version) for version in there))
    assert find_tools(server, DUMPING).versions["pg_dump"] == taken


def test_a_server_newer_than_every_program_is_refused_with_what_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    offer(monkeypatch, install(tmp_path / "15", "15.18"), install(tmp_path / "14", "14.2"))
    with pytest.raises(MultischemaError) as caught:
        find_tools(180004, DUMPING)
    text = str(caught.value)
    assert "PostgreSQL 18, and there is no pg_dump and pg_dumpall of version 18 or newer" in text
    assert f"version 15 in {tmp_path / '15'}" in text
    assert "postgresql-client-18" in text


def test_programs_of_one_directory_are_taken_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    only_dump = install(tmp_path / "dump", "18.4", ("pg_dump",))
    offer(monkeypatch, only_dump)
    with pytest.raises(MultischemaError, match="version 18 without pg_dumpall"):
        find_tools(180004, DUMPING)
    offer(monkeypatch, only_dump, install(tmp_path / "all", "18.4"))
    assert find_tools(180004, DUMPING).directory == tmp_path / "all"


def test_only_the_directory_that_is_named_is_looked_into(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    offer(monkeypatch, install(tmp_path / "18", "18.4"))
    named = install(tmp_path / "15", "15.18")
    assert find_tools(150000, DUMPING, named).versions["pg_dump"] == "15.18"
    with pytest.raises(MultischemaError, match=str(tmp_path / "nothing")):
        find_tools(150000, DUMPING, str(tmp_path / "nothing"))


def test_the_server_s_own_programs_come_before_others_of_their_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    offer(monkeypatch, install(tmp_path / "other", "18.1"))
    own = install(tmp_path / "own", "18.4")
    assert find_tools(180004, DUMPING, own=own).versions["pg_dump"] == "18.4"
    assert find_tools(180004, DUMPING, str(tmp_path / "other"), own=own).versions["pg_dump"] == "18.1", "what is named counts alone"
    exact = install(tmp_path / "exact", "15.18")
    offer(monkeypatch, exact)
    assert str(find_tools(150018, DUMPING, own=own).directory) == exact, "a dump of an older server, of which there are programs too"


def test_programs_that_only_the_server_speaks_of_are_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    offer(monkeypatch, install(tmp_path / "other", "18.1"))
    own = install(tmp_path / "own", "18.4")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)  # what is there belongs to somebody who is neither us nor root
    trusted = os.stat(own).st_uid == 0
    assert find_tools(180004, DUMPING, own=own).versions["pg_dump"] == ("18.4" if trusted else "18.1")
    if trusted:
        os.chown(own, 54321, 54321)
        assert find_tools(180004, DUMPING, own=own).versions["pg_dump"] == "18.1"
    assert find_tools(180004, DUMPING, own=str(tmp_path / "of another machine")).versions["pg_dump"] == "18.1"


@pytest.mark.parametrize(
    ("own", "directory", "words"),
    [
        ("", "", "Where the server's own are, this role may not ask it (pg_config)."),
        ("/opt/pg18/bin", "", "The server has its own in /opt/pg18/bin, and this host has none there"),
        ("", "/srv/tools", "in /srv/tools; found: none.\n"),
    ],
)
def test_where_there_are_no_programs_it_is_said_where_they_were_looked_for(
    monkeypatch: pytest.MonkeyPatch, own: str, directory: str, words: str
) -> None:
    offer(monkeypatch)
    with pytest.raises(MultischemaError) as caught:
        find_tools(180004, DUMPING, directory, own)
    assert words in str(caught.value)
    assert caught.value.remedy.startswith("Install postgresql-client-18 ")
    assert "set backup_tools_directory to where the programs are" in caught.value.remedy


def test_a_wrapper_that_chooses_by_itself_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wrapper = tmp_path / "pg_wrapper"
    wrapper.write_text(PROGRAM.format(name="pg_dump", version="15.1", without=""))
    wrapper.chmod(0o755)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "pg_dump").symlink_to(wrapper)
    (tmp_path / "lib" / "15").mkdir(parents=True)
    installed = install(tmp_path / "lib" / "15" / "bin", "15.18")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin:/usr/bin")
    assert str(tmp_path / "bin") not in client_tools._directories("pg_dump")
    assert installed in client_tools._directories("pg_dump")


@pytest.mark.parametrize(("version", "zstd", "chosen"), [("18.4", True, "zstd:3"), ("18.4", False, "gzip:6"), ("15.1", True, "gzip:6")])
def test_the_best_compression_that_is_there_is_chosen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, zstd: bool, chosen: str
) -> None:
    offer(monkeypatch, install(tmp_path / "x", version, zstd=zstd))
    tools = find_tools(150000, DUMPING)
    assert choose_compression(tools, "") == choose_compression(tools, "auto") == chosen


def test_a_compression_that_this_pg_dump_lacks_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    offer(monkeypatch, install(tmp_path / "x", "18.4"))
    with pytest.raises(ConfigurationError, match="cannot do that"):
        choose_compression(find_tools(180000, DUMPING), "zstd:3")


@pytest.mark.parametrize("asked", ["gzip:10", "zstd:x", "none:1", "bzip2", "gzip:", "gzip:-1"])
def test_a_compression_that_nobody_knows_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, asked: str) -> None:
    offer(monkeypatch, install(tmp_path / "x", "18.4", zstd=True))
    with pytest.raises(ConfigurationError, match="no compression that pg_dump knows"):
        choose_compression(find_tools(180000, DUMPING), asked)


@pytest.mark.parametrize(
    ("version", "compression", "options"),
    [
        ("16.1", "zstd:3", ["--compress=zstd:3"]),
        ("15.1", "gzip:4", ["--compress=4"]),
        ("15.1", "none", ["--compress=0"]),
        ("15.1", "gzip", ["--compress=6"]),
    ],
)
def test_an_older_pg_dump_is_given_a_level_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, compression: str, options: list[str]
) -> None:
    offer(monkeypatch, install(tmp_path / "x", version))
    assert find_tools(150000, DUMPING).compression_options(compression) == options


def test_a_password_is_in_the_environment_and_in_no_command_line() -> None:
    settings = parse_url("postgresql://me:se%20cret@db.example:6000/shop?sslmode=require&keepalives_idle=5&application_name=x")
    environment = libpq_environment(settings)
    assert environment["PGPASSWORD"] == "se cret"
    assert (environment["PGHOST"], environment["PGPORT"], environment["PGUSER"], environment["PGSSLMODE"]) == (
        "db.example",
        "6000",
        "me",
        "require",
    )
    assert "PGAPPNAME" not in environment  # pg_dump's own name tells others what it is
    assert connection_string(settings) == "dbname='shop' keepalives_idle='5'"
    assert connection_string(settings.in_database("o'ther\\x")) == r"dbname='o\'ther\\x' keepalives_idle='5'"
    assert libpq_environment(settings.in_database("other"))["PGDATABASE"] == "other"


def test_what_a_url_may_hold_reaches_the_programs() -> None:
    """All but the name of the application, by which others know what a session is."""
    settings = ConnectionSettings({name: f"<{name}>" for name in PASSED_ON})
    passed = {*libpq_environment(settings).values(), connection_string(settings)}
    assert [name for name in PASSED_ON if not any(f"<{name}>" in text for text in passed)] == ["application_name"]
