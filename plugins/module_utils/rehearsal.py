"""What a rehearsal has shown: the receipt, with what each step took on the copy.

It is a sealed document: an edited one is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.database_identity import DatabaseIdentity
from ansible_collections.dbops.multischema.plugins.module_utils.plan import PHASE_SCHEMAS, PHASE_TABLES, Plan
from ansible_collections.dbops.multischema.plugins.module_utils.rehearsal_plan import steps_digest
from ansible_collections.dbops.multischema.plugins.module_utils.sealed_document import moment, sealed, unsealed

FORMAT = 1
KIND = "dbops.multischema.rehearsal"
FILE = "rehearsal.json"
STATEMENT = "the rollback of exactly this plan digest was run and restored the former state"
SCRATCH, GIVEN = "scratch", "given"  # a copy that the rehearsal has made itself, and one that somebody has given it
AUTO, COPY, BACKUP = "auto", "copy", "backup"  # what it makes it of: whichever can be had, the live database, or a backup that counts


class NotARehearsal(Exception):
    """The message says what is wrong with the file."""


@dataclass(frozen=True)
class Taken:
    """What a step took, in milliseconds: from its first attempt until it was done, and while its locks were held at most."""

    duration_ms: float = 0.0
    held_ms: float = 0.0


@dataclass(frozen=True)
class StepPrediction:
    """One step, as it went on the copy.

    :param digest: of the step by name (`rehearsal_plan.step_digests`).
    :param duration_ms: from its first attempt until it was done; ``held_ms``, for how long it held its locks at most.
    :param undo_ms: the same for the way back, and ``undo_held_ms``.
    """

    id: str
    phase: int
    title: str
    digest: str
    duration_ms: float
    held_ms: float
    undo_ms: float
    undo_held_ms: float


@dataclass(frozen=True)
class RestoredBackup:
    """The backup that a copy was restored from.

    :param digest: of its manifest, as the manifest itself says it.
    :param ended_at: when it was complete, in UTC; ``age`` at the rehearsal, in words.
    """

    name: str
    digest: str
    ended_at: str
    age: str


@dataclass(frozen=True)
class Rehearsed:
    """The copy that it was done on.

    :param origin: `SCRATCH` or `GIVEN`.
    :param name: of the database; ``where`` it was, without secrets.
    :param tables: how many tables were compared, and their ``rows``.
    :param seconds: how long it took to make it; 0 for one that was given.
    :param backup: that it was restored from; None where it was dumped from the live database, or given.
    """

    origin: str
    name: str
    where: str
    tables: int
    rows: int
    seconds: float
    backup: RestoredBackup | None = None


@dataclass(frozen=True)
class Rehearsal:
    """A rehearsal that has passed.

    :param made_at: when it ended, in UTC.
    :param made_by: ``user`` and ``machine``.
    :param version: of the code and the decisions, as the journal labels a run.
    :param database: which database it was a rehearsal for, and ``server`` its version in full.
    :param plan_digest: of the plan of that database.
    :param steps: in the order of the plan.
    :param structures: each table of the source schema, by name, as it was then (`rehearsal_plan.structures`).
    :param seconds: how long each part took, by name.
    :param pace: with which settings the steps were run.
    :param checks: what the verification of the copy has found.
    :param notes: what a person should know besides.
    """

    environment: str
    host: str
    made_at: str
    made_by: Mapping[str, str]
    version: str
    database: DatabaseIdentity
    server: str
    plan_digest: str
    steps: tuple[StepPrediction, ...]
    structures: Mapping[str, str]
    copy: Rehearsed
    seconds: Mapping[str, float]
    pace: Mapping[str, Any]
    checks: tuple[Mapping[str, str], ...]
    notes: tuple[str, ...] = ()

    @property
    def ended(self) -> datetime:
        """When it had passed."""
        return moment(self.made_at)

    @property
    def digests(self) -> dict[str, str]:
        """Id → digest of its steps."""
        return {step.id: step.digest for step in self.steps}

    def to_bytes(self) -> bytes:
        """The file."""
        content = asdict(self)
        if self.copy.backup is None:
            del content["copy"]["backup"]  # so that receipts from before there was such a thing are still what they were
        return sealed(KIND, FORMAT, {"statement": STATEMENT, "steps_digest": steps_digest(self.digests), **content})


def parse_rehearsal(data: bytes) -> Rehearsal:
    """Read a receipt. Whether it is about the plan at hand is another question (`rehearsal_judgement.py`).

    :raises NotARehearsal: when it is none, of another format, or was edited.
    """
    return unsealed(data, KIND, FORMAT, _read, NotARehearsal)


def _read(content: dict[str, Any]) -> Rehearsal:
    given = {key: value for key, value in content.items() if key not in ("statement", "steps_digest")}
    given.update(
        database=DatabaseIdentity(**given["database"]),
        steps=tuple(StepPrediction(**step) for step in given["steps"]),
        copy=Rehearsed(**{**given["copy"], "backup": RestoredBackup(**restored) if (restored := given["copy"].get("backup")) else None}),
        checks=tuple(given["checks"]),
        notes=tuple(given["notes"]),
    )
    found = Rehearsal(**given)
    _ = found.ended  # what is read later has to be readable
    return found


def predictions(
    plan: Plan, digests: Mapping[str, str], done: Mapping[str, Taken], undone: Mapping[str, Taken]
) -> tuple[StepPrediction, ...]:
    """What each step took, there and back, by its id."""

    def figures(taken: Mapping[str, Taken], step_id: str) -> tuple[float, float]:
        found = taken.get(step_id, Taken())
        return round(found.duration_ms, 3), round(found.held_ms, 3)

    return tuple(
        StepPrediction(step.id, step.phase, step.title, digests[step.id], *figures(done, step.id), *figures(undone, step.id))
        for step in plan.steps
    )


def of_phase(steps: Sequence[StepPrediction], phase: int) -> tuple[StepPrediction, ...]:
    """The steps of one phase."""
    return tuple(step for step in steps if step.phase == phase)


PHASES = ((PHASE_SCHEMAS, "phase 1"), (PHASE_TABLES, "phase 2"))
