"""Control-node side of verification_info: read the evidence, judge it."""

from __future__ import annotations

from typing import Any, ClassVar

from ansible_collections.dbops.multischema.plugins.module_utils.access import Found, Reach
from ansible_collections.dbops.multischema.plugins.module_utils.catalog import TABLE_KINDS
from ansible_collections.dbops.multischema.plugins.module_utils.checks import passed, report
from ansible_collections.dbops.multischema.plugins.module_utils.plain import unpack
from ansible_collections.dbops.multischema.plugins.module_utils.verification import (
    Evidence,
    paths_to_try,
    verify_schemas,
    verify_tables,
)
from ansible_collections.dbops.multischema.plugins.plugin_utils.database_action import DatabaseAction, Observation, Spec
from ansible_collections.dbops.multischema.plugins.plugin_utils.planning import plan_now


class ActionModule(DatabaseAction):
    """Judges on the control node, where plan and journal are read."""

    OPTIONS: ClassVar[Spec] = {"phase": {"type": "str", "choices": ["schemas", "tables"], "default": "tables"}}

    def work(self) -> dict[str, Any]:
        """Verify one phase."""
        configuration = self.configuration()
        seen = self.observe(configuration)
        plan = plan_now(seen.catalog, seen.done, configuration)
        paths = paths_to_try(seen.entries, seen.catalog, configuration.application_roles)
        found = unpack(self.module("verification_info", {**self._wanted(seen), "paths": paths})["evidence"])
        evidence = Evidence(
            catalog=seen.catalog,
            plan=plan,
            done=seen.entries,
            identities={int(oid): item for oid, item in found["identities"].items()},
            views=[(name, what) for name, what in found["views"]],
            reach=[Reach(**item) for item in found["reach"]],
            found=[Found(**item) for item in found["found"]],
            shut_out=[(role, schema) for role, schema in found["shut_out"]],
        )
        checks = verify_schemas(evidence) if self.options["phase"] == "schemas" else verify_tables(evidence)
        return {
            "changed": False,
            "checks": [check.to_dict() for check in checks],
            "passed": passed(checks),
            "report": report(checks),
        }

    def _wanted(self, seen: Observation) -> dict[str, Any]:
        """What the module is to read."""
        members = [member for step in seen.done for member in step.members]
        return {
            **self.configuration_options(),
            "phase": self.options["phase"],
            "oids": [member.oid for member in members if member.kind != "s"],
            "statistics": [member.oid for member in members if member.kind == "s"],
            "tables": [member.oid for member in members if member.kind in TABLE_KINDS],
            "views": [member.oid for member in members if member.view],
            "view_names": [member.name for member in members if member.view],
        }
