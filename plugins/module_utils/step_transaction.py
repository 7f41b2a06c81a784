"""The transaction of one step, statement by statement: as it is sent, and as check mode and the plan show it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import TABLE_KINDS
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Step

PER_MEMBER_MS = 2  # what locking one more member of a tree may take without anyone being in front
LOCKING = ("LOCK TABLE ", "DROP VIEW ")  # what a step begins with, and what waits for others


@dataclass(frozen=True)
class StepTransaction:
    """What surrounds the statements of a step.

    ``lock_timeout`` counts for each lock, so a list of tables, or of views, is locked by one statement that has a limit as
    a whole. It stays on for what comes behind: an owned sequence is a second lock that ``LOCK TABLE`` cannot take.

    :param work: the step's ``do`` or ``undo``.
    :param members: how many objects the step moves.
    :param locked: how many tables or views one statement locks.
    """

    work: Sequence[str]
    members: int
    locked: int
    lock_timeout_ms: int

    @property
    def _limited(self) -> bool:
        return self.locked > 1 and bool(self._first)

    @property
    def _first(self) -> list[str]:
        return list(itertools.takewhile(lambda text: text.startswith(LOCKING), self.work))

    @property
    def limits(self) -> list[str]:
        """Right behind ``BEGIN``."""
        made = [f"SET LOCAL lock_timeout = {self.lock_timeout_ms:d}"]
        if self._limited:
            made.append(f"SET LOCAL statement_timeout = {self.lock_timeout_ms + PER_MEMBER_MS * self.members:d}")
        return made

    @property
    def locking(self) -> list[str]:
        """What takes the locks, where those are statements of their own, and ends the limit for them."""
        return [*self._first, *(["SET LOCAL statement_timeout = 0"] if self._limited else [])]

    @property
    def rest(self) -> list[str]:
        """The work itself."""
        return list(self.work[len(self._first) :])

    @property
    def statements(self) -> list[str]:
        """All of it. Between the last two come the proof and the journal, which are not shown."""
        return ["BEGIN", *self.limits, *self.locking, *self.rest, "COMMIT"]


def of_step(step: Step, undo: bool, lock_timeout_ms: int) -> StepTransaction:
    """The transaction that does or undoes a step."""
    locked = sum(member.kind in TABLE_KINDS for member in step.members)
    return StepTransaction(step.undo if undo else step.do, len(step.members), locked, lock_timeout_ms)


def of_plain_step(step: Mapping[str, Any], undo: bool, lock_timeout_ms: int) -> StepTransaction:
    """The same, of a step in the form that a plan file has it in."""
    locked = sum(member["kind"] in TABLE_KINDS for member in step["members"])
    return StepTransaction(step["undo" if undo else "do"], len(step["members"]), locked, lock_timeout_ms)
