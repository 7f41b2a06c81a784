"""Control-node side of relocation: decide what is left, cut it into slices, show progress, report."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from ansible_collections.dbops.multischema.plugins.module_utils.checks import count_of, wrap
from ansible_collections.dbops.multischema.plugins.module_utils.drift import (
    pending,
    require_no_drift,
    require_same_direction,
)
from ansible_collections.dbops.multischema.plugins.module_utils.errors import JournalError, PlanRefused
from ansible_collections.dbops.multischema.plugins.module_utils.journal import OVERRIDE
from ansible_collections.dbops.multischema.plugins.module_utils.lock_budget import locks_at_once
from ansible_collections.dbops.multischema.plugins.module_utils.module_options import ARTIFACTS, PACE, Spec
from ansible_collections.dbops.multischema.plugins.module_utils.plain import to_plain
from ansible_collections.dbops.multischema.plugins.module_utils.plan import (
    PHASE_SCHEMAS,
    PHASE_TABLES,
    Finding,
    Plan,
    Step,
)
from ansible_collections.dbops.multischema.plugins.module_utils.rehearsal import FILE, Rehearsal
from ansible_collections.dbops.multischema.plugins.module_utils.rehearsal_timing import compared_lines
from ansible_collections.dbops.multischema.plugins.module_utils.retired_schemas import drop_step
from ansible_collections.dbops.multischema.plugins.module_utils.rollback_plan import plan_rollback
from ansible_collections.dbops.multischema.plugins.plugin_utils.artifact import write_json
from ansible_collections.dbops.multischema.plugins.plugin_utils.components import run_label
from ansible_collections.dbops.multischema.plugins.plugin_utils.database_action import (
    PROMOTION,
    DatabaseAction,
    shown,
)
from ansible_collections.dbops.multischema.plugins.plugin_utils.lease_holder import this_process
from ansible_collections.dbops.multischema.plugins.plugin_utils.plan_report import finding_lines, step_sql
from ansible_collections.dbops.multischema.plugins.plugin_utils.planning import plan_now
from ansible_collections.dbops.multischema.plugins.plugin_utils.progress import Progress
from ansible_collections.dbops.multischema.plugins.plugin_utils.rehearsal_receipt import read_receipt
from ansible_collections.dbops.multischema.plugins.plugin_utils.saved_plan import read_plan, require_same_configuration
from ansible_collections.dbops.multischema.plugins.plugin_utils.slices import Slices
from ansible_collections.dbops.multischema.plugins.plugin_utils.window_end import WindowEnded, read_window_end

PHASES = {"schemas": PHASE_SCHEMAS, "tables": PHASE_TABLES}


class ActionModule(DatabaseAction):
    """Applies a plan or rolls it back."""

    OPTIONS: ClassVar[Spec] = {
        **ARTIFACTS,
        **PACE,
        "state": {"type": "str", "choices": ["applied", "rolled_back"], "default": "applied"},
        "phase": {"type": "str", "choices": ["schemas", "tables"], "default": "tables"},
        "plan": {"type": "path"},
        "max_replay_lag_s": {"type": "float", "default": 5.0},
        "window_end": {"type": "str", "default": ""},
        "pending_schemas": {"type": "bool", "default": False},
        "override": {"type": "str", "default": ""},
        "promotes_from": PROMOTION["promotes_from"],
    }

    def work(self) -> dict[str, Any]:
        """Apply or roll back."""
        return self._roll_back() if self.options["state"] == "rolled_back" else self._apply()

    # --- there ---

    def _apply(self) -> dict[str, Any]:
        configuration = self.configuration()
        phase = PHASES[self.options["phase"]]
        saved = self._saved_plan() if phase == PHASE_TABLES else None
        if saved is not None:
            require_same_configuration(saved, configuration)
            _require_no_refusals(saved.refusals, "The saved plan is refused")
        seen = self.observe(configuration)
        plan = plan_now(seen.catalog, seen.done, configuration)
        if saved is not None:
            require_no_drift(saved, seen.before)
        _require_no_refusals(plan.refusals, "The plan is refused")
        require_same_direction(plan, seen.done)
        left = pending(plan, seen.done)
        if phase == PHASE_TABLES:
            self._require_schemas([step for step in left if step.phase == PHASE_SCHEMAS])
        steps = [step for step in left if step.phase == phase]
        total = len(plan.of_phase(phase))
        result = self._result([*map(drop_step, seen.journal["retired"]), *steps] if steps else [], total, undo=False)
        if self._task.check_mode:
            verb = "would be done" if steps else "are done already; a run would change nothing"
            return {**result, "report": wrap(f"{len(steps) or total} of {total} steps {verb}.")}
        if not steps:
            return {**result, "report": wrap(f"Nothing to do: all {total} steps of this phase are done already.")}
        work = self._slices(f"phase{phase}", plan, steps, [to_plain(step) for step in steps], "done")
        work.run()
        self._require_complete(work)
        return {**result, **_reached(work), "report": _summary(work) + self._against_the_rehearsal(work)}

    def _against_the_rehearsal(self, work: Slices) -> list[str]:
        """What was predicted for these steps, and what they took."""
        receipt = read_receipt(self.artifacts() / FILE)
        return compared_lines(receipt.steps, work.progress.taken) if isinstance(receipt, Rehearsal) else []

    def _saved_plan(self) -> Plan | None:
        path = Path(self.options["plan"]) if self.options.get("plan") else self.artifacts() / "plan.json"
        if self._task.check_mode and not path.exists():
            self.say(f"There is no saved plan at {shown(path)}: this shows what plan.yml would plan now. A real run needs the file.")
            return None
        return read_plan(path)

    def _require_schemas(self, missing: Sequence[Step]) -> None:
        if not missing or (self._task.check_mode and self.options["pending_schemas"]):
            return
        raise PlanRefused(
            f"Phase 1 is not complete: {len(missing)} of its steps are not done ({', '.join(s.id for s in missing[:5])}"
            + (", …" if len(missing) > 5 else "")
            + ").",
            "Tables can only move into schemas that are there and that their users may use.",
            "Run playbooks/phase1_schema_creation.yml first.",
        )

    # --- and back ---

    def _roll_back(self) -> dict[str, Any]:
        seen = self.observe()
        accepted = frozenset((str(a["finding"]), str(a["object"])) for a in self.options["accept"])
        way = plan_rollback(seen.catalog, seen.entries, accepted)
        _require_no_refusals(way.refusals, "The rollback cannot begin")
        for name in way.gone:
            self.say(f"{name} was dropped since it had moved, so it cannot come back.")
        steps = [step for _, step in way.steps]
        drops = [drop_step(schema) for schema in way.retired]
        result = self._result([*map(drop_step, seen.journal["retired"]), *steps, *drops], len(steps), undo=True)
        if not seen.journal["exists"]:
            return {
                **result,
                "changed": False,
                "report": ["There is nothing to roll back: this database has no journal."],
            }
        if self._task.check_mode:
            line = f"{count_of(len(steps), 'step')} would be undone, the last first; then the journal would be exported and removed."
            return {**result, "changed": True, "report": wrap(line)}
        items = [{"seq": entry.seq, "step": to_plain(step)} for entry, step in way.steps]
        work = self._slices("rollback", None, steps, items, "undone")
        work.run()
        self._require_complete(work)
        path = self.artifacts() / f"journal-{work.common['run']}.json"
        write_json(path, work.journal)
        work.drop_journal()
        lines = _summary(work) + wrap(f"The journal was removed from the database and is kept in {shown(path)}.")
        return {**result, **_reached(work), "changed": True, "report": lines, "journal": str(path)}

    # --- both ways ---

    def _result(self, steps: Sequence[Step], total: int, undo: bool) -> dict[str, Any]:
        queries = [statement for step in steps for statement in (step.undo if undo else step.do)]
        result: dict[str, Any] = {"changed": bool(steps), "queries": queries, "done": 0, "total": total}
        if self._task.diff and steps:
            text = "\n".join(step_sql(steps, undo, self.options["lock_timeout_ms"]))
            header = "SQL that would be sent" if self._task.check_mode else "SQL that is sent"
            result["diff"] = [{"before_header": "nothing", "after_header": header, "before": "", "after": text}]
        return result

    def _slices(self, door: str, plan: Plan | None, steps: Sequence[Step], items: Sequence[Any], verb: str) -> Slices:
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        accepted = [[f.id, f.object, f.accepted] for f in (plan.findings if plan else ()) if f.accepted is not None]
        if self.options["override"] and plan is not None:
            accepted.append([OVERRIDE, f"receipt of {self.options['promotes_from']}", self.options["override"]])
        common = {
            "run": f"{now}-{secrets.token_hex(2)}",
            "door": door,
            "plan_digest": plan.digest if plan else "",
            "operator": this_process(),
            "version": run_label(None if plan is None else self.configuration()),
            "accepted": accepted,
        }
        self.say(f"{count_of(len(items), 'step')} to be {verb}, each a transaction. Ctrl-C stops between two; the journal knows.")
        workers = self.options["workers"] if door == "phase2" else 1
        return Slices(
            self._call,
            common,
            items,
            Progress(self.say, len(items), verb),
            self.say,
            most_locks=locks_at_once(steps, workers),
            window_end=self._window_end(door, len(items)),
        )

    def _window_end(self, door: str, total: int) -> datetime | None:
        """When the last step may begin; whoever has to go back cannot wait for the next window."""
        end = None if door == "rollback" else read_window_end(self.options["window_end"])
        if end is not None and end <= datetime.now(UTC):
            raise WindowEnded(0, total, self.options["window_end"])
        if end is not None:
            self.say(f"The maintenance window ends at {end.isoformat()}: no step begins after that.")
        return end

    def _call(self, work: Mapping[str, Any]) -> dict[str, Any]:
        pace = {name: self.options[name] for name in (*PACE, "max_replay_lag_s")}
        return self.module("relocation", {**pace, "slice": dict(work)})

    def _require_complete(self, work: Slices) -> None:
        if work.interrupted:
            raise JournalError(
                f"Stopped by request after {work.progress.done} of {work.progress.total} steps.",
                "The step that was running was finished; the journal says exactly what is done.",
                "Run the same playbook again to go on, or playbooks/rollback.yml to go back.",
            )
        if work.window_ended:
            error = WindowEnded(work.progress.done, work.progress.total, self.options["window_end"])
            error.result = {**_reached(work), "changed": work.progress.done > 0}
            raise error


def _reached(work: Slices) -> dict[str, Any]:
    """What a run has done, for the task's result."""
    progress = work.progress
    return {"done": progress.done, "stall": {**asdict(progress.stall), "off": progress.probe_off}}


def _summary(work: Slices) -> list[str]:
    stall = work.progress.stall_summary()
    return wrap(work.progress.summary()) + (wrap(stall) if stall else [])


def _require_no_refusals(refusals: Sequence[Finding], what: str) -> None:
    if refusals:
        raise PlanRefused(
            f"{what}: {count_of(len(refusals), 'finding')} must be settled first.\n" + "\n".join(finding_lines(refusals)),
            "A refusal comes before anything is touched, so that nothing is left half done.",
            "Settle them as said with each, or accept with a reason those that say so (multischema_accept).",
        )
