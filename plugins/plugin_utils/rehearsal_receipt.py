"""The receipt of a rehearsal on the control node: read, and held against the database as it is now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog
from ansible_collections.dbops.multischema.plugins.module_utils.checks import Check
from ansible_collections.dbops.multischema.plugins.module_utils.configuration import Configuration
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Plan, Step
from ansible_collections.dbops.multischema.plugins.module_utils.rehearsal import NotARehearsal, Rehearsal, parse_rehearsal
from ansible_collections.dbops.multischema.plugins.module_utils.rehearsal_judgement import RehearsalDemand, judge
from ansible_collections.dbops.multischema.plugins.module_utils.rehearsal_plan import without_joined
from ansible_collections.dbops.multischema.plugins.module_utils.steps import rewind
from ansible_collections.dbops.multischema.plugins.plugin_utils.planning import plan_now


def read_receipt(path: Path) -> Rehearsal | str | None:
    """The receipt; a text says why it cannot be used; None where there is none."""
    try:
        return parse_rehearsal(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"{path} cannot be read ({error.strerror})"
    except NotARehearsal as error:
        return str(error)


def check_rehearsal(path: Path, catalog: Catalog, done: Sequence[Step], configuration: Configuration, demand: RehearsalDemand) -> Check:
    """Whether exactly this plan was rehearsed.

    :param catalog: as it is, with ``done``, the journaled steps in effect.
    """
    before = rewind(catalog, done)

    def again(receipt: Rehearsal) -> Plan:
        return plan_now(without_joined(before, receipt.structures), [], configuration)

    return judge(read_receipt(path), plan_now(before, [], configuration), again, demand)
