"""A slice of a run: as many steps as fit into a few seconds, so that progress can be shown in between.

The action plugin calls the module again and again; each call is one slice with a connection of its own. What ties the
slices of a run together is the lease in the journal.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.aftermath import add_what_became_of_it
from ansible_collections.dbops.multischema.plugins.module_utils.backup_guard import require_no_dump
from ansible_collections.dbops.multischema.plugins.module_utils.crew import Crew
from ansible_collections.dbops.multischema.plugins.module_utils.errors import (
    ConnectionFailed,
    JournalError,
    MultischemaError,
    ServerRefused,
    StepFailed,
)
from ansible_collections.dbops.multischema.plugins.module_utils.journal import Entry, Journal, Lease
from ansible_collections.dbops.multischema.plugins.module_utils.lock_budget import require_room
from ansible_collections.dbops.multischema.plugins.module_utils.move_step import MoveTables
from ansible_collections.dbops.multischema.plugins.module_utils.plain import unpack
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Step, step_from_dict
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.probe import Probe, probing
from ansible_collections.dbops.multischema.plugins.module_utils.proof import Former, read_former
from ansible_collections.dbops.multischema.plugins.module_utils.relocation import (
    HeadStart,
    Outcome,
    Pace,
    Relocator,
    check_pace,
    longest_attempt_ms,
)
from ansible_collections.dbops.multischema.plugins.module_utils.retired_schemas import drop_retired
from ansible_collections.dbops.multischema.plugins.module_utils.silence import SILENCE_S

ADVISORY_LOCK_WAIT_S = 5.0
ADVISORY_LOCK_POLL_S = 0.02  # the session of the slice before may still be ending
LOST_WAIT_S = SILENCE_S + 10.0  # for a session whose client has vanished: until the server has noticed


class StopSign:
    """True once the slice should end: its time is up, someone asked for it, its parent is gone, or the window has ended.

    After ``kill -9`` of ansible-playbook its worker would go on alone; it notices that its parent process changes.

    :param window_s: for how long steps may begin, in seconds; None for no end.
    """

    def __init__(self, seconds: float, window_s: float | None = None) -> None:
        now = time.monotonic()
        self._until = now + seconds
        self._window = None if window_s is None else now + window_s
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
        return self.interrupted or self.window_ended or time.monotonic() >= self._until

    @property
    def window_ended(self) -> bool:
        """Whether no step may begin any more."""
        return self._window is not None and time.monotonic() >= self._window


@dataclass(frozen=True)
class Slice:
    """What one call has to do.

    :param steps: packed list: steps to do, or ``{seq, step}`` to undo.
    :param begin: whether this is the first slice of the run, which makes the journal and takes the lease.
    :param end: whether nothing comes after these steps.
    :param drop: remove the journal and do nothing else; its content has been kept on the control node.
    :param tried: steps that earlier slices have tried: id → (for how long in seconds, how often).
    :param window_s: for how long from now on steps may begin, in seconds; None for no end.
    :param most_locks: what the steps that may be at work at the same time take at most (`lock_budget.py`).
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
    tried: Mapping[str, Sequence[float]] = field(default_factory=dict)
    most_locks: int = 0
    window_s: float | None = None
    accepted: Sequence[Sequence[str]] = ()


def _take_advisory_lock(journal: Journal) -> None:
    started = time.monotonic()
    while not journal.lock():
        lease = journal.others_lease()
        silent = lease is None or lease.age_s > ADVISORY_LOCK_WAIT_S  # a run that works renews it every other second
        if time.monotonic() - started > (LOST_WAIT_S if silent else ADVISORY_LOCK_WAIT_S):
            raise JournalError(
                "Another run is working on this database" + (f": {lease.holder}" if lease else "") + ".",
                "Two runs at once could undo each other's work.",
                "Wait until it ends; a run that was killed, or has lost its network, ends within half a minute.",
            )
        time.sleep(ADVISORY_LOCK_POLL_S)


