"""Control-node side of catalog_info: the connection from the inventory."""

from __future__ import annotations

from typing import Any, ClassVar

from ansible_collections.dbops.multischema.plugins.module_utils.module_options import Spec
from ansible_collections.dbops.multischema.plugins.plugin_utils.database_action import PREFIX, DatabaseAction
from ansible_collections.dbops.multischema.plugins.plugin_utils.lease_holder import holder_is_alive


class ActionModule(DatabaseAction):
    """Fills in the shared options and runs the module."""

    CONFIGURED = False
    OPTIONS: ClassVar[Spec] = {
        "source_schema": {"type": "str"},
        "target_schemas": {"type": "list", "elements": "str"},
        "roles": {"type": "list", "elements": "str"},
        "gather_catalog": {"type": "bool", "default": False},
        "gather_history": {"type": "bool", "default": False},
    }

    def work(self) -> dict[str, Any]:
        """Run it."""
        options = {name: self.options[name] for name in self.OPTIONS if self.options.get(name) is not None}
        if "target_schemas" not in options:
            listed = self._templar.template(self._vars.get(PREFIX + "schemas")) or []
            options["target_schemas"] = [str(item["name"]) for item in listed if isinstance(item, dict) and "name" in item]
        result = self.module("catalog_info", options)
        lease = result["journal"]["lease"]
        if lease is not None:
            # A run that was killed leaves its lease behind for some seconds; only this machine knows its processes.
            lease["holder_alive"] = holder_is_alive(lease["holder"])
        return result
