"""Backups by pgbackrest: taken while others write, proved by recovering to the recorded place, refused where they are not what they were.

A point in time is reached, and one database of it takes its place; what fails leaves the live one as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils import background, backup_physical_preflight
from ansible_collections.dbops.multischema.plugins.module_utils.backup_acceptance import Demand
from ansible_collections.dbops.multischema.plugins.module_utils.backup_files import read_backup
from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import PGBACKREST
from ansible_collections.dbops.multischema.plugins.module_utils.backup_physical import take
from ansible_collections.dbops.multischema.plugins.module_utils.backup_place import new_name
from ansible_collections.dbops.multischema.plugins.module_utils.backup_shelf import choose
from ansible_collections.dbops.multischema.plugins.module_utils.backup_trial import (
    Figures,
    ahead,
    find_to_restore,
    make_trial,
    run_restoration,
)
from ansible_collections.dbops.multischema.plugins.module_utils.backup_verification import recorded, recovered
from ansible_collections.dbops.multischema.plugins.module_utils.connection import parse_url
from ansible_collections.dbops.multischema.plugins.module_utils.errors import (
    BackupRefused,
    ConfigurationError,
    JournalError,
    MultischemaError,
)
from ansible_collections.dbops.multischema.plugins.module_utils.exact_moment import BY_QUIET, BY_SLOT
from ansible_collections.dbops.multischema.plugins.module_utils.journal import Journal
from ansible_collections.dbops.multischema.plugins.module_utils.pgbackrest import StanzaRefused
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.scratch_server import remove_abandoned
from ansible_collections.dbops.multischema.plugins.module_utils.watch import Watch
from tests.integration import backups
from tests.integration.databases import MAJORS, Target, new_database, wait_until
from tests.integration.physical_backups import (
    BYSTANDER,
    MAKE,
    PATIENCE_S,
    WRITE,
    Mortal,
    damaged,
    kept,
    looked,
    options,
    progress,
    request,
    rows,
    settings,
    taken,
    tried,
    writing,
)
from tests.integration.stanzas import STANZA, Archived, known_major
from tests.support.servers import Server

pytestmark = [
    pytest.mark.no_role("pgbackrest connects as it is configured, and a recovered cluster is read as its first superuser"),
    pytest.mark.xdist_group("pgbackrest"),  # one server, one repository
]
WAIT_S = 600.0  # reached only when something is wrong


@pytest.fixture(scope="module")
def archived() -> Iterator[Archived]:
    """A server with a stanza, and one full backup that later ones build on."""
    major = known_major()
    if isinstance(major, str):
        pytest.skip(reason=major)
    # With whole pages in the WAL, as is usual: then other databases are left out of what is recovered.
    with Archived(major, {"full_page_writes": "on"}) as there:
        there.server.create_database(BYSTANDER)
        Target(there.server, BYSTANDER).execute(*MAKE)
        there.run("backup", "--type=full")
        yield there


@pytest.fixture
def shop(archived: Archived) -> Iterator[Target]:
    """A database of that server; it goes with all that was made of it."""
    target = new_database(archived.server)
    target.execute(*MAKE)
    yield target
    for (name,) in Target(archived.server, "postgres").rows("SELECT datname FROM pg_database WHERE datname LIKE %s", (f"{target.name}%",)):
        archived.server.drop_database(name)


# --- taken, proved, accepted ---


def test_a_backup_that_is_taken_while_others_write_is_proved_exactly_and_accepted(archived: Archived, shop: Target, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    elsewhere = archived.root / "elsewhere"
    elsewhere.mkdir()
    archived.own(elsewhere)
    shop.execute(f"CREATE TABLESPACE elsewhere LOCATION '{elsewhere}'", "CREATE TABLE public.far (a) TABLESPACE elsewhere AS SELECT 1")
    with writing(shop):
        directory = taken(archived, shop, folder)
    found = read_backup(directory)
    assert (found.engine, found.stanza, found.extra[PGBACKREST]["found_by"]) == (PGBACKREST, STANZA, BY_SLOT)
    assert found.extra[PGBACKREST]["unlogged"] == ["public.baskets", "public.baskets_id_seq"]
    assert found.database == backups.identity(shop)
    wait_until(lambda: shop.value("SELECT count(*) FROM pg_replication_slots") == 0, "the slot goes with its session")
    demand = Demand(found.database, datetime.now(timezone.utc), timedelta(hours=1))
    judgements, accepted = choose(folder, demand)
    assert accepted is None
    assert "nobody has restored it" in judgements[0].refusal
    verdict = tried(archived, directory)
    assert verdict["passed"], verdict
    assert f"recovered to the recorded instant {found.extra[PGBACKREST]['lsn']}" in verdict["where"]
    assert choose(folder, demand)[1] == read_backup(directory)
    assert archived.left_behind() == []
    shop.execute("DROP TABLE public.far", "DROP TABLESPACE elsewhere")


def test_a_difference_is_found(archived: Archived, shop: Target, tmp_path: Path) -> None:
    """One row that was recorded otherwise: the comparison does compare."""
    directory = taken(archived, shop, tmp_path / "backups")
    found = read_backup(directory)
    orders = next(table for table in found.content.tables if table.name == "orders")
    others = tuple(table for table in found.content.tables if table.name != "orders")
    content = replace(found.content, tables=(*others, replace(orders, digest=str(int(orders.digest or 0) + 1))))
    backups.rehashed(directory, found, content=content)
    verdict = tried(archived, directory)
    assert list(verdict["differences"]) == ["public.orders: 400 rows as recorded, but their content differs"], verdict


def test_without_a_slot_a_quiet_instant_is_as_exact(archived: Archived, shop: Target, tmp_path: Path) -> None:
    role = f"{shop.name}_reader"
    shop.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'", f"GRANT pg_read_all_data, pg_monitor TO {role}")
    shop.execute(f"GRANT SELECT ON LARGE OBJECT {shop.value('SELECT min(oid) FROM pg_largeobject_metadata')} TO {role}")
    given = parse_url(shop.server.url(shop.name, role, "secret"))
    folder = tmp_path / "backups"
    directory = Path(take(new_name(shop.name), request(archived, folder), given, progress(folder))["directory"])
    assert read_backup(directory).extra[PGBACKREST]["found_by"] == BY_QUIET
    assert tried(archived, directory)["passed"]
    with shop.session() as session, session.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(WRITE, (7,))
        with pytest.raises(MultischemaError, match=r"no instant at which nothing was being written(.|\n)*wal_level = logical"):
            take(new_name(shop.name), request(archived, folder, lock_wait_s=1), given, progress(folder))
        cursor.execute("ROLLBACK")
    assert [path.name for path in folder.iterdir() if not path.name.endswith(".lock")] == [directory.name], "nothing of it is left"
    shop.execute(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_a_recovered_copy_archives_nothing_listens_nowhere_and_subscribes_to_nothing(
    archived: Archived, shop: Target, tmp_path: Path
) -> None:
    shop.execute(
        "CREATE SUBSCRIPTION from_elsewhere CONNECTION 'host=/nowhere dbname=x' PUBLICATION p WITH (connect = false, slot_name = NONE)",
        "ALTER SYSTEM SET work_mem = '5MB'",
    )
    found = read_backup(taken(archived, shop, tmp_path / "backups"))
    before = archived.run("info", "--output=json")
    with Watch() as watch:
        trial = make_trial(
            found, options(archived, tmp_path), parse_url(archived.server.url("postgres")), Figures(progress(tmp_path / "x"), found), watch
        )
        assert trial is not None
        with recovered(found, trial, recorded(found)) as server, Database(server.settings(shop.name), "test") as database:
            names = ("archive_mode", "archive_command", "listen_addresses", "max_logical_replication_workers", "work_mem")
            shown = {name: database.value(f"SHOW {name}") for name in names}
            workers = database.value("SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'logical replication%'")
            database.execute("CREATE TABLE public.written_to_the_copy (a int)")
            database.execute("SELECT pg_switch_wal()")
    assert shown == {
        "archive_mode": "off",
        "archive_command": "(disabled)",
        "listen_addresses": "",
        "max_logical_replication_workers": "0",
        "work_mem": "4MB",
    }
    assert workers == 0
    assert archived.run("info", "--output=json") == before, "no WAL of the copy is in the live stanza"
    shop.execute("DROP SUBSCRIPTION from_elsewhere", "ALTER SYSTEM RESET work_mem")


# --- refused ---


def test_what_is_missing_is_refused_with_what_to_write(archived: Archived, shop: Target, tmp_path: Path) -> None:
    stanza = request(archived, tmp_path).stanza
    assert stanza is not None
    for wrong, reason in (
        (replace(stanza, name=""), r"backup_stanza is not set(.|\n)*pgbackrest info"),
        (replace(stanza, name="nobody"), rf"no stanza nobody(.|\n)*There is: {STANZA}(.|\n)*stanza-create"),
        (replace(stanza, program="/nonexistent/pgbackrest"), r"no program /nonexistent/pgbackrest(.|\n)*apt-get install pgbackrest"),
        (replace(stanza, repo=3), r"no repository 3; it has 1"),
        (replace(stanza, config=str(tmp_path / "none.conf")), "none.conf"),
    ):
        with pytest.raises((StanzaRefused, ConfigurationError)) as refused:
            looked(archived, shop, tmp_path, stanza=wrong)
        assert refused.match(reason), str(refused.value)


def test_the_stanza_of_another_cluster_is_refused(archived: Archived, tmp_path: Path) -> None:
    with Server(major=archived.server.major, fsync=False, settings={"archive_mode": "off"}) as other:
        target = Target(other, "postgres")
        with pytest.raises(StanzaRefused, match=r"archive_mode is off(.|\n)*archive_mode = on and archive_command = 'pgbackrest"):
            looked(archived, target, tmp_path)
        other.stop()
        other.settings |= {"archive_mode": "on", "archive_command": "/bin/true"}
        other.start()
        with pytest.raises(StanzaRefused, match=r"does not go to pgbackrest: archive_command is '/bin/true'"):
            looked(archived, target, tmp_path)
        other.execute("ALTER SYSTEM SET archive_command = 'true pgbackrest'")
        other.stop()
        other.settings.pop("archive_command")
        other.start()
        with pytest.raises(StanzaRefused, match=r"that of another cluster \(system identifier \d+\); this server's is \d+"):
            looked(archived, target, tmp_path)


def test_none_begins_while_a_migration_is_at_work(archived: Archived, shop: Target, tmp_path: Path) -> None:
    with Database(settings(shop), "test") as database:
        journal = Journal(database)
        journal.create()
        assert journal.take_lease("other", "somebody@elsewhere") is None
        with pytest.raises(JournalError, match="A migration is at work on this database: somebody@elsewhere"):
            taken(archived, shop, tmp_path / "backups")
        journal.release_lease("other")
    assert looked(archived, shop, tmp_path).tables > 2


def test_a_stanza_that_somebody_has_stopped_is_refused(archived: Archived, shop: Target, tmp_path: Path) -> None:
    archived.run("stop")
    try:
        with pytest.raises(StanzaRefused, match=rf"stop file exists(.|\n)*pgbackrest --stanza={STANZA} start"):
            looked(archived, shop, tmp_path)
    finally:
        archived.run("start")
    assert looked(archived, shop, tmp_path).tables == 2


def test_a_server_that_pgbackrest_does_not_know_yet_is_refused_in_those_words(tmp_path: Path) -> None:
    """On the newest one there is, until the distribution's pgbackrest has caught up with it."""
    major = known_major()
    if isinstance(major, str):
        pytest.skip(reason=major)
    there = Archived(MAJORS[-1])
    try:
        there.prepare()
        if there.knows_the_server():
            pytest.skip(reason=f"this pgbackrest knows PostgreSQL {MAJORS[-1]}")
        said = r"does not know the server's version of PostgreSQL(.|\n)*newer pgbackrest(.|\n)*backup_engine: pg_dump"
        with pytest.raises(StanzaRefused, match=said):
            looked(there, Target(there.server, "postgres"), tmp_path)
    finally:
        there.remove()


