"""Act: run steps, each in one short transaction, and undo them.

A step never waits for a lock longer than ``lock_timeout``, which stays below ``deadlock_timeout`` so that it is always the
migration that gives way and never the application. When it does not get its locks it gives up everything it holds, waits
with a growing and random pause, and tries again until its deadline.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.blockers import Blocker, find_blockers
from ansible_collections.dbops.multischema.plugins.module_utils.errors import (
    ConfigurationError,
    ServerRefused,
    StepFailed,
)
from ansible_collections.dbops.multischema.plugins.module_utils.identity import (
    differences,
    read_identities,
    read_views,
    view_problems,
)
from ansible_collections.dbops.multischema.plugins.module_utils.journal import Entry, Journal
from ansible_collections.dbops.multischema.plugins.module_utils.making_way import MakingWay
from ansible_collections.dbops.multischema.plugins.module_utils.plan import PHASE_TABLES, Step
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import (
    DEADLOCK,
    LOCK_NOT_AVAILABLE,
    QUERY_CANCELED,
    Database,
)
from ansible_collections.dbops.multischema.plugins.module_utils.probe import Probe, Reading
from ansible_collections.dbops.multischema.plugins.module_utils.schema_steps import GrantUsage
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import qualified
from ansible_collections.dbops.multischema.plugins.module_utils.standbys import Standbys, too_far_behind

RETRIED = (LOCK_NOT_AVAILABLE, DEADLOCK, QUERY_CANCELED)
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
LAG_POLL_S = 0.25
RENEW_EVERY_S = 2.0
LONG_ATTEMPT_MS = 300  # beyond deadlock_timeout, for an autovacuum to notice that it was cancelled
PER_MEMBER_MS = 2  # what locking one more member of a tree may take without anyone being in front

_LEFT_BEHIND = """
SELECT c.relname FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE i.inhparent = ANY(%(oids)s) AND n.nspname = %(schema)s AND i.inhrelid <> ALL(%(settled)s::oid[]) ORDER BY 1
"""

# A GRANT by someone who may not grant is only a warning in PostgreSQL.
_NOT_USED = """
SELECT r FROM unnest(%(roles)s) AS r
 WHERE NOT has_schema_privilege(CASE r WHEN 'PUBLIC' THEN 'public' ELSE r END, %(schema)s, 'USAGE')
