#!/usr/bin/python
# Copyright: The dbops.multischema contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Apply a plan, or roll it back."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: relocation
short_description: Apply a migration plan, or roll it back
version_added: 0.1.0
description:
  - Works off the steps of a plan, each in one short transaction together with its journal row.
  - Never waits for a lock longer than O(lock_timeout_ms); tries again with a growing pause, and says who stands in front.
  - A second call changes nothing. A call after one that was killed goes on where that one stopped.
  - Runs as an action plugin on the control node, which shows progress while it runs.
author:
  - The dbops.multischema contributors
extends_documentation_fragment:
  - dbops.multischema.database
  - dbops.multischema.database.configuration
  - dbops.multischema.database.artifacts
  - dbops.multischema.database.pace
attributes:
  diff_mode:
    support: full
    description: Shows the SQL of the steps, in check mode those that a real run would do.
options:
  state:
    description:
      - V(applied) does the steps of O(phase) that are not done.
      - V(rolled_back) undoes everything that the journal records, in reverse order, exports the journal and removes it.
    type: str
    choices: [applied, rolled_back]
    default: applied
  phase:
    description: V(schemas) is phase 1, planned afresh; V(tables) is phase 2, which applies the saved plan and no other.
    type: str
    choices: [schemas, tables]
    default: tables
  plan:
    description:
      - Path of the saved plan on the control node.
      - By default C(plan.json) in the directory of the environment and host below O(artifacts_dir).
    type: path
  max_replay_lag_s:
    description:
      - A standby that is further behind with its replay than this, in seconds, is waited for before the next step.
      - V(0) for not looking. It needs C(pg_monitor) to see standbys at all.
    type: float
    default: 5
  window_end:
    description:
      - When the maintenance window ends, in ISO 8601 with a zone. No step begins after that; the one that is under way is finished, and
        the task fails with what is done and how to go on. Empty for no end.
      - Measured by the clock of the control node. O(state=rolled_back) is not held by it.
    type: str
    default: ""
  pending_schemas:
    description: In check mode only, that phase 1 of the same run would have done what is missing.
    type: bool
    default: false
  override:
    description: Why the phase begins without a receipt of the environment before, where it does; kept in the journal.
    type: str
    default: ""
  promotes_from:
    description: That environment.
    type: str
    default: ""
  slice:
    description: Set by the action plugin; what one call of the module has to do.
    type: dict
seealso:
  - module: dbops.multischema.relocation_plan
"""

EXAMPLES = r"""
- name: Move the tables as planned
  dbops.multischema.relocation:
    state: applied
    phase: tables

- name: Go back to where it began
  dbops.multischema.relocation:
    state: rolled_back
"""

RETURN = r"""
queries:
  description: The SQL that was run, or in check mode would be, step by step.
  type: list
  elements: str
  returned: success
done:
  description: How many steps this call has done or undone.
  type: int
  returned: success
total:
  description: How many steps the phase has in all.
  type: int
  returned: success
stall:
  description:
    - What a reader of the tables has noticed while they moved.
    - RV(stall.longest_ms) is the longest time that one read took, on the table RV(stall.on); RV(stall.reads) says how many there were;
      RV(stall.failed) holds messages of reads that failed, and how often; RV(stall.off) says why nothing was read.
  type: dict
  returned: when steps were done
report:
  description: What happened, in lines for a person.
  type: list
  elements: str
  returned: success
"""

from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError
from ansible_collections.dbops.multischema.plugins.module_utils.module_door import CONFIGURATION, Door, run
from ansible_collections.dbops.multischema.plugins.module_utils.module_options import ARTIFACTS, PACE
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.relocation import Pace
from ansible_collections.dbops.multischema.plugins.module_utils.relocation_slice import Slice, StopSign, run_slice

SPEC: dict[str, Any] = {
    **CONFIGURATION,
    **ARTIFACTS,
    **PACE,
    "state": {"type": "str", "choices": ["applied", "rolled_back"], "default": "applied"},
    "phase": {"type": "str", "choices": ["schemas", "tables"], "default": "tables"},
    "plan": {"type": "path"},
    "max_replay_lag_s": {"type": "float", "default": 5},
    "window_end": {"type": "str", "default": ""},
    "pending_schemas": {"type": "bool", "default": False},
    "override": {"type": "str", "default": ""},
    "promotes_from": {"type": "str", "default": ""},
    "slice": {"type": "dict"},
}


def work(door: Door) -> dict[str, Any]:
    """Do one slice."""
    params = door.params
    if not params["slice"]:
        raise ConfigurationError(
            "The module relocation was run without its action plugin.",
            "The plugin reads the plan and cuts the work into slices.",
            "Call it in a play as dbops.multischema.relocation; not with async, and not through ansible.legacy.",
        )
    given = params["slice"]
    stop = StopSign(float(given["seconds"]), None if given.get("window_s") is None else float(given["window_s"]))
    stop.watch()
    settings = door.settings()
    return run_slice(
        lambda: Database(settings, "relocation"),
        Slice(**given),
        Pace(params["lock_timeout_ms"], params["deadline_s"], params["probe"], params["max_replay_lag_s"]),
        params["workers"],
        stop,
    )


def main() -> None:
    """Entry point."""
    run(SPEC, work)


if __name__ == "__main__":
    main()
