#!/usr/bin/python
# Copyright: The dbops.multischema contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ask for a receipt. The work is done by the action plugin of the same name, on the control node."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: promotion_info
short_description: Say whether the environment before has passed what is about to run
version_added: 0.1.0
description:
  - Looks on the control node for a receipt of the environment that O(promotes_from) names, written by
    M(dbops.multischema.promotion_receipt), and checks signature, signer, origin, age, and that it is about the same code,
    decisions and versions.
  - Does not fail where there is none; RV(refusal) says what is wrong and what to do.
  - Once the migration has begun in the database, the age of a receipt does not count any more.
  - Changes nothing and does not connect to the database.
author:
  - The dbops.multischema contributors
extends_documentation_fragment:
  - dbops.multischema.database
  - dbops.multischema.database.configuration
  - dbops.multischema.database.artifacts
  - dbops.multischema.database.promotion
options:
  database:
    description: What M(dbops.multischema.catalog_info) has returned.
    type: dict
    required: true
seealso:
  - module: dbops.multischema.promotion_receipt
"""

EXAMPLES = r"""
- name: Look at the database
  dbops.multischema.catalog_info:
  register: database

- name: Ask whether staging has passed the same
  dbops.multischema.promotion_info:
    promotes_from: staging
    database: "{{ database }}"
  register: promotion

- name: Refuse otherwise
  ansible.builtin.fail:
    msg: "{{ promotion.refusal }}"
  when: promotion.refusal | length > 0
"""

RETURN = r"""
demanded:
  description: Whether O(promotes_from) names an environment.
  type: bool
  returned: success
text:
  description: The verdict in a sentence; empty where nothing is demanded.
  type: str
  returned: success
refusal:
  description: Why this may not go on, and what to do; empty where it may.
  type: str
  returned: success
override:
  description: The reason given in O(promotion_override), where it is needed and counts; empty otherwise.
  type: str
  returned: success
notes:
  description: What a person should know besides.
  type: list
  elements: str
  returned: success
"""
