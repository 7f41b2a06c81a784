"""A sample of each fault through ansible-playbook, with the defaults that people get. Kills are in `test_kill.py`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.core import Core
from tests.integration.databases import end_session, new_database, wait_until
from tests.integration.evidence import JOURNAL, State, disagreements, journaled, require_same, state
from tests.integration.faults_of_networks import NetworkCut
from tests.integration.faults_of_resources import DiskFull
from tests.integration.head_start import ready
from tests.integration.placements import SAMPLE_TARGETS, sample
from tests.integration.playbooks import Playbooks, Running
from tests.integration.probes import blocker, fill_the_lock_table, our_sessions
from tests.sample import load
from tests.support.disk import SmallDisk
from tests.support.network import DistantServer, Network

pytestmark = [pytest.mark.playbook, pytest.mark.no_role("what fails is a network, a disk, a lock table or a window, for whoever connects")]
STEPS = 78
IN_THE_WAY = "SELECT FROM students LIMIT 1"


def _waits(running: Running) -> None:
    wait_until(lambda: "In front:" in running.stderr() or not running.alive(), "the run has come to the session in its way")
    assert running.alive(), running.wait().message


def _completed_and_undone(playbooks: Playbooks, before: State) -> None:
    """A plain second run completes it, and the rollback leads to the exact former state."""
    _completed(playbooks)
    Core(playbooks.target, sample()).roll_back()
    require_same(before, state(playbooks.target))


def _completed(playbooks: Playbooks) -> None:
    target = playbooks.target
    assert disagreements(target, SAMPLE_TARGETS) == []
    assert len(journaled(target)) < STEPS
    playbooks.run("phase2").ok()
    assert len(journaled(target)) == STEPS
    assert disagreements(target, SAMPLE_TARGETS) == []


@pytest.fixture
def distant(tmp_path: Path) -> Iterator[Playbooks]:
    """The sample behind a network that can be cut."""
    missing = NetworkCut.why_not()
    if missing:
        pytest.skip(reason=f"a network cannot be cut here: {missing}")
    with Network() as network, DistantServer(network, major=NetworkCut().major(), fsync=False) as server:
        target = new_database(server)
        with target.session() as connection:
            load(connection, "small")
        playbooks = Playbooks(tmp_path / "user", target)
        playbooks.connection["multischema_login_host"] = network.far
        playbooks.configure()
        yield playbooks


def test_a_network_that_is_cut_ends_the_run_by_itself(distant: Playbooks) -> None:
    target = distant.target
    assert isinstance(target.server, DistantServer)
    before = state(target)
    ready(distant)
    with blocker(target, IN_THE_WAY):
        running = distant.start("phase2")
        _waits(running)
        wait_until(lambda: our_sessions(target) > 0, "the next slice is at work")
        target.server.network.cut()
        # Nobody says anything to either side, and both come to an end.
        wait_until(lambda: our_sessions(target) == 0, "the server has noticed")
        run = running.wait()
        run.refused("What to do", "playbook again")
        assert "Nothing is half done" in run.stderr
    target.server.network.heal()
    _completed_and_undone(distant, before)


@pytest.mark.majors(18)
def test_the_window_ends_in_the_middle(playbooks: Playbooks) -> None:
    target = playbooks.target
    before = state(target)
    ready(playbooks)
    looked = playbooks.run("phase2", check=True).ok()
    # Read when the role begins, so long after the gate that has let it in. From there to the first step is a part of what check mode
    # takes, on whatever machine this is; and a machine may stand still for some seconds.
    end = f"{{{{ '%Y-%m-%dT%H:%M:%S+00:00' | strftime(now().timestamp() + {looked.seconds + 5:.0f}, utc=true) }}}}"
    window = json.dumps({"table_migration_maintenance_window": {"end": end}})
    with blocker(target, IN_THE_WAY):
        run = playbooks.start("phase2", "-e", window).wait()
        run.refused(
            "The maintenance window has ended", "steps are done, and no other has begun", "run the same playbook again", "rollback.yml"
        )
        assert "no step begins after that" in " ".join(run.stderr.split())
    assert target.value(f"SELECT count(*) FROM {JOURNAL}.lease") == 0, "the lease is kept"
    assert target.value(f"SELECT outcome FROM {JOURNAL}.run ORDER BY started_at DESC LIMIT 1") == "window ended"
    over = {"start": "2020-01-01T00:00:00Z", "end": "2020-01-01T01:00:00Z"}
    playbooks.run("phase2", multischema_maintenance_window=over).refused("is over", "What to do")
    _completed(playbooks)
    playbooks.run("rollback", multischema_maintenance_window=over).ok()
    require_same(before, state(target))


@pytest.mark.majors(16)
def test_a_full_lock_table_is_said_in_words(playbooks: Playbooks) -> None:
    target = playbooks.target
    before = state(target)
    ready(playbooks)
    with blocker(target, IN_THE_WAY):
        running = playbooks.start("phase2", multischema_deadline_s=30)
        _waits(running)
        greedy = fill_the_lock_table(target)
    try:
        running.wait().refused("out of shared memory", "max_locks_per_transaction", "pg_locks", "What to do")
    finally:
        end_session(greedy)
    _completed_and_undone(playbooks, before)


@pytest.mark.majors(15)
def test_a_full_disk_under_the_journal_is_said_in_words(playbooks: Playbooks) -> None:
    missing = DiskFull.why_not()
    if missing:
        pytest.skip(reason=f"a disk cannot be filled here: {missing}")
    target = playbooks.target
    with SmallDisk(1024) as disk:
        target.execute(f"CREATE TABLESPACE journal_disk LOCATION '{disk.path}'")
        target.execute(f"ALTER DATABASE {target.name} SET default_tablespace = journal_disk")
        before = state(target)
        ready(playbooks)
        disk.fill()
        playbooks.run("phase2").refused("No space left on device", "undone whole", "Make room")
        disk.empty()
        _completed_and_undone(playbooks, before)
        target.execute("DROP TABLESPACE journal_disk")
