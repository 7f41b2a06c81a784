#!/usr/bin/python
# Copyright: The dbops.multischema contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prove a backup by restoring it."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: backup_verification
short_description: Prove a backup by restoring it, and write the verdict into its manifest
version_added: 0.1.0
description:
  - Holds every file against the manifest (size, SHA-256, owner, mode), restores the dump into a scratch database, and compares schema,
    rows of every table, sequences and large objects with what was recorded from the dump's own snapshot.
  - The scratch database is on a throwaway server that is made for it, reachable by a Unix socket only, and removed afterwards; or,
    by O(scratch_url), on a server that is named. An existing database is never touched.
  - A backup by C(pgbackrest) is restored into a throwaway server on the host, kept apart from all others, and recovered to the place in
    the WAL whose content was recorded; by O(method=checksum) C(pgbackrest verify) reads its files.
  - A backup that has been proved is not restored again, unless O(again) says so; its files are compared each time.
  - Fails where the backup is refused, saying what differs. Where the restore could not even be tried (no room on the disk, an
    extension that is not installed here) it fails too, and the manifest stays as it is.
  - Where the database has a journal that can take it, the verdict is written there too. Without one the database is not touched.
author:
  - The dbops.multischema contributors
extends_documentation_fragment:
  - dbops.multischema.database
  - dbops.multischema.database.artifacts
  - dbops.multischema.backup
  - dbops.multischema.backup.read
  - dbops.multischema.backup.job
options:
  method:
    description: Whether to restore it, or only to compare the files with the manifest. Preflight believes only what was restored.
    type: str
    choices: [restore, checksum]
    default: restore
  again:
    description: Whether to restore it again, if that has been done with success.
    type: bool
    default: false
  scratch_directory:
    description: Directory on the host for the throwaway server; needs room for the restored database.
    type: path
    default: /var/tmp
  scratch_url:
    description:
      - A server to restore on instead, as a URL of one of its databases, for a role that may create databases.
      - The roles that the dump names have to exist there.
    type: str
seealso:
  - module: dbops.multischema.backup_info
"""

EXAMPLES = r"""
- name: Prove the newest backup
  dbops.multischema.backup_verification:
    directory: /var/backups/postgresql
  register: proof

- name: Say what came of it
  ansible.builtin.debug:
    msg: "{{ proof.report }}"
"""

RETURN = r"""
name:
  description: The backup that was tried.
  type: str
  returned: success
verdict:
  description: C(method), C(at), C(passed), C(differences), C(where) and C(seconds).
  type: dict
  returned: success, unless in check mode
report:
  description: What came of it, in lines for a person.
  type: list
  elements: str
  returned: success
"""

import tempfile
from pathlib import Path
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.background import forget, poll, start
from ansible_collections.dbops.multischema.plugins.module_utils.backup_files import require_intact
from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import BY_RESTORE
from ansible_collections.dbops.multischema.plugins.module_utils.backup_trial import find_backup, run_trial
from ansible_collections.dbops.multischema.plugins.module_utils.connection import parse_url
from ansible_collections.dbops.multischema.plugins.module_utils.errors import MultischemaError
from ansible_collections.dbops.multischema.plugins.module_utils.journal import Journal
from ansible_collections.dbops.multischema.plugins.module_utils.module_door import Door, run
from ansible_collections.dbops.multischema.plugins.module_utils.module_options import BACKUP_PROVED, FOLDER, JOB

SPEC: dict[str, Any] = {**BACKUP_PROVED, **FOLDER, **JOB}


def work(door: Door) -> dict[str, Any]:
    """Begin, or ask how far it is."""
    params = door.params
    if params["scratch_url"]:
        door.module.no_log_values.add(parse_url(params["scratch_url"]).password)
    if door.module.check_mode:
        manifest = require_intact(find_backup(Path(params["folder"]), params["name"]))
        return {"changed": not manifest.proved or params["again"], "name": manifest.name, "proved": manifest.proved}
    if params["job"]:
        job = Path(params["job"])
    else:
        directory, live = find_backup(Path(params["folder"]), params["name"]), door.settings()
        job = Path(tempfile.mkdtemp(prefix="multischema-job-"))
        start(job, lambda progress: run_trial(directory, params, live, progress))
    try:
        state = poll(job, params["seconds"])
    except BaseException:
        forget(job)
        raise
    if state.running:
        return {"changed": False, "running": True, "job": str(job), "figures": state.figures}
    forget(job)
    assert state.result is not None  # noqa: S101  what has ended without a result has raised
    return {**state.result, "notes": [*state.result["notes"], *_note(door, state.result)]}


def _note(door: Door, result: Any) -> list[str]:
    """Write the verdict into the journal, where there is one. :returns: why not, where there is and it could not be."""
    verdict = result["verdict"]
    if verdict["method"] != BY_RESTORE or not result["changed"]:
        return []
    try:
        with door.connect("verification") as database:
            Journal(database).note_backup(result["name"], verdict["passed"], verdict["at"], verdict["differences"])
    except MultischemaError as error:
        return [f"The verdict stands in the manifest, and not in the journal: {error.found}"]
    return []


def main() -> None:
    """Entry point."""
    run(SPEC, work)


if __name__ == "__main__":
    main()
