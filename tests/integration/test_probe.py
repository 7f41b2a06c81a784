"""The reader beside the move: what it measures is what a reader notices, and it is never in the way."""

from __future__ import annotations

import time

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.errors import StepFailed
from ansible_collections.dbops.multischema.plugins.module_utils.relocation import Pace
from ansible_collections.dbops.multischema.plugins.plugin_utils.slices import Slices
from tests.integration.core import Core
from tests.integration.databases import Target, wait_until
from tests.integration.evidence import JOURNAL, disagreements
from tests.integration.placements import SHOP, SHOP_SQL
from tests.integration.probes import Background, Reader, blocker, wait_for_an_attempt

pytestmark = pytest.mark.majors(18)
STALL = f"SELECT longest_stall_ms, longest_stall_on FROM {JOURNAL}.run ORDER BY longest_stall_ms DESC NULLS LAST LIMIT 1"


@pytest.fixture
def shop(empty: Target) -> Core:
    """A small database, and a reader beside the move."""
    empty.execute(SHOP_SQL)
    return Core(empty, SHOP, Pace(50, 30.0, probe=True))


@pytest.mark.majors(15, 18)
def test_what_the_probe_measures_behind_a_blocker_is_what_a_reader_notices(shop: Core) -> None:
    target = shop.target
    shop.values = {"schemas": [{"name": "sales"}], "placement": [{"schema": "sales", "tables": ["orders"]}], "unplaced": "keep"}
    with Reader(target, "public", "orders") as reader:
        with blocker(target, "SELECT 'who reads' FROM orders LIMIT 1") as (_, connection):
            began = time.monotonic()
            work = Background(lambda: shop.said.append(shop.apply().progress.stall_summary()))
            wait_for_an_attempt(target, 3.0)
            assert work.is_alive()
            busy = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dbops.multischema probe' AND state <> 'idle'"
            samples = [target.value(busy) for _ in range(20)]
            stood_ms = (time.monotonic() - began) * 1000
            connection.rollback()
        work.finish()
    longest_ms, on = target.rows(STALL)[0]
    assert on == "public.orders"
    assert 30 <= longest_ms < stood_ms / 2, "it waits for one attempt, and not for the blocker"
    assert abs(longest_ms - reader.longest_s * 1000) < stood_ms / 2
    assert reader.errors == []
    assert samples.count(0) >= 5, "the probe is at work all the time"
    assert f"Longest stall of a reader {longest_ms:.0f} ms on public.orders, of " in shop.said[-1]
    assert disagreements(target, ["sales"]) == []


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
        wait_for_an_attempt(shop.target)
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
    # Locked the other way round, each would wait for the other until this has passed, however long: the long wait is for busy machines.
    shop.pace = Pace(900, 30.0, probe=True)
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
    shop.pace = Pace(900, 30.0)
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
    """Of a table without a view the old name is gone: that is what the application finds as well."""
    work = shop.apply()
    assert {text.split(" does not exist")[0] for text in work.progress.stall.failed} <= {'PostgreSQL: relation "public.notes"'}
    with blocker(shop.target, "SELECT 1 FROM past.notes") as (_, connection):
        work_back = Background(shop.roll_back)
        wait_for_an_attempt(shop.target)
        connection.rollback()
        work_back.finish()
    assert work.progress.stall.reads > 0


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
        wait_for_an_attempt(target)
        connection.rollback()
        work.finish()
    said = shop.said[-1]
    assert said.startswith("No reader has measured what the application notices: ")
    assert "permission denied for table notes" in said
    assert shop.left() == []


@pytest.mark.own_roles("an ordinary role that may connect only once")
def test_without_a_connection_for_it_the_report_says_why(shop: Core) -> None:
    target = shop.target
    target.execute("DROP ROLE IF EXISTS single", "CREATE ROLE single LOGIN PASSWORD 'only one' CONNECTION LIMIT 1")
    target.execute(f"GRANT CREATE ON DATABASE {target.name} TO single", "GRANT CREATE ON SCHEMA public TO single")
    for table in ("customers", "orders", "visits", "visits_2025", "visits_2026", "notes"):
        target.execute(f"ALTER TABLE {table} OWNER TO single")
    target.execute("ALTER STATISTICS customers_name_region OWNER TO single")
    shop.user, shop.password = "single", "only one"
    work = shop.apply()
    assert "too many connections for role" in work.progress.stall_summary()
    assert shop.left() == []


def test_each_worker_has_a_reader_of_its_own(shop: Core) -> None:
    target = shop.target
    target.execute("CREATE SCHEMA sales", "CREATE SCHEMA past")
    probes = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dbops.multischema probe'"
    with blocker(target, "SELECT 1 FROM orders; SELECT 1 FROM visits") as (_, connection):
        work = Background(lambda: shop.said.append(shop.apply(workers=2).progress.stall_summary()))
        wait_until(lambda: target.value(probes) == 2, "both workers have one")
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
        wait_for_an_attempt(target)
        connection.rollback()
        work.finish()
    assert int(shop.said[-1]) > 0
    time.sleep(0.2)
    assert target.value(scans) == 1
