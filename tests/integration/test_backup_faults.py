"""What stands in the way of a backup is refused before it begins; what goes wrong in the middle leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils import background
from ansible_collections.dbops.multischema.plugins.module_utils.background import Stopped, is_running, poll
from ansible_collections.dbops.multischema.plugins.module_utils.backup_place import Place
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError, JournalError, MultischemaError
from ansible_collections.dbops.multischema.plugins.module_utils.journal import Journal
from tests.integration.core import Core
from tests.integration.databases import PATIENCE_S, Target, wait_until
from tests.integration.evidence import JOURNAL
from tests.integration.probes import our_sessions
from tests.integration.taking import Backups, Held
from tests.support.disk import SmallDisk, why_not

pytestmark = pytest.mark.majors(18)
TABLES, PAGE, SPARE_PAGES = 200, 4096, 2
VALUES = {"schemas": [{"name": "past"}], "placement": [{"schema": "past", "tables": ["t"]}], "unplaced": "keep"}


@pytest.fixture
def table(empty: Target) -> Target:
    """A database with one table in it."""
    empty.execute("CREATE TABLE public.t (id int)", "INSERT INTO public.t VALUES (1)")
    return empty


@contextmanager
def locked(target: Target) -> Iterator[None]:
    """Somebody holds a lock that a dump waits for."""
    with target.session() as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN; LOCK TABLE public.t IN ACCESS EXCLUSIVE MODE")
        yield


@pytest.fixture
def held(table: Target, tmp_path: Path) -> Held:
    """Backups of it that wait in the middle."""
    return Held(Backups(table, tmp_path / "backups"), tmp_path / "programs")


def worker(job: Path) -> int:
    """The process that does the work."""
    return int((job / "lock").read_text())


def nobody_writes(backups: Backups) -> bool:
    """Whether the lock is free that the programs hold: the kernel gives it back when a process has no command line any more."""
    try:
        Place(backups.directory, backups.target.name).require_nobody_writing()
    except MultischemaError:
        return False
    return True


# --- before it begins ---


@pytest.mark.no_role("the options, before anybody connects")
def test_an_impossible_request_is_refused(table: Target, tmp_path: Path) -> None:
    backups = Backups(table, tmp_path / "backups")
    for values, said in (
        ({"dump_format": "custom", "recipients": ("age1nonsense",)}, "backup_age_recipients cannot be used"),
        ({"compression": "brotli"}, "no compression that pg_dump knows"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            backups.take(**values)
    assert backups.names() == []


@pytest.mark.own_roles("a role for which row security hides rows")
def test_a_role_that_cannot_read_everything_is_refused(table: Target, tmp_path: Path) -> None:
    role = f"reader_{table.name}"
    table.execute(
        f"CREATE ROLE {role} LOGIN PASSWORD 'x'",
        "CREATE TABLE public.hidden (id int)",
        "ALTER TABLE public.hidden ENABLE ROW LEVEL SECURITY",
        "CREATE SCHEMA shut CREATE TABLE shut.t (id int)",
        "CREATE SEQUENCE public.counter",
        f"GRANT SELECT ON public.hidden TO {role}",
    )
    backups = Backups(table, tmp_path / "backups")
    try:
        with pytest.raises(MultischemaError) as caught:
            backups.take(user=role, password="x")
        for words in (
            "public.counter (no SELECT on this sequence)",
            "public.hidden (its row security hides rows",
            "public.t (no SELECT)",
            "shut.t (no USAGE",
        ):
            assert words in caught.value.found
        table.execute("DROP TABLE public.t", "DROP SEQUENCE public.counter", "DROP SCHEMA shut CASCADE")
        with pytest.raises(MultischemaError, match="row security"):
            backups.take(user=role, password="x")
        table.execute(f"ALTER TABLE public.hidden OWNER TO {role}")
        assert backups.take(user=role, password="x").content.tables[0].name == "hidden"
    finally:
        table.execute("DROP TABLE public.hidden", f"DROP ROLE {role}")


@pytest.mark.no_role("which programs are on this machine")
def test_a_server_newer_than_every_pg_dump_is_refused(table: Target, tmp_path: Path) -> None:
    backups = Backups(table, tmp_path / "backups", tools_directory="/usr/lib/postgresql/15/bin")
    with pytest.raises(MultischemaError, match="PostgreSQL 18, and there is no pg_dump"):
        backups.take()
    assert backups.names() == []


def test_no_room_is_said_with_the_numbers(table: Target, tmp_path: Path) -> None:
    table.execute("INSERT INTO public.t SELECT generate_series(1, 400000)")
    percent = 2 * 100 * shutil.disk_usage(tmp_path).free // 14_000_000  # twice what is free, so that others may make room meanwhile
    backups = Backups(table, tmp_path / "backups", room_percent=percent)
    with pytest.raises(MultischemaError, match=rf"no room .* are free; the tables take 14\.\d MB .* {percent} %"):
        backups.take()
    assert backups.names() == []


def test_a_backup_does_not_begin_while_a_migration_is_at_work(table: Target, tmp_path: Path) -> None:
    core, backups = Core(table, VALUES), Backups(table, tmp_path / "backups")
    core.apply()
    with core.connect() as database:
        assert Journal(database).take_lease("other", "somebody@elsewhere") is None
    with pytest.raises(JournalError, match="A migration is at work on this database: somebody@elsewhere"):
        backups.take()
    assert backups.names() == []
    core.expire_lease()
    assert backups.take().name in backups.names()


def test_a_migration_does_not_begin_while_a_backup_is_taken(table: Target, held: Held) -> None:
    core = Core(table, VALUES)
    job = held.begin()
    with pytest.raises(JournalError, match=r"A dump of this database is running: .*dbops\.multischema backup of"):
        core.apply()
    assert table.value(f"SELECT to_regnamespace('{JOURNAL}')") is None
    held.go_on()
    assert poll(job, PATIENCE_S).result
    wait_until(lambda: our_sessions(table) == 0, "the server has noticed its end")
    core.apply()
    job = held.begin()
    with pytest.raises(JournalError, match="A dump of this database is running"):
        core.roll_back()
    held.go_on()
    assert poll(job, PATIENCE_S).result
    wait_until(lambda: our_sessions(table) == 0, "the server has noticed its end")
    core.roll_back()


@pytest.mark.no_role("files, whoever has read the rows")
def test_two_backups_of_a_database_are_not_taken_at_once(held: Held) -> None:
    job = held.begin()
    with pytest.raises(MultischemaError, match="is being written in"):
        held.backups.take()
    held.go_on()
    assert poll(job, PATIENCE_S).result


# --- in the middle ---


def test_a_lock_is_waited_for_as_long_as_is_said(table: Target, tmp_path: Path) -> None:
    backups = Backups(table, tmp_path / "backups")
    with locked(table), pytest.raises(MultischemaError, match="holds a lock on a table that lets nobody read it") as caught:
        backups.take(lock_wait_s=1.0)
    assert "backup_lock_wait_s" in caught.value.remedy
    assert backups.names() == []


@pytest.mark.no_role("files, whoever has read the rows")
def test_one_that_nobody_asks_about_stops_and_leaves_nothing(held: Held) -> None:
    job = held.begin(patience_s=0.5)
    wait_until(lambda: not is_running(job), "it stops")
    with pytest.raises(Stopped, match="Nobody has asked"):
        poll(job, 0.0)
    background.forget(job)
    assert (held.backups.names(), held.programs()) == ([], [])


@pytest.mark.no_role("files, whoever has read the rows")
def test_one_that_is_told_to_stop_leaves_nothing(held: Held) -> None:
    job = held.begin()
    os.kill(worker(job), signal.SIGTERM)
    with pytest.raises(Stopped):
        poll(job, PATIENCE_S)
    background.forget(job)
    assert (held.backups.names(), held.programs()) == ([], [])


@pytest.mark.no_role("files, whoever has read the rows")
def test_what_a_killed_one_leaves_is_never_called_a_backup_and_goes_with_the_next(held: Held) -> None:
    backups, job = held.backups, held.begin()
    os.kill(worker(job), signal.SIGKILL)
    with pytest.raises(MultischemaError, match="gone, and has left no result"):
        poll(job, PATIENCE_S)
    left = backups.names()
    assert [name for name in left if not name.startswith(".")] == []
    assert [name for name in left if name.endswith(".partial")]
    with pytest.raises(MultischemaError, match="what a killed run has left"):
        backups.take()  # its pg_dump still writes
    for pid in held.programs():
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: nobody_writes(backups), "it ends")
    assert (backups.names(), held.programs()) == (left, [])
    held.go_on()
    manifest = backups.take()
    assert backups.names() == [manifest.name]


@pytest.mark.no_role("sessions that are ended, whoever they are")
def test_one_whose_sessions_are_ended_leaves_nothing(held: Held) -> None:
    job = held.begin()
    held.backups.target.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'dbops%'"
    )
    held.go_on()
    with pytest.raises(MultischemaError):
        poll(job, PATIENCE_S)
    background.forget(job)
    assert (held.backups.names(), held.programs()) == ([], [])


@pytest.mark.no_role("files, whoever has read the rows")
def test_a_disk_that_fills_up_leaves_nothing(table: Target) -> None:
    missing = why_not()
    if missing:
        pytest.skip(reason=f"a disk cannot be filled here: {missing}")
    table.execute("INSERT INTO public.t SELECT generate_series(1, 200000)")
    with SmallDisk(600) as disk:
        backups = Backups(table, disk.path / "backups", compression="none", dump_format="custom")
        (disk.path / "job").mkdir()
        with pytest.raises(MultischemaError, match="No space left on device") as caught:
            backups.take()
        assert "is full" in caught.value.why
        assert backups.names() == []


@pytest.mark.no_role("files, whoever has read the rows")
def test_a_disk_that_has_no_room_for_the_manifest_leaves_nothing(table: Target, tmp_path: Path) -> None:
    missing = why_not()
    if missing:
        pytest.skip(reason=f"a disk cannot be filled here: {missing}")
    table.execute(*(f"CREATE TABLE public.table_{number} (id int)" for number in range(TABLES)))  # so that the manifest takes some pages
    whole = Backups(table, tmp_path / "backups", dump_format="custom")
    manifest = whole.take()
    pages = sum(-(-file.size // PAGE) for file in manifest.files)
    needed = -(-(whole.directory / manifest.name / "manifest.json").stat().st_size // PAGE)
    assert needed > 2 * SPARE_PAGES, "the spare pages would do"
    with SmallDisk(600) as disk:
        (disk.path / "job").symlink_to(tmp_path / "job")  # what is said meanwhile takes no room there
        disk.fill(but=(pages + SPARE_PAGES) * PAGE)
        backups = Backups(table, disk.path / "backups", dump_format="custom")
        with pytest.raises(MultischemaError, match=r"^Backups cannot be written to .*: No space left") as caught:
            backups.take()
        assert "failed:" not in caught.value.found, "a program has found no room"
        assert backups.names() == []