def _enter(journal: Journal, work: Slice) -> Lease | None:
    """Make sure that this run may work. :returns: another run's live lease, or None."""
    _take_advisory_lock(journal)
    if not work.begin:
        if not journal.renew_lease(work.run):
            raise JournalError("This run has lost its lease: another run has taken over.", "", "Let it finish, then run again.")
        return None
    require_no_dump(journal.database)  # before anything is written, the journal included
    journal.create()
    other = journal.take_lease(work.run, work.operator)
    if other is None:
        _require_no_dump_since(journal, work.run)
        journal.begin_run(work.run, work.door, work.plan_digest, work.operator, work.version)
        journal.accept(work.run, [(item[0], item[1], item[2]) for item in work.accepted])
    return other


def _require_no_dump_since(journal: Journal, run: str) -> None:
    """Look once more: a backup that has begun before the lease could be seen has looked for it in vain."""
    try:
        require_no_dump(journal.database)
    except JournalError:
        journal.release_lease(run)
        raise


def _drop_retired(journal: Journal, work: Slice, pace: Pace) -> None:
    """Drop what a rollback has left of schemas: at its own end, or before the next run, where it was cut off there."""
    try:
        drop_retired(journal.database, journal.retired(), pace.lock_timeout_ms)
    except MultischemaError:
        if not journal.database.broken:
            journal.end_run(work.run, "failed")
            journal.release_lease(work.run)
        raise


def _todo(journal: Journal, work: Slice) -> tuple[list[Step], list[tuple[Entry, Step]], list[str]]:
    """What is really left: steps to do, entries to undo, and the ids of what another run has done meanwhile."""
    items = unpack(work.steps)
    if work.door == "rollback":
        entries = {entry.seq: entry for entry in journal.done_of([item["seq"] for item in items])}
        undo = [(entries[item["seq"]], step_from_dict(item["step"])) for item in items if item["seq"] in entries]
        return [], undo, [item["step"]["id"] for item in items if item["seq"] not in entries]
    done = {entry.step.id for entry in journal.done()} if work.begin else set()
    steps = [step_from_dict(item) for item in items if item["id"] not in done]
    return steps, [], [item["id"] for item in items if item["id"] in done]


def _connected(connect: Callable[[], Database], work: Slice) -> Database:
    try:
        return connect()
    except ConnectionFailed as error:
        if not work.begin:
            error.why += " The steps that were done before stay done."
            error.remedy += " Then run the same playbook again; it goes on where it stopped."
        raise


def run_slice(connect: Callable[[], Database], work: Slice, pace: Pace, workers: int, stop: StopSign) -> dict[str, Any]:
    """Do a slice.

    :param connect: opens a direct connection.
    :returns: ``outcomes``; ``already``, steps that were done before; ``waiting``, the steps that are being tried, with who
        stands in their way; ``probe_off``, why no reader measures; ``interrupted``; ``window_ended``, where steps are left;
        ``lease`` where another run has it; ``journal``, its export, at the end of a rollback.
    :raises MultischemaError: with what was reached in its ``result``.
    """
    with _connected(connect, work) as database:
        database.hold_nothing_in_silence()
        check_pace(database, pace)
        require_room(database, work.most_locks)
        journal = Journal(database)
        other = _enter(journal, work)
        if other is not None:
            return {"changed": False, "outcomes": [], "lease": {**vars(other), "live": other.live}}
        if work.begin or work.drop:
            _drop_retired(journal, work, pace)
        if work.drop:
            journal.drop()
            return {"changed": True, "outcomes": []}
        steps, undo, already = _todo(journal, work)
        doing = _Doing(connect, work, pace, stop)
        try:
            doing.run(database, steps, undo, workers)
        except MultischemaError as error:
            error.result = {"done": len(doing.outcomes), "changed": bool(doing.outcomes)}
            doing.end_failed(journal, error)
            raise
        doing.note_stall(journal)
        complete = len(doing.outcomes) == len(steps) + len(undo)
        result = {
            "changed": bool(doing.outcomes),
            "outcomes": [_plain(outcome) for outcome in doing.outcomes],
            "already": already,
            "waiting": [] if complete else [_plain(outcome) for outcome in doing.unfinished],
            "probe_off": doing.probe_off,
            "interrupted": stop.interrupted,
            "window_ended": stop.window_ended and not (work.end and complete),
        }
        if stop.interrupted or result["window_ended"] or (work.end and complete):
            result["journal"] = _leave(journal, work, "completed" if complete and work.end else _cut_short(stop))
        return result


