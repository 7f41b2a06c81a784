#!/usr/bin/python
# Copyright: The dbops.multischema contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Preflight checks of a server."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: readiness_info
short_description: Check whether a migration can run on a server now, and be undone
version_added: 0.1.0
description:
  - Looks at the server's version and settings, at privileges to do and to undo, at sessions, dumps and prepared transactions
    that stand in the way, at the lock table, and at the checklist that people keep.
  - Changes nothing, and does not fail because of what it finds.
author:
  - The dbops.multischema contributors
extends_documentation_fragment:
  - dbops.multischema.database
  - dbops.multischema.database.configuration
  - dbops.multischema.database.artifacts
options:
  lock_timeout_ms:
    description: The longest wait for a lock that the migration will use, in milliseconds.
    type: int
    default: 50
  checklist:
    description:
      - Items that people see to, each a dictionary with C(required), C(done) (evidence) and C(waived) (reason).
      - For the item C(backup) with neither, the action plugin asks M(dbops.multischema.backup_info) for a backup that counts.
    type: dict
    default: {}
  backup_directory:
    description: Where backups are kept on the host, as O(dbops.multischema.backup_info#module:directory).
    type: path
  backup_max_age_h:
    description: How old a backup may be, in hours since it was complete.
    type: float
    default: 24
  backup_comes:
    description: Whether a backup that is missing is only a warning, because it is taken before anything is changed.
    type: bool
    default: false
  oids:
    description: Relations that will be locked; the action plugin takes them from the plan.
    type: list
    elements: int
    default: []
  locks:
    description: The most locks that are held at the same time; the action plugin takes it from the plan.
    type: int
    default: 0
  workers:
    description: How many connections will move tables side by side.
    type: int
    default: 1
  probe:
    description: Whether each of them will have a reader beside it.
    type: bool
    default: true
  rehearsal_required:
    description:
      - Whether it is a failure that no receipt of M(dbops.multischema.rehearsal) is there that is of exactly this plan and this database.
      - C(required) and C(waived) of the item C(rehearsal) in O(checklist) come before it. Otherwise it is a warning.
    type: bool
    default: false
  rehearsal_max_age_h:
    description: How old the receipt may be when the migration begins, in hours. Once a step is done, its age does not count.
    type: float
    default: 168
"""

EXAMPLES = r"""
- name: Check the server
  dbops.multischema.readiness_info:
    lock_timeout_ms: 50
    checklist:
      backup: {required: true, done: "pgbackrest, label 20260105-030000F, restored on db-test"}
  register: readiness

- name: Show what was found
  ansible.builtin.debug:
    msg: "{{ readiness.report }}"
"""

RETURN = r"""
checks:
  description: Every check with its name, status (pass, warn or fail), detail and remedy.
  type: list
  elements: dict
  returned: success
passed:
  description: Whether no check failed.
  type: bool
  returned: success
report:
  description: The same in lines for a person.
  type: list
  elements: str
  returned: success
"""

from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.checks import passed, report
from ansible_collections.dbops.multischema.plugins.module_utils.module_door import CONFIGURATION, Door, run
from ansible_collections.dbops.multischema.plugins.module_utils.module_options import ARTIFACTS
from ansible_collections.dbops.multischema.plugins.module_utils.readiness import Question, examine, examine_checklist

SPEC: dict[str, Any] = {
    **CONFIGURATION,
    "lock_timeout_ms": {"type": "int", "default": 50},
    "checklist": {"type": "dict", "default": {}},
    "oids": {"type": "list", "elements": "int", "default": []},
    "locks": {"type": "int", "default": 0},
    "workers": {"type": "int", "default": 1},
    "probe": {"type": "bool", "default": True},
    **ARTIFACTS,
    "backup_directory": {"type": "path"},
    "backup_max_age_h": {"type": "float", "default": 24},
    "backup_comes": {"type": "bool", "default": False},
    "rehearsal_required": {"type": "bool", "default": False},
    "rehearsal_max_age_h": {"type": "float", "default": 168},
}


def work(door: Door) -> dict[str, Any]:
    """Run the checks."""
    params = door.params
    checklist = examine_checklist(params["checklist"])
    with door.connect("preflight") as database:
        asked = (params[name] for name in ("lock_timeout_ms", "oids", "locks", "workers", "probe"))
        checks = examine(Question(database, *asked))
    checks += checklist
    return {
        "changed": False,
        "checks": [check.to_dict() for check in checks],
        "passed": passed(checks),
        "report": report(checks),
    }


def main() -> None:
    """Entry point."""
    run(SPEC, work)


if __name__ == "__main__":
    main()
