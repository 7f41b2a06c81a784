#!/usr/bin/python
# Copyright: The dbops.multischema contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rehearse a migration. The work is done by the action plugin of the same name, on the control node, with other modules."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: rehearsal
short_description: Try the whole migration and its rollback on a copy of the database
version_added: 0.1.0
description:
  - Copies the database, makes the plan for the copy and compares it with that of the live database, does phases 1 and 2 on the copy,
    verifies them, undoes them, and compares schema, rows, sequences, large objects and settings with how they were.
  - The live database is only read.
  - Writes C(rehearsal.json) below O(artifacts_dir), a receipt that says which plan it was about and what each step took, there and
    back; M(dbops.multischema.readiness_info) asks for it.
  - Where the receipt that is there counts, nothing is done, unless O(again) is true.
  - In check mode it looks whether it could be done, and writes nothing.
author:
  - The dbops.multischema contributors
extends_documentation_fragment:
  - dbops.multischema.database
  - dbops.multischema.database.configuration
  - dbops.multischema.database.artifacts
  - dbops.multischema.database.pace
  - dbops.multischema.rehearsal
attributes:
  diff_mode:
    support: none
    description: What is done on the copy is the SQL of the plan.
options:
  state:
    description:
      - V(rehearsed) does it.
      - V(judged) says whether the receipt that is there is about exactly the present plan of this database.
      - V(cleaned) drops the copies that earlier ones have left, kept ones too.
    type: str
    choices: [rehearsed, judged, cleaned]
    default: rehearsed
  copy_url:
    description:
      - A C(postgresql://) URL of a copy that somebody has made, to be used instead of a new one. It is changed, and as before at the end.
      - By default a copy is made beside the live database, and dropped at the end.
    type: str
  again:
    description: Whether to rehearse although the receipt that is there counts.
    type: bool
    default: false
  keep_copy:
    description: Whether the copy that was made stays, for somebody to look at.
    type: bool
    default: false
  max_age_h:
    description: How old the receipt may be while the migration has not begun, in hours.
    type: float
    default: 168
  source:
    description:
      - What the copy is made of. V(backup) is the newest backup that preflight would accept, restored as it would be in an emergency; it
        is refused where there is none, or where the database has changed since in a way that changes the plan. V(copy) is a dump of the
        live database. V(auto) is such a backup where it can be, else a dump; the report says which, and why.
    type: str
    choices: [auto, copy, backup]
    default: auto
  backup_directory:
    description: Where backups are kept on the host, as O(dbops.multischema.backup_info#module:directory).
    type: path
  backup_max_age_h:
    description: How old that backup may be, in hours since it was complete.
    type: float
    default: 24
  age_identity:
    description: The file on the host with age's private key, for a backup that is encrypted.
    type: path
    default: ""
  jobs:
    description: How many tables of the backup are restored side by side.
    type: int
    default: 2
seealso:
  - module: dbops.multischema.rehearsal_copy
  - module: dbops.multischema.backup_info
  - module: dbops.multischema.readiness_info
"""

EXAMPLES = r"""
- name: Try it on a copy
  dbops.multischema.rehearsal:
  register: rehearsal

- name: Show what it has shown
  ansible.builtin.debug:
    msg: "{{ rehearsal.report }}"
"""

RETURN = r"""
report:
  description: What happened, in lines for a person.
  type: list
  elements: str
  returned: success
receipt:
  description: Path of the receipt on the control node; empty in check mode.
  type: str
  returned: when O(state=rehearsed)
checks:
  description: The verdict on the receipt, with its name, status (pass or fail), detail and remedy.
  type: list
  elements: dict
  returned: when O(state=judged)
passed:
  description: Whether the receipt that was there counts.
  type: bool
  returned: when O(state=judged)
plan_digest:
  description: Digest of the live database's plan.
  type: str
  returned: when O(state=rehearsed)
"""
