"""Control-node side of backup: where it goes, how far it is, and what to say of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar

from ansible_collections.dbops.multischema.plugins.module_utils.module_options import BACKUP_TAKEN, Spec
from ansible_collections.dbops.multischema.plugins.plugin_utils.backup_folder import for_module
from ansible_collections.dbops.multischema.plugins.plugin_utils.backup_report import expected_lines, progress_line, taken_lines
from ansible_collections.dbops.multischema.plugins.plugin_utils.database_action import DatabaseAction

FIRST_S = 2.0  # a small database is done with the first call
CALL_S = 5.0  # a call costs half a second


class ActionModule(DatabaseAction):
    """Begins a backup on the host, and asks how far it is until it has ended."""

    CONFIGURED = False
    OPTIONS: ClassVar[Spec] = BACKUP_TAKEN

    def work(self) -> dict[str, Any]:
        """Take a backup, or say what would be taken."""
        given = for_module(self)
        if self._task.check_mode:
            result = self.module("backup", given)
            return {**_plain(result), "report": expected_lines(result)}
        started = time.monotonic()
        result = self.module("backup", {**given, "seconds": FIRST_S})
        while "job" in result:
            self.say(progress_line(result["figures"], time.monotonic() - started))
            result = self.module("backup", {**given, "seconds": CALL_S, "job": result["job"]})
        return {**_plain(result), "report": taken_lines(result)}


def _plain(result: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in result.items() if key != "invocation"}
