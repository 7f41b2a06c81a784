"""From an observation to a plan: take back what was done, read what is text, decide. Every plan is made here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog
from ansible_collections.dbops.multischema.plugins.module_utils.configuration import Configuration
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Plan, Step
from ansible_collections.dbops.multischema.plugins.module_utils.planner import make_plan
from ansible_collections.dbops.multischema.plugins.module_utils.steps import rewind
from ansible_collections.dbops.multischema.plugins.plugin_utils.source_reader import read_catalog_text


def plan_now(catalog: Catalog, done: Iterable[Step], configuration: Configuration, **labels: Any) -> Plan:
    """The plan for a database as it is now.

    :param catalog: what a server shows.
    :param done: the journaled steps in effect.
    :param labels: environment, host, made_at and version, for people.
    """
    before = rewind(catalog, done)
    return make_plan(before, configuration, read_catalog_text(before), **labels)
