"""Control-node side of rehearsal_copy: the connection from the inventory."""

from __future__ import annotations

from typing import Any, ClassVar

from ansible_collections.dbops.multischema.plugins.plugin_utils.copy_job import copying
from ansible_collections.dbops.multischema.plugins.plugin_utils.database_action import DatabaseAction, Spec


class ActionModule(DatabaseAction):
    """Fills in the connection and runs the module."""

    CONFIGURED = False
    OPTIONS: ClassVar[Spec] = {
        "state": {"type": "str", "choices": ["made", "read", "dropped", "found"], "required": True},
        "name": {"type": "str", "default": ""},
        "tools_directory": {"type": "path", "default": ""},
        "space_checked": {"type": "bool", "default": False},
        "with_schema": {"type": "bool", "default": True},
    }

    def work(self) -> dict[str, Any]:
        """Run it."""
        return copying(self, {name: self.options[name] for name in self.OPTIONS})
