"""A backup takes the place of the live database as a whole, or the live database is as it was: at every instant, whatever fails."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from ansible_collections.dbops.multischema.plugins.module_utils import database_swap
from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import PLAIN
from ansible_collections.dbops.multischema.plugins.module_utils.backup_verification import Trial
from ansible_collections.dbops.multischema.plugins.module_utils.connection import ConnectionSettings, parse_url
from ansible_collections.dbops.multischema.plugins.module_utils.errors import BackupRefused, MultischemaError
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.restoration import Prospect, look_ahead, restore
from ansible_collections.dbops.multischema.plugins.module_utils.unfinished_restore import marking, only_one
from tests.integration import backups
from tests.integration.broken_backups import Patient, substitute
from tests.integration.core import Core, MortalDatabase
from tests.integration.databases import Target, new_database, wait_until
from tests.integration.probes import Background, our_sessions
from tests.support.servers import Server

pytestmark = [pytest.mark.majors(18), pytest.mark.no_role("a restore makes databases and gives what is in them to its owners")]
MAKE = (
    "CREATE TABLE public.orders (id serial PRIMARY KEY, customer text)",
    "INSERT INTO public.orders (customer) SELECT 'customer ' || n FROM generate_series(1, 40) n",
    "CREATE TABLE public.notes (a int)",
)
LATER = ("DELETE FROM public.orders WHERE id > 10", "DROP TABLE public.notes", "CREATE TABLE public.mistake (a int)")
NAMES = "SELECT datname FROM pg_database WHERE datname LIKE %s ORDER BY 1"


class Swapping(MortalDatabase):
    """A connection of the swap. What ends sessions beside it, more often the longer it takes, does not count."""

    @staticmethod
    def _count() -> None:
        if threading.current_thread() is threading.main_thread():
            MortalDatabase._count()


@pytest.fixture
def live(server: Server) -> Iterator[Target]:
    """A database, as it is when it is backed up; its name is dropped with all that was made of it."""
    target = new_database(server)
    target.execute(*MAKE)
    yield target
    others = Target(server, "postgres")
    for (name,) in others.rows(NAMES, (f"{target.name}%",)):
        server.drop_database(name)


def settings(target: Target) -> ConnectionSettings:
    return parse_url(target.superuser_url)


def ahead(target: Target, directory: Path, *, foreign: bool = False) -> Prospect:
    return look_ahead(directory, settings(target), "postgres", foreign=foreign)


def trial(server: Server) -> Trial:
    return Trial(replace(backups.trial(server).restoring, tablespaces=True))


def done(target: Target, directory: Path) -> Prospect:
    """Restore it."""
    prospect = ahead(target, directory)
    restore(directory, prospect, settings(target), "postgres", trial(target.server))
    return prospect


def rows(target: Target) -> int:
    return int(target.value("SELECT count(*) FROM public.orders"))


def databases(target: Target) -> list[str]:
    return [name for (name,) in Target(target.server, "postgres").rows(NAMES, (f"{target.name}%",))]


@pytest.mark.parametrize("form", backups.FORMATS)
def test_the_backup_takes_the_place_of_the_live_database_which_is_kept(form: str, live: Target, tmp_path: Path) -> None:
    directory = backups.take(live, tmp_path, form)
    before = live.server.dump_schema(live.name)
    live.execute(*LATER)
    with live.session() as session, session.cursor() as cursor:
        prospect = done(live, directory)
        with pytest.raises(psycopg2.Error):
            cursor.execute("SELECT 1")
    assert live.server.dump_schema(live.name) == before
    assert rows(live) == 40
    assert databases(live) == sorted([live.name, prospect.kept])
    assert live.value("SELECT has_database_privilege('pg_monitor', current_database(), 'CONNECT, TEMP')"), "everybody may, as before"
    old = Target(live.server, prospect.kept)
    with pytest.raises(psycopg2.Error, match="not currently accepting connections"):
        rows(old)
    Target(live.server, "postgres").execute(f'ALTER DATABASE "{prospect.kept}" ALLOW_CONNECTIONS true')
    assert rows(old) == 10
    assert old.value("SELECT to_regclass('public.mistake') IS NOT NULL")


def test_what_hangs_on_the_database_hangs_on_the_restored_one(live: Target, tmp_path: Path) -> None:
    directory = backups.take(live, tmp_path)
    others = Target(live.server, "postgres")
    others.execute(
        "CREATE ROLE restoring_owner",
        'CREATE ROLE "restoring Web"',
        f"ALTER DATABASE {live.name} OWNER TO restoring_owner",
        f'ALTER DATABASE {live.name} SET search_path TO "$user", public, "a, \'b"',
        f"ALTER DATABASE {live.name} SET work_mem TO '7MB'",
        f"ALTER ROLE \"restoring Web\" IN DATABASE {live.name} SET application_name TO 'it''s \\ \"web\"'",
        f"ALTER DATABASE {live.name} CONNECTION LIMIT 17",
        f"REVOKE CONNECT, TEMP ON DATABASE {live.name} FROM PUBLIC",
        f'GRANT CONNECT ON DATABASE {live.name} TO "restoring Web" WITH GRANT OPTION',
        f"COMMENT ON DATABASE {live.name} IS 'it''s the shop'",
    )
    query = """
        SELECT r.rolname, d.datconnlimit, d.datallowconn, d.encoding, d.datcollate, d.datctype, shobj_description(d.oid, 'pg_database'),
               (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(d.datacl) a),
               (SELECT array_agg((s.setrole, s.setconfig)::text ORDER BY s.setrole) FROM pg_db_role_setting s WHERE s.setdatabase = d.oid)
          FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba WHERE d.datname = %s"""
    before = others.rows(query, (live.name,))
    done(live, directory)
    assert others.rows(query, (live.name,)) == before
    live.drop()
    others.execute(*(f'DROP DATABASE "{name}"' for name in databases(live)), "DROP ROLE restoring_owner", 'DROP ROLE "restoring Web"')


def test_what_is_not_proved_does_not_take_its_place(live: Target, tmp_path: Path) -> None:
    directory = backups.take(live, tmp_path, PLAIN)
    substitute(directory / "dump.sql", rb"customer 7\n", b"customer 8\n")
    Patient(directory, directory).fit()
    live.execute(*LATER)
    with live.session() as session, session.cursor() as cursor:
        with pytest.raises(BackupRefused, match=r"their content differs(.|\n)*is as it was"):
            done(live, directory)
        cursor.execute("SELECT count(*) FROM public.orders")
        assert cursor.fetchone() == (10,), "the session that was open goes on"
    assert databases(live) == [live.name]


def test_what_is_not_what_was_written_is_refused_before_anything_is_made(live: Target, tmp_path: Path) -> None:
    directory = backups.take(live, tmp_path)
    (directory / "globals.sql").write_text("-- nothing")
    with pytest.raises(BackupRefused, match=r"globals\.sql has \d+ bytes"):
        ahead(live, directory)


def test_a_backup_of_another_database_is_refused_unless_that_is_meant(live: Target, tmp_path: Path) -> None:
    other = new_database(live.server)
    other.execute("CREATE TABLE public.others (a int)")
    directory = backups.take(other, tmp_path)
    with pytest.raises(BackupRefused, match=f"is a backup of {other.name} of this server; this database is {live.name}"):
        ahead(live, directory)
    prospect = ahead(live, directory, foreign=True)
    restore(directory, prospect, settings(live), "postgres", trial(live.server))
    assert live.value("SELECT to_regclass('public.others') IS NOT NULL")
    other.drop()


def test_the_owner_who_may_not_know_where_the_server_keeps_its_data_is_told_so_and_not_refused(live: Target, tmp_path: Path) -> None:
    directory = backups.take(live, tmp_path)
    others = Target(live.server, "postgres")
    others.execute("CREATE ROLE restoring_owner CREATEDB LOGIN PASSWORD 'x'", f"ALTER DATABASE {live.name} OWNER TO restoring_owner")
    try:
        parameters = {**settings(live).parameters, "user": "restoring_owner", "password": "x"}
        found = look_ahead(directory, ConnectionSettings(parameters), "postgres", foreign=False)
        assert found.notes == ("How much is free on the server's disk cannot be seen from here.",)
    finally:
        others.execute(f"ALTER DATABASE {live.name} OWNER TO postgres", "DROP ROLE restoring_owner")


def test_an_earlier_backup_can_be_restored_after_another_one_was(live: Target, tmp_path: Path) -> None:
    directory = backups.take(live, tmp_path)
    first = done(live, directory)
    Target(live.server, "postgres").execute(f'DROP DATABASE "{first.kept}"')
    live.execute(*LATER)
    done(live, directory)
    assert rows(live) == 40


def test_what_a_restore_has_left_whose_server_died_is_named_and_goes_with_the_next_and_nothing_else_does(
    live: Target, tmp_path: Path
) -> None:
    directory = backups.take(live, tmp_path)
    others = Target(live.server, "postgres")
    endings = ("_restoring_0a1b2c3d", "_restoring_0a1b2c3e", "_x_restoring_0a1b2c3f", "_renamed")
    left, unmarked, of_another, renamed = (f"{live.name}{ending}" for ending in endings)
    for name in (left, unmarked, of_another, renamed):
        live.server.create_database(name)
    # One that somebody has given another name is somebody's, whatever its comment says.
    others.execute(marking(left, live.name), marking(of_another, f"{live.name}_x"), marking(renamed, live.name))
    assert ahead(live, directory).notes[-1] == f"What an earlier restore has left is dropped first: {left}."
    prospect = done(live, directory)
    assert databases(live) == sorted([live.name, prospect.kept, unmarked, of_another, renamed])
    assert live.value("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()") is None


def test_a_second_restore_does_not_begin_and_does_not_drop_what_the_first_one_fills(live: Target, tmp_path: Path) -> None:
    directory = backups.take(live, tmp_path)
    with only_one(settings(live).in_database("postgres"), live.name):
        filling = f"{live.name}_restoring_0a1b2c3d"
        live.server.create_database(filling)
        Target(live.server, "postgres").execute(marking(filling, live.name))
        with pytest.raises(MultischemaError, match=f"A restore of {live.name} is going on"):
            done(live, directory)
        assert databases(live) == [live.name, filling]


def test_a_prepared_transaction_is_in_the_way_and_named(live: Target, tmp_path: Path) -> None:
    directory = backups.take(live, tmp_path)
    with live.session() as session, session.cursor() as cursor:
        cursor.execute("BEGIN; INSERT INTO public.orders (customer) VALUES ('x'); PREPARE TRANSACTION 'its'")
        with pytest.raises(MultischemaError, match=r"prepared transactions in .*: 'its'"):
            ahead(live, directory)
        cursor.execute("ROLLBACK PREPARED 'its'")


def test_clients_that_come_back_at_once_do_not_keep_it_from_being_swapped(live: Target, tmp_path: Path) -> None:
    directory = backups.take(live, tmp_path)
    live.execute(*LATER)
    enough, seen = threading.Event(), [[rows(live)] for _ in range(4)]

    def come_back(seen: list[int]) -> None:
        while not enough.is_set():
            with contextlib.suppress(psycopg2.Error):
                seen.append(rows(live))

    clients = [Background(partial(come_back, reads)) for reads in seen]
    try:
        wait_until(lambda: all(len(reads) > 1 for reads in seen), "they read")
        done(live, directory)
        wait_until(lambda: all(40 in reads for reads in seen), "they read the new one")
    finally:
        enough.set()
        for client in clients:
            client.finish()
    assert {count for reads in seen for count in reads} == {10, 40}, "each reads the old database or the new one"
    assert all(reads == sorted(reads) for reads in seen), "whoever has read the new one never reads the old one again"


class Counting(Database):
    """A connection that counts what it is told to do."""

    told = 0

    def execute(self, statement: str, parameters: Any = None) -> int:
        """Count it once it is done."""
        found = super().execute(statement, parameters)
        self.told += 1
        return found


def test_who_comes_in_once_the_names_are_swapped_stays(live: Target) -> None:
    """Also where the process of the restore is held up at that instant, and still ends sessions."""
    other, new = Target(live.server, "postgres"), f"{live.name}_restoring_0"
    live.server.create_database(new)
    oids = {name: int(other.value("SELECT oid FROM pg_database WHERE datname = %s", (name,))) for name in (live.name, new)}
    ender = Counting(settings(other), "test")
    with ender, database_swap._sessions_ending(ender, oids):
        swapped = (
            f'ALTER DATABASE "{live.name}" RENAME TO "{live.name}_before_restore_0"',
            f'ALTER DATABASE "{new}" RENAME TO "{live.name}"',
        )
        other.execute(*swapped)
        with live.session() as session, session.cursor() as cursor:
            told = ender.told
            wait_until(lambda: ender.told > told + 2 * len(oids), "sessions are ended once more, and again")
            cursor.execute("SELECT 1")


def test_killed_at_any_statement_the_database_is_the_old_one_or_the_new_one(live: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    live.execute(*LATER)
    monkeypatch.setattr(database_swap, "Database", Swapping)
    other, new, kept = settings(live).in_database("postgres"), f"{live.name}_restoring_0", f"{live.name}_before_restore_0"
    seen = []
    for statements in range(30):
        live.server.create_database(new, live.name)
        Target(live.server, new).execute("DROP TABLE public.orders", MAKE[0], MAKE[1])
        killed = Core.killed_after(statements, lambda: database_swap.swap(other, live.name, new, kept))
        # What it has sent last may be to end whoever is in the database: us, by now.
        wait_until(lambda: our_sessions(Target(live.server, "postgres")) == 0, "the server has noticed its end")
        found = rows(live)
        seen.append((killed, found))
        there = databases(live)
        assert len(there) == 2, there
        assert (found, kept in there) in ((10, False), (40, True))
        if found == 40:
            break
        live.server.drop_database(new)
    assert seen[0] == (True, 10), "it was killed before it began"
    assert seen[-1][1] == 40, "and in the end it was done"
    assert len(seen) > 5, "it was killed between its statements"
