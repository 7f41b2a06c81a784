"""The reader beside the move: what it measures is what a reader notices, and it is never in the way."""

from __future__ import annotations

import time
from typing import ClassVar

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.errors import StepFailed
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.probe import PAUSE_S
from ansible_collections.dbops.multischema.plugins.module_utils.relocation import Pace
from ansible_collections.dbops.multischema.plugins.plugin_utils.slices import Slices
from tests.integration.core import Core
from tests.integration.databases import Target, wait_until
from tests.integration.evidence import JOURNAL, disagreements
from tests.integration.placements import SHOP, SHOP_SQL
from tests.integration.probes import OUR_PROBE, Background, Reader, blocker, our_sessions, wait_for_an_attempt, wait_for_the_probe

pytestmark = pytest.mark.majors(18)
PATIENT_SQL = "ALTER DATABASE {} SET deadlock_timeout = '60s'"  # so that an attempt may wait almost as long
STALL = f"SELECT longest_stall_ms, longest_stall_on FROM {JOURNAL}.run ORDER BY longest_stall_ms DESC NULLS LAST LIMIT 1"


@pytest.fixture
def shop(empty: Target) -> Core:
    """A small database, and a reader beside the move."""
    empty.execute(SHOP_SQL)
    return Core(empty, SHOP, Pace(50, 30.0, probe=True))


@pytest.mark.majors(15, 18)
def test_what_the_probe_measures_behind_a_blocker_is_what_a_reader_notices(shop: Core) -> None:
    """Both stand behind one attempt that lasts: at least from when both are seen there until the blocker leaves."""
    target = shop.target
    target.execute(PATIENT_SQL.format(target.name))
    shop.pace = Pace(30_000, 120.0, probe=True)
    shop.values = {"schemas": [{"name": "sales"}], "placement": [{"schema": "sales", "tables": ["orders"]}], "unplaced": "keep"}
    began = time.monotonic()
    with Reader(target, "public", "orders") as reader:
        with blocker(target, "SELECT 'who reads' FROM orders LIMIT 1") as (_, connection):
            work = Background(lambda: shop.said.append(shop.apply().progress.stall_summary()))
            stand = f"SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND ({OUR_PROBE} OR pid = {reader.pid})"
            wait_until(lambda: target.value(stand) == 2, "both stand behind the attempt")
            both_since = time.monotonic()
            time.sleep(0.5)  # much longer than a read that nobody keeps waiting
            both_ms = (time.monotonic() - both_since) * 1000
            connection.rollback()
        work.finish()
    lasted_ms = (time.monotonic() - began) * 1000
    longest_ms, on = target.rows(STALL)[0]
    assert on == "public.orders"
    assert both_ms <= longest_ms <= lasted_ms
    assert both_ms <= reader.longest_s * 1000 <= lasted_ms
    assert reader.errors == []
    assert f"Longest stall of a reader {longest_ms:.0f} ms on public.orders, of " in shop.said[-1]
    assert disagreements(target, ["sales"]) == []


def test_the_probe_rests_between_two_reads(shop: Core) -> None:
    """At least 2 ms, so in a given time there are only so many; a busy machine makes them fewer."""
    with blocker(shop.target, "SELECT 1 FROM orders LIMIT 1") as (_, connection):
        done: list[Slices] = []
        work = Background(lambda: done.append(shop.apply()))
        wait_for_an_attempt(shop.target)
        wait_for_the_probe(shop.target, "orders")
        time.sleep(0.5)
        connection.rollback()
        work.finish()
    progress = done[0].progress
    steps_ms = sum(taken.duration_ms for taken in progress.taken.values())
    beginnings = 2 * len(progress.taken)  # a step's first read comes at once
    assert 0 < progress.stall.reads <= steps_ms / 1000 / PAUSE_S + beginnings


