"""Phase 2 ends at a random moment: the journal and the database agree, and the same command completes it."""

from __future__ import annotations

import contextlib
import os
import random
import signal
from collections.abc import Callable
from contextlib import closing

import psycopg2
import pytest

from tests.integration.core import Core
from tests.integration.databases import Target, wait_until
from tests.integration.evidence import JOURNAL, State, disagreements, journaled, require_same, state
from tests.integration.head_start import moved, ready
from tests.integration.placements import SAMPLE_TARGETS, sample, sample_steps
from tests.integration.playbooks import LIMIT_S, Playbooks, Run, Running
from tests.integration.probes import our_sessions
from tests.support.host import children

pytestmark = pytest.mark.playbook
STEPS = 78
MIDDLE = range(3, 45)  # of the steps of phase 2, of which there are more, or of all on the way back
# The journal lets a step in, or out, and then nothing more as long as a session of the test holds a lock. `pg_locks` is what is so now,
# whatever the snapshot; the wait is no wait for a lock, for which there would be a limit.
HOLD = f"""
CREATE FUNCTION {JOURNAL}.hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF (SELECT count(*) FROM {JOURNAL}.step WHERE undone_at IS NULL) = %s THEN
    WHILE EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND classid = 7 AND objid = 7 AND granted
                     AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())) LOOP
      PERFORM pg_catalog.pg_sleep(0.01);
    END LOOP;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER hold AFTER INSERT OR UPDATE ON {JOURNAL}.step FOR EACH ROW EXECUTE FUNCTION {JOURNAL}.hold();
"""
# The same for the end of the run, when everything has moved.
HOLD_THE_END = f"""
CREATE FUNCTION {JOURNAL}.hold_the_end() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  WHILE EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND classid = 7 AND objid = 7 AND granted
                   AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())) LOOP
    PERFORM pg_catalog.pg_sleep(0.01);
  END LOOP;
  RETURN NULL;
END $$;
CREATE TRIGGER hold AFTER UPDATE ON {JOURNAL}.run FOR EACH ROW WHEN (NEW.outcome IS NOT NULL) EXECUTE FUNCTION {JOURNAL}.hold_the_end();
"""
HELD = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
UNLOGGED = "login_sessions"  # PostgreSQL empties it when it recovers from a crash


def _count(target: Target) -> int:
    return int(target.value(f"SELECT count(*) FROM {JOURNAL}.step WHERE undone_at IS NULL"))


def _interrupted(playbooks: Playbooks, how: Callable[[Running], None], door: str = "phase2") -> Run:
    """Phase 2 or the rollback, ended somewhere in its middle: it stands in one of its transactions when it is struck."""
    target = playbooks.target
    (ready if door == "phase2" else moved)(playbooks)
    wanted = random.choice(MIDDLE)  # noqa: S311 - any step, not a secret
    print(f"{door} is struck in its step {wanted}")  # pytest shows it with a failure
    return _struck(playbooks, HOLD % (_count(target) + (wanted if door == "phase2" else -wanted)), how, door)


def _interrupted_at_its_end(playbooks: Playbooks, how: Callable[[Running], None]) -> Run:
    """Phase 2, ended right after its last step."""
    ready(playbooks)
    return _struck(playbooks, HOLD_THE_END, how)


