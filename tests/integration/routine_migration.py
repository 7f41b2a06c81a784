"""The migration of the tables that the routines of `routines.py` name, and what is asked before and after."""

from __future__ import annotations

from typing import Any

import psycopg2

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Finding, Plan
from tests.integration.core import Core
from tests.integration.databases import Target
from tests.integration.routines import MOVES, PROBES, TABLES, Probe, wired


def filled(target: Target) -> Target:
    """The database with all tables and routines in it."""
    target.execute(TABLES, *(probe.create for probe in PROBES), *wired())
    return target


def values(plan: Plan | None = None, **further: Any) -> dict[str, Any]:
    """The configuration; with a plan, all that it refuses is accepted."""
    refused = plan.refusals if plan is not None else ()
    return {
        "schemas": [{"name": "app"}],
        "placement": [{"schema": "app", "tables": MOVES}],
        "unplaced": "keep",
        "accept": [{"finding": f.id, "object": f.object, "reason": "to see what happens"} for f in refused],
        **further,
    }


def ready(target: Target, **further: Any) -> Core:
    """A migration of which everything that is refused has been accepted."""
    return Core(target, values(Core(target, values(**further)).plan(), **further))


def answer(target: Target, probe: Probe, schema: str) -> tuple[bool, str]:
    """Call it in a new session and undo what it did. :returns: whether it failed, and what it said."""
    connection = target.server.connect(target.name)
    try:
        with connection.cursor() as cursor:
            cursor.execute(probe.statement.format(t=schema))
            return False, str(cursor.fetchall())
    except psycopg2.Error as error:
        return True, f"{error.pgcode} {error}".strip()
    finally:
        connection.rollback()
        connection.close()


def observed_now(target: Target) -> Catalog:
    """The catalog as it is, of a database in which nothing was done yet."""
    return Core(target, values()).observe()[0]


def only(plan: Plan, finding_id: str) -> Finding:
    """The one finding of its kind."""
    found = [finding for finding in plan.findings if finding.id == finding_id]
    assert len(found) == 1, f"{finding_id}: {found}"
    return found[0]


def fails(target: Target, statement: str) -> bool:
    """Whether a statement fails in a new session."""
    try:
        target.execute(statement)
    except psycopg2.Error:
        return True
    return False
