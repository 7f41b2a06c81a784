"""Maintenance by hand in front is named in words and waited for; who locks in another order, or looks at an old snapshot, goes on."""

from __future__ import annotations

import time
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection

from ansible_collections.dbops.multischema.plugins.module_utils import relocation
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError, StepFailed
from ansible_collections.dbops.multischema.plugins.module_utils.journal import Journal
from ansible_collections.dbops.multischema.plugins.module_utils.lock_budget import PER_STEP, locks_of
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.readiness import Question, prepared_transactions
from ansible_collections.dbops.multischema.plugins.module_utils.relocation import Pace, Relocator
from ansible_collections.dbops.multischema.plugins.plugin_utils import slices
from tests.integration.core import Core
from tests.integration.databases import Target, end_session, new_database, wait_until
from tests.integration.evidence import disagreements, journaled
from tests.integration.placements import SHOP, SHOP_SQL
from tests.integration.probes import LITTLE_ROOM, Background, Reader, blocker, fill_the_lock_table
from tests.support.servers import Server

# Without autovacuum, which would do the work of the VACUUM before it begins, or stand in front itself.
NOTES = """
CREATE TABLE notes (id int PRIMARY KEY, body text) WITH (autovacuum_enabled = off);
INSERT INTO notes SELECT n, repeat('x', 500) FROM generate_series(1, 20000) n
"""
NOTES_ONLY = {"schemas": [{"name": "past"}], "placement": [{"schema": "past", "tables": ["notes"]}], "unplaced": "keep"}
SLOWLY = "SET vacuum_cost_delay = 100; SET vacuum_cost_limit = 1"


@pytest.fixture
def notes(empty: Target) -> Core:
    """A table for which maintenance takes a while, and a role that may not see what others do."""
    empty.execute(NOTES, "CREATE TABLE other (id int)")
    empty.execute("DROP ROLE IF EXISTS keeper", "CREATE ROLE keeper LOGIN PASSWORD 'k'", "ALTER TABLE notes OWNER TO keeper")
    empty.execute(f"GRANT CREATE ON DATABASE {empty.name} TO keeper", "GRANT CREATE ON SCHEMA public TO keeper")
    return Core(empty, NOTES_ONLY, Pace(50, 1.5))


@pytest.mark.own_roles("a superuser, and then a role that may not see what others do")
@pytest.mark.majors(15, 18)
@pytest.mark.parametrize(
    ("statement", "work", "half_way", "progress"),
    [
        ("VACUUM notes", "VACUUM", r"VACUUM, scanning heap, \d+ % of the table scanned", "vacuum WHERE heap_blks_total > 0"),
        ("ANALYZE notes", "ANALYZE", r"ANALYZE, acquiring sample rows, \d+ % of the sample read", "analyze WHERE sample_blks_total > 0"),
        (
            "CREATE INDEX CONCURRENTLY notes_body ON notes (body)",
            "CREATE INDEX",
            "CREATE INDEX CONCURRENTLY, waiting for ",
            "create_index WHERE phase = 'waiting for old snapshots'",
        ),
    ],
    ids=["vacuum", "analyze", "index"],
)
def test_maintenance_by_hand_is_named_in_words_and_waited_for(notes: Core, statement: str, work: str, half_way: str, progress: str) -> None:
    target = notes.target
    with (
        target.session() as other,  # an old snapshot, which is what an index build waits for at its end
        target.session() as connection,
        other.cursor() as cursor,
        Reader(target, "public", "notes") as reader,
    ):
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM other")
        with connection.cursor() as busy:
            busy.execute(SLOWLY)
            running = Background(lambda: busy.execute(statement))
            wait_until(lambda: target.value(f"SELECT count(*) FROM pg_stat_progress_{progress}") > 0, "it is half way")
            pid = connection.info.backend_pid
            with pytest.raises(StepFailed, match=rf"pid {pid}, user postgres.*at work: {half_way}"):
                notes.apply()
            ordinary = Core(target, NOTES_ONLY, Pace(50, 1.0), "keeper", "k")
            target.execute(
                "ALTER SCHEMA past OWNER TO keeper; GRANT USAGE ON SCHEMA multischema_journal TO keeper; "
                "GRANT ALL ON ALL TABLES IN SCHEMA multischema_journal TO keeper"
            )
            with pytest.raises(StepFailed, match=rf"pid {pid}, user postgres.*at work: {work}"):
                ordinary.apply()
            assert target.value("SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND state = 'active'", (pid,)) == 1
            target.execute(f"SELECT pg_cancel_backend({pid})")
            with pytest.raises(psycopg2.errors.QueryCanceled):
                running.finish()
        cursor.execute("ROLLBACK")
    assert reader.errors == []
    notes.apply()
    assert notes.left() == []
    assert disagreements(target, ["past"]) == []