def test_the_probe_is_no_blocker_and_leaves_no_session_behind(shop: Core) -> None:
    """A step that waits names who is in front: never our own reader, which is there most of the time."""
    shop.pace = Pace(50, 1.5, probe=True)
    with blocker(shop.target, "SELECT nextval('orders_id_seq')") as (pid, _), pytest.raises(StepFailed) as failure:
        shop.apply()
    assert f"In front: pid {pid}" in failure.value.found
    assert "multischema" not in failure.value.found
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'dbops.multischema%'"
    wait_until(lambda: shop.target.value(sessions) == 0, "the probe's session ends with the run")


@pytest.mark.majors(15, 18)
def test_the_way_back_is_measured_too(shop: Core) -> None:
    """Steps take some milliseconds, fewer than a busy machine needs to wake a reader: a blocker holds one of them up."""
    shop.apply()
    undone: list[Slices] = []
    with blocker(shop.target, "SELECT 1 FROM sales.orders LIMIT 1") as (_, connection):
        work = Background(lambda: undone.append(shop.roll_back()))
        wait_for_the_probe(shop.target, "orders")
        connection.rollback()
        work.finish()
    stall = undone[0].progress.stall
    assert stall.reads > 0
    (run,) = (run for run in undone[0].journal["run"] if run["door"] == "rollback")
    assert run["longest_stall_ms"] == pytest.approx(stall.longest_ms)


@pytest.mark.majors(15, 18)
def test_readers_do_not_part_the_way_back(shop: Core) -> None:
    """A reader, the probe among them, holds the view and wants the table. Locked in that order, no step back has to be tried twice."""
    shop.apply()
    # Locked the other way round, each would wait for the other until this has passed: longer than any machine stands still.
    shop.target.execute(PATIENT_SQL.format(shop.target.name))
    shop.pace = Pace(30_000, 120.0, probe=True)
    with Reader(shop.target, "public", "orders") as reader:
        work = shop.roll_back()
    assert work.progress.retries == 0
    assert reader.errors == []


@pytest.mark.majors(15, 18)
@pytest.mark.parametrize("name", ["visits", "visits_2025", "visits_2026"])
def test_a_reader_of_a_tree_who_has_the_view_gets_the_table(shop: Core, name: str) -> None:
    """Whichever name it reads, root or partition: of the tables nothing is locked before all of the views are."""
    target = shop.target
    shop.apply()
    target.execute(PATIENT_SQL.format(target.name))
    shop.pace = Pace(30_000, 120.0)
    wanted = f"SELECT count(*) FROM pg_locks WHERE relation = 'public.{name}'::regclass AND NOT granted"
    with blocker(target, f"COMMENT ON VIEW public.{name} IS 'locked, and its table not yet'") as (_, reader):
        work = Background(shop.roll_back)
        wait_until(lambda: target.value(wanted) > 0, "the way back has come to the view")
        with reader.cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = 1; SELECT count(*) FROM public.{name}")
            assert cursor.fetchone() != (0,)
        reader.rollback()
        work.finish()
    assert target.value(f"SELECT relkind FROM pg_class WHERE oid = 'public.{name}'::regclass") in ("r", "p")


def test_what_the_application_could_not_read_is_counted(shop: Core) -> None:
    """Of a table without a view the old name is gone until the table is back: that is what the application finds as well."""
    shop.apply()
    undone: list[Slices] = []
    with blocker(shop.target, "SELECT 1 FROM past.notes") as (_, connection):
        work = Background(lambda: undone.append(shop.roll_back()))
        wait_for_the_probe(shop.target, "notes")
        connection.rollback()
        work.finish()
    failed = undone[0].progress.stall.failed
    assert [text.split(" does not exist")[0] for text in failed] == ['PostgreSQL: relation "public.notes"']
    assert min(failed.values()) > 0


