"""The saved plan: read, and checked against what is there now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.configuration import Configuration
from ansible_collections.dbops.multischema.plugins.module_utils.errors import MultischemaError, PlanRefused
from ansible_collections.dbops.multischema.plugins.module_utils.plain import to_plain
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Plan, plan_from_dict
from ansible_collections.dbops.multischema.plugins.plugin_utils.artifact import read_json

MAKE_IT = "Make it with playbooks/plan.yml, read it, and run this phase again."


def read_plan(path: Path) -> Plan:
    """Read a saved plan.

    :raises ConfigurationError: when there is none.
    :raises PlanRefused: when it is not what was saved.
    """
    return plan_from_dict(read_json(path, "plan", MAKE_IT), str(path))


def read_plan_if_any(path: Path) -> Plan | None:
    """The plan that was saved before, or None where there is none that can be read."""
    try:
        return read_plan(path)
    except MultischemaError:
        return None


def require_same_configuration(plan: Plan, configuration: Configuration) -> None:
    """:raises PlanRefused: when the inventory asks for something else than what was planned."""
    saved: dict[str, Any] = to_plain(plan.configuration)
    now: dict[str, Any] = to_plain(configuration.to_dict())
    changed = sorted(f"multischema_{key}" for key in now if saved.get(key) != now[key])
    if changed:
        raise PlanRefused(
            f"The inventory has changed since the plan was made: {', '.join(changed)}.",
            "Only what was planned and read by a person is applied.",
            "Make the plan again with playbooks/plan.yml, read it, and run this phase again.",
        )
