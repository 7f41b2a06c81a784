#!/usr/bin/python
# Copyright: The dbops.multischema contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Verify a migration."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: verification_info
short_description: Verify that everything is where the plan put it, unharmed and within reach
version_added: 0.1.0
description:
  - Compares what is there with what the inventory asks for and what the journal has recorded.
  - Proves by OID and relfilenode, in constant time, that no row was touched by a move.
  - Acts as each application role on a new connection and reads the tables by their new and old names, and by their bare names
    where the role's search_path was changed.
  - Changes nothing, and does not fail because of what it finds.
author:
  - The dbops.multischema contributors
extends_documentation_fragment:
  - dbops.multischema.database
  - dbops.multischema.database.configuration
options:
  phase:
    description: What to verify; V(tables) includes what V(schemas) checks of the schemas.
    type: str
    choices: [schemas, tables]
    default: tables
  oids:
    description: Relations whose identity is read; set by the action plugin.
    type: list
    elements: int
    default: []
  statistics:
    description: Extended statistics objects whose identity is read; set by the action plugin.
    type: list
    elements: int
    default: []
  tables:
    description: Tables that have moved; set by the action plugin.
    type: list
    elements: int
    default: []
  views:
    description: Tables whose old name a view keeps; set by the action plugin.
    type: list
    elements: int
    default: []
  view_names:
    description: Names of these views; set by the action plugin.
    type: list
    elements: str
    default: []
  paths:
    description: The search_path of new sessions, by role, where it was changed; set by the action plugin.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Verify the migration
  dbops.multischema.verification_info:
  register: verification

- name: Show the verdict
  ansible.builtin.debug:
    msg: "{{ verification.report }}"
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

from ansible_collections.dbops.multischema.plugins.module_utils.access import find_bare, reach, shut_out
from ansible_collections.dbops.multischema.plugins.module_utils.identity import read_identities, view_problems
from ansible_collections.dbops.multischema.plugins.module_utils.module_door import CONFIGURATION, Door, run
from ansible_collections.dbops.multischema.plugins.module_utils.view_renewal import OTHER_COLUMNS, view_changes

_OIDS = {"type": "list", "elements": "int", "default": []}
SPEC: dict[str, Any] = {
    **CONFIGURATION,
    "phase": {"type": "str", "choices": ["schemas", "tables"], "default": "tables"},
    "oids": _OIDS,
    "statistics": _OIDS,
    "tables": _OIDS,
    "views": _OIDS,
    "view_names": {"type": "list", "elements": "str", "default": []},
    "paths": {"type": "dict", "default": {}},
}


def work(door: Door) -> dict[str, Any]:
    """Read the evidence; the action plugin, which knows plan and journal, judges it."""
    params, configuration = door.params, door.configuration()
    source = configuration.source_schema
    with door.connect("verification") as database:
        identities = read_identities(database, params["oids"], params["statistics"])
        views = [problem for problem in view_problems(database, source, params["views"]) if problem[1] != OTHER_COLUMNS]
        views += view_changes(database, source, params["views"])
        barred = shut_out(database, source, params["tables"]) if params["tables"] else []
    found = []
    for role in configuration.application_roles:
        # A new connection each: what a pool hands out later must work, not what this session has cached.
        with door.connect("verification") as database:
            old = [(source, name) for name in params["view_names"]]
            found.append(reach(database, role, configuration.target_names, params["tables"], old))
    bare = []
    for role, path in params["paths"].items():
        with door.connect("verification") as database:
            bare.append(find_bare(database, role, path, params["tables"]))
    evidence = {"identities": identities, "views": views, "reach": found, "found": bare, "shut_out": barred}
    return {"changed": False, "evidence": door.pack(evidence)}


def main() -> None:
    """Entry point."""
    run(SPEC, work)


if __name__ == "__main__":
    main()
