"""What goes wrong in the middle of a backup or a restore leaves nothing that is taken for one, and the next plain run succeeds.

Each fault strikes both writers in the same run. A dump waits for a lock that the test holds, a restore for the end of a session of
the test's, so each is in the middle when the fault comes, however fast or slow the machine is.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from psycopg2.extensions import connection as Connection

from ansible_collections.dbops.multischema.plugins.module_utils.backup_acceptance import Demand, Found, judge
from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import MANIFEST, Manifest, parse_manifest
from tests.integration.databases import Target, wait_until
from tests.integration.evidence import State, require_same, state
from tests.lab import Host, Lab
from tests.lab.configure import temporary_directory
from tests.lab.machine import podman
from tests.lab.pictures import target
from tests.lab.playbook import BY_SSH, INVENTORY, Running, start

NAME = "backup_faults"
PLACE = temporary_directory(NAME)
SETTINGS = {"backup_directory": f"{PLACE}/backups", "backup_lock_wait_s": 600, "multischema_checklist": {"backup": {"required": True}}}
AS_POSTGRES = {"multischema_login_host": "", "multischema_login_unix_socket": "/var/run/postgresql", "multischema_login_user": "postgres"}
HOLDING = "a test holds restores"
# The dump reads large objects when it has dumped tables. A row is loaded only when no session holds restores; on the throwaway server of
# a proof there never is one.
MAKE = (
    "CREATE TABLE public.notes (id int PRIMARY KEY, text text)",
    "INSERT INTO public.notes SELECT n, repeat('note ', n % 9) FROM generate_series(1, 500) n",
    "SELECT lo_from_bytea(0, (SELECT decode(string_agg(md5(random()::text), ''), 'hex') FROM generate_series(1, 20000)))",
    f"""
    CREATE FUNCTION public.when_nobody_holds() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN
      WHILE EXISTS (SELECT FROM pg_catalog.pg_stat_activity WHERE application_name = '{HOLDING}') LOOP
        PERFORM pg_catalog.pg_sleep(0.1);
      END LOOP;
      RETURN true;
    END $$""",
    "CREATE TABLE public.slow (id int CHECK (public.when_nobody_holds()))",
    "INSERT INTO public.slow VALUES (1)",
)
WAITING_DUMP = """
SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
 WHERE l.relation = 'pg_catalog.pg_largeobject'::regclass AND NOT l.granted AND a.application_name = 'pg_dump'
