"""A schema that the rollback takes away: no session stumbles over it, and nothing of it is left."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest

from ansible_collections.dbops.multischema.plugins.module_utils import retired_schemas
from ansible_collections.dbops.multischema.plugins.module_utils.errors import JournalError, StepFailed
from ansible_collections.dbops.multischema.plugins.module_utils.plain import to_plain
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.retired_schemas import drop_retired, retire
from ansible_collections.dbops.multischema.plugins.plugin_utils.slices import Slices
from tests.integration.core import Core
from tests.integration.databases import Target, wait_until
from tests.integration.evidence import JOURNAL, require_same, state
from tests.integration.head_start import moved
from tests.integration.placements import SAMPLE_TARGETS, SHOP, SHOP_SQL
from tests.integration.playbooks import Playbooks

PASSING = [f"passing_{n}" for n in range(12)]
_THERE = "SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'multischema_gone_%' ORDER BY 1"


@pytest.fixture
def shop(empty: Target) -> Core:
    """A small database of which everything is done, so that it can go back."""
    empty.execute(SHOP_SQL)
    core = Core(empty, SHOP)
    core.apply()
    return core


@contextlib.contextmanager
def open_transaction(target: Target) -> Iterator[psycopg2.extensions.connection]:
    """Of the superuser, whose sessions an ordinary role does not see into."""
    with target.session() as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT 'still here'")
        yield connection


def undone(core: Core) -> Slices:
    """The rollback up to where nothing is left but what was retired, and the journal."""
    return core.work("rollback", "", [{"seq": entry.seq, "step": to_plain(step)} for entry, step in core.way_back().steps])


def wait_until_it_waits(target: Target) -> None:
    """Until a run has looked which transactions are running, and looks again. Then it knows those that it waits for."""
    query = "SELECT query_start FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE %s"
    seen = set[tuple[object, ...]]()

    def looks_again() -> bool:
        seen.update(target.rows(query, ("%virtualxid%",)))
        return len(seen) > 1

    wait_until(looks_again, "the rollback waits")


@pytest.fixture
def passer_by(empty: Target) -> Iterator[None]:
    """A role of the application, and a table that it reads by its bare name."""
    empty.execute("DROP ROLE IF EXISTS passer_by", "CREATE ROLE passer_by")
    empty.execute("CREATE TABLE things (id int)", "GRANT SELECT ON things TO PUBLIC")
    yield
    empty.execute("DROP OWNED BY passer_by", "DROP ROLE passer_by")


def make(database: Database, *schemas: str) -> None:
    for name in schemas:
        database.execute(f"CREATE SCHEMA {name}")
        database.execute(f"GRANT USAGE ON SCHEMA {name} TO PUBLIC")


def waiting_for(gate: psycopg2.extensions.connection, session: psycopg2.extensions.connection) -> str | None:
    """The lock of pg_namespace that a session waits for, as the one sees it who can still look anything up."""
    with gate.cursor() as cursor:
        query = "SELECT mode FROM pg_locks WHERE relation = 'pg_catalog.pg_namespace'::regclass AND NOT granted AND pid = %s"
        cursor.execute(query, (session.info.backend_pid,))
        return next((mode for (mode,) in cursor), None)


def in_mid_lookup(target: Target, change: str) -> str | None:
    """Let a schema change between a session's two lookups of it.

    Each lookup locks pg_namespace for a moment. The session waits for its first one, by the name, behind somebody's lock of that
    table, and the change queues behind the session. Once the first lock goes, the session has its first lookup, then the change
    has its turn, and the session's second lookup, by the OID, waits for the end of that.

    :returns: the SQLSTATE by which the session's statement fails, if it does.
    """
    lock = "LOCK TABLE pg_catalog.pg_namespace IN ACCESS EXCLUSIVE MODE"
    with target.session() as gate, target.session() as session, target.session() as other, ThreadPoolExecutor(2) as threads:
        # What a session looks up for the first time would wait at this table too, and too early.
        session.cursor().execute(f"SET ROLE passer_by; SELECT FROM things; SET search_path = {PASSING[0]}, public")
        other.cursor().execute(f"BEGIN; {lock}; ROLLBACK")
        gate.cursor().execute(f"BEGIN; {lock}")
        reading = threads.submit(session.cursor().execute, "SELECT FROM things WHERE id = 3")
        wait_until(lambda: waiting_for(gate, session) == "AccessShareLock", "the session waits for its first lookup")
        changing = threads.submit(other.cursor().execute, f"BEGIN; {lock}; {change}; COMMIT")
        wait_until(lambda: waiting_for(gate, other) == "AccessExclusiveLock", "the change waits behind it")
        gate.cursor().execute("COMMIT")
        changing.result(60)
        error = reading.exception(60)
    if error is None:
        return None
    assert isinstance(error, psycopg2.Error), error
    return error.pgcode


@pytest.mark.own_roles("what fails is a statement of the application's role, whoever drops")
@pytest.mark.usefixtures("passer_by")
def test_a_statement_in_mid_lookup_fails_by_a_drop_and_not_by_a_new_name(empty: Target) -> None:
    name = PASSING[0]
    with Core(empty, SHOP).connect() as database:
        make(database, name)
        assert in_mid_lookup(empty, f"DROP SCHEMA {name}") == "3F000"
        make(database, name)
        assert in_mid_lookup(empty, retire(name)) is None
        drop_retired(database, [name], 50)
    assert empty.rows(_THERE) == []


class Application:
    """Sessions of an ordinary role with passing schemas on their path, which parse one statement after the other."""

    def __init__(self, target: Target, sessions: int = 3) -> None:
        self.target, self.errors, self.statements = target, list[str](), 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work) for _ in range(sessions)]

    def _work(self) -> None:
        with self.target.session() as connection, connection.cursor() as cursor:
            cursor.execute(f"SET ROLE passer_by; SET search_path = {', '.join(PASSING)}, public")
            while not self._stop.is_set():
                try:
                    cursor.execute("SELECT FROM things WHERE id = 3")
                    self.statements += 1
                except psycopg2.Error as error:
                    self.errors.append(str(error))

    def __enter__(self) -> Application:
        for thread in self._threads:
            thread.start()
        wait_until(lambda: self.statements > 10, "statements are parsed")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.own_roles("what could fail is a statement of the application's role, whoever drops")
@pytest.mark.usefixtures("passer_by")
@pytest.mark.majors(15, 18)
def test_no_statement_stumbles_over_a_schema_on_its_path(empty: Target) -> None:
    """How often a plain drop would be noticed here depends on the machine, so nothing demands that it be."""
    with Core(empty, SHOP).connect() as database, Application(empty) as application:
        rounds = 0
        while rounds < 60 or application.statements < 1000:
            rounds += 1
            make(database, *PASSING)
            for name in PASSING:
                database.execute(retire(name))
            drop_retired(database, PASSING, 50)
    assert application.errors == []


# What a transaction has looked up before a schema on its path goes, and what it does after that.
BEFORE = (
    "SELECT 1",
    "SELECT FROM things",
    "SELECT to_regnamespace('passing')",
    "SELECT has_schema_privilege('passing', 'USAGE')",
    "SELECT to_regclass('passing.x'), to_regclass('things')",
    "SET LOCAL search_path = passing, public",
    "SET LOCAL search_path = public, passing; SELECT FROM things",
)
AFTER = (
    "SELECT FROM things",
    "INSERT INTO things VALUES (1)",
    "SET LOCAL search_path = passing, public; SELECT FROM things",
    "SET LOCAL ROLE other_passer_by; SELECT FROM things",
    "SET LOCAL ROLE other_passer_by; SET LOCAL search_path = passing, public; SELECT FROM things",
    "SELECT counted()",
    "SET LOCAL ROLE other_passer_by; SELECT counted()",
    "SELECT current_schemas(true), to_regclass('things'), 'things'::regclass, pg_table_is_visible('public.things'::regclass)",
    "CREATE TEMP TABLE brief (id int)",
)


@pytest.mark.own_roles("what could fail is a statement of the application's role, whoever drops")
def test_a_transaction_that_was_idle_meanwhile_is_in_no_danger(empty: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the wait for those that are running may have an end."""
    monkeypatch.setattr(retired_schemas, "SETTLE_S", 0.0)
    empty.execute(
        "DROP ROLE IF EXISTS passer_by", "DROP ROLE IF EXISTS other_passer_by", "CREATE ROLE passer_by", "CREATE ROLE other_passer_by"
    )
    empty.execute("GRANT other_passer_by TO passer_by", "CREATE TABLE things (id int)", "GRANT ALL ON things TO PUBLIC")
    empty.execute(
        "CREATE FUNCTION counted() RETURNS int LANGUAGE plpgsql SET search_path = passing, public "
        "AS 'BEGIN RETURN (SELECT count(*) FROM things); END'"
    )
    with Core(empty, SHOP).connect() as database:
        for known, before, after in itertools.product((False, True), BEFORE, AFTER):
            database.execute("CREATE SCHEMA passing; GRANT USAGE ON SCHEMA passing TO PUBLIC")
            with empty.session() as connection, connection.cursor() as cursor:
                cursor.execute("SET ROLE passer_by; SET search_path = passing, public")
                if known:
                    cursor.execute("SELECT FROM things; SELECT counted()")
                cursor.execute("BEGIN")
                cursor.execute(before)
                database.execute(retire("passing"))
                drop_retired(database, ["passing"], 50)
                cursor.execute(after)
    empty.execute("DROP OWNED BY passer_by, other_passer_by", "DROP ROLE passer_by, other_passer_by")