def test_another_user_than_the_server_s_is_refused(
    archived: Archived, shop: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_physical_preflight, "server_identity", lambda: {"user": 12345})
    said = rf"belong to {archived.owner}, and pgbackrest would run as user 12345(.|\n)*become_user to {archived.owner}"
    with pytest.raises(StanzaRefused, match=said):
        looked(archived, shop, tmp_path)


def test_a_backup_that_pgbackrest_has_no_more_is_refused_and_its_manifest_goes(archived: Archived, shop: Target, tmp_path: Path) -> None:
    directory = taken(archived, shop, tmp_path / "backups")
    found = read_backup(directory)
    archived.run("expire", f"--set={found.label}")
    with pytest.raises(BackupRefused, match=f"has no backup {found.label} any more"):
        tried(archived, directory)
    demand = Demand(found.database, datetime.now(timezone.utc), timedelta(hours=1))
    assert f"has no backup {found.label} any more" in choose(directory.parent, demand)[0][0].refusal
    result = take(new_name(shop.name), request(archived, directory.parent), settings(shop), progress(directory.parent))
    assert result["removed"] == [directory.name]
    assert not directory.exists()


def test_a_file_that_has_changed_in_the_repository_is_found_both_ways(archived: Archived, shop: Target, tmp_path: Path) -> None:
    directory = taken(archived, shop, tmp_path / "backups")
    assert tried(archived, directory, method="checksum")["passed"]
    damaged(archived, read_backup(directory))
    with pytest.raises(BackupRefused, match=r"is not what was written: backup: \S+: of its files 1 checksum invalid"):
        tried(archived, directory, method="checksum")
    verdict = tried(archived, directory)
    assert not verdict["passed"]
    assert "pgbackrest restore of the stanza shop has failed" in verdict["differences"][0]
    assert not read_backup(directory).proved
    archived.run("expire", f"--set={read_backup(directory).label}")


