"""What a rehearsal has shown: the receipt, with what each step took on the copy.

The receipt carries a digest of itself, so that an edited one is known; that guards against mistakes, not against somebody who
computes a new digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import TIME, DatabaseIdentity
from ansible_collections.dbops.multischema.plugins.module_utils.plan import PHASE_SCHEMAS, PHASE_TABLES, Plan
from ansible_collections.dbops.multischema.plugins.module_utils.rehearsal_plan import steps_digest

FORMAT = 1
KIND = "dbops.multischema.rehearsal"
FILE = "rehearsal.json"
STATEMENT = "the rollback of exactly this plan digest was run and restored the former state"
SCRATCH, GIVEN = "scratch", "given"  # a copy that the rehearsal has made itself, and one that somebody has given it


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
class Rehearsed:
    """The copy that it was done on.

    :param origin: `SCRATCH` or `GIVEN`.
    :param name: of the database; ``where`` it was, without secrets.
    :param tables: how many tables were compared, and their ``rows``.
    :param seconds: how long it took to make it; 0 for one that was given.
    """

    origin: str
    name: str
    where: str
    tables: int
    rows: int
    seconds: float


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
        return datetime.strptime(self.made_at, TIME).replace(tzinfo=timezone.utc)

    @property
    def digests(self) -> dict[str, str]:
        """Id → digest of its steps."""
        return {step.id: step.digest for step in self.steps}

    def to_bytes(self) -> bytes:
        """The file: JSON with sorted keys, so that the same content is the same bytes; its digest in it."""
        document = {"format": FORMAT, "kind": KIND, "statement": STATEMENT, "steps_digest": steps_digest(self.digests), **asdict(self)}
        return _text({**document, "digest": hashlib.sha256(_text(document)).hexdigest()})


def _text(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def parse_rehearsal(data: bytes) -> Rehearsal:
    """Read a receipt. Whether it is about the plan at hand is another question (`rehearsal_judgement.py`).

    :raises NotARehearsal: when it is none, of another format, or was edited.
    """
    try:
        document = json.loads(data)
        if document["kind"] != KIND or document["format"] != FORMAT:
            raise NotARehearsal(f"it is of kind {document['kind']!r}, format {document['format']!r}; this version reads {KIND!r}, {FORMAT}")
        found = _read(document)
        same = found.to_bytes() == data
        _ = found.ended  # what is read later has to be readable
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotARehearsal(f"it cannot be read ({type(error).__name__}: {error})") from error
    if not same:
        raise NotARehearsal("it was edited since it was written: its digest is not that of its content")
    return found


def _read(document: Mapping[str, Any]) -> Rehearsal:
    given = {key: value for key, value in document.items() if key not in ("format", "kind", "statement", "steps_digest", "digest")}
    given.update(
        database=DatabaseIdentity(**given["database"]),
        steps=tuple(StepPrediction(**step) for step in given["steps"]),
        copy=Rehearsed(**given["copy"]),
        checks=tuple(given["checks"]),
        notes=tuple(given["notes"]),
    )
    return Rehearsal(**given)


def identity(plan: Plan) -> DatabaseIdentity:
    """Which database a plan is for."""
    return DatabaseIdentity(plan.server.system_identifier, plan.server.database_oid, plan.server.database)


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
