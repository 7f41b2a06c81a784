"""Control-node side of verification_info: read the evidence, judge it."""

from __future__ import annotations

from typing import Any, ClassVar

from ansible_collections.dbops.multischema.plugins.module_utils.checks import passed, report
from ansible_collections.dbops.multischema.plugins.module_utils.module_options import Spec
from ansible_collections.dbops.multischema.plugins.module_utils.plain import unpack
from ansible_collections.dbops.multischema.plugins.plugin_utils.database_action import DatabaseAction
from ansible_collections.dbops.multischema.plugins.plugin_utils.planning import plan_now
from ansible_collections.dbops.multischema.plugins.plugin_utils.proving import prove, what_to_read


class ActionModule(DatabaseAction):
    """Judges on the control node, where plan and journal are read."""

    OPTIONS: ClassVar[Spec] = {"phase": {"type": "str", "choices": ["schemas", "tables"], "default": "tables"}}

    def work(self) -> dict[str, Any]:
        """Verify one phase."""
        configuration, phase = self.configuration(), self.options["phase"]
        seen = self.observe(configuration)
        plan = plan_now(seen.catalog, seen.done, configuration)
        wanted = what_to_read(seen.catalog, seen.entries, configuration.application_roles)
        result = self.module("verification_info", {**self.configuration_options(), "phase": phase, **wanted})
        checks = prove(phase, seen.catalog, plan, seen.entries, unpack(result["evidence"]))
        return {
            "changed": False,
            "checks": [check.to_dict() for check in checks],
            "passed": passed(checks),
            "report": report(checks),
        }