def _cut_short(stop: StopSign) -> str:
    """How a run has ended that has not done everything, as the journal says it."""
    return "interrupted" if stop.interrupted else "window ended"


def _plain(outcome: Outcome) -> dict[str, Any]:
    """As plain data, for thousands of outcomes."""
    return {**vars(outcome), "stall": vars(outcome.stall) if outcome.stall else None}


def _moves(step: Step) -> bool:
    return step.kind == MoveTables.kind


class _Doing:
    """The work of a slice, and what it has reached, also where an error ends it."""

    def __init__(self, connect: Callable[[], Database], work: Slice, pace: Pace, stop: StopSign) -> None:
        self._connect = connect
        self._run_id = work.run
        self._undoes = work.door == "rollback"
        self._pace = pace
        self._stop = stop
        self._earlier = {step_id: HeadStart(float(spent), int(attempts)) for step_id, (spent, attempts) in work.tried.items()}
        self.outcomes: list[Outcome] = []
        self.unfinished: list[Outcome] = []
        self.probe_off: str | None = None

    def run(self, database: Database, steps: list[Step], undo: list[tuple[Entry, Step]], workers: int) -> None:
        """Do steps or undo them. At its end the probes have ended, and what they have noticed is final."""
        before = read_former(database, filter(_moves, [*steps, *(step for _, step in undo)]))
        together = list(itertools.takewhile(_moves, steps)) if workers > 1 else []
        if together:
            crew = Crew(self._connect, self._run_id, self._pace, self._stop, before=before, earlier=self._earlier)
            self._collect(crew.apply(together, workers), crew.probes)
            self.unfinished = crew.unfinished
            if len(self.outcomes) < len(together):
                return
        self._one_by_one(database, steps[len(together) :], undo, before)

    def _one_by_one(self, database: Database, steps: list[Step], undo: list[tuple[Entry, Step]], before: Mapping[int, Former]) -> None:
        wanted = self._pace.probe and any(_moves(step) for step in (*steps, *(step for _, step in undo)))
        with probing(self._connect, wanted, longest_attempt_ms(database)) as probe:
            relocator = Relocator(database, self._run_id, self._pace, self._stop, before=before, earlier=self._earlier, probe=probe)
            self._collect(relocator.roll_back(undo) if undo else relocator.apply(steps), [probe] if probe else [])
            self.unfinished = [relocator.unfinished] if relocator.unfinished else []

    def _collect(self, working: Iterator[Outcome], probes: Sequence[Probe]) -> None:
        for outcome in working:
            self.outcomes.append(outcome)
        self.probe_off = next((probe.off for probe in probes if probe.off), self.probe_off)

    def end_failed(self, journal: Journal, error: MultischemaError) -> None:
        """End the run, and give its lease back; where the connection was lost, find out what has become of the step first."""
        lost = journal.database.broken or (isinstance(error, StepFailed) and error.connection_lost)
        if not lost:
            with contextlib.suppress(ServerRefused):  # the error that is there already says more; the lease ends by itself
                self.note_stall(journal)
                journal.end_run(self._run_id, "failed")
                journal.release_lease(self._run_id)
        if lost or journal.database.broken:
            journal.database.close()
            add_what_became_of_it(error, self._connect, self._run_id, self._undoes)

    def note_stall(self, journal: Journal) -> None:
        """Keep the longest stall in the run's row of the journal."""
        stalls = [outcome.stall for outcome in (*self.outcomes, *self.unfinished) if outcome.stall and outcome.stall.reads]
        if stalls:
            worst = max(stalls, key=lambda stall: stall.longest_ms)
            journal.note_stall(self._run_id, worst.longest_ms, worst.on)


def _leave(journal: Journal, work: Slice, outcome: str) -> dict[str, Any] | None:
    """End the run. :returns: the journal's content, where a rollback is through; its removal is a call of its own."""
    journal.end_run(work.run, outcome)
    if work.door == "rollback" and outcome == "completed" and not journal.done():
        return journal.export()
    journal.release_lease(work.run)
    return None
