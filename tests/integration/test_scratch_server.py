"""The server that backups are tried on is for us alone, and gone afterwards, however the trial has ended; and where the verdict goes."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.backup_files import read_backup
from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import BY_CHECKSUM, BY_RESTORE
from ansible_collections.dbops.multischema.plugins.module_utils.backup_verification import Trial, verify
from ansible_collections.dbops.multischema.plugins.module_utils.connection import parse_url
from ansible_collections.dbops.multischema.plugins.module_utils.database_shape import DatabaseShape
from ansible_collections.dbops.multischema.plugins.module_utils.journal import Journal
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.restoring import SurroundingsFailed
from ansible_collections.dbops.multischema.plugins.module_utils.scratch_database import LOCK_CLASS, PREFIX, scratch_database
from ansible_collections.dbops.multischema.plugins.module_utils.scratch_server import (
    SOCKET,
    SOCKETS,
    SOCKETS_PREFIX,
    ScratchServer,
    remove_abandoned,
)
from ansible_collections.dbops.multischema.plugins.module_utils.watch import Watch
from tests.integration import backups
from tests.integration.databases import Target, new_database, wait_until
from tests.support.host import command_line
from tests.support.servers import Server

pytestmark = [pytest.mark.majors(18), pytest.mark.no_role("a server of its own is tried, never the database itself")]


@pytest.fixture
def parent() -> Iterator[Path]:
    """A directory that the server's user can enter, also where we are root."""
    path = Path(tempfile.mkdtemp(prefix="multischema-test-", dir="/var/tmp"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


def make(server: Server, parent: Path) -> ScratchServer:
    return ScratchServer(backups.tools(server).program, parent, "some one")


def test_nobody_else_can_reach_it_and_it_is_gone_afterwards(server: Server, parent: Path) -> None:
    with make(server, parent) as scratch:
        assert scratch.directory is not None
        assert scratch.directory.stat().st_mode & 0o077 == 0
        with Database(scratch.settings("postgres")) as database:
            assert database.value("SHOW listen_addresses") == ""
            assert database.value("SELECT current_user") == "some one"
        pid = int((scratch.directory / "data/postmaster.pid").read_text().splitlines()[0])
    wait_until(lambda: command_line(pid) == "", "it ends: it counts as stopped when its file has gone")
    assert list(parent.iterdir()) == []


def killed_within(entered: Callable[[], AbstractContextManager[object]]) -> None:
    """A process that enters a context and is killed there."""
    child = os.fork()
    if child == 0:
        try:
            context = entered()  # kept: a generator that nobody holds is closed
            context.__enter__()
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)


def left_by_a_killed_run(server: Server, parent: Path) -> Path:
    """The directory of a scratch server whose run was killed."""
    killed_within(lambda: make(server, parent))
    (left,) = parent.iterdir()
    return left


def test_what_a_killed_run_has_left_is_removed_and_what_is_in_use_is_not(server: Server, parent: Path) -> None:
    left = left_by_a_killed_run(server, parent)
    pid = int((left / "data/postmaster.pid").read_text().splitlines()[0])
    assert command_line(pid), "the server of the killed run lives on"
    with make(server, parent) as scratch:
        assert list(parent.iterdir()) == [scratch.directory]
        wait_until(lambda: command_line(pid) == "", "the abandoned server ends")
        remove_abandoned(parent, backups.tools(server).program)
        with Database(scratch.settings("postgres")) as database:
            assert database.value("SELECT 1") == 1


def test_where_the_path_is_too_long_for_a_socket_nothing_of_a_killed_run_stays_elsewhere(server: Server, parent: Path) -> None:
    long = parent / ("x" * 80)
    long.mkdir()
    shutil.chown(long, parent.owner())
    left = left_by_a_killed_run(server, long)
    outside = (left / SOCKET).readlink()
    assert outside.parent == SOCKETS
    assert [path.name for path in outside.iterdir()][-1].startswith(".s.PGSQL")
    remove_abandoned(long, backups.tools(server).program)
    assert not outside.exists()
    assert list(long.iterdir()) == []


@pytest.mark.parametrize("kind", ["elsewhere", "another name", "a link", "a file"])
def test_a_link_that_leads_to_something_else_takes_nothing_away(server: Server, parent: Path, tmp_path: Path, kind: str) -> None:
    left = left_by_a_killed_run(server, parent)
    shutil.rmtree(left / SOCKET)
    kept = tmp_path / f"{SOCKETS_PREFIX}kept"
    kept.mkdir()
    with tempfile.TemporaryDirectory(prefix="of-others-" if kind == "another name" else SOCKETS_PREFIX, dir=SOCKETS) as theirs:
        ours = Path(theirs) / "in it"
        ours.touch()
        there = {"elsewhere": kept, "another name": Path(theirs), "a link": Path(f"{theirs}_link"), "a file": Path(f"{theirs}_file")}[kind]
        if kind == "a link":
            there.symlink_to(theirs)
        if kind == "a file":
            there.touch()
        (left / SOCKET).symlink_to(there)
        remove_abandoned(parent, backups.tools(server).program)
        assert list(parent.iterdir()) == []
        assert ours.exists()
        assert there.exists()
        if kind in ("a link", "a file"):
            there.unlink()


def test_a_scratch_database_that_nobody_could_drop_goes_with_the_next_trial_and_nothing_else_does(server: Server, tmp_path: Path) -> None:
    target = new_database(server)
    directory = backups.take(target, tmp_path)
    url = parse_url(server.url("postgres"))
    others = Target(server, "postgres")

    def killed_trial(others_hold: int) -> None:
        killed_within(lambda: scratch_database(url, DatabaseShape()))
        held = f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = {LOCK_CLASS}"
        wait_until(lambda: others.value(held) == others_hold, "the server has noticed that it is gone")

    killed_trial(others_hold=0)
    existing = "SELECT datname FROM pg_database WHERE datname LIKE 'multischema_scratch_%'"
    left = others.value(existing)
    mark = others.value("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s", (left,))
    unmarked, renamed, in_use, from_elsewhere = theirs = [f"{PREFIX}{ending}" for ending in ("0" * 12, "renamed", "1" * 12, "2" * 12)]
    for name in theirs:
        server.create_database(name)
    for name in (renamed, in_use):
        others.execute(f"COMMENT ON DATABASE {name} IS '{mark}'")
    others.execute(f"COMMENT ON DATABASE {from_elsewhere} IS '{mark.replace('postgres', 'template1')}'")
    with Database(url) as maker:
        maker.value("SELECT pg_advisory_lock(%s, hashtext(%s))", (LOCK_CLASS, in_use))
        with scratch_database(url, DatabaseShape()) as (going_on, dropped):
            assert dropped == [left]
            trial = backups.trial(server)
            assert verify(directory, BY_RESTORE, trial)[0].proved
            assert trial.notes == [], "the one that is going on was taken for one of a killed run"
            assert {name for (name,) in others.rows(existing)} == {going_on.label.rpartition("/")[2], *theirs}
        killed_trial(others_hold=1)
        (left,) = {name for (name,) in others.rows(existing)} - set(theirs)
        assert verify(directory, BY_RESTORE, trial, again=True)[0].proved
        assert trial.notes == [f"What an earlier trial had left was dropped: the database {left}."]
    for name in (unmarked, renamed, in_use, from_elsewhere):
        server.drop_database(name)
    target.drop()


def test_a_trial_that_should_end_ends_and_leaves_nothing(server: Server, parent: Path, tmp_path: Path) -> None:
    target = new_database(server)
    target.execute("CREATE TABLE public.slow AS SELECT n FROM generate_series(1, 3) n")
    # Restoring it calls the function for the index, and would take an hour.
    target.execute(
        "CREATE FUNCTION public.sleepy(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS "
        "'BEGIN IF current_database() LIKE ''multischema%'' THEN PERFORM pg_catalog.pg_sleep(3600); END IF; RETURN $1; END'",
        "CREATE INDEX ON public.slow (public.sleepy(n))",
    )
    directory = backups.take(target, tmp_path)

    def check() -> None:
        if list(parent.glob("*/data/postmaster.pid")):
            raise KeyError("nobody asks")

    def work() -> None:
        with Watch(check) as watch:
            verify(directory, BY_RESTORE, Trial(backups.trial(server, watch=watch).restoring, parent))

    with pytest.raises(KeyError, match="nobody asks"):
        work()
    assert list(parent.iterdir()) == []
    assert read_backup(directory).verdict is None
    target.drop()


def test_where_there_is_no_room_nothing_is_said_about_the_backup(server: Server, tmp_path: Path) -> None:
    target = new_database(server)
    directory = backups.take(target, tmp_path)
    with pytest.raises(SurroundingsFailed, match="cannot be used"):
        verify(directory, BY_RESTORE, Trial(backups.trial(server).restoring, tmp_path / "nowhere"))
    assert read_backup(directory).verdict is None
    target.drop()


def test_comparing_checksums_is_a_weaker_verdict_that_never_replaces_the_stronger_one(server: Server, tmp_path: Path) -> None:
    target = new_database(server)
    directory = backups.take(target, tmp_path)
    manifest, changed = verify(directory, BY_CHECKSUM, None)
    assert changed
    assert not manifest.proved
    assert verify(directory, BY_CHECKSUM, None)[1] is False
    assert verify(directory, BY_RESTORE, backups.trial(server))[0].proved
    assert verify(directory, BY_CHECKSUM, None) == (read_backup(directory), False)
    assert verify(directory, BY_RESTORE, backups.trial(server)) == (read_backup(directory), False), "proved is proved"
    assert read_backup(directory).proved
    target.drop()


def test_the_verdict_goes_into_the_journal_where_there_is_one(server: Server) -> None:
    target = new_database(server)
    at = "2030-01-05T03:00:00Z"
    with Database(parse_url(target.superuser_url)) as database:
        assert not Journal(database).note_backup("b", passed=True, tried_at=at, differences=())
        assert target.value("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'multischema%'") == 0, "the database is untouched"
        Journal(database).create()
        assert Journal(database).note_backup("b", passed=False, tried_at=at, differences=["public.t is missing"])
        (row,) = Journal(database).export()["backup"]
        assert (row["name"], row["passed"], row["differences"]) == ("b", False, ["public.t is missing"])
        database.execute("DROP TABLE multischema_journal.backup")
        assert not Journal(database).note_backup("b", passed=True, tried_at=at, differences=()), "a journal of an earlier version"
        assert "backup" not in Journal(database).export()
    target.drop()
