"""What the plan says of routines is what happens: predicted to fail if and only if it fails, to change if and only if it changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg2
import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.plan import Finding, Plan
from tests.integration.core import Core
from tests.integration.databases import Target
from tests.integration.evidence import require_same_schema
from tests.integration.routines import MOVES, PROBES, TABLES, Probe, wired

FAILING = ("routine_breaks", "sequence_named", "routine_without_view")
CHANGING = ("routine_changes", "trigger_schema", "catalog_query")


def _values(plan: Plan | None = None, **further: Any) -> dict[str, Any]:
    """The configuration; with a plan, all that it refuses is accepted."""
    refused = plan.refusals if plan is not None else ()
    return {
        "schemas": [{"name": "app"}],
        "placement": [{"schema": "app", "tables": MOVES}],
        "unplaced": "keep",
        "accept": [{"finding": f.id, "object": f.object, "reason": "to see what happens"} for f in refused],
        **further,
    }


def _answer(target: Target, probe: Probe, schema: str) -> tuple[bool, str]:
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


def _predicted(findings: Iterable[Finding], probe: Probe) -> str:
    names = tuple(f"public.{name}(" for name in (probe.name, probe.calls) if name)
    ids = {f.id for f in findings if f.object.startswith(names)}
    return "fails" if ids.intersection(FAILING) else "changes" if ids.intersection(CHANGING) else "same"


def _observed(before: tuple[bool, str], after: tuple[bool, str]) -> str:
    return "fails" if after[0] else "same" if after == before else "changes"


@pytest.fixture
def database(empty: Target) -> Target:
    empty.execute(TABLES, *(probe.create for probe in PROBES), *wired())
    return empty


@pytest.mark.parametrize("views", [True, False], ids=["with views", "without views"])
def test_what_is_predicted_is_what_happens(database: Target, views: bool) -> None:
    before = {probe.name: _answer(database, probe, "public") for probe in PROBES}
    assert {name: said for name, (failed, said) in before.items() if failed} == {}, "they work before"
    dump = database.server.dump_schema(database.name)
    plan = Core(database, _values(compatibility_views=views)).plan()
    core = Core(database, _values(plan, compatibility_views=views))
    core.apply()
    after = {probe.name: _answer(database, probe, "app") for probe in PROBES}
    wrong = {}
    for probe in PROBES:
        predicted, observed = _predicted(plan.findings, probe), _observed(before[probe.name], after[probe.name])
        if predicted != observed:
            wrong[probe.name] = f"predicted {predicted}, observed {observed}: {before[probe.name][1]} -> {after[probe.name][1]}"
    assert wrong == {}
    assert core.plan().digest == Core(database, core.values).plan().digest
    core.roll_back()
    require_same_schema(dump, database.server.dump_schema(database.name))