"""
WAITING_RESTORE = f"SELECT count(*) FROM pg_stat_activity WHERE datname ~ '^{NAME}_restoring_' AND wait_event = 'PgSleep'"
DATABASES = f"SELECT datname::text FROM pg_database WHERE datname ~ '^{NAME}_' OR datname ~ 'scratch' ORDER BY 1"
PROGRAMS = "pg_dump|pg_restore|^/usr/bin/python3( |$)"  # nothing else of this user's is written in Python there
LONG_S = 300.0  # for ansible-playbook to get that far, on a machine with much to do
ASKING = "BECOME-SUCCESS"  # stands on the command line of what Ansible runs as another user
SESSIONS_OF_DEPLOY = "^sshd(-session)?: deploy"


@dataclass
class Writer:
    """One host, its database, and how both were."""

    host: Host
    database: Target
    before: State
    backups: list[str] = field(default_factory=list)

    def ls(self, *words: str) -> list[str]:
        """What lies among its backups."""
        return self.host.exec("find", f"{PLACE}/backups", *words, check=False).split()

    def named(self) -> list[str]:
        """What would be taken for a backup."""
        return sorted(self.ls("-mindepth", "3", "-maxdepth", "3", "-not", "-name", ".*"))

    def running(self) -> str:
        """Programs of a backup or a restore."""
        return self.host.exec("pgrep", "--euid", "postgres", "--list-full", "--full", PROGRAMS, check=False)

    def left(self) -> list[str]:
        """What is half-written, temporary, or a database that was not there."""
        files = self.ls("-mindepth", "3", "-maxdepth", "3", "-name", ".*.partial")
        temporary = self.host.exec("find", "/tmp", "/var/tmp", "-maxdepth", "1", "-name", "*multischema*").split()  # noqa: S108
        return [*files, *temporary, *(name for (name,) in self.database.rows(DATABASES))]

    def manifest(self, path: str) -> Manifest:
        """Of one of them."""
        return parse_manifest(self.host.exec("cat", f"{path}/{MANIFEST}").encode())

    def as_it_was(self) -> None:
        """Require that the fault has left nothing: no backup, nothing half-written, no program; and the live database as before."""
        wait_until(lambda: not self.running(), "the programs end")
        assert self.named() == self.backups
        assert self.left() == []
        require_same(self.before, state(self.database))

    def proved(self) -> None:
        """Require that one more backup is there, which was proved, and nothing else."""
        (new,) = set(self.named()) - set(self.backups)
        self.backups = self.named()
        assert self.manifest(new).proved
        assert self.ls("-mindepth", "3", "-maxdepth", "3", "-name", ".*", "-not", "-name", "*.lock") == []
        self.as_it_was()

    def unproved(self) -> None:
        """Require that one more backup is there, whole, and that preflight does not take it."""
        wait_until(lambda: not self.running(), "the programs end")
        (new,) = set(self.named()) - set(self.backups)
        self.backups = self.named()
        manifest = self.manifest(new)
        demand = Demand(manifest.database, manifest.ended, timedelta(hours=24))
        assert "nobody has restored it" in judge(Found(manifest.name, manifest), demand).refusal
        self.as_it_was()

    def killed(self) -> None:
        """Kill its server."""
        self.host.exec("systemctl", "kill", "--signal=KILL", self.host.postgres_unit)
        wait_until(lambda: self.host.exec("systemctl", "is-active", self.host.postgres_unit, check=False).strip() == "failed", "it is gone")


_logs = itertools.count(1)


def begin(playbook: str, by: tuple[object, ...] = INVENTORY, **variables: object) -> Running:
    """Start a playbook on both writers."""
    return start(NAME, playbook, f"{NAME}-{next(_logs)}-{playbook}", by, **SETTINGS, **variables)  # type: ignore[arg-type]


def plain_backup(writers: list[Writer]) -> None:
    """The next run of all: nobody has tidied up before."""
    begin("backup").wait().ok()
    for writer in writers:
        writer.proved()


def tidied(host: Host) -> None:
    """No trace of these tests on a host, whose services run; a run that has failed may have left anything."""
    host.server.start()
    host.exec("systemctl", "start", "ssh.service")
    for name in [NAME, *(name for (name,) in host.server.rows(DATABASES))]:
        host.server.drop_database(name)
    host.exec("rm", "-rf", PLACE)


@pytest.fixture(scope="module")
def writers() -> Iterator[list[Writer]]:
    """Both, with a small database."""
    hosts = Lab().writers
    for host in hosts:
        tidied(host)
    found = []
    for host in hosts:
        host.exec("install", "-d", "-m", "1777", PLACE)
        host.server.create_database(NAME)
        database = target(host, NAME)
        database.execute(*MAKE)
        found.append(Writer(host, database, state(database)))
    yield found
    for host in hosts:
        tidied(host)


@contextlib.contextmanager
def dumps_held(writers: list[Writer]) -> Iterator[list[Connection]]:
    """Let no dump read a large object; whoever closes one of the sessions lets that host's dump go on."""
    with contextlib.ExitStack() as stack:
        sessions = [stack.enter_context(writer.database.session()) for writer in writers]
        for session in sessions:
            with session.cursor() as cursor:
                cursor.execute("BEGIN; LOCK TABLE pg_catalog.pg_largeobject IN ACCESS EXCLUSIVE MODE")
        yield sessions


@contextlib.contextmanager
def restores_held(writers: list[Writer]) -> Iterator[None]:
    """Let no restore get past the table ``slow``."""
    with contextlib.ExitStack() as stack:
        for writer in writers:
            stack.enter_context(writer.database.session(dbname="postgres", application_name=HOLDING))
        yield


def reached(writers: list[Writer], running: Running, query: str, what: str) -> None:
    """Wait until it is in the middle on each host."""
    for writer in writers:
        wait_until(lambda w=writer: running.ended or bool(w.database.value(query)), what, LONG_S)  # type: ignore[misc]
    assert not running.ended, running.wait().said