def test_wal_that_is_gone_is_found(archived: Archived, shop: Target, tmp_path: Path) -> None:
    directory = taken(archived, shop, tmp_path / "backups")
    segments = sorted((archived.repository / "archive" / STANZA).rglob("0*-*.lz4"))
    hidden = {path: path.read_bytes() for path in segments[-2:]}
    for path in hidden:
        path.unlink()
    verdict = tried(archived, directory)
    assert not verdict["passed"]
    assert "recovery to the recorded instant" in verdict["differences"][0]
    for path, data in hidden.items():
        path.write_bytes(data)
        archived.own(path)


# --- restored ---


def test_what_was_deleted_after_a_time_is_back_and_the_live_database_kept(archived: Archived, shop: Target, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    directory = taken(archived, shop, folder)
    shop.execute("INSERT INTO public.orders (customer) VALUES ('after the backup')")
    when = str(shop.value("SELECT pg_sleep(0.01)::text || clock_timestamp()::text"))
    shop.execute("DELETE FROM public.orders WHERE id > 10", "CREATE TABLE public.mistake (a int)")
    asked = options(archived, folder, target_time=when)
    assert find_to_restore(asked) == directory
    assert "what was committed by then" in ahead(directory, asked, settings(shop)).to_dict()["until"]
    result = run_restoration(directory, asked, settings(shop), progress(folder))
    assert rows(shop) == 401
    assert shop.value("SELECT to_regclass('public.mistake') IS NULL")
    assert kept(shop) == [result["kept"]]
    assert result["last"] < when
    Target(shop.server, "postgres").execute(f'ALTER DATABASE "{result["kept"]}" ALLOW_CONNECTIONS true')
    assert rows(Target(shop.server, result["kept"])) == 10
    assert archived.left_behind() == []


def test_a_restore_that_cannot_get_there_leaves_the_live_database_as_it_was(archived: Archived, shop: Target, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    directory = taken(archived, shop, folder)
    shop.execute("DELETE FROM public.orders WHERE id > 10")
    for asked, reason in (
        ({"target_time": "2020-01-01 00:00:00+00"}, "no backup by pgbackrest in"),
        ({"target_time": "2020-01-01 00:00:00+00", "name": directory.name}, "cannot be brought to 2020-01-01"),
        ({"target_name": "nobody made it"}, r"recovery to the restore point 'nobody made it' has failed(.|\n)*reached"),
    ):
        given = options(archived, folder, **asked)
        with pytest.raises(BackupRefused, match=reason):
            run_restoration(find_to_restore(given), given, settings(shop), progress(folder))
    assert rows(shop) == 10
    assert kept(shop) == []
    assert archived.left_behind() == []


@pytest.mark.parametrize("doing", ["restoring", "dumping"])
def test_a_restore_that_is_killed_leaves_the_live_database_as_it_was_and_the_next_one_cleans_up(
    archived: Archived, shop: Target, tmp_path: Path, doing: str
) -> None:
    """While pgbackrest restores, which outlives it; and when the recovered server is there, which does too."""
    folder, job = tmp_path / "backups", tmp_path / "killed"
    directory = taken(archived, shop, folder)
    shop.execute("DELETE FROM public.orders WHERE id > 10")
    asked, live = options(archived, folder), settings(shop)
    background.start(job, lambda _: run_restoration(directory, asked, live, Mortal(job, doing)), PATIENCE_S)
    with pytest.raises(MultischemaError, match="gone, and has left no result"):
        background.poll(job, WAIT_S)
    assert rows(shop) == 10
    assert kept(shop) == []
    assert archived.left_behind() != []
    assert tried(archived, directory)["passed"]

    def cleaned_up() -> bool:
        """What has outlived the process that was killed keeps its directory until it ends."""
        remove_abandoned(archived.scratch, lambda name: str(archived.server.bin_dir / name))
        return archived.left_behind() == []

    wait_until(cleaned_up, "nothing is left", WAIT_S)
