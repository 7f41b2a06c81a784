"""A rehearsal, from the copy to the receipt. Where it happens is for a `Stage` to know; what it shows is decided here."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog
from ansible_collections.dbops.multischema.plugins.module_utils.checks import FAIL, Check, count_of
from ansible_collections.dbops.multischema.plugins.module_utils.configuration import Configuration
from ansible_collections.dbops.multischema.plugins.module_utils.copy_picture import (
    Picture,
    after_the_move,
    differences,
    moved_differences,
    named_tables,
)
from ansible_collections.dbops.multischema.plugins.module_utils.database_identity import observed_identity
from ansible_collections.dbops.multischema.plugins.module_utils.errors import JournalError, MultischemaError, PlanRefused
from ansible_collections.dbops.multischema.plugins.module_utils.journal import Entry
from ansible_collections.dbops.multischema.plugins.module_utils.lock_budget import locks_at_once
from ansible_collections.dbops.multischema.plugins.module_utils.plain import to_plain
from ansible_collections.dbops.multischema.plugins.module_utils.plan import PHASE_SCHEMAS, PHASE_TABLES, Finding, Plan, Step
from ansible_collections.dbops.multischema.plugins.module_utils.rehearsal import (
    AUTO,
    SCRATCH,
    Rehearsal,
    Rehearsed,
    RestoredBackup,
    Taken,
    predictions,
)
from ansible_collections.dbops.multischema.plugins.module_utils.rehearsal_plan import (
    differing_steps,
    reaching_beyond,
    step_digests,
    structures,
)
from ansible_collections.dbops.multischema.plugins.module_utils.rollback_plan import plan_rollback
from ansible_collections.dbops.multischema.plugins.module_utils.sealed_document import utc_now
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name
from ansible_collections.dbops.multischema.plugins.plugin_utils.lease_holder import this_process
from ansible_collections.dbops.multischema.plugins.plugin_utils.plan_report import finding_lines
from ansible_collections.dbops.multischema.plugins.plugin_utils.planning import plan_now
from ansible_collections.dbops.multischema.plugins.plugin_utils.progress import Progress
from ansible_collections.dbops.multischema.plugins.plugin_utils.proving import prove, what_to_read
from ansible_collections.dbops.multischema.plugins.plugin_utils.rehearsal_source import CopySource
from ansible_collections.dbops.multischema.plugins.plugin_utils.slices import Slices

SHOWN = 6  # differences that a message names
STEPPING = ("phase 1", "phase 2", "rollback")


class RehearsalFailed(MultischemaError):
    """The migration, or its rollback, has not worked on the copy as it should."""


@dataclass(frozen=True)
class Seen:
    """A database as it was observed. ``journal`` is what ``catalog_info`` says of it."""

    catalog: Catalog
    entries: Sequence[Entry]
    journal: Mapping[str, Any]


class Stage(Protocol):
    """Where a rehearsal happens: the database that it is for, and the copy that it works on."""

    @property
    def origin(self) -> str:
        """Whose the copy is: `rehearsal.SCRATCH` or `rehearsal.GIVEN`."""

    def observe_live(self) -> Seen:
        """Read the live database. It is only ever read."""

    def observe_copy(self) -> Seen:
        """Read the copy."""

    def backup(self) -> RestoredBackup | str:
        """The newest backup that preflight would accept; a text says why there is none."""

    def make(self, backup: str = "") -> Mapping[str, Any]:
        """Make the copy, of a backup where its name is given: ``name``, and ``notes`` on what is not as in the original."""

    def drop(self) -> None:
        """Drop the copy."""

    def where(self) -> str:
        """Where the copy is, without secrets."""

    def picture(self, with_schema: bool) -> Picture:
        """Read all that the copy holds."""

    def work(self, slice_: Mapping[str, Any]) -> dict[str, Any]:
        """Do a slice of steps on the copy."""

    def evidence(self, wanted: Mapping[str, Any]) -> Mapping[str, Any]:
        """Read what a verification needs of the copy."""


@dataclass(frozen=True)
class Request:
    """What is to be rehearsed, and how.

    :param pace: with which settings the steps are run; ``workers`` among them.
    :param keep: whether the copy stays, for somebody to look at.
    :param source: what the copy is made of: `rehearsal.AUTO`, `COPY` or `BACKUP`.
    """

    configuration: Configuration
    environment: str
    host: str
    version: str
    made_by: Mapping[str, str]
    pace: Mapping[str, Any]
    keep: bool = False
    source: str = AUTO


@dataclass
class Rehearsing:
    """One rehearsal.

    :param say: where progress goes.
    """

    stage: Stage
    request: Request
    say: Callable[[str], None]
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    fate: str = ""  # what has become of the copy
    backup: RestoredBackup | None = None  # what it was restored from
    _part: str = ""

    def plan(self) -> Plan:
        """The plan of the live database.

        :raises JournalError: when its migration has begun.
        :raises PlanRefused: when it cannot be applied, or there is nothing to do.
        """
        live = self.stage.observe_live()
        _require_not_begun(live)
        plan = plan_now(live.catalog, [], self.request.configuration)
        _require_no_refusals(plan.refusals)
        if not plan.steps:
            raise PlanRefused("There is nothing to rehearse: the plan has no step.", "", "Look at it with playbooks/plan.yml.")
        return plan

    def run(self) -> Rehearsal:
        """Do it.

        :raises RehearsalFailed: saying where, and what has become of the copy; the live database is never changed.
        """
        plan = self.plan()
        try:
            name = self._make(plan)
        except Exception as error:
            raise self._failed(error, plan) from error
        try:
            found = self._perform(plan, name)
        except Exception as error:
            self._leave(name)
            raise self._failed(error, plan) from error
        self._leave(name)
        return found

    # --- the parts, in order ---

    def _make(self, plan: Plan) -> str:
        if self.stage.origin != SCRATCH:
            return plan.server.database
        source = CopySource(self.stage, self.request.source, lambda text: self._timed("copy", text))
        made, self.backup = source.make(plan, self.request.configuration)
        self.notes += made["notes"]
        return str(made["name"])

    def _perform(self, plan: Plan, name: str) -> Rehearsal:
        with self._timed("plan", f"The plan is made for the copy {self.stage.where()}"):
            copied = self._copied_plan(plan)
        with self._timed("reading", "Every row of the copy is read once"):
            before = self.stage.picture(True)
        taken = self._do("phase 1", copied, copied.of_phase(PHASE_SCHEMAS))
        taken |= self._do("phase 2", copied, copied.of_phase(PHASE_TABLES))
        with self._timed("verification", "What has moved is verified, and read again"):
            checks = self._verify()
            moved = moved_differences(after_the_move(before, copied.steps), self.stage.picture(False))
            self._require_same("after phase 2 the content is not the same", moved)
        undone = self._undo()
        with self._timed("comparison", "Schema, rows, sequences and settings are compared with how they were"):
            self._require_same("the rollback has not restored the former state", differences(before, self.stage.picture(True)))
        counted = named_tables(before)
        if counted:
            self.notes.append(f"of tables that hold names of objects only the rows were counted after phase 2: {', '.join(counted)}")
        return Rehearsal(
            environment=self.request.environment,
            host=self.request.host,
            made_at=utc_now(),
            made_by=self.request.made_by,
            version=self.request.version,
            database=observed_identity(plan.server),
            server=plan.server.version,
            plan_digest=plan.digest,
            steps=predictions(plan, step_digests(plan), taken, undone),
            structures=structures(plan.catalog),
            copy=Rehearsed(
                self.stage.origin,
                name,
                self.stage.where(),
                len(before.content.tables),
                before.content.rows,
                round(self.seconds.get("copy", 0.0), 3),
                self.backup,
            ),
            seconds={part: round(took, 3) for part, took in self.seconds.items()},
            pace=dict(self.request.pace),
            checks=tuple({"name": check.name, "status": check.status, "detail": check.detail} for check in checks),
            notes=tuple(self.notes),
        )

    def _copied_plan(self, plan: Plan) -> Plan:
        """The plan of the copy, which has to be the same.

        :raises RehearsalFailed: naming what differs; or when the copy is the live database itself.
        """
        seen = self.stage.observe_copy()
        _require_not_begun(seen)
        copied = plan_now(seen.catalog, [], self.request.configuration)
        if observed_identity(copied.server).is_the_same_as(observed_identity(plan.server)):
            raise RehearsalFailed(
                f"The copy is the live database itself: {plan.server.database}.",
                "A rehearsal changes what it works on.",
                "Let rehearsal_database_url lead to a copy, or leave it out: then one is made.",
            )
        found = list(differing_steps(step_digests(plan), step_digests(copied), "the live database's plan", "the copy's plan"))
        if found:
            raise RehearsalFailed(
                f"The plan of the copy is another one: {_some(found)}.",
                "What is rehearsed must be what will be done.",
                "Copy the database again, and let nobody change its structure meanwhile. " + " ".join(self.notes),
            )
        _require_no_refusals(copied.refusals)
        beyond = reaching_beyond(copied)
        if beyond:
            raise RehearsalFailed(f"These steps would reach beyond the copy: {_some(beyond)}.", "This is a mistake in dbops.multischema.")
        return copied

    def _do(self, part: str, plan: Plan, steps: Sequence[Step]) -> dict[str, Taken]:
        door = part.replace(" ", "")
        with self._timed(part, f"{count_of(len(steps), 'step')} of {part} on the copy"):
            return self._slices(door, plan.digest, steps, [to_plain(step) for step in steps], "done").taken

    def _verify(self) -> list[Check]:
        seen, configuration = self.stage.observe_copy(), self.request.configuration
        plan = plan_now(seen.catalog, [entry.step for entry in seen.entries], configuration)
        found = self.stage.evidence(what_to_read(seen.catalog, seen.entries, configuration.application_roles))
        checks = [check for phase in ("schemas", "tables") for check in prove(phase, seen.catalog, plan, seen.entries, found)]
        failed = [f"{check.name}: {check.detail}" for check in checks if check.status == FAIL]
        if failed:
            raise RehearsalFailed(f"The verification has not passed: {_some(failed)}.", "", "Settle that, and rehearse again.")
        return list({check.name: check for check in checks}.values())

    def _undo(self) -> dict[str, Taken]:
        with self._timed("rollback", "All of it is undone, from the journal of the copy"):
            seen = self.stage.observe_copy()
            way = plan_rollback(seen.catalog, seen.entries, frozenset())
            _require_no_refusals(way.refusals)
            items = [{"seq": entry.seq, "step": to_plain(step)} for entry, step in way.steps]
            return self._slices("rollback", "", [step for _, step in way.steps], items, "undone").taken

    def _slices(self, door: str, digest: str, steps: Sequence[Step], items: Sequence[Any], verb: str) -> Progress:
        common = {
            "run": f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}",
            "door": door,
            "plan_digest": digest,
            "operator": this_process(),
            "version": self.request.version,
            "accepted": [],
        }
        progress = Progress(self.say, len(items), verb)
        workers = int(self.request.pace["workers"]) if door == "phase2" else 1
        work = Slices(self.stage.work, common, items, progress, self.say, most_locks=locks_at_once(steps, workers))
        if items:
            work.run()
        if work.interrupted:
            raise JournalError("Stopped by request.", "", "Run it again when you like.")
        if door == "rollback":
            work.drop_journal()
        return progress

    # --- how it ends ---

    def _require_same(self, what: str, found: Iterator[str]) -> None:
        different = list(found)
        if different:
            raise RehearsalFailed(f"{what[0].upper()}{what[1:]}: {_some(different)}.", "", "Do not migrate before this is understood.")

    def _leave(self, name: str) -> None:
        """Drop the copy, unless it is to be kept or was given. A trouble with it does not hide what the rehearsal has shown."""
        if self.stage.origin != SCRATCH:
            self.fate = "The copy that was given stays."
        elif self.request.keep:
            drop = f"DROP DATABASE {Name(name).as_string()} WITH (FORCE)"
            self.fate = f"The copy {name} stays, as rehearsal_keep asks for; when you have seen enough: {drop}"
        else:
            try:
                self.stage.drop()
                self.fate = f"The copy {name} was dropped."
            except Exception as error:  # whatever it is, a person has to know that something is left
                self.fate = f"The copy {name} could not be dropped, and is still there: {' '.join(str(error).split())}"
                self.notes.append(self.fate)

    def _failed(self, error: Exception, plan: Plan) -> RehearsalFailed:
        text, remedy = str(error), ""
        if self._part in STEPPING:
            # What a failed step says of going on is about a real run.
            text = text.partition("\nWhy: ")[0].partition("\nWhat to do: ")[0]
            remedy = "\nWhat to do: Remove the cause in the live database, or change the plan; then rehearse again, on a new copy."
        return RehearsalFailed(
            f"The rehearsal of {plan.server.database} has failed at: {self._part}.\n{text}{remedy}\n"
            f"The live database is as it was: it was only read. {self.fate}"
        )

    @contextlib.contextmanager
    def _timed(self, part: str, text: str) -> Iterator[None]:
        self._part = part
        self.say(f"{text}.")
        started = time.monotonic()
        yield
        self.seconds[part] = time.monotonic() - started


def _some(found: Sequence[str]) -> str:
    more = len(found) - SHOWN
    return "; ".join(found[:SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _require_not_begun(seen: Seen) -> None:
    lease = seen.journal.get("lease")
    if lease and lease["live"]:
        raise JournalError(f"A run works on this database now: {lease['holder']}.", "", "Wait until it ends.")
    if seen.entries:
        raise JournalError(
            f"The migration of this database has begun: {count_of(len(seen.entries), 'step')} done.",
            "A rehearsal is about the whole of it, from its beginning.",
            "Go on (phases 1 and 2), or go back (playbooks/rollback.yml); both need no further rehearsal.",
        )


def _require_no_refusals(refusals: Sequence[Finding]) -> None:
    if refusals:
        raise PlanRefused(
            f"The plan is refused: {count_of(len(refusals), 'finding')} must be settled first.\n" + "\n".join(finding_lines(refusals)),
            "What cannot be applied cannot be rehearsed.",
            "Settle them as said with each, or accept with a reason those that say so (multischema_accept).",
        )
