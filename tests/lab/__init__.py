"""Test hosts: Debian with systemd in podman containers, one network, a writer, a replica, a pooler, a monitor, an application host."""

import sys
from pathlib import Path

# As pytest does it (pyproject.toml): the checkout is its own collection.
_COLLECTIONS = str(Path(__file__).resolve().parents[2] / ".ansible" / "collections")
if _COLLECTIONS not in sys.path:
    sys.path.insert(0, _COLLECTIONS)

from tests.lab.hosts import Host, Lab  # noqa: E402
from tests.lab.machine import LabError, obstacle  # noqa: E402
from tests.lab.topology import RELEASES, ROLES, Release  # noqa: E402

__all__ = ["RELEASES", "ROLES", "Host", "Lab", "LabError", "Release", "obstacle"]
