"""What the playbooks before the one under test would have done, done by the core in a second.

That the playbooks do it themselves is shown by `test_walk.py`, `test_traffic.py` and `test_check_mode_truth.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.plain import to_plain
from ansible_collections.dbops.multischema.plugins.module_utils.plan import PHASE_SCHEMAS, Plan, plan_to_dict
from ansible_collections.dbops.multischema.plugins.module_utils.version import VERSION
from ansible_collections.dbops.multischema.plugins.plugin_utils.artifact import write_json
from ansible_collections.dbops.multischema.plugins.plugin_utils.planning import plan_now
from tests.integration.core import Core
from tests.integration.placements import sample
from tests.integration.playbooks import HOST, Playbooks


def planned(playbooks: Playbooks) -> Plan:
    """The sample as after plan.yml: its plan is saved."""
    return _saved(Core(playbooks.target, sample()), playbooks.plan_file)


def ready(playbooks: Playbooks) -> Core:
    """The sample as after plan.yml and phase 1."""
    return ready_with(Core(playbooks.target, sample()), playbooks.plan_file)


def ready_with(core: Core, plan_file: Path) -> Core:
    """Any database, and any configuration, as after plan.yml and phase 1."""
    plan = _saved(core, plan_file)
    core.work("phase1", plan.digest, [to_plain(step) for step in plan.of_phase(PHASE_SCHEMAS)])
    return core


def moved(playbooks: Playbooks) -> Core:
    """The sample as after plan.yml, phase 1 and phase 2."""
    core = ready(playbooks)
    core.apply()
    return core


def _saved(core: Core, plan_file: Path) -> Plan:
    catalog, _ = core.observe()
    about: Mapping[str, Any] = {"environment": "sandbox", "host": HOST, "made_at": "2026-01-01T00:00:00+00:00", "version": VERSION}
    plan = plan_now(catalog, [], core.configuration, **about)
    assert not plan.refusals, plan.refusals
    plan_file.parent.mkdir(parents=True, exist_ok=True)
    write_json(plan_file, plan_to_dict(plan))
    return plan
