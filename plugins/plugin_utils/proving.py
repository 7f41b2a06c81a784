"""Between what was observed and the verdict of a verification: what a module has to read for it, and what is judged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.access import Found, Reach
from ansible_collections.dbops.multischema.plugins.module_utils.catalog import TABLE_KINDS, Catalog
from ansible_collections.dbops.multischema.plugins.module_utils.checks import Check
from ansible_collections.dbops.multischema.plugins.module_utils.journal import Entry
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Plan
from ansible_collections.dbops.multischema.plugins.module_utils.verification import (
    Evidence,
    paths_to_try,
    verify_schemas,
    verify_tables,
)


def what_to_read(catalog: Catalog, entries: Iterable[Entry], roles: Iterable[str]) -> dict[str, Any]:
    """The options of the module ``verification_info`` that depend on what was done.

    :param roles: of the application.
    """
    done = list(entries)
    members = [member for entry in done for member in entry.step.members]
    return {
        "oids": [member.oid for member in members if member.kind != "s"],
        "statistics": [member.oid for member in members if member.kind == "s"],
        "tables": [member.oid for member in members if member.kind in TABLE_KINDS],
        "views": [member.oid for member in members if member.view],
        "view_names": [member.name for member in members if member.view],
        "paths": paths_to_try(done, catalog, roles),
    }


def prove(phase: str, catalog: Catalog, plan: Plan, entries: Iterable[Entry], found: Mapping[str, Any]) -> list[Check]:
    """Judge one phase.

    :param phase: ``schemas`` or ``tables``.
    :param found: what the module has read.
    """
    evidence = Evidence(
        catalog=catalog,
        plan=plan,
        done=list(entries),
        identities={int(oid): item for oid, item in found["identities"].items()},
        views=[(name, what) for name, what in found["views"]],
        reach=[Reach(**item) for item in found["reach"]],
        found=[Found(**item) for item in found["found"]],
        shut_out=[(role, schema) for role, schema in found["shut_out"]],
    )
    return verify_schemas(evidence) if phase == "schemas" else verify_tables(evidence)
