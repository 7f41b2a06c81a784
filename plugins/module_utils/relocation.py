"""Act: run steps, each in one short transaction, and undo them.

A step never waits for a lock longer than ``lock_timeout``, which stays below ``deadlock_timeout`` so that it is always the
migration that gives way and never the application. When it does not get its locks it gives up everything it holds, waits
with a growing and random pause, and tries again until its deadline.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.blockers import Blocker, find_blockers
from ansible_collections.dbops.multischema.plugins.module_utils.errors import (
    ConfigurationError,
    ServerRefused,
)
from ansible_collections.dbops.multischema.plugins.module_utils.identity import (
    read_identities_of,
    read_views,
    view_problems,
)
from ansible_collections.dbops.multischema.plugins.module_utils.journal import Entry, Journal
from ansible_collections.dbops.multischema.plugins.module_utils.making_way import MakingWay
from ansible_collections.dbops.multischema.plugins.module_utils.move_step import MoveTables
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Step
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import (
    DEADLOCK,
    LOCK_NOT_AVAILABLE,
    QUERY_CANCELED,
    Database,
)
from ansible_collections.dbops.multischema.plugins.module_utils.probe import Probe, Reading
from ansible_collections.dbops.multischema.plugins.module_utils.proof import (
    Former,
    Place,
    identity_of,
    move_problems,
    moved_as_planned,
    proof_query,
    read_places,
    views_of,
)
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import qualified
from ansible_collections.dbops.multischema.plugins.module_utils.standbys import Standbys, too_far_behind
from ansible_collections.dbops.multischema.plugins.module_utils.step_failures import LACKING, failure, raise_if, too_late
from ansible_collections.dbops.multischema.plugins.module_utils.step_transaction import of_step
from ansible_collections.dbops.multischema.plugins.module_utils.steps import problems_of_kind
from ansible_collections.dbops.multischema.plugins.module_utils.troubles import OUT_OF_MEMORY

RETRIED = (LOCK_NOT_AVAILABLE, DEADLOCK, QUERY_CANCELED, OUT_OF_MEMORY)
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
LAG_POLL_S = 0.25
RENEW_EVERY_S = 2.0
LONG_ATTEMPT_MS = 300  # beyond deadlock_timeout, for an autovacuum to notice that it was cancelled


@dataclass(frozen=True)
class Pace:
    """How patient a run is, and what it looks at beside its work.

    :param lock_timeout_ms: longest wait for one lock, in milliseconds.
    :param deadline_s: how long one step may keep trying, in seconds.
    :param probe: whether a reader measures what the application notices.
    :param max_replay_lag_s: how far a standby may be behind before the next step waits for it; 0 for not looking.
    """

    lock_timeout_ms: int = 50
    deadline_s: float = 300.0
    probe: bool = False
    max_replay_lag_s: float = 0.0


@dataclass(frozen=True)
class HeadStart:
    """What earlier slices have spent on a step: it has one deadline, however often the work is cut."""

    spent_s: float = 0.0
    attempts: int = 0


NO_HEAD_START = HeadStart()


@dataclass
class Outcome:
    """What one step took; in this slice, where it was tried in several."""

    step_id: str
    title: str
    attempts: int = 1
    elapsed_ms: float = 0.0
    held_ms: float = 0.0
    longest_wait_ms: float = 0.0
    waited_for: list[str] = field(default_factory=list)
    cancelled: int = 0
    stall: Reading | None = None


def deadlock_timeout_ms(database: Database) -> int:
    """After how long a wait the server looks for a deadlock, and cancels an ordinary autovacuum that is in front."""
    return int(database.value("SELECT (extract(epoch FROM current_setting('deadlock_timeout')::interval) * 1000)::int"))


def longest_attempt_ms(database: Database) -> int:
    """The longest wait that one attempt of a step may cause, in milliseconds: the one behind an autovacuum."""
    return LONG_ATTEMPT_MS + deadlock_timeout_ms(database)


def check_pace(database: Database, pace: Pace) -> None:
    """Refuse a pace that could make the application a deadlock's victim.

    :raises ConfigurationError: when ``lock_timeout`` is not positive or not below the server's ``deadlock_timeout``.
    """
    deadlock_ms = deadlock_timeout_ms(database)
    if not 0 < pace.lock_timeout_ms < deadlock_ms:
        raise ConfigurationError(
            f"multischema_lock_timeout_ms is {pace.lock_timeout_ms}, and the server's deadlock_timeout is {deadlock_ms} ms.",
            "A lock wait that reaches deadlock_timeout can end with the application's transaction being killed instead of ours.",
            f"Set it between 1 and {deadlock_ms - 1}; 50 is a good value.",
        )


@dataclass(frozen=True)
class Task:
    """A step to do; or, with the journal's entry, to undo."""

    step: Step
    entry: Entry | None = None

    @property
    def undoes(self) -> bool:
        """Whether it leads back."""
        return self.entry is not None


class _Differs(Exception):
    """What was read before the locks were held is not what was found after the work."""


