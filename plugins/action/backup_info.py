"""Control-node side of backup_info: where the backups lie."""

from __future__ import annotations

from typing import Any, ClassVar

from ansible_collections.dbops.multischema.plugins.plugin_utils.backup_folder import BACKUPS, backup_folder
from ansible_collections.dbops.multischema.plugins.plugin_utils.database_action import DatabaseAction, Spec


class ActionModule(DatabaseAction):
    """Finds the folder and runs the module."""

    CONFIGURED = False
    OPTIONS: ClassVar[Spec] = {**BACKUPS, "max_age_h": {"type": "float", "default": 24.0}, "hashes": {"type": "bool", "default": True}}

    def work(self) -> dict[str, Any]:
        """Run it."""
        options = {key: self.options[key] for key in ("max_age_h", "hashes")}
        return self.module("backup_info", {"folder": backup_folder(self, self.options.get("directory")), **options})
