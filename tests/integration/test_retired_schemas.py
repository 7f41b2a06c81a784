"""A schema that the rollback takes away: no session stumbles over it, and nothing of it is left."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import psycopg2
import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.errors import JournalError, StepFailed
from ansible_collections.dbops.multischema.plugins.module_utils.plain import to_plain
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.relocation import Pace
from ansible_collections.dbops.multischema.plugins.module_utils.retired_schemas import LOCKED, Patience, Undertaker, Waiting, retire
from ansible_collections.dbops.multischema.plugins.plugin_utils.slices import Slices
from tests.integration.core import Core
from tests.integration.databases import Target, wait_until
from tests.integration.evidence import JOURNAL, require_same, state
from tests.integration.placements import SHOP, SHOP_SQL

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


class Application:
    """Sessions of an ordinary role with passing schemas on their path, which parse one statement after the other."""

    def __init__(self, target: Target, sessions: int = 3) -> None:
        self.target, self.errors, self.statements = target, set[str](), 0
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
                    self.errors.add(str(error.pgcode))

    def __enter__(self) -> Application:
        for thread in self._threads:
            thread.start()
        wait_until(lambda: self.statements > 10, "statements are parsed")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def rounds(database: Database, end: Callable[[list[str]], None], until: Callable[[], bool], most: int) -> int:
    """Make the schemas, and let them end, again and again. :returns: how often."""
    for number in range(most):
        for name in PASSING:
            database.execute(f"CREATE SCHEMA {name}")
            database.execute(f"GRANT USAGE ON SCHEMA {name} TO PUBLIC")
        end(PASSING)
        if until():
            return number + 1
    return most


@pytest.mark.own_roles("what fails is a statement of the application's role, whoever drops")
@pytest.mark.majors(15, 18)
def test_no_statement_stumbles_over_a_schema_on_its_path(empty: Target, record_property: Callable[[str, object], None]) -> None:
    empty.execute("DROP ROLE IF EXISTS passer_by", "CREATE ROLE passer_by")
    empty.execute("CREATE TABLE things (id int)", "GRANT SELECT ON things TO PUBLIC")

    def dropped(names: list[str]) -> None:
        for name in names:
            database.execute(f"DROP SCHEMA {name}")

    def retired(names: list[str]) -> None:
        for name in names:
            database.execute(retire(name))
        assert Undertaker(database, 50, 30.0, lambda: False).drop(names, Patience()) is None

    with Core(empty, SHOP).connect() as database:
        with Application(empty) as application:
            needed = rounds(database, dropped, lambda: bool(application.errors), 1000)
            assert application.errors == {"3F000"}, "a plain DROP SCHEMA harms nobody here, so this test shows nothing"
        with Application(empty) as application:
            done = rounds(database, retired, lambda: bool(application.errors), max(60, 3 * needed))
            assert application.errors == set()
    record_property("rounds", f"{needed} until DROP SCHEMA was noticed, {done} without an error by the other way")
    empty.execute("DROP OWNED BY passer_by", "DROP ROLE passer_by")


def test_the_rollback_waits_for_transactions_that_began_before(shop: Core) -> None:
    target = shop.target
    ended = threading.Event()

    def back() -> None:
        shop.roll_back()
        ended.set()

    with open_transaction(target) as connection:
        thread = threading.Thread(target=back)
        thread.start()
        wait_until(lambda: any("waiting for transactions" in line for line in shop.said), "the rollback waits")
        assert not ended.is_set()
        assert target.rows(_THERE) == [("multischema_gone_past",), ("multischema_gone_sales",)]
        with open_transaction(target):  # one that begins later does not matter
            pid = connection.info.backend_pid
            assert any(f"pid {pid}, user" in line for line in shop.said)
            connection.cursor().execute("COMMIT")
            thread.join(30)
            assert ended.is_set()
    assert target.rows(_THERE) == []
    assert target.value(f"SELECT to_regnamespace('{JOURNAL}')") is None


def test_it_gives_up_at_the_deadline_and_the_next_one_finishes(shop: Core) -> None:
    target, shop.pace = shop.target, Pace(50, 1.0)
    with open_transaction(target) as connection:
        with pytest.raises(JournalError) as caught:
            shop.roll_back()
        text = str(caught.value)
        assert "2 schemas that the rollback has emptied and renamed (multischema_gone_past, multischema_gone_sales)" in text
        assert f"pid {connection.info.backend_pid}, user" in text
        assert "playbooks/rollback.yml again" in text
        assert target.value("SELECT to_regclass('public.orders') IS NOT NULL")
        assert target.value(f"SELECT outcome FROM {JOURNAL}.run WHERE door = 'rollback'") == "failed"
        assert target.value(f"SELECT count(*) FROM {JOURNAL}.lease") == 0
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


def test_somebody_who_began_later_and_holds_the_schema_is_waited_for_too(shop: Core) -> None:
    undone(shop)
    shop.expire_lease()
    stop = iter([False, False, True])
    with shop.connect() as database, shop.target.session() as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN; CREATE TABLE multischema_gone_sales.late (id int)")
        nobody = Patience(older=[])
        waiting = Undertaker(database, 50, 30.0, lambda: next(stop)).drop(["past", "sales"], nobody)
        assert waiting == Waiting([], [LOCKED])
        assert shop.target.rows(_THERE) == [("multischema_gone_sales",)]
        cursor.execute("ROLLBACK")
        assert Undertaker(database, 50, 30.0, lambda: False).drop(["past", "sales"], nobody) is None
    assert shop.target.rows(_THERE) == []
    shop.roll_back()
