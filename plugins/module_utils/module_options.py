"""Options that more than one place takes: a module, its action plugin, and modules that are about the same things.

The connection and the configuration are in `module_door.py`; the documentation is in ``plugins/doc_fragments/``, or in the module
where it is the only one.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import (
    BY_CHECKSUM,
    BY_RESTORE,
    CUSTOM,
    DIRECTORY,
    PG_DUMP,
    PGBACKREST,
    PLAIN,
)

Spec = dict[str, dict[str, Any]]

# What is kept on the control node.
ARTIFACTS: Spec = {
    "artifacts_dir": {"type": "path", "default": "artifacts"},
    "environment": {"type": "str", "default": "default"},
}

# How steps are done; see `relocation.Pace`.
PACE: Spec = {
    "lock_timeout_ms": {"type": "int", "default": 50},
    "deadline_s": {"type": "float", "default": 300.0},
    "workers": {"type": "int", "default": 1},
    "probe": {"type": "bool", "default": True},
}

# --- backups ---

# Where they are, as a person says it ...
BACKUPS: Spec = {**ARTIFACTS, "directory": {"type": "path"}}
# ... and as the action plugin tells its module.
FOLDER: Spec = {"folder": {"type": "path", "required": True}}
# For what goes on between the calls of a module, likewise from its action plugin.
JOB: Spec = {"job": {"type": "str", "default": ""}, "seconds": {"type": "float", "default": 4.0}}

BACKUP_TAKEN: Spec = {
    **BACKUPS,
    "engine": {"type": "str", "choices": [PG_DUMP, PGBACKREST], "default": PG_DUMP},
    "stanza": {"type": "str", "default": ""},
    "pgbackrest_config": {"type": "path"},
    "pgbackrest_repo": {"type": "int", "default": 1},
    "pgbackrest_type": {"type": "str", "choices": ["full", "diff", "incr"], "default": "incr"},
    "pgbackrest_program": {"type": "path"},
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

BACKUPS_JUDGED: Spec = {
    **BACKUPS,
    "max_age_h": {"type": "float", "default": 24.0},
    "hashes": {"type": "bool", "default": True},
}

_READ: Spec = {
    **BACKUPS,
    "name": {"type": "str", "default": ""},
    "age_identity": {"type": "path"},
    "tools_directory": {"type": "path"},
    "jobs": {"type": "int", "default": 2},
}

BACKUP_PROVED: Spec = {
    **_READ,
    "method": {"type": "str", "choices": [BY_RESTORE, BY_CHECKSUM], "default": BY_RESTORE},
    "again": {"type": "bool", "default": False},
    "scratch_directory": {"type": "path", "default": "/var/tmp"},  # noqa: S108  what goes there gets a directory of its own
    "scratch_url": {"type": "str", "no_log": True},
}

BACKUP_RESTORED: Spec = {
    **_READ,
    "foreign": {"type": "bool", "default": False},
    "scratch_directory": {"type": "path", "default": "/var/tmp"},  # noqa: S108  as above
    "target_time": {"type": "str", "default": ""},
    "target_lsn": {"type": "str", "default": ""},
    "target_name": {"type": "str", "default": ""},
    "maintenance_db": {"type": "str", "default": "postgres"},
}

# --- the copy of a rehearsal ---

COPYING: Spec = {
    "tools_directory": {"type": "path", "default": ""},
    "space_checked": {"type": "bool", "default": False},
}

COPY: Spec = {
    **COPYING,
    "state": {"type": "str", "choices": ["made", "read", "dropped", "found"], "required": True},
    "name": {"type": "str", "default": ""},
    "backup": {"type": "str", "default": ""},
    "folder": {"type": "path", "default": ""},
    "jobs": {"type": "int", "default": 2},
    "age_identity": {"type": "path", "default": ""},
    "with_schema": {"type": "bool", "default": True},
}
