"""Phase 2 ends at a random moment: the journal and the database agree, and the same command completes it."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable

import psycopg2
import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.checks import FAIL
from tests.integration.core import Core
from tests.integration.databases import Target, wait_until
from tests.integration.evidence import JOURNAL, State, disagreements, journaled, require_same, state
from tests.integration.head_start import moved, ready
from tests.integration.placements import SAMPLE_TARGETS, sample, sample_steps
from tests.integration.playbooks import Playbooks, Run, Running
from tests.integration.probes import our_sessions

pytestmark = pytest.mark.playbook
STEPS = 78
MIDDLE = range(3, 45)  # of 57 to 78 steps, so that it is not over when it is struck
UNLOGGED = "login_sessions"  # PostgreSQL empties it when it recovers from a crash


def _count(target: Target) -> int:
    return int(target.value(f"SELECT count(*) FROM {JOURNAL}.step WHERE undone_at IS NULL"))


def _interrupted(playbooks: Playbooks, how: Callable[[Running], None], door: str = "phase2", at_its_end: bool = False) -> Run:
    """Phase 2 or the rollback, ended somewhere in its middle, or right after its last step."""
    target = playbooks.target
    (ready if door == "phase2" else moved)(playbooks)
    done = _count(target)
    wanted = sample_steps(target) - done if at_its_end else random.choice(MIDDLE)  # noqa: S311 - any moment, not a secret
    print(f"{door} is struck after {wanted} steps")  # pytest shows it with a failure
    running = playbooks.start(door)
    with target.session() as connection, connection.cursor() as cursor:
        while running.alive():
            cursor.execute(f"SELECT count(*) FROM {JOURNAL}.step WHERE undone_at IS NULL")
            row = cursor.fetchone()
            if row is not None and abs(row[0] - done) >= wanted:
                break
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


@pytest.mark.majors(16)
def test_kill_9_of_ansible_playbook(playbooks: Playbooks) -> None:
    before = state(playbooks.target)
    killed = _interrupted(playbooks, lambda running: running.signal(signal.SIGKILL))
    assert killed.rc == -signal.SIGKILL
    assert _settled(playbooks.target) <= STEPS
    # The lease of the killed run still stands: the next run waits for its end and says so.
    run = playbooks.run("phase2").ok()
    assert "seems to have been killed" in run.stderr or run.changed == 0
    core = Core(playbooks.target, sample())
    assert [check for check in core.verify() if check.status == FAIL] == []
    core.roll_back()
    require_same(before, state(playbooks.target))


@pytest.mark.majors(18)
def test_ctrl_c(playbooks: Playbooks) -> None:
    before = state(playbooks.target)
    stopped = _interrupted(playbooks, lambda running: running.signal(signal.SIGINT))
    assert stopped.rc != 0
    assert "Nothing is half done" in stopped.stderr
    assert "phase2_table_migration.yml" in stopped.stderr
    assert "rollback.yml" in stopped.stderr
    if _settled(playbooks.target) == sample_steps(playbooks.target):
        pytest.skip("the run was through before the signal reached it; nothing was interrupted")
    _complete(playbooks, before)


@pytest.mark.majors(15)
def test_a_backend_that_is_killed_takes_the_server_through_recovery(playbooks: Playbooks) -> None:
    target = playbooks.target
    before = state(target)

    def kill_backend(running: Running) -> None:
        query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'dbops.multischema%'"
        for (pid,) in target.rows(query):
            os.kill(pid, signal.SIGKILL)

    stopped = _interrupted(playbooks, kill_backend)
    wait_until(lambda: _accepts(target), "the server has recovered")
    if stopped.rc == 0:
        pytest.skip("the run was through before its backend was killed; nothing was interrupted")
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
    stopped = _interrupted(playbooks, lambda _: target.server.kill(), at_its_end=True)
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
