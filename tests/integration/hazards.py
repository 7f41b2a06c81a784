"""What the tests of single hazards share: a small configuration, what a statement comes to, and the findings of a plan."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg2

from ansible_collections.dbops.multischema.plugins.module_utils.plan import Finding, Plan
from tests.integration.core import Core
from tests.integration.databases import Target

SALES = "sales"


def moving(target: Target, *tables: str, **values: Any) -> Core:
    """A migration of these tables (names or globs, all by default) to ``sales``; others stay."""
    placement = [{"schema": SALES, "tables": list(tables) or ["*"]}]
    return Core(target, {"schemas": [{"name": SALES}], "placement": placement, "unplaced": "keep", **values})


def accepting(finding: str, *objects: str) -> list[dict[str, str]]:
    """For ``accept``."""
    return [{"finding": finding, "object": name, "reason": "this test"} for name in objects]


def findings(plan: Plan, *ids: str) -> list[Finding]:
    """Those of the given kinds."""
    return [finding for finding in plan.findings if finding.id in ids]


def the(plan: Plan, finding_id: str) -> Finding:
    """The only finding of a kind."""
    (found,) = findings(plan, finding_id)
    return found


def outcome(target: Target, *statements: str, user: str | None = None) -> Any:
    """What the last statement returns, all of them in one transaction that is rolled back; or the SQLSTATE of an error."""
    options = {"user": user, "password": "app"} if user else {}
    connection = target.server.connect(target.name, **options)
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else cursor.rowcount
    except psycopg2.Error as error:
        return error.pgcode
    finally:
        if not connection.closed:
            connection.rollback()  # what is only closed holds its locks until the server has noticed, and the next one may come before
        connection.close()


def outcomes(target: Target, statements: Iterable[str]) -> dict[str, Any]:
    """Each statement with what it comes to, in a transaction of its own."""
    return {statement: outcome(target, statement) for statement in statements}
