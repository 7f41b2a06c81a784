"""A slice of a run: as many steps as fit into a few seconds, so that progress can be shown in between.

The action plugin calls the module again and again; each call is one slice with a connection of its own. What ties the
slices of a run together is the lease in the journal.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import unpack
from ansible_collections.dbops.multischema.plugins.module_utils.crew import Crew
from ansible_collections.dbops.multischema.plugins.module_utils.errors import JournalError, MultischemaError
from ansible_collections.dbops.multischema.plugins.module_utils.identity import read_identities_of
from ansible_collections.dbops.multischema.plugins.module_utils.journal import Entry, Journal, Lease
from ansible_collections.dbops.multischema.plugins.module_utils.move_step import MoveTables
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Step, step_from_dict
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.relocation import (
    HeadStart,
    Outcome,
    Pace,
    Relocator,
    check_pace,
)

ADVISORY_LOCK_WAIT_S = 5.0


class StopSign:
    """True once the slice should end: its time is up, someone asked for it, or its parent is gone.

    After ``kill -9`` of ansible-playbook its worker would go on alone; it notices that its parent process changes.
    """

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._parent = os.getppid()
        self.interrupted = False

    def watch(self) -> None:
        """Let SIGINT, SIGTERM and SIGHUP end the work after the step that is running."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._interrupt)

    def _interrupt(self, *_: object) -> None:
        self.interrupted = True

    def __call__(self) -> bool:
        if os.getppid() != self._parent:
            self.interrupted = True
        return self.interrupted or time.monotonic() >= self._until


@dataclass(frozen=True)
class Slice:
    """What one call has to do.

    :param steps: packed list: steps to do, or ``{seq, step}`` to undo.
    :param begin: whether this is the first slice of the run, which makes the journal and takes the lease.
    :param end: whether nothing comes after these steps.
    :param drop: remove the journal and do nothing else; its content has been kept on the control node.
    :param spent_s: how long the first step has been tried in earlier slices, in seconds.
    :param attempts: how often.
    """

    run: str
    door: str
    plan_digest: str
    operator: str
    version: str
    steps: str
    seconds: float
    begin: bool = False
    end: bool = False
    drop: bool = False
    spent_s: float = 0.0
    attempts: int = 0
    accepted: Sequence[Sequence[str]] = ()


def _take_advisory_lock(journal: Journal) -> None:
    until = time.monotonic() + ADVISORY_LOCK_WAIT_S
    while not journal.lock():
        if time.monotonic() > until:
            lease = journal.lease() if journal.exists() else None
            raise JournalError(
                "Another run is working on this database" + (f": {lease.holder}" if lease else "") + ".",
                "Two runs at once could undo each other's work.",
                "Wait until it ends; a run that was killed ends within seconds.",
            )
        time.sleep(0.2)


def _enter(journal: Journal, work: Slice) -> Lease | None:
    """Make sure that this run may work. :returns: another run's live lease, or None."""
    _take_advisory_lock(journal)
    if not work.begin:
        if not journal.renew_lease(work.run):
            raise JournalError("This run has lost its lease: another run has taken over.", "", "Let it finish, then run again.")
        return None
    journal.create()
    other = journal.take_lease(work.run, work.operator)
    if other is None:
        journal.begin_run(work.run, work.door, work.plan_digest, work.operator, work.version)
        journal.accept(work.run, [(item[0], item[1], item[2]) for item in work.accepted])
    return other


def _todo(journal: Journal, work: Slice) -> tuple[list[Step], list[tuple[Entry, Step]], list[str]]:
    """What is really left: steps to do, entries to undo, and the ids of what another run has done meanwhile."""
    items = unpack(work.steps)
    if work.door == "rollback":
        entries = {entry.seq: entry for entry in journal.done()}
        undo = [(entries[item["seq"]], step_from_dict(item["step"])) for item in items if item["seq"] in entries]
        return [], undo, [item["step"]["id"] for item in items if item["seq"] not in entries]
    done = {entry.step.id for entry in journal.done()} if work.begin else set()
    steps = [step_from_dict(item) for item in items if item["id"] not in done]
    return steps, [], [item["id"] for item in items if item["id"] in done]


def _apply(relocator: Relocator, crew: Crew, steps: Sequence[Step], workers: int) -> Iterator[Outcome]:
    """Moves side by side, where that is asked for; what comes after them one by one, once all of them are through."""
    together = list(itertools.takewhile(lambda step: step.kind == MoveTables.kind, steps)) if workers > 1 else []
    outcomes = 0
    for outcome in crew.apply(together, workers) if together else ():
        outcomes += 1
        yield outcome
    if outcomes == len(together):
        yield from relocator.apply(steps[outcomes:])


def run_slice(connect: Callable[[], Database], work: Slice, pace: Pace, workers: int, stop: StopSign) -> dict[str, Any]:
    """Do a slice.

    :param connect: opens a direct connection.
    :returns: ``outcomes``; ``already``, steps that were done before; ``waiting``, the step that is being tried, with who
        stands in its way; ``interrupted``; ``lease`` where another run has it; ``journal``, its export, at the end of a
        rollback.
    :raises MultischemaError: with what was reached in its ``result``.
    """
    outcomes: list[Mapping[str, Any]] = []
    with connect() as database:
        check_pace(database, pace)
        journal = Journal(database)
        other = _enter(journal, work)
        if other is not None:
            return {"changed": False, "outcomes": [], "lease": {**vars(other), "live": other.live}}
        if work.drop:
            journal.drop()
            return {"changed": True, "outcomes": []}
        steps, undo, already = _todo(journal, work)
        before = read_identities_of(database, [*steps, *(step for _, step in undo)])
        relocator = Relocator(database, work.run, pace, stop, HeadStart(work.spent_s, work.attempts), before=before)
        try:
            crew = Crew(connect, work.run, pace, stop, before)
            working = relocator.roll_back(undo) if undo else _apply(relocator, crew, steps, workers)
            for outcome in working:
                outcomes.append(vars(outcome))
        except MultischemaError as error:
            error.result = {"done": len(outcomes), "changed": bool(outcomes)}
            if not database.broken:
                journal.end_run(work.run, "failed")
                journal.release_lease(work.run)
            raise
        complete = len(outcomes) == len(steps) + len(undo)
        result = {
            "changed": bool(outcomes),
            "outcomes": outcomes,
            "already": already,
            "waiting": vars(relocator.unfinished) if relocator.unfinished and not complete else None,
            "interrupted": stop.interrupted,
        }
        if stop.interrupted or (work.end and complete):
            result["journal"] = _leave(journal, work, "interrupted" if not complete else "completed")
        return result


def _leave(journal: Journal, work: Slice, outcome: str) -> dict[str, Any] | None:
    """End the run. :returns: the journal's content, where a rollback is through; its removal is a call of its own."""
    journal.end_run(work.run, outcome)
    if work.door == "rollback" and outcome == "completed" and not journal.done():
        return journal.export()
    journal.release_lease(work.run)
    return None
