#!/usr/bin/python
# Copyright: The dbops.multischema contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The copy of a database that a rehearsal works on."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: rehearsal_copy
short_description: Make a scratch copy of a database, read all that it holds, or drop it
version_added: 0.1.0
description:
  - The copy is a new database on the same server, made by C(pg_dump) and C(pg_restore), or restored from a backup; the original is
    only read.
  - Nobody but its owner and superusers may connect to it. It bears a comment by which it is known, and nothing else is ever dropped.
  - Free space is looked at first. Where that cannot be done from here, O(space_checked) says that a person has.
author:
  - The dbops.multischema contributors
extends_documentation_fragment:
  - dbops.multischema.database
  - dbops.multischema.rehearsal
attributes:
  diff_mode:
    support: none
    description: There is nothing to compare with.
options:
  state:
    description:
      - V(made) makes it, from the database that is connected.
      - V(read) reads every row of the database that is connected once, and where O(with_schema) is true its schema.
      - V(dropped) drops the copy O(name) of the database that is connected.
      - V(found) says which copies of the database that is connected are there, and how much space another one would take.
    type: str
    choices: [made, read, dropped, found]
    required: true
  name:
    description: Name of the copy to be dropped.
    type: str
    default: ""
  backup:
    description:
      - Name of the backup that V(made) restores, in O(folder). By default the copy is a dump of the database that is connected.
      - The action plugin of M(dbops.multischema.rehearsal) gives the newest one that counts.
    type: str
    default: ""
  folder:
    description: Where that backup is.
    type: path
    default: ""
  jobs:
    description: How many tables of it are restored side by side.
    type: int
    default: 2
  age_identity:
    description: The file with age's private key, for one that is encrypted.
    type: path
    default: ""
  with_schema:
    description: Whether V(read) reads the schema too.
    type: bool
    default: true
  job:
    description: Set by the action plugin, which asks how far long work is until it has ended.
    type: str
    default: ""
seealso:
  - module: dbops.multischema.rehearsal
"""

EXAMPLES = r"""
- name: Copy the database
  dbops.multischema.rehearsal_copy:
    state: made
  register: copy

- name: Drop the copy
  dbops.multischema.rehearsal_copy:
    state: dropped
    name: "{{ copy.name }}"
"""

RETURN = r"""
name:
  description: Name of the copy; of the one that a real run would make another one.
  type: str
  returned: when O(state=made)
  sample: shop_rehearsal_0a1b2c3d
seconds:
  description: How long it took to make.
  type: float
  returned: when O(state=made)
notes:
  description: What is not as in the original.
  type: list
  elements: str
  returned: when O(state=made)
copies:
  description: Copies of this database that are there.
  type: list
  elements: str
  returned: when O(state=found)
needed:
  description: What a copy takes at most.
  type: str
  returned: when O(state=found)
  sample: 3.4 GiB
problem:
  description: Why none could be made, and what to do; empty where one could.
  type: str
  returned: when O(state=found)
picture:
  description: All that the database holds, by name, compressed.
  type: str
  returned: when O(state=read)
"""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils import background
from ansible_collections.dbops.multischema.plugins.module_utils.backup_trial import find_backup
from ansible_collections.dbops.multischema.plugins.module_utils.client_tools import PG_DUMP, RESTORING, ClientTools, tools_for
from ansible_collections.dbops.multischema.plugins.module_utils.connection import ConnectionSettings
from ansible_collections.dbops.multischema.plugins.module_utils.copied_backup import restoring_from
from ansible_collections.dbops.multischema.plugins.module_utils.copy_picture import take_picture
from ansible_collections.dbops.multischema.plugins.module_utils.copying import (
    TOOLS,
    copies_of,
    drop_copy,
    make_copy,
    new_name,
    require_space,
    size_text,
    space_needed,
)
from ansible_collections.dbops.multischema.plugins.module_utils.disk_room import read_room
from ansible_collections.dbops.multischema.plugins.module_utils.errors import MultischemaError
from ansible_collections.dbops.multischema.plugins.module_utils.module_door import Door, run
from ansible_collections.dbops.multischema.plugins.module_utils.module_options import COPY, JOB

ASK_S = 4.0  # a call costs about half a second, so it has to be worth it

SPEC: dict[str, Any] = {**COPY, "job": JOB["job"]}


def _tools(door: Door) -> ClientTools:
    with door.connect("rehearsal") as database:
        return tools_for(database, TOOLS, door.params["tools_directory"])


def _find(door: Door) -> dict[str, Any]:
    problem = ""
    with door.connect("rehearsal") as database:
        room = read_room(database)
        try:
            tools_for(database, TOOLS, door.params["tools_directory"])
            require_space(room, door.params["space_checked"])
        except MultischemaError as error:
            problem = str(error)
        return {"changed": False, "copies": copies_of(database), "needed": size_text(space_needed(room)), "problem": problem}


def _make(door: Door) -> dict[str, Any]:
    tools, settings = _tools(door), door.settings()
    with door.connect("rehearsal") as database:
        require_space(read_room(database), door.params["space_checked"])
        name = new_name(str(database.value("SELECT current_database()")))
    if door.module.check_mode:
        return {"changed": True, "running": False, "name": name, "seconds": 0.0, "notes": []}

    def work(progress: background.Progress) -> Mapping[str, Any]:
        made = make_copy(settings, name, tools, progress, _restoring(door, progress))
        return {"changed": True, "name": made.name, "seconds": made.seconds, "notes": list(made.notes)}

    return _begin(work)


def _restoring(door: Door, progress: background.Progress) -> Callable[[ConnectionSettings], None] | None:
    """What fills the copy, where that is a backup."""
    params = door.params
    if not params["backup"]:
        return None
    with door.connect("rehearsal") as database:
        tools = tools_for(database, (*RESTORING, PG_DUMP), params["tools_directory"])
    directory = find_backup(Path(params["folder"]), params["backup"])
    return restoring_from(directory, tools, progress, jobs=params["jobs"], age_identity=params["age_identity"])


def _read(door: Door) -> dict[str, Any]:
    tools, settings, with_schema = _tools(door), door.settings(), door.params["with_schema"]

    def work(progress: background.Progress) -> Mapping[str, Any]:
        picture = take_picture(settings, tools, with_schema, progress)
        return {"changed": False, "picture": door.pack(picture.to_dict())}

    return _begin(work)


def _drop(door: Door) -> dict[str, Any]:
    with door.connect("rehearsal") as database:
        if door.module.check_mode:
            return {"changed": door.params["name"] in copies_of(database)}
        return {"changed": drop_copy(database, door.params["name"])}


# --- what takes long goes on between the calls ---


def _begin(work: Callable[[background.Progress], Mapping[str, Any]]) -> dict[str, Any]:
    job = Path(tempfile.mkdtemp(prefix="multischema-rehearsal-"))
    background.start(job, work)
    return _ask(job)


def _ask(job: Path) -> dict[str, Any]:
    try:
        state = background.poll(job, ASK_S)
    except BaseException:
        background.forget(job)
        raise
    if state.running:
        return {"changed": False, "running": True, "job": str(job), "figures": dict(state.figures)}
    background.forget(job)
    return {**(state.result or {}), "running": False}


def work(door: Door) -> dict[str, Any]:
    """Do what is asked for."""
    if door.params["job"]:
        return _ask(Path(door.params["job"]))
    return {"made": _make, "read": _read, "dropped": _drop, "found": _find}[door.params["state"]](door)


def main() -> None:
    """Entry point."""
    run(SPEC, work)


if __name__ == "__main__":
    main()
