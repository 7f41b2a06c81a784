#!/usr/bin/python
# Copyright: The dbops.multischema contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make the plan of a migration. The work is done by the action plugin of the same name, on the control node."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: relocation_plan
short_description: Plan the move of tables into several schemas
version_added: 0.1.0
description:
  - Reads the catalog of the database, decides where every table goes, and writes the plan on the control node, as data, as
    SQL and as a page to read.
  - Does not fail because the plan is refused; RV(status) says so, and RV(refusals) why and what to do.
  - Steps that are done already are part of the plan, so planning again in the middle of a migration gives the same plan.
author:
  - The dbops.multischema contributors
extends_documentation_fragment:
  - dbops.multischema.database
  - dbops.multischema.database.configuration
  - dbops.multischema.database.artifacts
attributes:
  diff_mode:
    support: full
    description: Shows the SQL of the plan against that of the plan saved before.
options:
  lock_timeout_ms:
    description: The longest wait for a lock that C(plan.sql) sets, in milliseconds.
    type: int
    default: 50
"""

EXAMPLES = r"""
- name: Plan the migration
  dbops.multischema.relocation_plan:
    login_host: db.example.com
    login_db: shop
    schemas:
      - {name: tenant_shared, owner: shop_owner}
      - {name: analytics, owner: shop_owner}
    placement:
      - {schema: analytics, tables: ["events", "page_*"]}
      - {schema: tenant_shared, tables: "*"}
  register: plan
"""

RETURN = r"""
status:
  description: C(ready), C(refused) or C(empty).
  type: str
  returned: success
digest:
  description: SHA-256 of everything that the plan decides.
  type: str
  returned: success
summary:
  description: Figures of the plan.
  type: dict
  returned: success
findings:
  description: Everything that was noticed, with severity, object, reason and remedy.
  type: list
  elements: dict
  returned: success
refusals:
  description: The findings that stop the plan.
  type: list
  elements: dict
  returned: success
files:
  description: Where the plan was written, by kind (json, sql, html), and where it is published also subscriber and subscriber_rollback.
  type: dict
  returned: success
report:
  description: The plan in lines for a person.
  type: list
  elements: str
  returned: success
"""
