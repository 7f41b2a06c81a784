#!/usr/bin/python
# Copyright: The dbops.multischema contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write a receipt. The work is done by the action plugin of the same name, on the control node."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: promotion_receipt
short_description: Write down, signed, what an environment has passed
version_added: 0.1.0
description:
  - Writes a receipt on the control node, below C(receipts) in the directory of environment and host, and its detached
    signature beside it, made by C(ssh-keygen -Y sign).
  - It holds the digests of code, decisions and versions, the results with their figures, the identity of the database, the time,
    and who has signed.
  - Refuses where the migration is not complete, where it was not verified, and where it was run by other code or for other decisions
    than those that lie here now.
  - Every call writes another receipt; earlier ones stay.
author:
  - The dbops.multischema contributors
extends_documentation_fragment:
  - dbops.multischema.database
  - dbops.multischema.database.configuration
  - dbops.multischema.database.artifacts
options:
  signing_key:
    description:
      - File of the SSH key that signs. The key itself is never read by this module, nor shown.
      - For a key with a passphrase the file of its public half (C(.pub)), with the key in ssh-agent.
    type: path
  signing_principal:
    description: Whose key it is, as the allowed signers file of the next environment says; by default the comment of the public key.
    type: str
  checks:
    description: The checks of M(dbops.multischema.verification_info), of both phases. All must have passed.
    type: list
    elements: dict
    default: []
seealso:
  - module: dbops.multischema.promotion_info
"""

EXAMPLES = r"""
- name: Verify the migration
  dbops.multischema.verification_info:
  register: verification

- name: Vouch for it
  dbops.multischema.promotion_receipt:
    signing_key: ~/.ssh/id_ed25519
    signing_principal: you@example.com
    checks: "{{ verification.checks }}"
"""

RETURN = r"""
receipt:
  description: The file, or in check mode what it might be called.
  type: str
  returned: success
digest:
  description: SHA-256 over code, decisions and versions.
  type: str
  returned: success
report:
  description: The receipt in lines for a person.
  type: list
  elements: str
  returned: success
"""
