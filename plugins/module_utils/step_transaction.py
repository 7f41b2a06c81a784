"""The transaction of one step, statement by statement: as it is sent, and as check mode and the plan show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import TABLE_KINDS
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Step

PER_MEMBER_MS = 2  # what locking one more member of a tree may take without anyone being in front
LOCK = "LOCK TABLE "


@dataclass(frozen=True)
class StepTransaction:
    """What surrounds the statements of a step.

    ``lock_timeout`` counts for each lock, so a list of tables is locked by one statement that has a limit as a whole. It
    stays on for what comes behind: an owned sequence is a second lock that ``LOCK TABLE`` cannot take.

    :param work: the step's ``do`` or ``undo``.
    :param members: how many objects the step moves.
    :param locked: how many tables ``LOCK TABLE`` locks, and on the way back views in front of them.
    """

    work: Sequence[str]
    members: int
    locked: int
    lock_timeout_ms: int

    @property
    def _limited(self) -> bool:
        return self.locked > 1 and bool(self.work) and self.work[0].startswith(LOCK)

    @property
    def limits(self) -> list[str]:
        """Right behind ``BEGIN``."""
        made = [f"SET LOCAL lock_timeout = {self.lock_timeout_ms:d}"]
        if self._limited:
            made.append(f"SET LOCAL statement_timeout = {self.lock_timeout_ms + PER_MEMBER_MS * self.members:d}")
        return made

    @property
    def locking(self) -> list[str]:
        """What takes the locks, where that is a statement of its own, and ends the limit for it."""
        if not self.work or not self.work[0].startswith(LOCK):
            return []
        return [self.work[0], *(["SET LOCAL statement_timeout = 0"] if self._limited else [])]

    @property
    def rest(self) -> list[str]:
        """The work itself."""
        return list(self.work[1:] if self.locking else self.work)

    @property
    def statements(self) -> list[str]:
        """All of it. Between the last two come the proof and the journal, which are not shown."""
        return ["BEGIN", *self.limits, *self.locking, *self.rest, "COMMIT"]


def of_step(step: Step, undo: bool, lock_timeout_ms: int) -> StepTransaction:
    """The transaction that does or undoes a step."""
    locked = sum(1 + (undo and member.view) for member in step.members if member.kind in TABLE_KINDS)
    return StepTransaction(step.undo if undo else step.do, len(step.members), locked, lock_timeout_ms)


def of_plain_step(step: Mapping[str, Any], undo: bool, lock_timeout_ms: int) -> StepTransaction:
    """The same, of a step in the form that a plan file has it in."""
    locked = sum(1 + (undo and member["view"]) for member in step["members"] if member["kind"] in TABLE_KINDS)
    return StepTransaction(step["undo" if undo else "do"], len(step["members"]), locked, lock_timeout_ms)