"""


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
    return int(database.value("SELECT setting::int FROM pg_catalog.pg_settings WHERE name = 'deadlock_timeout'"))


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


class Relocator:
    """Runs steps on one connection.

    :param database: the connection; nothing else may use it meanwhile.
    :param run: id of the run that holds the lease.
    :param should_stop: asked between steps and attempts; true ends the work at the next safe point.

    :param earlier: what earlier slices have spent, by the id of the step.
    :param probe: reads the tables of the step that is being tried.

    ``unfinished`` is the step that was being tried when the work was stopped.
    """

    def __init__(
        self,
        database: Database,
        run: str,
        pace: Pace,
        should_stop: Callable[[], bool] = lambda: False,
        *,
        earlier: Mapping[str, HeadStart] | None = None,
        probe: Probe | None = None,
    ) -> None:
        self.database = database
        self.journal = Journal(database)
        self.run = run
        self.pace = pace
        self.should_stop = should_stop
        self._earlier = earlier or {}
        self._probe = probe
        self._standbys = Standbys(database, pace.max_replay_lag_s)
        self.unfinished: Outcome | None = None
        self._renewed = time.monotonic()

    def apply(self, steps: Iterable[Step]) -> Iterator[Outcome]:
        """Do the steps in order, yielding after each commit.

        :raises StepFailed: for the first that cannot be done; those before it stay done.
        """
        for step in steps:
            if self.should_stop():
                return
            outcome = self._observed(step, lambda attempt, step=step: self._do(step, attempt))  # type: ignore[misc]
            if outcome is None:
                return
            yield outcome

    def roll_back(self, entries: Sequence[tuple[Entry, Step]]) -> Iterator[Outcome]:
        """Undo journaled steps in the order given, yielding after each commit.

        :param entries: each with the step whose ``undo`` is to be run: the journaled one, or one that covers what has
            joined it since (`rollback_plan.py`).
        :raises StepFailed: for the first that cannot be undone; those before it stay undone.
        """
        for entry, step in entries:
            if self.should_stop():
                return
            outcome = self._observed(step, lambda _attempt, e=entry, s=step: self._undo(e, s))  # type: ignore[misc]
            if outcome is None:
                return
            yield outcome

    # --- one step, until it succeeds or its deadline passes ---

    def _observed(self, step: Step, work: Callable[[int], float]) -> Outcome | None:
        """A step, once the standbys have caught up, with a reader on its tables."""
        if not self._standbys_follow(step):
            return None
        stall = self._probe.watch(step) if self._probe else None
        outcome = self._persist(step, work)
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

    def _persist(self, step: Step, work: Callable[[int], float]) -> Outcome | None:
        outcome = self.unfinished = Outcome(step.id, step.title)
        earlier = self._earlier.get(step.id, NO_HEAD_START)
        started = time.monotonic()
        way, long_attempt = MakingWay(self.database, step), False
        while True:
            self._renew()
            attempt_started = time.monotonic()
            try:
                with self._lock_timeout(step, long_attempt):
                    outcome.held_ms = work(outcome.attempts)
            except ServerRefused as error:
                waited = (time.monotonic() - attempt_started) * 1000
                if error.sqlstate not in RETRIED:
                    raise _failure(step, error, self.database.broken) from error
                outcome.longest_wait_ms = max(outcome.longest_wait_ms, waited)
                blockers = self._find_blockers(step)
                outcome.waited_for = [str(blocker) for blocker in blockers]
                long_attempt = way.clear(blockers, waited)
                outcome.cancelled = way.cancelled
                outcome.elapsed_ms = (time.monotonic() - started) * 1000
                if earlier.spent_s + outcome.elapsed_ms / 1000 > self.pace.deadline_s:
                    raise _late(step, outcome, earlier.attempts, self.pace) from error
                if self._pause(outcome.attempts):
                    return None
                outcome.attempts += 1
                continue
            outcome.elapsed_ms = (time.monotonic() - started) * 1000
            self.unfinished = None
            return outcome

    def _find_blockers(self, step: Step) -> list[Blocker]:
        probe = self._probe.pid if self._probe else None
        oids = [member.oid for member in step.members if member.kind != "s"]
        return [blocker for blocker in find_blockers(self.database, oids) if blocker.pid is None or blocker.pid != probe]

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
        if time.monotonic() - self._renewed > RENEW_EVERY_S:
            self.journal.renew_lease(self.run)
            self._renewed = time.monotonic()

    @contextlib.contextmanager
    def _lock_timeout(self, step: Step, long_attempt: bool) -> Iterator[None]:
        """The step's transaction with its time limits.

        ``lock_timeout`` counts for each lock, so a list of tables is locked by one statement that has a limit as a whole.
        """
        limit = self.pace.lock_timeout_ms
        if long_attempt:
            limit = longest_attempt_ms(self.database)
        several = limit + PER_MEMBER_MS * len(step.members) if len(step.locks) > 1 else 0
        with self.database.transaction():
            self.database.execute(f"SET LOCAL lock_timeout = {limit}; SET LOCAL statement_timeout = {several}")
            yield

    # --- the content of a step's transaction ---

    def _run_statements(self, step: Step, statements: Sequence[str]) -> tuple[dict[int, Any], dict[int, Any], float]:
        """Lock, look, work, look again. :returns: identities before and after, and how long the locks were held in ms."""
        oids = [member.oid for member in step.members if member.kind != "s"]
        statistics = [member.oid for member in step.members if member.kind == "s"]
        rest = list(statements)
        if rest and rest[0].startswith("LOCK TABLE "):
            self.database.execute(rest.pop(0))
        held_from = time.monotonic()
        if len(step.locks) > 1:
            self.database.execute("SET LOCAL statement_timeout = 0")
        before = read_identities(self.database, oids, statistics) if oids else {}
        for statement in rest:
            self.database.execute(statement)
        after = read_identities(self.database, oids, statistics) if oids else {}
        return before, after, (time.monotonic() - held_from) * 1000

    def _do(self, step: Step, attempt: int) -> float:
        before, after, held = self._run_statements(step, step.do)
        identity: dict[str, Any] = {}
        if step.phase == PHASE_TABLES:
            self._check(step, before, after, str(step.detail["from"]), str(step.detail["to"]))
            identity = {str(oid): item for oid, item in after.items()}
            identity["views"] = self._check_views(step)
        if step.kind == GrantUsage.kind:
            missing = self.database.rows(_NOT_USED, {"roles": step.detail["roles"], "schema": step.detail["schema"]})
            _raise_if([f"{name} still may not use {step.detail['schema']}" for (name,) in missing], step)
        self.journal.record(self.run, step, identity, attempt)
        return held

    def _undo(self, entry: Entry, step: Step) -> float:
        before, after, held = self._run_statements(step, step.undo)
        if step.phase == PHASE_TABLES:
            self._check(step, before, after, str(step.detail["to"]), str(step.detail["from"]))
        self.journal.record_undone(self.run, entry)
        return held

    def _check(self, step: Step, before: dict[int, Any], after: dict[int, Any], origin: str, target: str) -> None:
        """Prove that exactly the planned objects have moved and nothing else about them has changed.

        :raises StepFailed: otherwise; the transaction is rolled back by it.
        """
        problems = []
        for member in step.members:
            was, now = before.get(member.oid), after.get(member.oid)
            if was is None or now is None or was["name"] != member.name or was["schema"] != origin:
                problems.append(f"{qualified(origin, member.name)} (OID {member.oid}) is not there any more")
            elif now["schema"] != target:
                problems.append(f"{member.name} is in {now['schema']} and not in {target}")
            else:
                problems.extend(f"{member.name}: {text}" for text in differences(was, now))
        parents = [oid for oid, now in after.items() if now.get("has_children")]
        wanted = {"oids": parents, "schema": origin, "settled": list(step.detail["settled"])}
        for (name,) in self.database.rows(_LEFT_BEHIND, wanted) if parents else ():
            problems.append(f"{qualified(origin, name)} has joined the tree since it was planned")
        _raise_if(problems, step)

    def _check_views(self, step: Step) -> dict[str, Any]:
        """:returns: what the views are known by afterwards."""
        oids = [member.oid for member in step.members if member.view]
        source = str(step.detail["from"])
        found = view_problems(self.database, source, oids) if oids else []
        _raise_if([f"the view {qualified(source, name)} {what}" for name, what in found], step)
        return read_views(self.database, source, [member.name for member in step.members if member.view]) if oids else {}


def _raise_if(problems: Sequence[str], step: Step) -> None:
    if problems:
        raise StepFailed(
            step.id,
            f"{step.title}: " + "; ".join(problems[:5]) + (f" and {len(problems) - 5} more" if len(problems) > 5 else "") + ".",
            "The database is not what was planned on, so this step was rolled back whole; steps before it stay done.",
            "Run playbooks/plan.yml to see what has changed, read the new plan, and run this phase again. Where the plan is "
            "still the same, look at event triggers and at what else runs on this database.",
        )


def _failure(step: Step, error: ServerRefused, broken: bool) -> StepFailed:
    if broken:
        return StepFailed(
            step.id,
            f"{step.title}: the connection was lost. {error.found}",
            "The step's transaction and its journal row are one: either both are there or neither.",
            "Run the same playbook again: it reads the journal and goes on with the next step.",
        )
    return StepFailed(
        step.id,
        f"{step.title}: {error.found}\n  statement: {error.statement}",
        error.why or "PostgreSQL refused it; this step was rolled back whole, steps before it stay done.",
        error.remedy or "Remove the cause, then run the same playbook again; it goes on where it stopped.",
    )


def _late(step: Step, outcome: Outcome, earlier: int, pace: Pace) -> StepFailed:
    who = "; ".join(outcome.waited_for) or "sessions that come and go"
    return StepFailed(
        step.id,
        f"{step.title}: no lock within {pace.deadline_s:g} s ({earlier + outcome.attempts} attempts). In front: {who}.",
        "It gives way to the application each time rather than make it wait.",
        "End that session (SELECT pg_terminate_backend(PID)) or wait for it, then run the same playbook again; a longer "
        "multischema_deadline_s waits longer.",
    )
