"""The whole playbook of phase 2, beside the core: Ansible's own time is in it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.benchmark.database import configuration
from tests.integration.databases import Target
from tests.integration.playbooks import Playbooks
from tests.support.servers import Server


def phase2(server: Server, database: str, tables: int) -> float:
    """Plan, phase 1 and phase 2 by the playbooks. :returns: seconds that phase 2 took."""
    with tempfile.TemporaryDirectory() as directory:
        playbooks = Playbooks(Path(directory), Target(server, database))
        wanted = configuration(tables, views=True)
        playbooks.configure(multischema_accept=[], **{f"multischema_{key}": value for key, value in wanted.items()})
        return playbooks.all("plan", "phase1", "phase2")[-1].seconds
