#!/usr/bin/python
# Copyright: The dbops.multischema contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read the catalog and the journal of a database."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: catalog_info
short_description: Read the catalog of a database and the journal of its migration
version_added: 0.1.0
description:
  - Observes everything that a plan depends on, in one snapshot, and changes nothing.
  - Checks on the way that the connection is direct, that the server is new enough and that the role gets in.
author:
  - The dbops.multischema contributors
extends_documentation_fragment:
  - dbops.multischema.database
options:
  source_schema:
    description: The schema that the tables leave.
    type: str
    default: public
  target_schemas:
    description:
      - Schemas that they go to; by default the names in C(multischema_schemas).
      - Those that the journal speaks of are read in any case.
    type: list
    elements: str
    default: []
  roles:
    description: Roles to read besides the owners and grantees of tables.
    type: list
    elements: str
    default: []
  gather_catalog:
    description: Whether to return the catalog itself, packed, besides the figures.
    type: bool
    default: false
  gather_history:
    description: Whether to return the figures of all runs in the journal, packed.
    type: bool
    default: false
seealso:
  - module: dbops.multischema.relocation_plan
"""

EXAMPLES = r"""
- name: Look at the database
  dbops.multischema.catalog_info:
    login_host: db.example.com
    login_user: migrator
    login_password: "{{ vault_migrator_password }}"
    login_db: shop
  register: database
"""

RETURN = r"""
connection:
  description: Where the connection leads, without secrets.
  type: str
  returned: success
  sample: migrator@db.example.com:5432/shop
server:
  description: Version, database, role and settings of the server.
  type: dict
  returned: success
tables:
  description: How many tables stand in the source schema.
  type: int
  returned: success
notes:
  description: What was noticed about the connection options.
  type: list
  elements: str
  returned: success
journal:
  description:
    - Whether a migration has begun, how many of its steps are in effect, and who holds the lease.
    - RV(journal.runs) lists the ids of all runs.
    - RV(journal.retired) lists schemas, by their former names, that a rollback has renamed and not dropped yet; the next run does.
    - RV(journal.overrides) lists the decisions by which it has gone on without a receipt of the environment before.
    - RV(journal.lease.holder_alive) says whether the holder's process runs on the control node; none when it is of another machine.
  type: dict
  returned: success
driver:
  description: The version of psycopg2 on the host that runs the module.
  type: str
  returned: success
  sample: 2.9.10
history:
  description: Figures of each run in the journal, and what was accepted, compressed.
  type: str
  returned: when O(gather_history=true)
catalog:
  description: The catalog, compressed (JSON, zlib, base64).
  type: str
  returned: when O(gather_catalog=true)
entries:
  description: Journal entries in effect, compressed.
  type: str
  returned: when O(gather_catalog=true)
"""

from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.catalog_reader import read_catalog, read_server
from ansible_collections.dbops.multischema.plugins.module_utils.journal import OVERRIDE, Entry, Journal
from ansible_collections.dbops.multischema.plugins.module_utils.module_door import Door, run
from ansible_collections.dbops.multischema.plugins.module_utils.plain import to_plain
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database, driver_version
from ansible_collections.dbops.multischema.plugins.module_utils.retired_schemas import present
from ansible_collections.dbops.multischema.plugins.module_utils.view_renewal import know_again

SPEC: dict[str, Any] = {
    "source_schema": {"type": "str", "default": "public"},
    "target_schemas": {"type": "list", "elements": "str", "default": []},
    "roles": {"type": "list", "elements": "str", "default": []},
    "gather_catalog": {"type": "bool", "default": False},
    "gather_history": {"type": "bool", "default": False},
}

# Where things are that have moved, should someone have moved them on, or renamed a schema.
_WHEREABOUTS = """
SELECT DISTINCT n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY(%s)
"""

_COUNT = """
SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'f')
"""


def _journal(database: Database) -> tuple[dict[str, Any], list[Entry]]:
    journal = Journal(database)
    found: dict[str, Any] = {"exists": journal.exists(), "done": 0, "phases": {}, "lease": None, "overrides": [], "runs": [], "retired": []}
    if not found["exists"]:
        return found, []
    entries = journal.done()
    for entry in entries:
        phase = str(entry.step.phase)
        found["phases"][phase] = found["phases"].get(phase, 0) + 1
    lease = journal.lease()
    if lease is not None:
        found["lease"] = {**vars(lease), "live": lease.live}
    found["done"] = len(entries)
    found["runs"] = journal.run_ids()
    found["retired"] = present(database, journal.retired())
    found["overrides"] = journal.accepted(OVERRIDE)
    return found, entries


def work(door: Door) -> dict[str, Any]:
    """Read the figures, and the catalog where it is asked for."""
    params = door.params
    with door.connect("catalog") as database:
        journal, entries = _journal(database)
        moves = [entry.step.detail for entry in entries if "from" in entry.step.detail]
        # Once tables have moved, the journal knows better than the options where they came from.
        source = moves[0]["from"] if moves else params["source_schema"]
        result: dict[str, Any] = {
            "changed": False,
            "connection": database.settings.label,
            "notes": list(database.settings.notes),
            "journal": journal,
            "tables": database.value(_COUNT, (source,)),
            "driver": driver_version(),
        }
        if params["gather_history"]:
            history = Journal(database).history() if journal["exists"] else {"runs": [], "accepted": []}
            result["history"] = door.pack(history)
        if not params["gather_catalog"]:
            return {**result, "server": to_plain(read_server(database))}
        known = {entry.step.detail[key] for entry in entries for key in ("to", "schema") if key in entry.step.detail}
        known |= {row[0] for row in database.rows(_WHEREABOUTS, ([m.oid for e in entries for m in e.step.members],))}
        roles = {*params["roles"], *(entry.step.detail["role"] for entry in entries if entry.step.detail.get("role"))}
        catalog = read_catalog(database, source, {*params["target_schemas"], *known}, sorted(roles))
        catalog = know_again(database, catalog, entries)
        return {**result, "server": to_plain(catalog.server), "catalog": door.pack(catalog), "entries": door.pack(entries)}


def main() -> None:
    """Entry point."""
    run(SPEC, work)


if __name__ == "__main__":
    main()
