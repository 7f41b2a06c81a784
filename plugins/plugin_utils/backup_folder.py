"""Where the backups of a host lie: on the host itself, which may be this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError
from ansible_collections.dbops.multischema.plugins.module_utils.module_options import BACKUPS
from ansible_collections.dbops.multischema.plugins.plugin_utils.database_action import DatabaseAction


def for_module(action: DatabaseAction) -> dict[str, Any]:
    """What the module on the host is given: the task's own options, and the folder instead of what it follows from.

    :raises ConfigurationError: for a relative directory on another machine.
    """
    own = {name: action.options.get(name) for name in action.OPTIONS if name not in BACKUPS}
    given = {name: value for name, value in own.items() if value is not None and value != ""}
    return {**given, "folder": backup_folder(action, action.options.get("directory"))}


def backup_folder(action: DatabaseAction, given: str | None) -> str:
    """The folder of this environment and host.

    :param given: ``backup_directory``; by default it is below the artifacts.
    :raises ConfigurationError: for a relative directory on another machine.
    """
    directory = Path(os.path.expanduser(str(given or Path(str(action.options["artifacts_dir"])) / "backups")))
    if not directory.is_absolute():
        if not is_local(action):
            raise ConfigurationError(
                f"backup_directory is {'not set' if not given else repr(str(given))}, and {action.host} is another machine.",
                "Backups lie there, and what a relative path would mean there nobody can say.",
                "Set backup_directory to an absolute path on that host, on a disk with room for them: /var/backups/postgresql, say.",
            )
        directory = Path.cwd() / directory
    return str(directory / action.environment / action.host)


def is_local(action: DatabaseAction) -> bool:
    """Whether the host is this machine."""
    connection: Any = action._connection
    return str(connection.transport) == "local"
