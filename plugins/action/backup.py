"""Control-node side of backup: where it goes, how far it is, and what to say of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar

from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import CUSTOM, DIRECTORY, PLAIN
from ansible_collections.dbops.multischema.plugins.plugin_utils.backup_folder import BACKUPS, backup_folder
from ansible_collections.dbops.multischema.plugins.plugin_utils.backup_report import expected_lines, progress_line, taken_lines
from ansible_collections.dbops.multischema.plugins.plugin_utils.database_action import DatabaseAction, Spec

FIRST_S, CALL_S = 2.0, 5.0  # a small database is done with the first call; a call costs half a second


class ActionModule(DatabaseAction):
    """Begins a backup on the host, and asks how far it is until it has ended."""

    CONFIGURED = False
    OPTIONS: ClassVar[Spec] = {
        **BACKUPS,
        "format": {"type": "str", "choices": [DIRECTORY, CUSTOM, PLAIN], "default": DIRECTORY},
        "compression": {"type": "str", "default": ""},
        "jobs": {"type": "int", "default": 2},
        "age_recipients": {"type": "list", "elements": "str", "default": []},
        "tools_directory": {"type": "path"},
        "lock_wait_s": {"type": "float", "default": 60.0},
        "room_percent": {"type": "int", "default": 100},
        "keep_count": {"type": "int", "default": 7},
        "keep_days": {"type": "float", "default": 0.0},
    }

    def work(self) -> dict[str, Any]:
        """Take a backup, or say what would be taken."""
        given = {name: self.options[name] for name in self.OPTIONS if self.options.get(name) is not None}
        given["folder"] = backup_folder(self, self.options.get("directory"))
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
