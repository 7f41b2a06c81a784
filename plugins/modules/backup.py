#!/usr/bin/python
# Copyright: The dbops.multischema contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Take a backup of a database."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: backup
short_description: Take a backup of a database, with digests of what it must hold
version_added: 0.1.0
description:
  - By O(engine=pg_dump), the default, what follows. By O(engine=pgbackrest) an existing stanza of pgbackrest takes the backup; beside it
    digests are read at an exact place in the WAL, to which a copy is recovered when it is compared. Neither a stanza nor its configuration
    is made or changed.
  - Dumps one snapshot of a database by C(pg_dump), and reads digests of every table in the same snapshot, so that a restored copy can be
    compared with it whatever is written meanwhile. Roles and tablespaces come along (C(pg_dumpall --globals-only)).
  - What is written has a name only once all of it is on disk, with a manifest of every file. A run that fails or is stopped leaves nothing.
  - It refuses to begin where this role cannot read everything, where no C(pg_dump) on the host is as new as the server, where there
    is no room, while a migration is at work, and beside another backup of the same database.
  - Whether the backup is any good nobody knows until somebody has restored it.
author:
  - The dbops.multischema contributors
extends_documentation_fragment:
  - dbops.multischema.database
  - dbops.multischema.database.artifacts
  - dbops.multischema.backup
  - dbops.multischema.backup.job
options:
  engine:
    description:
      - What takes the backup.
      - Of the options below, V(pgbackrest) heeds those with its name, O(stanza), O(tools_directory) and O(lock_wait_s).
    type: str
    choices: [pg_dump, pgbackrest]
    default: pg_dump
  stanza:
    description: The stanza of the server, which has to be there; needed by O(engine=pgbackrest).
    type: str
    default: ''
  pgbackrest_config:
    description: Configuration file of C(pgbackrest), if not its default.
    type: path
  pgbackrest_repo:
    description: Number of the repository.
    type: int
    default: 1
  pgbackrest_type:
    description: Everything, or what has changed since the last full one, or since the last one of any type.
    type: str
    choices: [full, diff, incr]
    default: incr
  pgbackrest_program:
    description: The program C(pgbackrest), if not in C(PATH).
    type: path
  format:
    description:
      - V(directory) is dumped by several connections side by side, and restored so.
      - V(custom) is one file; V(plain) is SQL to read, uncompressed.
    type: str
    choices: [directory, custom, plain]
    default: directory
  compression:
    description:
      - V(gzip:6), V(zstd:3), V(lz4) or V(none), with the level behind the colon.
      - Left out, it is V(zstd:3) where this host's C(pg_dump) can do that, and V(gzip:6) elsewhere.
    type: str
    default: ''
  jobs:
    description: Connections that dump side by side, in the directory format.
    type: int
    default: 2
  age_recipients:
    description:
      - Public keys of C(age) that the backup is encrypted to while it is written; the files hold nothing else then.
      - Not with V(format=directory).
    type: list
    elements: str
    default: []
  tools_directory:
    description:
      - Where C(pg_dump) and its like are.
      - By default the server's own, where they are on this machine and the role may read C(pg_config), else those in C(PATH) or where
        packages put them.
    type: path
  lock_wait_s:
    description: How long the dump waits for a lock on a table before it gives up, in seconds.
    type: float
    default: 60.0
  room_percent:
    description: How much must be free before it begins, in percent of what the tables take on the server.
    type: int
    default: 100
  keep_count:
    description:
      - How many backups of this database stay; V(0) for no limit.
      - The newest stays whatever this says, and so does the newest that somebody has proved by restoring it.
    type: int
    default: 7
  keep_days:
    description: For how many days they stay; V(0) for no limit by age.
    type: float
    default: 0.0
"""

EXAMPLES = r"""
- name: Take a backup
  dbops.multischema.backup:
    directory: /srv/backups
    format: custom
    age_recipients: [age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kudmzqdgsp62ls9]
  register: backup

- name: Show where it is
  ansible.builtin.debug:
    msg: "{{ backup.report }}"
"""

RETURN = r"""
name:
  description: Name of the backup; in check mode none.
  type: str
  returned: when one was taken
directory:
  description: Its directory, or in check mode the directory that it would be in.
  type: str
  returned: success
tables:
  description: How many tables it holds.
  type: int
  returned: success
rows:
  description: How many rows.
  type: int
  returned: when one was taken
size:
  description: Of all its files, in bytes.
  type: int
  returned: when one was taken
seconds:
  description: How long it took.
  type: float
  returned: when one was taken
estimate:
  description: What the tables take on the server, in bytes; a compressed backup is smaller.
  type: int
  returned: of a dump, in check mode
free:
  description: How much is free where it would go, in bytes.
  type: int
  returned: of a dump, in check mode
compression:
  description: Method and level.
  type: str
  returned: of a dump
role_passwords:
  description: Whether the passwords of roles are in it; only a superuser may read them.
  type: bool
  returned: of a dump
engine:
  description: What has taken it, or would.
  type: str
  returned: success
label:
  description: The label that C(pgbackrest) gave it.
  type: str
  returned: when one was taken by C(pgbackrest)
lsn:
  description: The place in the WAL whose content was read.
  type: str
  returned: when one was taken by C(pgbackrest)
warnings_of_pg_dump:
  description: What C(pg_dump) warns of.
  type: list
  elements: str
  returned: when a dump was taken
removed:
  description: Older backups that were removed, in check mode those that would be.
  type: list
  elements: str
  returned: success
not_removed:
  description: Which of them could not be removed, and why.
  type: list
  elements: str
  returned: when one was taken
report:
  description: All that in lines for a person.
  type: list
  elements: str
  returned: success
"""

from pathlib import Path
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils import background, backup, backup_physical
from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import PG_DUMP, PGBACKREST
from ansible_collections.dbops.multischema.plugins.module_utils.backup_place import Place, new_name
from ansible_collections.dbops.multischema.plugins.module_utils.backup_preflight import Request
from ansible_collections.dbops.multischema.plugins.module_utils.module_door import Door, run
from ansible_collections.dbops.multischema.plugins.module_utils.module_options import BACKUP_TAKEN, FOLDER, JOB

ENGINES: dict[str, Any] = {PG_DUMP: backup, PGBACKREST: backup_physical}  # each with what is expected, and with what takes one
SPEC: dict[str, Any] = {**BACKUP_TAKEN, **FOLDER, **JOB}


def work(door: Door) -> dict[str, Any]:
    """Look and say what would be done; or begin; or ask how far it is."""
    request = Request.from_options(door.params)
    settings = door.settings()
    engine = ENGINES[request.engine]
    place = Place(Path(request.directory), settings.parameters["dbname"])
    name = door.params["job"]
    if not name:
        with door.connect("backup") as database:
            expected: dict[str, Any] = engine.expected(database, request, place)
        if door.module.check_mode:
            return expected
        name = new_name(place.database)
        place.make()
        background.start(place.job(name), lambda progress: engine.take(name, request, settings, progress))
    return _ask(place.job(name), name, door.params["seconds"])


def _ask(job: Path, name: str, seconds: float) -> dict[str, Any]:
    try:
        state = background.poll(job, seconds)
    finally:
        background.forget(job)
    if state.result is None:
        return {"changed": False, "job": name, "figures": dict(state.figures), "seconds": state.seconds}
    return {"changed": True, **state.result}


def main() -> None:
    """Entry point."""
    run(SPEC, work)


if __name__ == "__main__":
    main()
