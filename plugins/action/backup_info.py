"""Control-node side of backup_info: where the backups lie."""

from __future__ import annotations

from typing import Any, ClassVar

from ansible_collections.dbops.multischema.plugins.module_utils.module_options import BACKUPS_JUDGED, Spec
from ansible_collections.dbops.multischema.plugins.plugin_utils.backup_folder import for_module
from ansible_collections.dbops.multischema.plugins.plugin_utils.database_action import DatabaseAction


class ActionModule(DatabaseAction):
    """Finds the folder and runs the module."""

    CONFIGURED = False
    OPTIONS: ClassVar[Spec] = BACKUPS_JUDGED

    def work(self) -> dict[str, Any]:
        """Run it."""
        return self.module("backup_info", for_module(self))
