"""The server that backups are tried on is for us alone, and gone afterwards, however the trial has ended; and where the verdict goes."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.backup_files import read_backup
from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import BY_CHECKSUM, BY_RESTORE
from ansible_collections.dbops.multischema.plugins.module_utils.backup_verification import Trial, verify
from ansible_collections.dbops.multischema.plugins.module_utils.connection import parse_url
from ansible_collections.dbops.multischema.plugins.module_utils.journal import Journal
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.restoring import SurroundingsFailed
from ansible_collections.dbops.multischema.plugins.module_utils.scratch_server import ScratchServer, remove_abandoned
from ansible_collections.dbops.multischema.plugins.module_utils.watch import Watch
from tests.integration import backups
from tests.integration.databases import new_database, wait_until
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
    assert command_line(pid) == ""
    assert list(parent.iterdir()) == []


def test_what_a_killed_run_has_left_is_removed_and_what_is_in_use_is_not(server: Server, parent: Path) -> None:
    child = os.fork()
    if child == 0:
        try:
            make(server, parent).__enter__()
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    (left,) = parent.iterdir()
    pid = int((left / "data/postmaster.pid").read_text().splitlines()[0])
    assert command_line(pid), "the server of the killed run lives on"
    with make(server, parent) as scratch:
        assert list(parent.iterdir()) == [scratch.directory]
        wait_until(lambda: command_line(pid) == "", "the abandoned server ends")
        remove_abandoned(parent, backups.tools(server).program)
        with Database(scratch.settings("postgres")) as database:
            assert database.value("SELECT 1") == 1


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
