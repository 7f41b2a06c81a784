"""Control-node side of relocation_plan: observe, plan, write."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any, ClassVar

from ansible_collections.dbops.multischema.plugins.module_utils.drift import pending
from ansible_collections.dbops.multischema.plugins.module_utils.module_options import ARTIFACTS, Spec
from ansible_collections.dbops.multischema.plugins.module_utils.plain import to_plain
from ansible_collections.dbops.multischema.plugins.module_utils.plan import PHASE_TABLES, Plan, plan_to_dict
from ansible_collections.dbops.multischema.plugins.module_utils.version import VERSION
from ansible_collections.dbops.multischema.plugins.plugin_utils import plan_page, plan_script
from ansible_collections.dbops.multischema.plugins.plugin_utils.artifact import write_json, write_text
from ansible_collections.dbops.multischema.plugins.plugin_utils.database_action import DatabaseAction, shown
from ansible_collections.dbops.multischema.plugins.plugin_utils.plan_report import plan_report
from ansible_collections.dbops.multischema.plugins.plugin_utils.planning import plan_now
from ansible_collections.dbops.multischema.plugins.plugin_utils.saved_plan import read_plan_if_any
from ansible_collections.dbops.multischema.plugins.plugin_utils.subscriber_script import BACK, THERE, subscriber_scripts


class ActionModule(DatabaseAction):
    """Plans on the control node."""

    OPTIONS: ClassVar[Spec] = {**ARTIFACTS, "lock_timeout_ms": {"type": "int", "default": 50}}

    def work(self) -> dict[str, Any]:
        """Make the plan and save it, unless in check mode."""
        configuration = self.configuration()
        seen = self.observe(configuration)
        plan = plan_now(
            seen.catalog,
            seen.done,
            configuration,
            environment=self.environment,
            host=self.host,
            made_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            version=VERSION,
        )
        former = read_plan_if_any(self.artifacts() / "plan.json")
        same = former is not None and former.digest == plan.digest
        files = {kind: self.artifacts() / f"plan.{kind}" for kind in ("json", "sql", "html")}
        result: dict[str, Any] = {
            "changed": not same,
            "status": plan.status,
            "digest": plan.digest,
            "summary": plan.summary(),
            "findings": to_plain(plan.findings),
            "refusals": to_plain(plan.refusals),
            "files": {},
        }
        script = plan_script.render(plan_to_dict(plan), lock_timeout_ms=self.options["lock_timeout_ms"])
        if self._task.diff and not same:
            before = files["sql"].read_text(encoding="utf-8") if former is not None and files["sql"].exists() else ""
            result["diff"] = [
                {
                    "before_header": "plan.sql as saved",
                    "after_header": "plan.sql as planned now",
                    "before": before,
                    "after": script,
                }
            ]
        if not self._task.check_mode:
            if not same or not all(path.exists() for path in files.values()):
                self._write(plan, script, files)
            result["files"] = {kind: str(path) for kind, path in files.items()} | self._subscribers(plan)
        left = len(pending(plan, seen.done))
        result["report"] = plan_report(plan, left, {kind: shown(Path(path)) for kind, path in result["files"].items()})
        return result

    def _subscribers(self, plan: Plan) -> dict[str, str]:
        """Write the scripts for subscribers where there can be any, and remove those of an earlier plan."""
        scripts = subscriber_scripts(plan) if plan.of_phase(PHASE_TABLES) else {}
        for name in (THERE, BACK):
            if name in scripts:
                write_text(self.artifacts() / name, scripts[name])
            else:
                (self.artifacts() / name).unlink(missing_ok=True)
        return {name.partition(".")[0]: str(self.artifacts() / name) for name in scripts}

    def _write(self, plan: Plan, script: str, files: dict[str, Any]) -> None:
        document = plan_to_dict(plan)
        write_json(files["json"], document)
        write_text(files["sql"], script)
        write_text(files["html"], plan_page.render(document, lock_timeout_ms=self.options["lock_timeout_ms"]))
