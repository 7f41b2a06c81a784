#!/usr/bin/python
# Copyright: The dbops.multischema contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""List the backups of a database, and find the one that counts."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: backup_info
short_description: List the backups of a database, and say which of them counts before a migration
version_added: 0.1.0
description:
  - Looks at the directory of every backup of this host, newest first, and judges it. The newest counts that is of this very database
    (the server's identifier and the database's OID), was proved by restoring it, is not older than O(max_age_h), and whose files are
    what was written.
  - Says of each of the others why it does not count.
  - Changes nothing, and does not fail because of what it finds.
author:
  - The dbops.multischema contributors
extends_documentation_fragment:
  - dbops.multischema.database
  - dbops.multischema.database.artifacts
  - dbops.multischema.backup
options:
  max_age_h:
    description: How old a backup may be, in hours since it was complete.
    type: float
    default: 24.0
  hashes:
    description: Whether every file of the backup that counts is read and its SHA-256 compared. Otherwise sizes, owners and modes are.
    type: bool
    default: true
seealso:
  - module: dbops.multischema.backup_verification
"""

EXAMPLES = r"""
- name: Look at the backups
  dbops.multischema.backup_info:
    directory: /var/backups/postgresql
  register: backups

- name: Say which of them counts
  ansible.builtin.debug:
    msg: "{{ backups.check.detail }}"
"""

RETURN = r"""
backups:
  description: Every backup, newest first, with what its manifest says; C(problem) where it cannot be read or is not whole.
  type: list
  elements: dict
  returned: success
judgements:
  description: C(name) of each that was judged, and C(refusal), why it does not count; empty for the one that does.
  type: list
  elements: dict
  returned: success
accepted:
  description: The name of the one that counts; empty where none does.
  type: str
  returned: success
digest:
  description: Of its manifest, which names every file's; empty where none counts.
  type: str
  returned: success
check:
  description: The item of preflight's checklist, with C(name), C(status), C(detail) and C(remedy).
  type: dict
  returned: success
folder:
  description: Where they were looked for.
  type: str
  returned: success
"""

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.backup_acceptance import Demand, as_check
from ansible_collections.dbops.multischema.plugins.module_utils.backup_files import backups_below
from ansible_collections.dbops.multischema.plugins.module_utils.backup_shelf import choose, described, look
from ansible_collections.dbops.multischema.plugins.module_utils.database_identity import identity_of
from ansible_collections.dbops.multischema.plugins.module_utils.module_door import Door, run
from ansible_collections.dbops.multischema.plugins.module_utils.module_options import BACKUPS_JUDGED, FOLDER
from ansible_collections.dbops.multischema.plugins.module_utils.sealed_document import digest_of

SPEC: dict[str, Any] = {**BACKUPS_JUDGED, **FOLDER}


def work(door: Door) -> dict[str, Any]:
    """Look, and judge."""
    params = door.params
    folder = Path(params["folder"])
    with door.connect("backups") as database:
        identity = identity_of(database)
    demand = Demand(identity, datetime.now(timezone.utc), timedelta(hours=params["max_age_h"]))
    judgements, accepted = choose(folder, demand, hashes=params["hashes"])
    return {
        "changed": False,
        "folder": str(folder),
        "backups": described(look(directory, hashes=False) for directory in backups_below(folder)),
        "judgements": [{"name": judgement.name, "refusal": judgement.refusal} for judgement in judgements],
        "accepted": "" if accepted is None else accepted.name,
        "digest": "" if accepted is None else digest_of(accepted),
        "check": as_check(judgements, accepted, demand, str(folder)).to_dict(),
    }


def main() -> None:
    """Entry point."""
    run(SPEC, work)


if __name__ == "__main__":
    main()
