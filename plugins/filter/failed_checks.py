"""What has failed of some checks, for a message of refusal.

Here rather than by a loop in each role: Ansible doubles the backslashes of text that stands in a task, so what Jinja is told
there to fold at ``\\n`` it folds at a backslash and an n.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.checks import FAIL, wrap

DOCUMENTATION = r"""
name: failed_checks
short_description: List the checks that have failed, each with what to do
version_added: 0.1.0
description:
  - Gives lines for a message, folded so that they stand in a terminal of 100 columns below Ansible's own indentation.
positional: _input
options:
  _input:
    description: Checks, as RV(dbops.multischema.readiness_info#module:checks) has them.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Refuse to go on while a check fails
  ansible.builtin.fail:
    msg: |-
      {{ inventory_hostname }} is not ready:
      {{ readiness.checks | dbops.multischema.failed_checks }}
  when: not readiness.passed
"""

RETURN = r"""
_value:
  description: The lines; empty where nothing has failed.
  type: str
"""


def failed_checks(checks: Iterable[Mapping[str, Any]]) -> str:
    """See DOCUMENTATION."""
    lines: list[str] = []
    for check in checks:
        if check["status"] == FAIL:
            lines += wrap(f"{check['name']}: {check['detail']}", indent="    ", first="  - ")
            if check.get("remedy"):
                lines += wrap(f"What to do: {check['remedy']}", indent="      ", first="    ")
    return "\n".join(lines)


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Any]:
        """Names and functions."""
        return {"failed_checks": failed_checks}
