#!/usr/bin/python
# Copyright: The dbops.multischema contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Digests of tables and sequences."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: fingerprint
short_description: Save or compare digests of every table's rows and every sequence's value
version_added: 0.1.0
description:
  - Reads every row of every table in the source and target schemas, in one snapshot, and adds up hashes of the rows.
  - A table is known by its OID, so that it is found again wherever it went.
  - Two fingerprints of a database in which nothing was written are equal, before, after and between the phases.
author:
  - The dbops.multischema contributors
extends_documentation_fragment:
  - dbops.multischema.database
  - dbops.multischema.database.configuration
  - dbops.multischema.database.artifacts
attributes:
  diff_mode:
    support: none
    description: Differences are returned.
options:
  state:
    description: V(saved) writes the digests to O(path) on the control node; V(compared) reads O(path) and compares.
    type: str
    choices: [saved, compared]
    default: saved
  path:
    description: File name on the control node, relative to the directory of the environment and host below O(artifacts_dir).
    type: path
    default: fingerprint.json
  content:
    description: Whether to hash the rows; otherwise they are counted.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Remember every row before the migration
  dbops.multischema.fingerprint:
    state: saved

- name: Compare with it afterwards
  dbops.multischema.fingerprint:
    state: compared
  register: comparison
  failed_when: comparison.differences | length > 0
"""

RETURN = r"""
tables:
  description: How many tables were read.
  type: int
  returned: success
rows:
  description: How many rows they have.
  type: int
  returned: success
differences:
  description: What differs, in words.
  type: list
  elements: str
  returned: when O(state=compared)
report:
  description: The outcome in lines for a person.
  type: list
  elements: str
  returned: success
"""

from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.fingerprint import read_fingerprint
from ansible_collections.dbops.multischema.plugins.module_utils.module_door import CONFIGURATION, Door, run
from ansible_collections.dbops.multischema.plugins.module_utils.module_options import ARTIFACTS

SPEC: dict[str, Any] = {
    **CONFIGURATION,
    "state": {"type": "str", "choices": ["saved", "compared"], "default": "saved"},
    "path": {"type": "path", "default": "fingerprint.json"},
    "content": {"type": "bool", "default": True},
    **ARTIFACTS,
}


def work(door: Door) -> dict[str, Any]:
    """Read the digests; the action plugin saves or compares them."""
    configuration = door.configuration()
    with door.connect("fingerprint") as database:
        found = read_fingerprint(database, (configuration.source_schema, *configuration.target_names), door.params["content"])
    return {"changed": False, "fingerprint": door.pack(found.to_dict())}


def main() -> None:
    """Entry point."""
    run(SPEC, work)


if __name__ == "__main__":
    main()