def test_the_rollback_waits_for_transactions_that_are_running_and_not_for_ever(shop: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    target, ended = shop.target, threading.Event()
    undone(shop)
    shop.expire_lease()
    monkeypatch.setattr(retired_schemas, "SETTLE_S", 60.0)

    def back() -> None:
        shop.roll_back()
        ended.set()

    with open_transaction(target) as connection:
        thread = threading.Thread(target=back)
        thread.start()
        wait_until_it_waits(target)
        assert not ended.is_set()
        assert target.rows(_THERE) == [("multischema_gone_past",), ("multischema_gone_sales",)]
        with open_transaction(target):  # one that begins later does not matter
            connection.cursor().execute("COMMIT")
            thread.join(30)
            assert ended.is_set()
    assert target.rows(_THERE) == []
    assert target.value(f"SELECT to_regnamespace('{JOURNAL}')") is None
    shop.apply()
    monkeypatch.setattr(retired_schemas, "SETTLE_S", 0.2)
    with open_transaction(target):
        shop.roll_back()
    assert target.rows(_THERE) == []


@pytest.mark.majors(15, 18)
def test_killed_before_each_message_of_the_end(empty: Target) -> None:
    """What is left is dropped by the next run, whichever way it goes."""
    empty.execute(SHOP_SQL)
    core = Core(empty, SHOP)
    before, left = state(empty), set[int]()
    for messages in range(1000):
        core.apply()
        undo = undone(core)
        killed = core.killed_after(messages, undo.drop_journal)
        left.add(len(empty.rows(_THERE)))
        if not killed:
            break
        core.expire_lease()
        if messages % 2:
            core.apply()
            assert empty.rows(_THERE) == []
        if empty.value(f"SELECT to_regnamespace('{JOURNAL}')") is not None:
            core.roll_back()
        require_same(before, state(empty))
    assert left == {0, 1, 2}
    require_same(before, state(empty))


@pytest.mark.playbook
@pytest.mark.majors(18)
def test_the_playbook_says_what_a_rollback_that_was_cut_off_has_left_and_drops_it(playbooks: Playbooks) -> None:
    target, core = playbooks.target, moved(playbooks)
    undone(core)
    core.expire_lease()
    names = sorted(f"multischema_gone_{name}" for name in SAMPLE_TARGETS)
    wanted = [f"DROP SCHEMA {name};" for name in names]
    announced = playbooks.run("rollback", "--diff", check=True).ok().diffs()
    assert [line for text in announced for line in text.splitlines() if "SCHEMA" in line] == wanted
    assert target.rows(_THERE) == [(name,) for name in names]
    again = playbooks.run("phase1", "--diff", check=True).ok().diffs()
    assert [line for text in again for line in text.splitlines() if line.startswith("DROP")] == wanted
    playbooks.run("rollback").ok()
    assert target.rows(_THERE) == []
    assert target.value(f"SELECT to_regnamespace('{JOURNAL}')") is None


def test_what_is_put_there_meanwhile_is_not_lost(shop: Core) -> None:
    target = shop.target
    work = undone(shop)
    target.execute("CREATE TABLE multischema_gone_sales.late (id int)")
    with pytest.raises(JournalError) as caught:
        work.drop_journal()
    text = str(caught.value)
    assert "Schema multischema_gone_sales, which was sales before the rollback, is not empty: table multischema_gone_sales.late." in text
    target.execute("ALTER TABLE multischema_gone_sales.late SET SCHEMA public")
    shop.roll_back()
    assert target.rows(_THERE) == []
    assert target.value("SELECT to_regclass('public.late') IS NOT NULL")


def test_what_is_put_there_before_it_loses_its_name_stops_that_step(shop: Core) -> None:
    undo = shop.rolling_back()
    shop.target.execute("CREATE TABLE sales.late (id int)")
    with pytest.raises(StepFailed, match=r"table .*late was put there meanwhile"):
        undo()
    assert shop.target.value("SELECT to_regclass('sales.late') IS NOT NULL")
    shop.target.execute("DROP TABLE sales.late")
    shop.roll_back()


def test_a_session_that_holds_the_schema_is_waited_for_and_then_named(shop: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    work = undone(shop)
    monkeypatch.setattr(retired_schemas, "SETTLE_S", 0.5)
    with shop.target.session() as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN; CREATE TABLE multischema_gone_sales.late (id int)")
        with pytest.raises(JournalError, match=r"multischema_gone_sales, .* making something in it holds a lock on it"):
            work.drop_journal()
        assert shop.target.rows(_THERE) == [("multischema_gone_sales",)]
        assert shop.target.value(f"SELECT count(*) FROM {JOURNAL}.lease") == 0
        assert shop.target.value(f"SELECT outcome FROM {JOURNAL}.run WHERE door = 'rollback'") == "failed"
        cursor.execute("ROLLBACK")
    shop.roll_back()
    assert shop.target.rows(_THERE) == []