def _struck(playbooks: Playbooks, hold: str, how: Callable[[Running], None], door: str = "phase2") -> Run:
    """A playbook that is held by a trigger, and struck there."""
    target = playbooks.target
    target.execute(hold)
    with closing(target.server.connect(target.name)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(7, 7)")
        running = playbooks.start(door)
        wait_until(lambda: target.value(HELD) > 0 or not running.alive(), "the step is reached", LIMIT_S)
        assert running.alive(), running.wait().message
        how(running)
        return running.wait()


def _settled(target: Target) -> int:
    """Wait until nothing of the run is left, then hold journal against database; returns the steps done."""
    target.server.start()
    wait_until(lambda: our_sessions(target) == 0, "the killed run's session ends")
    assert disagreements(target, SAMPLE_TARGETS) == []
    return _count(target)


def _complete(playbooks: Playbooks, before: State, crashed: bool = False) -> None:
    target = playbooks.target
    run = playbooks.run("phase2").ok()
    assert run.changed == 1
    assert disagreements(target, SAMPLE_TARGETS) == []
    assert len(journaled(target)) == sample_steps(target)
    Core(target, sample()).roll_back()
    _require_as_before(target, before, crashed)


def _require_as_before(target: Target, before: State, crashed: bool) -> None:
    after = state(target)
    if crashed:
        # Sequences may skip values in a crash: PostgreSQL logs them 32 ahead.
        assert all(now[1] >= before.sequences[oid][1] for oid, now in after.sequences.items())
        rows = {oid: row for oid, row in before.rows.items() if row[0] != UNLOGGED}
        kept = {oid: row for oid, row in after.rows.items() if row[0] != UNLOGGED}
        after = State(after.schema, kept, before.sequences, after.settings)
        before = State(before.schema, rows, before.sequences, before.settings)
    require_same(before, after)


def _family(pid: int) -> list[int]:
    """A process and all that it has started, itself or through others."""
    return [pid, *(one for child in children(pid) for one in _family(child))]


@pytest.mark.majors(16)
@pytest.mark.parametrize("which", ["playbook", "family"])
def test_kill_9_of_ansible_playbook(playbooks: Playbooks, which: str) -> None:
    """Alone, or with its worker and the module. Alone, the module finishes its slice: everything, if there is time for that."""
    target = playbooks.target
    before = state(target)

    def kill(running: Running) -> None:
        for pid in _family(running.process.pid) if which == "family" else [running.process.pid]:
            with contextlib.suppress(ProcessLookupError):  # it may have ended with its parent
                os.kill(pid, signal.SIGKILL)

    killed = _interrupted(playbooks, kill)
    assert killed.rc == -signal.SIGKILL
    assert _settled(target) <= STEPS
    # The lease of the killed run still stands: the next run waits for its end and says so. How soon that comes must not matter here.
    stands = target.rows(f"UPDATE {JOURNAL}.lease SET expires_at = clock_timestamp() + interval '1 h' RETURNING run") != []
    assert stands or which == "playbook"
    running = playbooks.start("phase2")
    if stands:
        wait_until(lambda: "seems to have been killed" in running.stderr() or not running.alive(), "the next run says so", LIMIT_S)
        assert running.alive(), running.wait().message
        Core(target, sample()).expire_lease()
    assert running.wait().ok().changed == (1 if stands else 0)
    playbooks.run("verify").ok()
    Core(target, sample()).roll_back()
    require_same(before, state(target))


@pytest.mark.majors(18)
def test_ctrl_c(playbooks: Playbooks) -> None:
    before = state(playbooks.target)
    stopped = _interrupted(playbooks, lambda running: running.signal(signal.SIGINT))
    assert stopped.rc != 0
    assert "Nothing is half done" in stopped.stderr
    assert "phase2_table_migration.yml" in stopped.stderr
    assert "rollback.yml" in stopped.stderr
    assert _settled(playbooks.target) < sample_steps(playbooks.target)
    _complete(playbooks, before)


@pytest.mark.majors(15)
def test_a_backend_that_is_killed_takes_the_server_through_recovery(playbooks: Playbooks) -> None:
    target = playbooks.target
    before = state(target)

    def kill_backend(running: Running) -> None:
        query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'dbops.multischema%'"
        for (pid,) in target.rows(query):
            with contextlib.suppress(ProcessLookupError):  # the first one's death ends the others
                os.kill(pid, signal.SIGKILL)

    stopped = _interrupted(playbooks, kill_backend)
    wait_until(lambda: _accepts(target), "the server has recovered")
    stopped.refused("What to do")
    assert "the same playbook again" in stopped.message
    _settled(target)
    _complete(playbooks, before, crashed=True)


@pytest.mark.majors(18)
def test_a_server_that_crashes(playbooks: Playbooks) -> None:
    target = playbooks.target
    before = state(target)
    stopped = _interrupted(playbooks, lambda _: target.server.kill())
    target.server.start()
    assert stopped.rc != 0
    stopped.refused("What to do")
    _settled(target)
    _complete(playbooks, before, crashed=True)


@pytest.mark.majors(18)
def test_a_server_that_crashes_when_everything_has_moved(playbooks: Playbooks) -> None:
    target = playbooks.target
    stopped = _interrupted_at_its_end(playbooks, lambda _: target.server.kill())
    target.server.start()
    stopped.refused("What to do")  # be it the end of the run that failed, or a question of the proof, whose words are hidden
    assert _settled(target) == sample_steps(target)
    assert playbooks.run("phase2").ok().changed == 0


@pytest.mark.majors(18)
def test_a_server_that_crashes_on_the_way_back(playbooks: Playbooks) -> None:
    target = playbooks.target
    before = state(target)
    stopped = _interrupted(playbooks, lambda _: target.server.kill(), "rollback")
    target.server.start()
    assert stopped.rc != 0
    stopped.refused("What to do")
    assert _settled(target) < STEPS
    playbooks.run("rollback").ok()
    _require_as_before(target, before, crashed=True)


def _accepts(target: Target) -> bool:
    try:
        target.execute("SELECT 1")
    except psycopg2.OperationalError:
        return False
    return True
