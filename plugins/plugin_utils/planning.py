"""From an observation to a plan: take back what was done, read what is text, decide. Every plan is made here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog
from ansible_collections.dbops.multischema.plugins.module_utils.configuration import Configuration
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Plan, Step
from ansible_collections.dbops.multischema.plugins.module_utils.planner import make_plan
from ansible_collections.dbops.multischema.plugins.module_utils.reading import Readings
from ansible_collections.dbops.multischema.plugins.module_utils.steps import rewind


def plan_now(catalog: Catalog, done: Iterable[Step], configuration: Configuration, **labels: Any) -> Plan:
    """The plan for a database as it is now.

    :param catalog: what a server shows.
    :param done: the journaled steps in effect.
    :param labels: environment, host, made_at and version, for people.
    :raises ConfigurationError: where the parser is not installed.
    """
    before = rewind(catalog, done)
    return make_plan(before, configuration, _read(before), **labels)


def _read(catalog: Catalog) -> Readings:
    # Imported late: an action plugin that cannot be imported is for Ansible one that does not exist, and it says nothing of why.
    try:
        from ansible_collections.dbops.multischema.plugins.plugin_utils.source_reader import (  # noqa: PLC0415
            read_catalog_text,
        )
    except ImportError as error:
        raise ConfigurationError(
            f"pglast is missing on this machine, in the Python that runs Ansible ({error}).",
            "It reads function bodies as PostgreSQL does; without it a plan would not know what they break.",
            "pip install -r requirements.txt, or pip install pglast, into the same environment as ansible-core.",
        ) from error
    return read_catalog_text(catalog)