# --- who locks in another order ---

ORDERS_ONLY = {"schemas": [{"name": "sales"}], "placement": [{"schema": "sales", "tables": ["orders"]}], "unplaced": "keep"}
# Between the lock on the table and the one on its sequence the run waits until the application waits for the table; for as long as a
# session of the test holds a lock of its own.
PAUSE_SQL = """
CREATE FUNCTION pause() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
  WHILE EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND classid = 7 AND objid = 7 AND granted
                   AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_locks WHERE relation = {table} AND NOT granted) LOOP
    PERFORM pg_catalog.pg_sleep(0.01);
  END LOOP;
END $$;
CREATE EVENT TRIGGER pause ON ddl_command_start WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION pause();
"""
_RUN = """
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid AND a.application_name LIKE 'dbops%%'
 WHERE l.database = a.datid AND l.relation = %s
"""
ROUNDS = 6


@pytest.mark.majors(15, 18)
@pytest.mark.parametrize("first", ["application", "run"])
def test_whoever_waits_first_in_a_deadlock_the_application_survives(empty: Target, first: str) -> None:
    """The run has `orders` and wants its sequence; the application has the sequence and wants `orders`. Six times.

    Another session has the sequence until all is over, so that the run does not get it between two rounds.
    """
    empty.execute(SHOP_SQL)
    # The application looks for a deadlock after this: it must not have to, and no machine stands still for so long by itself.
    empty.execute(f"ALTER DATABASE {empty.name} SET deadlock_timeout = '30s'")
    core = Core(empty, ORDERS_ONLY, Pace(50 if first == "application" else 500, 120))
    table, sequence = empty.rows("SELECT 'orders'::regclass::oid::bigint, 'orders_id_seq'::regclass::oid::bigint")[0]
    if first == "application":
        empty.execute(PAUSE_SQL.format(table=table))
    waits: list[float] = []
    retries: list[int] = []

    def has_the_table() -> bool:
        return bool(empty.value(f"SELECT count(*) {_RUN} AND l.granted AND l.mode = 'AccessExclusiveLock'", (table,)))

    def wants_the_sequence() -> bool:
        return bool(empty.value(f"SELECT count(*) {_RUN} AND NOT l.granted", (sequence,)))

    begun = has_the_table if first == "application" else wants_the_sequence
    with empty.session() as connection, connection.cursor() as cursor:
        with blocker(empty, "SELECT pg_advisory_lock(7, 7), nextval('orders_id_seq')"):
            work = Background(lambda: retries.append(core.apply().progress.retries))
            for _ in range(ROUNDS):
                cursor.execute("BEGIN; SELECT nextval(%s::oid::regclass)", (sequence,))
                wait_until(lambda: begun() or not work.is_alive(), "the run has begun an attempt")
                started = time.monotonic()
                cursor.execute("SELECT count(*) FROM public.orders")
                waits.append(time.monotonic() - started)
                cursor.execute("COMMIT")
            assert work.is_alive()
        work.finish()
    assert max(waits) < 27, "the application has waited for its own deadlock check"
    assert retries[0] >= ROUNDS
    assert empty.value("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == 0
    assert core.left() == []


@pytest.mark.parametrize("there", [True, False], ids=["there", "back"])
def test_a_snapshot_older_than_the_move_reads_and_writes_on(empty: Target, there: bool) -> None:
    empty.execute(SHOP_SQL)
    core = Core(empty, SHOP, Pace(50, 30))
    if not there:
        core.apply()
    with empty.session() as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM pg_class LIMIT 1")
        if there:
            core.apply()
        else:
            core.roll_back()
        empty.execute("INSERT INTO public.orders (customer, total) VALUES (1, 1)")
        cursor.execute("SELECT count(*) FROM public.orders")
        assert cursor.fetchone() == (20,), "it sees what it saw before"
        cursor.execute("UPDATE public.orders SET total = 7 WHERE id = 1; INSERT INTO public.orders (customer, total) VALUES (2, 2); COMMIT")
    assert empty.value("SELECT count(*) FROM public.orders") == 22
    assert empty.value("SELECT total FROM public.orders WHERE id = 1") == 7


# --- prepared transactions ---


def test_preflight_refuses_the_prepared_transaction_that_holds_a_table_and_warns_of_another(empty: Target) -> None:
    empty.execute(SHOP_SQL, "CREATE TABLE elsewhere (a int)")
    core = Core(empty, {**SHOP, "unplaced": "keep"}, Pace(50, 30))
    try:
        empty.execute("BEGIN; INSERT INTO elsewhere VALUES (1); PREPARE TRANSACTION 'harmless'")
        empty.execute("BEGIN; UPDATE notes SET body = body; PREPARE TRANSACTION 'in the way'")
        oids = [member.oid for step in core.plan().steps for member in step.members if member.kind != "s"]
        with core.connect() as database:
            found = {
                check.detail.split("'")[1]: (check.status, check.detail) for check in prepared_transactions(Question(database, 50, oids, 1))
            }
        assert found["harmless"][0] == "warn"
        assert "holds none of the tables" in found["harmless"][1]
        assert found["in the way"][0] == "fail"
        assert "holds RowExclusiveLock on" in found["in the way"][1]
        empty.execute("ROLLBACK PREPARED 'in the way'")
        core.apply()
        assert core.left() == []
    finally:
        for (gid,) in empty.rows("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()"):
            empty.execute(f"ROLLBACK PREPARED '{gid}'")


# --- the lock table ---

PUBLICATION_SQL = "CREATE PUBLICATION everything FOR TABLES IN SCHEMA public"  # only a superuser may have one
TREES_SQL = """
DO $$ BEGIN
  FOR tree IN 1..2 LOOP
    EXECUTE format('CREATE TABLE tree_%s (at int NOT NULL, id serial, PRIMARY KEY (at, id)) PARTITION BY RANGE (at)', tree);
    FOR part IN 1..120 LOOP
      EXECUTE format('CREATE TABLE tree_%s_%s PARTITION OF tree_%s FOR VALUES FROM (%s) TO (%s)', tree, part, tree, part, part + 1);
    END LOOP;
  END LOOP;
END $$;
"""


@pytest.mark.majors(15, 18)
def test_locks_are_counted_as_the_server_counts_them(empty: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the steps hold when their work is done, there and back, is what was planned with, room for what differs by version apart."""
    empty.execute(SHOP_SQL, *([] if empty.mover else [PUBLICATION_SQL]))
    core = Core(empty, SHOP, Pace(50, 30))
    held: dict[str, int] = {}
    recorded: list[str] = []
    for name in ("recording", "recording_undone"):
        original = getattr(Journal, name)

        def remembering(journal: Journal, run: str, what: Any, *rest: Any, original: Any = original) -> str:
            recorded.append(getattr(what, "step", what).id)
            return str(original(journal, run, what, *rest))

        monkeypatch.setattr(Journal, name, remembering)
    execute = Database.execute

    def counting(database: Database, statement: str, parameters: Any = None) -> int:
        """Between the journal's row and the COMMIT, which may come in one message."""
        row, commit, _ = statement.rpartition("COMMIT")
        if not commit or not recorded:
            return execute(database, statement, parameters)
        if row:
            execute(database, row)
        locks = database.value("SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND NOT fastpath")
        step = recorded.pop()
        held[step] = max(held.get(step, 0), locks)
        return execute(database, commit)

    monkeypatch.setattr(Database, "execute", counting)
    core.apply()
    steps = [entry.step for entry in core.observe()[1]]
    core.roll_back()
    assert set(held) == {step.id for step in steps}
    figures = {step.id: (held[step.id], locks_of(step)) for step in steps}
    assert [name for name, (there, counted) in figures.items() if not counted - PER_STEP <= there <= counted] == [], figures


@pytest.mark.majors(18)
def test_steps_that_would_take_a_quarter_of_the_lock_table_are_refused_before_anything_is_touched(empty: Target) -> None:
    """Each of two trees fits; side by side they don't."""
    empty.execute(TREES_SQL, *([] if empty.mover else [PUBLICATION_SQL]))
    core = Core(empty, {"schemas": [{"name": "past"}], "placement": [{"schema": "past", "tables": ["tree_*"]}]}, Pace(50, 30))
    trees = [step for step in core.plan().steps if step.members]
    share = max(locks_of(step) for step in trees) / (64 * 70)
    assert 0.125 < share < 0.25, "the test's own arithmetic"
    with pytest.raises(ConfigurationError, match=r"take \d+ locks at the same time, \d+% of the 4480"):
        core.apply(workers=2)
    assert [step for step in journaled(empty) if step["members"]] == []
    assert empty.value("SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace('past')") == 0
    core.apply(workers=1)
    assert core.left() == []
    assert len([step for step in journaled(empty) if step["members"]]) == 2


# --- workers ---


@pytest.mark.majors(18)
def test_a_step_that_one_of_several_workers_waits_for_has_a_deadline_too(empty: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over many slices: the others get on meanwhile, and the one that waits does not wait for ever."""
    empty.execute(SHOP_SQL, "CREATE SCHEMA sales", "CREATE SCHEMA past")
    monkeypatch.setattr(slices, "SLICE_S", 1.0)
    core = Core(empty, SHOP, Pace(50, 5.0))
    with blocker(empty, "SELECT 'who stays' FROM orders LIMIT 1") as (pid, _):
        started = time.monotonic()
        with pytest.raises(StepFailed, match=rf"no lock within 5 s .*pid {pid}.*who stays"):
            core.apply(workers=2)
        lasted = time.monotonic() - started
    assert lasted >= 5.0, "slices last one second, and the deadline runs over them"
    assert any("waiting: Move public.orders" in line for line in core.said)
    done = {step["id"] for step in journaled(empty)}
    assert "move:public.customers" in done
    places = "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relname = %s AND c.relkind = 'r'"
    assert [empty.value(places, (name,)) for name in ("customers", "orders")] == ["sales", "public"]
    core.apply(workers=2)
    assert core.left() == []


@pytest.mark.no_role("what is full is the server's, whoever connects")
def test_a_run_that_cannot_even_say_that_it_lives_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lease lasts longer than two renewals that fail, and the step has a deadline of its own."""
    monkeypatch.setattr(relocation, "RENEW_EVERY_S", 0.0)
    renew, held_up, greedy = Relocator._renew, list[float](), list[Connection]()
    with Server(major=18, fsync=False, settings=LITTLE_ROOM) as server:
        target = new_database(server)
        target.execute(SHOP_SQL)

        def renewed(work: Relocator) -> None:
            """Before its first renewal the lock table is full; after two that have failed there is room again."""
            if not greedy:
                greedy.append(fill_the_lock_table(target))
            last = work._renewed
            renew(work)
            if work._renewed == last:
                held_up.append(last)
                if len(held_up) == 2:
                    end_session(greedy[0])

        monkeypatch.setattr(Relocator, "_renew", renewed)
        core = Core(target, SHOP, Pace(50, 30))
        core.apply()
        assert core.left() == []
    assert len(held_up) == 2
