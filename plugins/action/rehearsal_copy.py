"""Control-node side of rehearsal_copy: the connection from the inventory."""

from __future__ import annotations

from typing import Any, ClassVar

from ansible_collections.dbops.multischema.plugins.module_utils.module_options import COPY, Spec
from ansible_collections.dbops.multischema.plugins.plugin_utils.copy_job import copying
from ansible_collections.dbops.multischema.plugins.plugin_utils.database_action import DatabaseAction


class ActionModule(DatabaseAction):
    """Fills in the connection and runs the module."""

    CONFIGURED = False
    OPTIONS: ClassVar[Spec] = COPY

    def work(self) -> dict[str, Any]:
        """Run it."""
        return copying(self, {name: self.options[name] for name in self.OPTIONS})
