"""Two runs at once: one does it, the other is refused and told who is at work."""

from __future__ import annotations

import os
import socket

import pytest

from tests.integration.core import Core
from tests.integration.databases import Target, wait_until
from tests.integration.evidence import JOURNAL, disagreements, journaled, require_same, state
from tests.integration.head_start import ready
from tests.integration.placements import SAMPLE_TARGETS, SHOP, SHOP_SQL, SHOP_TARGETS, sample_steps
from tests.integration.playbooks import LIMIT_S, Playbooks
from tests.integration.probes import blocker, wait_until_alone


@pytest.mark.playbook
@pytest.mark.majors(15)
def test_a_second_run_is_refused_and_told_who_is_at_work(playbooks: Playbooks) -> None:
    target = playbooks.target
    ready(playbooks)
    with blocker(target, "SELECT FROM students LIMIT 1"):
        first = playbooks.start("phase2")
        wait_until(lambda: "In front:" in first.stderr() or not first.alive(), "the first run waits", LIMIT_S)
        holder = target.value(f"SELECT holder FROM {JOURNAL}.lease")
        assert f"pid {first.process.pid}" in holder
        for name in ("phase2", "rollback"):
            second = playbooks.run(name)
            second.refused("Another run", holder, "What to do")
        assert first.alive()
    run = first.wait().ok()
    assert run.changed == 1
    assert len(journaled(target)) == sample_steps(target)
    assert disagreements(target, SAMPLE_TARGETS) == []


@pytest.mark.playbook
@pytest.mark.majors(18)
def test_of_two_that_start_together_exactly_one_works(playbooks: Playbooks) -> None:
    target = playbooks.target
    ready(playbooks)
    with blocker(target, "SELECT FROM students LIMIT 1"):
        both = [playbooks.start("phase2"), playbooks.start("phase2")]
        wait_until(lambda: not all(running.alive() for running in both), "one of the two has ended", LIMIT_S)
        (loser,) = [running for running in both if not running.alive()]
        loser.wait().refused("Another run", f"@{socket.gethostname()}, pid ")
        assert disagreements(target, SAMPLE_TARGETS) == []
    (winner,) = [running for running in both if running is not loser]
    assert winner.wait().ok().changed == 1
    assert len(journaled(target)) == sample_steps(target)
    assert disagreements(target, SAMPLE_TARGETS) == []


@pytest.fixture
def shop(empty: Target) -> Core:
    """The small database."""
    empty.execute(SHOP_SQL)
    return Core(empty, SHOP)


@pytest.mark.majors(16)
def test_the_lease_of_a_killed_run_is_waited_for(shop: Core) -> None:
    before = state(shop.target)
    applying = shop.applying()
    wait_until_alone(shop.target)  # a run that has to wait for sessions that are ending sends other messages
    assert shop.killed_after(45, applying)
    done = len(journaled(shop.target))
    # The lease names the parent of the process that died; make it name that process, as with a killed ansible-playbook.
    dead = os.fork()
    if dead == 0:
        os._exit(0)
    os.waitpid(dead, 0)
    shop.target.execute(f"UPDATE {JOURNAL}.lease SET holder = regexp_replace(holder, 'pid .*', 'pid {dead}')")
    shop.apply()
    assert any("seems to have been killed" in text for text in shop.said), shop.said
    assert 0 < done < len(journaled(shop.target))
    assert shop.left() == []
    assert disagreements(shop.target, SHOP_TARGETS) == []
    shop.roll_back()
    require_same(before, state(shop.target))
