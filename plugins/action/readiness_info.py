"""Control-node side of readiness_info: what the plan needs to know of the server, and what the server allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar

from ansible_collections.dbops.multischema.plugins.module_utils.backup_acceptance import NAME as BACKUP_CHECK
from ansible_collections.dbops.multischema.plugins.module_utils.backup_acceptance import REMEDY
from ansible_collections.dbops.multischema.plugins.module_utils.checks import FAIL, PASS, WARN, Check, passed, report
from ansible_collections.dbops.multischema.plugins.module_utils.errors import MultischemaError
from ansible_collections.dbops.multischema.plugins.module_utils.lock_budget import locks_at_once
from ansible_collections.dbops.multischema.plugins.module_utils.module_options import ARTIFACTS, Spec
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Plan
from ansible_collections.dbops.multischema.plugins.module_utils.rehearsal import FILE
from ansible_collections.dbops.multischema.plugins.module_utils.rehearsal_judgement import NAME, read_demand
from ansible_collections.dbops.multischema.plugins.plugin_utils.backup_folder import backup_folder
from ansible_collections.dbops.multischema.plugins.plugin_utils.database_action import PREFIX, DatabaseAction, ModuleFailed, Observation
from ansible_collections.dbops.multischema.plugins.plugin_utils.planning import plan_now
from ansible_collections.dbops.multischema.plugins.plugin_utils.rehearsal_receipt import check_rehearsal

BACKUP = "backup"  # the item of the checklist that a backup of our own may stand for
# Findings about rights: a person can settle them before anything else is planned.
RIGHTS = (
    "not_owner",
    "undo_impossible",
    "source_not_usable",
    "target_not_writable",
    "schemas_not_creatable",
    "usage_not_grantable",
    "owner_not_givable",
    "role_called_public",
    "unknown_owner",
    "unknown_role",
)


class ActionModule(DatabaseAction):
    """Plans first, so that the checks know which relations will be locked and which rights are needed."""

    OPTIONS: ClassVar[Spec] = {
        **ARTIFACTS,
        "lock_timeout_ms": {"type": "int", "default": 50},
        "checklist": {"type": "dict"},
        "workers": {"type": "int", "default": 1},
        "probe": {"type": "bool", "default": True},
        "backup_directory": {"type": "path"},
        "backup_max_age_h": {"type": "float", "default": 24.0},
        "backup_comes": {"type": "bool", "default": False},
        "rehearsal_required": {"type": "bool", "default": False},
        "rehearsal_max_age_h": {"type": "float", "default": 168.0},
    }

    def work(self) -> dict[str, Any]:
        """Check the server and the rights."""
        configuration = self.configuration()
        checklist = self.options.get("checklist")
        if checklist is None:
            checklist = self._templar.template(self._vars.get(PREFIX + "checklist")) or {}
        # This item is not believed but looked up.
        people = {item: value for item, value in checklist.items() if item != NAME} if isinstance(checklist, Mapping) else checklist
        seen = self.observe(configuration)
        plan = plan_now(seen.catalog, seen.done, configuration)
        members = {member.oid for step in plan.steps for member in step.members if member.kind != "s"}
        result = self.module(
            "readiness_info",
            {
                **self.configuration_options(),
                "lock_timeout_ms": self.options["lock_timeout_ms"],
                "checklist": people,
                "oids": sorted(members),
                "locks": locks_at_once(plan.steps, self.options["workers"]),
                "workers": self.options["workers"],
                "probe": self.options["probe"],
            },
        )
        checks = [Check(**check) for check in result["checks"]] + list(_rights(plan)) + [self._rehearsal(seen, checklist)]
        item = checklist.get(BACKUP)
        if isinstance(item, Mapping) and not (item.get("done") or item.get("waived")):
            checks = [self._backup(check) if check.name == BACKUP_CHECK else check for check in checks]
        return {
            "changed": False,
            "checks": [check.to_dict() for check in checks],
            "passed": passed(checks),
            "report": report(checks),
        }

    def _backup(self, missing: Check) -> Check:
        """Whether a backup of our own stands for what nobody has said; one that is missing weighs what it weighed."""
        try:
            folder = backup_folder(self, self.options.get("backup_directory"))
            found = self.module("backup_info", {"folder": folder, "max_age_h": self.options["backup_max_age_h"]})
            check = Check(**found["check"])
        except MultischemaError as error:
            check = Check(BACKUP_CHECK, FAIL, f"no backup can be looked for: {error.found} {error.why}", f"{error.remedy} {REMEDY}")
        except ModuleFailed as error:
            check = Check(BACKUP_CHECK, FAIL, f"no backup can be looked for: {error}", REMEDY)
        if check.status == PASS:
            return check
        if self.options["backup_comes"] and missing.status == FAIL:
            return replace(check, status=WARN, detail=f"{check.detail}\nPhase 1 takes one and proves it, before it changes anything.")
        return replace(check, status=missing.status)

    def _rehearsal(self, seen: Observation, checklist: Any) -> Check:
        """Was exactly this plan tried on a copy?"""
        item = checklist.get(NAME) if isinstance(checklist, Mapping) else None
        required, max_age_h = self.options["rehearsal_required"], self.options["rehearsal_max_age_h"]
        demand = read_demand(item, required, max_age_h, bool(seen.entries), datetime.now(UTC).replace(microsecond=0))
        return check_rehearsal(self.artifacts() / FILE, seen.catalog, seen.done, self.configuration(), demand)


def _rights(plan: Plan) -> Iterator[Check]:
    found = [finding for finding in plan.refusals if finding.id in RIGHTS]
    for finding in found:
        yield Check(f"rights, {finding.object}", FAIL, finding.reason, finding.remedy)
    if not found:
        kind = "a superuser" if plan.server.superuser else "not a superuser"
        yield Check("rights", PASS, f"{plan.server.user} ({kind}) may do everything that is planned, and undo it")