@contextlib.contextmanager
def small_disks(writers: list[Writer]) -> Iterator[None]:
    """A disk of 8 MB below the backups of each."""
    directory = SETTINGS["backup_directory"]
    for writer in writers:
        writer.host.exec("install", "-d", "-o", "postgres", "-m", "0700", str(directory))
        # Only whoever has all of root's rights in a container may mount something there.
        mount = ["mount", "-t", "tmpfs", "-o", "size=8m,uid=postgres,gid=postgres,mode=0700", "tmpfs", str(directory)]
        podman("exec", "--privileged", writer.host.container, *mount)
    try:
        yield
    finally:
        for writer in writers:
            podman("exec", "--privileged", writer.host.container, "umount", str(directory))
            writer.backups = []


def test_a_disk_that_fills_up_in_the_middle_of_the_dump(writers: list[Writer]) -> None:
    """Somebody else takes all that is left; what is said then names the disk, and with some room again the next run has no trouble."""
    filler = f"{SETTINGS['backup_directory']}/filler"
    with small_disks(writers):
        with dumps_held(writers) as sessions:
            running = begin("backup")
            reached(writers, running, WAITING_DUMP, "the dump is at the large object")
            for writer, session in zip(writers, sessions, strict=True):
                assert len(writer.ls("-name", ".*.partial")) == 1
                writer.host.exec("dd", "if=/dev/zero", f"of={filler}", "bs=4096", check=False)
                session.close()
        ended = running.wait().failed("No space left on device")
        for writer in writers:
            assert ended.recap(writer.host.name, "failed") == 1
            writer.as_it_was()
            writer.host.exec("rm", filler)
        plain_backup(writers)


def test_a_server_that_is_killed_in_the_middle_of_the_dump(writers: list[Writer]) -> None:
    """With SIGKILL, by systemd, all of its processes; it comes back, and so does the backup."""
    with dumps_held(writers):
        running = begin("backup")
        reached(writers, running, WAITING_DUMP, "the dump is at the large object")
        for writer in writers:
            assert len(writer.ls("-name", ".*.partial")) == 1
            writer.killed()
        ended = running.wait().failed()
    for writer in writers:
        assert ended.recap(writer.host.name, "failed") == 1
        writer.host.server.start()
        writer.as_it_was()
    plain_backup(writers)


def test_a_host_that_is_out_of_reach_in_the_middle_of_the_dump(writers: list[Writer]) -> None:
    """Its sshd is gone, and whoever was in. The dump comes to its end, as nobody can tell it otherwise; none takes it for proved."""
    with dumps_held(writers):
        running = begin("backup", BY_SSH, **AS_POSTGRES, multischema_ssl_mode="prefer")
        reached(writers, running, WAITING_DUMP, "the dump is at the large object")
        try:
            for writer in writers:
                wait_until(lambda w=writer: bool(w.host.exec("pgrep", "--full", ASKING, check=False)), "it is asked for")  # type: ignore[misc]
                writer.host.exec("systemctl", "stop", "ssh.socket", "ssh.service", check=False)
                writer.host.exec("pkill", "--signal", "KILL", "--full", SESSIONS_OF_DEPLOY)
            ended = running.wait().failed()
        finally:
            for writer in writers:
                writer.host.exec("systemctl", "start", "ssh.service")
    for writer in writers:
        assert ended.recap(writer.host.name, "unreachable") == 1
        writer.unproved()
    plain_backup(writers)


def test_a_server_that_is_killed_in_the_middle_of_a_restore(writers: list[Writer]) -> None:
    """The live database is as it was; what was restored of the other one nobody could drop, and the next restore does."""
    with restores_held(writers):
        running = begin("restore", multischema_confirm=True)
        reached(writers, running, WAITING_RESTORE, "rows are loaded")
        for writer in writers:
            writer.killed()
        ended = running.wait().failed(f"The database {NAME} is as it was", "could not be dropped, and the next restore drops it")
    for writer in writers:
        assert ended.recap(writer.host.name, "failed") == 1
        writer.host.server.start()
        assert writer.named() == writer.backups
        assert len(writer.left()) == 1
        require_same(writer.before, state(writer.database))
        writer.database.execute("DELETE FROM public.notes")
    ended = begin("restore", multischema_confirm=True).wait().ok()
    assert "What an earlier restore has left is dropped first" in ended.said
    for writer in writers:
        assert writer.database.value("SELECT count(*) FROM public.notes") == 500
        (kept,) = writer.left()
        assert kept.startswith(f"{NAME}_before_restore_")
