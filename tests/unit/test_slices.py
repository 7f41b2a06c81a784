"""A run is cut into calls; what is done is not sent again; a live run is never disturbed."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.errors import JournalError
from ansible_collections.dbops.multischema.plugins.module_utils.plain import unpack
from ansible_collections.dbops.multischema.plugins.plugin_utils import slices as module
from ansible_collections.dbops.multischema.plugins.plugin_utils.lease_holder import holder_is_alive, this_process
from ansible_collections.dbops.multischema.plugins.plugin_utils.progress import Progress
from ansible_collections.dbops.multischema.plugins.plugin_utils.slices import FIRST_STEPS, Slices

HERE = socket.gethostname()
NOBODY = 2**22 + 1  # above the largest process id that Linux gives


class Clock:
    """Time that passes when someone sleeps, or when a call takes long."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


def outcome(step_id: str, **values: Any) -> dict[str, Any]:
    return {"step_id": step_id, "attempts": 1, "cancelled": 0, "longest_wait_ms": 0.0, "elapsed_ms": 2.0, "held_ms": 1.0, **values}


class Host:
    """The module on the other side: does what it is sent, or what the test scripts."""

    def __init__(self, clock: Clock, seconds: float = 1.0) -> None:
        self.clock, self.seconds = clock, seconds
        self.calls: list[Mapping[str, Any]] = []
        self.script: list[dict[str, Any]] = []

    def __call__(self, work: Mapping[str, Any]) -> dict[str, Any]:
        self.calls.append(work)
        self.clock.now += self.seconds
        if self.script:
            return self.script.pop(0)
        return {"outcomes": [outcome(name) for name in self.sent(-1)]}

    def sent(self, call: int) -> list[str]:
        """Ids of the steps that a call was sent."""
        return [item["step"]["id"] if "step" in item else item["id"] for item in unpack(self.calls[call]["steps"])]


def steps(count: int) -> list[dict[str, str]]:
    return [{"id": f"s{n}"} for n in range(count)]


def cut(host: Host, items: list[Any]) -> tuple[Slices, list[str]]:
    said: list[str] = []
    return Slices(host, {"run": "r1", "door": "phase2"}, items, Progress(said.append, len(items), "done"), said.append), said


def test_few_steps_are_one_call_that_begins_and_ends(clock: Clock) -> None:
    host = Host(clock)
    work, said = cut(host, steps(3))
    work.run()
    (call,) = host.calls
    assert (call["begin"], call["end"], call["run"], call["door"]) == (True, True, "r1", "phase2")
    assert host.sent(0) == ["s0", "s1", "s2"]
    assert work.progress.done == 3
    assert said == []


def test_many_steps_are_many_calls_in_order_and_each_step_is_sent_once(clock: Clock) -> None:
    host = Host(clock, seconds=4.5)
    work, said = cut(host, steps(230))
    work.run()
    assert [name for n in range(len(host.calls)) for name in host.sent(n)] == [f"s{n}" for n in range(230)]
    assert [call["begin"] for call in host.calls] == [True] + [False] * (len(host.calls) - 1)
    assert [call["end"] for call in host.calls] == [False] * (len(host.calls) - 1) + [True]
    assert len(said) == len(host.calls)


def test_slices_grow_where_steps_are_quick(clock: Clock) -> None:
    host = Host(clock, seconds=1.0)
    work, _ = cut(host, steps(2000))
    work.run()
    sizes = [len(host.sent(n)) for n in range(len(host.calls))]
    assert sizes[0] == FIRST_STEPS
    assert max(sizes) > FIRST_STEPS


def test_an_empty_list_still_begins_and_ends_the_run(clock: Clock) -> None:
    host = Host(clock)
    work, _ = cut(host, [])
    work.run()
    assert [(call["begin"], call["end"]) for call in host.calls] == [(True, True)]


def test_what_a_slice_did_not_finish_is_sent_again_and_nothing_else(clock: Clock) -> None:
    host = Host(clock)
    host.script = [{"outcomes": [outcome("s2"), outcome("s0")]}]
    work, _ = cut(host, steps(4))
    work.run()
    assert host.sent(1) == ["s1", "s3"]
    assert work.progress.done == 4


def test_what_another_run_has_done_meanwhile_is_not_sent_again(clock: Clock) -> None:
    host = Host(clock)
    host.script = [{"outcomes": [outcome("s1")], "already": ["s0"]}]
    work, _ = cut(host, steps(3))
    work.run()
    assert host.sent(1) == ["s2"]


def test_entries_of_the_journal_are_known_by_their_step(clock: Clock) -> None:
    host = Host(clock)
    host.script = [{"outcomes": [outcome("s1")]}]
    work, _ = cut(host, [{"seq": n, "step": {"id": f"s{n}"}} for n in (1, 0)])
    work.run()
    assert host.sent(1) == ["s0"]