@pytest.mark.own_roles("an ordinary role that owns a table and may not read it")
def test_a_role_that_may_not_read_is_told_so_and_moves_all_the_same(shop: Core) -> None:
    target = shop.target
    target.execute("DROP ROLE IF EXISTS blind", "CREATE ROLE blind LOGIN PASSWORD 'b'")
    target.execute(
        f"GRANT CREATE ON DATABASE {target.name} TO blind",
        "GRANT CREATE ON SCHEMA public TO blind",
        "DROP TABLE visits, orders, customers",
        "ALTER TABLE notes OWNER TO blind",
        "REVOKE SELECT ON notes FROM blind",
    )
    shop.values = {"schemas": [{"name": "past"}], "placement": [{"schema": "past", "tables": ["notes"]}]}
    shop.user, shop.password = "blind", "b"
    with blocker(target, "LOCK TABLE notes IN ROW SHARE MODE") as (_, connection):
        work = Background(lambda: shop.said.append(shop.apply().progress.stall_summary()))
        wait_for_the_probe(target, "notes")
        connection.rollback()
        work.finish()
    said = shop.said[-1]
    assert said.startswith("No reader has measured what the application notices: ")
    assert "permission denied for table notes" in said
    assert shop.left() == []


class _Single(Core):
    """Connects when what it has closed before has ended: a session outlives its connection for a moment, and then is one too many."""

    made: ClassVar[list[Database]] = []

    def connect(self) -> Database:
        sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'single'"
        left = sum(not database.broken for database in _Single.made)
        wait_until(lambda: self.target.value(sessions) == left, "closed connections have ended")
        _Single.made.append(super().connect())
        return _Single.made[-1]


@pytest.mark.own_roles("an ordinary role that may connect only once")
def test_without_a_connection_for_it_the_report_says_why(shop: Core) -> None:
    target = shop.target
    target.execute("DROP ROLE IF EXISTS single", "CREATE ROLE single LOGIN PASSWORD 'only one' CONNECTION LIMIT 1")
    target.execute(f"GRANT CREATE ON DATABASE {target.name} TO single", "GRANT CREATE ON SCHEMA public TO single")
    for table in ("customers", "orders", "visits", "visits_2025", "visits_2026", "notes"):
        target.execute(f"ALTER TABLE {table} OWNER TO single")
    target.execute("ALTER STATISTICS customers_name_region OWNER TO single")
    _Single.made.clear()
    core = _Single(target, shop.values, shop.pace, "single", "only one")
    work = core.apply()
    assert "too many connections for role" in work.progress.stall_summary()
    assert core.left() == []


def test_each_worker_has_a_reader_of_its_own(shop: Core) -> None:
    target = shop.target
    target.execute("CREATE SCHEMA sales", "CREATE SCHEMA past")
    probes = f"SELECT count(*) FROM pg_stat_activity WHERE {OUR_PROBE} AND query LIKE 'SELECT 1 FROM%'"
    with blocker(target, "SELECT 1 FROM orders; SELECT 1 FROM visits") as (_, connection):
        work = Background(lambda: shop.said.append(shop.apply(workers=2).progress.stall_summary()))
        wait_until(lambda: target.value(probes) == 2, "both workers have one, and it reads")
        connection.rollback()
        work.finish()
    assert "Longest stall of a reader" in shop.said[-1]
    assert shop.left() == []


def test_no_row_is_looked_for_which_would_take_long_where_the_first_pages_are_dead(shop: Core) -> None:
    """The lock of such a read would be in the way of the move: so there is no scan, and the locks of a read all the same."""
    target = shop.target
    target.execute("CREATE TABLE jobs (id int)", "INSERT INTO jobs SELECT n FROM generate_series(1, 10000) n")
    target.execute("DELETE FROM jobs")
    scans = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'jobs'"
    wait_until(lambda: target.value(scans) == 1, "the scan of the DELETE is counted")
    shop.values = {"schemas": [{"name": "past"}], "placement": [{"schema": "past", "tables": ["jobs"]}], "unplaced": "keep"}
    with blocker(target, "LOCK TABLE jobs IN ROW SHARE MODE") as (_, connection):
        work = Background(lambda: shop.said.append(str(shop.apply().progress.stall.reads)))
        wait_for_the_probe(target, "jobs")
        connection.rollback()
        work.finish()
    assert int(shop.said[-1]) > 0
    wait_until(lambda: our_sessions(target) == 0, "all sessions have ended, and counted what they have done")
    assert target.value(scans) == 1