class Relocator:
    """Runs steps on one connection.

    :param database: the connection; nothing else may use it meanwhile.
    :param run: id of the run that holds the lease.
    :param should_stop: asked between steps and attempts; true ends the work at the next safe point.
    :param earlier: what earlier slices have spent, by the id of the step.
    :param probe: reads the tables of the step that is being tried.
    :param before: what stands now, by OID (`proof.read_former`), read for many steps at once. A step whose members are
        all in it is sent as a whole, which takes two messages instead of a dozen; others one statement at a time.

    ``unfinished`` is the step that was being tried when the work was stopped.
    """

    def __init__(
        self,
        database: Database,
        run: str,
        pace: Pace,
        should_stop: Callable[[], bool] = lambda: False,
        *,
        before: Mapping[int, Former] | None = None,
        earlier: Mapping[str, HeadStart] | None = None,
        probe: Probe | None = None,
    ) -> None:
        self.database = database
        self.journal = Journal(database)
        self.run = run
        self.pace = pace
        self.should_stop = should_stop
        self._before = before or {}
        self._earlier = earlier or {}
        self._probe = probe
        self._standbys = Standbys(database, pace.max_replay_lag_s)
        self.unfinished: Outcome | None = None
        self._renewed = time.monotonic()

    def apply(self, steps: Iterable[Step]) -> Iterator[Outcome]:
        """Do the steps in order, yielding after each commit.

        :raises StepFailed: for the first that cannot be done; those before it stay done.
        """
        return self._work(Task(step) for step in steps)

    def roll_back(self, entries: Sequence[tuple[Entry, Step]]) -> Iterator[Outcome]:
        """Undo journaled steps in the order given, yielding after each commit.

        :param entries: each with the step whose ``undo`` is to be run: the journaled one, or one that covers what has
            joined it since (`rollback_plan.py`).
        :raises StepFailed: for the first that cannot be undone; those before it stay undone.
        """
        return self._work(Task(step, entry) for entry, step in entries)

    def _work(self, tasks: Iterable[Task]) -> Iterator[Outcome]:
        for task in tasks:
            if self.should_stop():
                return
            outcome = self._observed(task)
            if outcome is None:
                return
            yield outcome

    # --- one step, until it succeeds or its deadline passes ---

    def _observed(self, task: Task) -> Outcome | None:
        """A step, once the standbys have caught up, with a reader on its tables."""
        if not self._standbys_follow(task.step):
            return None
        stall = self._probe.watch(task.step) if self._probe else None
        outcome = self._persist(task)
        if self._probe:
            self._probe.rest()
        for found in (outcome, self.unfinished):
            if found is not None:
                found.stall = stall
        return outcome

    def _standbys_follow(self, step: Step) -> bool:
        """Wait for standbys that are behind. :returns: false when the work should stop instead."""
        behind = self._standbys.behind()
        if not behind:
            return True
        outcome = self.unfinished = Outcome(step.id, step.title, attempts=0)
        spent, started = self._earlier.get(step.id, NO_HEAD_START).spent_s, time.monotonic()
        while behind:
            outcome.waited_for, outcome.elapsed_ms = behind, (time.monotonic() - started) * 1000
            if spent + outcome.elapsed_ms / 1000 > self.pace.deadline_s:
                raise too_far_behind(step, behind, self.pace.deadline_s)
            if self.should_stop():
                return False
            self._renew()
            time.sleep(LAG_POLL_S)
            behind = self._standbys.behind(now=True)
        return True

    def _persist(self, task: Task) -> Outcome | None:
        step = task.step
        outcome = self.unfinished = Outcome(step.id, step.title)
        earlier = self._earlier.get(step.id, NO_HEAD_START)
        started = time.monotonic()
        way = MakingWay(self.database, step, lambda: self._find_blockers(step))
        long_attempt, singly = False, not self._may_be_sent_whole(step)
        while True:
            self._renew()
            attempt_started = time.monotonic()
            try:
                attempt = self._attempt_singly if singly else self._attempt_whole
                outcome.held_ms = attempt(task, outcome.attempts, self._lock_timeout_ms(long_attempt))
            except ServerRefused as error:
                waited = (time.monotonic() - attempt_started) * 1000
                if error.sqlstate not in RETRIED:
                    if singly or self.database.broken:
                        raise failure(step, error, self.database.broken) from error
                    singly = True  # to learn which statement it is
                    outcome.attempts += 1
                    continue
                outcome.longest_wait_ms = max(outcome.longest_wait_ms, waited)
                blockers = self._find_blockers(step)
                outcome.waited_for = [LACKING] if error.sqlstate == OUT_OF_MEMORY else [str(blocker) for blocker in blockers]
                long_attempt = way.clear(blockers, waited)
                outcome.cancelled = way.cancelled
                outcome.elapsed_ms = (time.monotonic() - started) * 1000
                if earlier.spent_s + outcome.elapsed_ms / 1000 > self.pace.deadline_s:
                    raise too_late(step, outcome.waited_for, earlier.attempts + outcome.attempts, self.pace.deadline_s, error) from error
                if self._pause(outcome.attempts):
                    return None
                outcome.attempts += 1
                continue
            except _Differs:
                singly = True  # to compare with what stands there once the locks are held
                outcome.attempts += 1
                continue
            outcome.elapsed_ms = (time.monotonic() - started) * 1000
            self.unfinished = None
            return outcome

    def _may_be_sent_whole(self, step: Step) -> bool:
        return step.kind == MoveTables.kind and all(member.oid in self._before for member in step.members)

    def _lock_timeout_ms(self, long_attempt: bool) -> int:
        return longest_attempt_ms(self.database) if long_attempt else self.pace.lock_timeout_ms

    def _find_blockers(self, step: Step) -> list[Blocker]:
        probe = self._probe.pid if self._probe else None
        oids = [member.oid for member in step.members if member.kind != "s"]
        try:
            found = find_blockers(self.database, oids)
        except ServerRefused as error:
            if error.sqlstate not in RETRIED:
                raise
            return []  # the lock table is too full even for the question
        return [blocker for blocker in found if blocker.pid is None or blocker.pid != probe]

    def _pause(self, attempt: int) -> bool:
        """Wait before the next attempt. :returns: whether the work should stop instead."""
        pause = min(FIRST_PAUSE_S * 1.5 ** (attempt - 1), LONGEST_PAUSE_S)
        until = time.monotonic() + pause * random.uniform(0.5, 1.5)  # noqa: S311  jitter, not a secret
        while (left := until - time.monotonic()) > 0:
            if self.should_stop():
                return True
            time.sleep(min(left, 0.1))
        return False

    def _renew(self) -> None:
        """Say that the run lives, now and then. What a step is tried again for holds this up as well, until the next time."""
        if time.monotonic() - self._renewed > RENEW_EVERY_S:
            try:
                self.journal.renew_lease(self.run)
            except ServerRefused as error:
                if error.sqlstate not in RETRIED:
                    raise
                return
            self._renewed = time.monotonic()

    # --- the content of a step's transaction ---

    def _attempt_whole(self, task: Task, attempt: int, lock_timeout_ms: int) -> float:
        """The step in two messages: all of its work with the proof, and the journal with the ``COMMIT``.

        What stood before was read before the locks were held; so where it differs, that may have been someone else.

        :returns: how long the locks were held at most, in ms.
        :raises _Differs: when the proof fails; the transaction is rolled back.
        """
        step, transaction = task.step, of_step(task.step, task.undoes, lock_timeout_ms)
        message = ";\n".join([*transaction.statements[:-1], proof_query(self.database, step, task.undoes)])
        started = time.monotonic()
        with self.database.rolled_back_on_error():
            places = read_places(self.database, step, self.database.rows(message))
            if not moved_as_planned(self.database, step, task.undoes, self._before, places):
                raise _Differs
            self.database.execute(f"{self._recording(task, places, attempt)};\nCOMMIT")
        return (time.monotonic() - started) * 1000

    def _attempt_singly(self, task: Task, attempt: int, lock_timeout_ms: int) -> float:
        """The step statement by statement: lock, look, work, look again, record.

        :returns: how long the locks were held, in ms.
        :raises StepFailed: when the proof fails; the transaction is rolled back by it.
        """
        step, transaction = task.step, of_step(task.step, task.undoes, lock_timeout_ms)
        with self.database.transaction():
            self.database.execute("; ".join(transaction.limits))
            for statement in transaction.locking:
                self.database.execute(statement)
            held_from = time.monotonic()
            before = read_identities_of(self.database, [step])
            for statement in transaction.rest:
                self.database.execute(statement)
            after = read_identities_of(self.database, [step])
            held = (time.monotonic() - held_from) * 1000
            if step.kind == MoveTables.kind:
                raise_if(move_problems(self.database, step, task.undoes, before, after), step)
            raise_if(problems_of_kind(self.database, step, task.undoes), step)
            self._record(task, {str(oid): item for oid, item in after.items()}, attempt)
        return held

    def _recording(self, task: Task, places: Mapping[int, Place], attempt: int) -> str:
        """What writes the step as done or undone; it fails where that is not for this run to do."""
        if task.entry is not None:
            return self.journal.recording_undone(self.run, task.entry)
        step, views = task.step, views_of(task.step, places)
        moved = {**identity_of(step, self._before, places), "views": self._check_views(step) if views is None else views}
        return self.journal.recording(self.run, step, moved, attempt)

    def _record(self, task: Task, identity: Mapping[str, Any], attempt: int) -> None:
        """Write the step as done or undone.

        :param identity: of what it has moved, by OID.
        """
        step = task.step
        if task.entry is not None:
            self.journal.record_undone(self.run, task.entry)
            return
        moved = {**identity, "views": self._check_views(step)} if step.kind == MoveTables.kind else {}
        self.journal.record(self.run, step, moved, attempt)

    def _check_views(self, step: Step) -> dict[str, Any]:
        """:returns: what the views are known by afterwards."""
        oids = [member.oid for member in step.members if member.view]
        source = str(step.detail["from"])
        found = view_problems(self.database, source, oids) if oids else []
        raise_if([f"the view {qualified(source, name)} {what}" for name, what in found], step)
        return read_views(self.database, source, [member.name for member in step.members if member.view]) if oids else {}