def test_one_deadline_runs_over_all_slices_of_a_step(clock: Clock) -> None:
    host = Host(clock, seconds=4.0)
    waiting = [{**outcome("s0", attempts=5, elapsed_ms=3500.0), "title": "Move it", "waited_for": ["pid 7"]}]
    host.script = [{"outcomes": [], "waiting": waiting}, {"outcomes": [], "waiting": waiting}, {"outcomes": [outcome("s0")]}]
    work, said = cut(host, steps(2))
    work.run()
    assert [call["tried"] for call in host.calls] == [{}, {"s0": (3.5, 5)}, {"s0": (7.5, 10)}, {}]
    assert [line for line in said if "In front: pid 7" in line]
    assert work.progress.retries == 10


def test_each_step_that_workers_are_at_has_a_deadline_of_its_own(clock: Clock) -> None:
    """Also while the other workers get on: a step in a worker's hands must not be tried for ever."""
    host = Host(clock, seconds=4.0)
    waiting = [{**outcome("s0", elapsed_ms=4000.0), "title": "Move it", "waited_for": ["pid 7"]}]
    host.script = [{"outcomes": [outcome("s1")], "waiting": waiting}, {"outcomes": [outcome("s2")], "waiting": waiting}]
    work, _ = cut(host, steps(4))
    work.run()
    assert [call["tried"] for call in host.calls] == [{}, {"s0": (4.0, 1)}, {"s0": (8.0, 2)}]


def test_an_interruption_ends_the_run(clock: Clock) -> None:
    host = Host(clock)
    host.script = [{"outcomes": [outcome("s0")], "interrupted": True}]
    work, _ = cut(host, steps(3))
    work.run()
    assert (work.interrupted, len(host.calls), work.progress.done) == (True, 1, 1)


def test_the_journal_of_a_rollback_is_kept_and_dropped_by_a_call_of_its_own(clock: Clock) -> None:
    host = Host(clock)
    host.script = [{"outcomes": [outcome("s0")], "journal": {"step": []}}]
    work, _ = cut(host, steps(1))
    work.run()
    assert work.journal == {"step": []}
    assert not [call for call in host.calls if call.get("drop")]
    work.drop_journal()
    assert (host.calls[-1]["drop"], host.sent(-1)) == (True, [])


def test_a_worker_whose_playbook_has_gone_stops(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    parents = iter([10, 10, 1])
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    host = Host(clock, seconds=4.5)
    with pytest.raises(JournalError, match="its worker stops"):
        cut(host, steps(200))[0].run()
    assert len(host.calls) == 1


# --- the lease of another run ---


def lease(holder: str, age_s: float = 1.0, left_s: float = 19.0) -> dict[str, Any]:
    return {"outcomes": [], "lease": {"run": "r0", "holder": holder, "age_s": age_s, "left_s": left_s, "live": True}}


def test_a_run_that_lives_on_this_machine_is_not_disturbed(clock: Clock) -> None:
    host = Host(clock)
    host.script = [lease(f"ann@{HERE}, pid {os.getpid()}")]
    with pytest.raises(JournalError, match=r"Another run is working on this database: ann@.*\(run r0\)"):
        cut(host, steps(1))[0].run()
    assert len(host.calls) == 1


def test_the_lease_of_a_run_that_was_killed_here_is_waited_for(clock: Clock) -> None:
    host = Host(clock)
    host.script = [lease(f"ann@{HERE}, pid {NOBODY}", left_s=2.0), lease(f"ann@{HERE}, pid {NOBODY}", 2.0, 1.0)]
    work, said = cut(host, steps(1))
    work.run()
    assert work.progress.done == 1
    assert len(host.calls) == 3
    assert [line for line in said if "seems to have been killed" in line and "ends in 2 s" in line]
    assert len(said) == 1


def test_a_run_on_another_machine_that_goes_on_renewing_is_alive(clock: Clock) -> None:
    host = Host(clock, seconds=0.0)
    host.script = [lease("ann@elsewhere, pid 7", age_s=0.5)] * 100
    with pytest.raises(JournalError, match="Another run"):
        cut(host, steps(1))[0].run()
    assert module.ORPHAN_S < clock.now < module.ORPHAN_S + 3


def test_a_run_on_another_machine_that_fell_silent_is_waited_for(clock: Clock) -> None:
    host = Host(clock, seconds=0.0)
    host.script = [lease("ann@elsewhere, pid 7", age_s=float(n), left_s=20.0 - n) for n in range(20)]
    work, _ = cut(host, steps(1))
    work.run()
    assert work.progress.done == 1


def test_who_holds_a_lease_can_be_looked_up() -> None:
    assert holder_is_alive(f"ann@{HERE}, pid {os.getpid()}") is True
    assert holder_is_alive(f"ann@{HERE}, pid {NOBODY}") is False
    assert holder_is_alive("ann@elsewhere, pid 1") is None
    assert holder_is_alive("someone") is None
    assert holder_is_alive(this_process()) is True


def test_a_process_of_another_user_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_pid: int, _signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert holder_is_alive(f"ann@{HERE}, pid 7") is True
