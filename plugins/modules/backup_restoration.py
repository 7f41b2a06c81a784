#!/usr/bin/python
# Copyright: The dbops.multischema contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Put a backup into the place of the live database."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: backup_restoration
short_description: Restore a backup beside the live database, prove it, and put it in its place
version_added: 0.1.0
description:
  - Restores into a new database on the same server, with the live one's owner, encoding, locale, settings and privileges, and compares
    what is there with what the backup recorded.
  - Then both are renamed in one transaction, while sessions of the live database are ended and new ones wait. The old database is kept
    under a dated name, and takes no connections until somebody allows them or removes it.
  - Whatever fails before that, the live database is as it was, its sessions go on, and nothing of the new one is left.
  - Where the connection is lost at the swap itself, the server is asked what has become of it; where it does not answer, the error
    says how to look, and nothing is dropped.
  - A backup by pgbackrest, which is of a whole cluster, is recovered in a throwaway server first, to the recorded instant or to a point
    in time; from there the one database is taken.
  - Subscriptions are not restored, and replication slots stay with the old database.
  - In check mode everything that can be looked at is looked at.
author:
  - The dbops.multischema contributors
extends_documentation_fragment:
  - dbops.multischema.database
  - dbops.multischema.database.artifacts
  - dbops.multischema.backup
  - dbops.multischema.backup.read
  - dbops.multischema.backup.job
options:
  foreign:
    description: Whether it may be a backup of another database or another server.
    type: bool
    default: false
  scratch_directory:
    description: Directory on the host where a physical backup is recovered aside; needs room for the database twice.
    type: path
    default: /var/tmp
  target_time:
    description:
      - Of a backup by pgbackrest, until when it is recovered, with a time zone, V(2030-01-05 14:30:00+01:00).
      - What was committed by then is in it.
      - Without O(name) the newest backup is taken from which that can be reached.
    type: str
    default: ""
  target_lsn:
    description: The same as a place in the WAL, V(1A/2B3C4D58).
    type: str
    default: ""
  target_name:
    description: The same as a restore point that somebody has made, by C(pg_create_restore_point).
    type: str
    default: ""
  maintenance_db:
    description: Another database of the same server, to be connected to while the live one is renamed.
    type: str
    default: postgres
seealso:
  - module: dbops.multischema.backup_verification
"""

EXAMPLES = r"""
- name: Put the newest backup into the place of the live database
  dbops.multischema.backup_restoration:
    directory: /var/backups/postgresql
  register: restored

- name: Say how to go back
  ansible.builtin.debug:
    msg: "{{ restored.report }}"
"""

RETURN = r"""
name:
  description: The backup.
  type: str
  returned: success
database:
  description: The database's name.
  type: str
  returned: success
kept:
  description: The name that the old database has now; in check mode what it would be like.
  type: str
  returned: success
last:
  description: Of a backup by pgbackrest, when the last transaction that is in it was committed.
  type: str
  returned: when restored
report:
  description: What has happened, or would, and how to go back.
  type: list
  elements: str
  returned: success
"""

import tempfile
from pathlib import Path
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.background import forget, poll, start
from ansible_collections.dbops.multischema.plugins.module_utils.backup_trial import ahead, find_to_restore, run_restoration
from ansible_collections.dbops.multischema.plugins.module_utils.module_door import Door, run
from ansible_collections.dbops.multischema.plugins.module_utils.module_options import BACKUP_RESTORED, FOLDER, JOB

SPEC: dict[str, Any] = {**BACKUP_RESTORED, **FOLDER, **JOB}


def work(door: Door) -> dict[str, Any]:
    """Look ahead; begin; or ask how far it is."""
    params, settings = door.params, door.settings()
    if params["job"]:
        job = Path(params["job"])
    else:
        directory = find_to_restore(params)
        if door.module.check_mode:
            return {"changed": True, **ahead(directory, params, settings).to_dict()}
        job = Path(tempfile.mkdtemp(prefix="multischema-job-"))
        start(job, lambda progress: run_restoration(directory, params, settings, progress))
    try:
        state = poll(job, params["seconds"])
    except BaseException:
        forget(job)
        raise
    if state.running:
        return {"changed": False, "running": True, "job": str(job), "figures": state.figures}
    forget(job)
    assert state.result is not None  # noqa: S101  what has ended without a result has raised
    return {"changed": True, **state.result}


def main() -> None:
    """Entry point."""
    run(SPEC, work)


if __name__ == "__main__":
    main()
