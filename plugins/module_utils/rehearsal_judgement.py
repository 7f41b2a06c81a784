"""Preflight's question: was exactly this plan rehearsed, for this very database, and not too long ago? Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.checks import FAIL, PASS, WARN, Check
from ansible_collections.dbops.multischema.plugins.module_utils.database_identity import DatabaseIdentity, observed_identity
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Plan
from ansible_collections.dbops.multischema.plugins.module_utils.rehearsal import Rehearsal
from ansible_collections.dbops.multischema.plugins.module_utils.rehearsal_plan import differing_steps, step_digests, structures

NAME = "rehearsal"
RUN_IT = "Run playbooks/rehearse.yml: it tries the whole migration and its rollback on a copy, and leaves this database alone."
CLOCK_TOLERANCE = timedelta(minutes=5)
SHOWN = 4  # differences that a message names


@dataclass(frozen=True)
class RehearsalDemand:
    """What is asked for.

    :param required: whether it stops the migration when there is none.
    :param waived: why it may be missing; nothing where nobody has said so.
    :param max_age: how old it may be when the migration begins.
    :param begun: whether steps of the migration are done: then its age does not count any more.
    """

    required: bool
    waived: str
    max_age: timedelta
    begun: bool
    now: datetime


def read_demand(item: Any, by_default: bool, max_age_h: float, begun: bool, now: datetime) -> RehearsalDemand:
    """What the checklist's item ``rehearsal`` and the role's variables ask for.

    :param item: ``{required, waived}``, or None.
    :raises ConfigurationError: where it cannot be read, or calls a rehearsal done.
    """
    given = {} if item is None else item
    if not isinstance(given, Mapping) or set(given) - {"required", "waived", "done"}:
        raise ConfigurationError(
            f"multischema_checklist.rehearsal is {item!r}.",
            "",
            "Write {required: true}, or {required: true, waived: 'reason'}.",
        )
    if given.get("done"):
        raise ConfigurationError(
            "multischema_checklist.rehearsal.done is set.",
            "That a rehearsal was done is not believed but read from its receipt, which knows the plan that it was about.",
            f"Remove it. {RUN_IT} Or waive it with a reason: multischema_checklist.rehearsal.waived.",
        )
    waived = given.get("waived") or ""
    if not isinstance(waived, str) or 0 < len(waived.strip()) < 5:
        raise ConfigurationError(
            f"multischema_checklist.rehearsal.waived is {waived!r}.",
            "It goes into the report, where a person has to understand it.",
            "Write a sentence: why the migration may go on without a rehearsal.",
        )
    required = str(given.get("required", by_default)).lower() not in ("false", "no", "off", "0")
    return RehearsalDemand(required, waived.strip(), timedelta(hours=max_age_h), begun, now)


def judge(receipt: Rehearsal | str | None, plan: Plan, replan: Callable[[Rehearsal], Plan], demand: RehearsalDemand) -> Check:
    """The verdict on the receipt that is there.

    :param receipt: what was read; a text says why it cannot be; None where there is none.
    :param plan: for the database as it is now, journaled steps taken back.
    :param replan: makes it again without partitions that have joined since; see `rehearsal_plan.without_joined`.
    """
    problem = _problem(receipt, plan, replan, demand)
    if problem is None and isinstance(receipt, Rehearsal):
        return Check(NAME, PASS, _passed(receipt, demand))
    if demand.waived:
        return Check(NAME, WARN, f"waived: {demand.waived} ({problem})")
    status = FAIL if demand.required else WARN
    detail = f"{problem}; {'required' if demand.required else 'not required'} in this environment"
    return Check(NAME, status, detail, f"{RUN_IT} Or waive it with a reason: multischema_checklist.rehearsal.waived.")


def _problem(receipt: Rehearsal | str | None, plan: Plan, replan: Callable[[Rehearsal], Plan], demand: RehearsalDemand) -> str | None:
    if receipt is None:
        return "missing: nobody has tried this migration and its rollback on a copy of this database"
    if isinstance(receipt, str):
        return f"the receipt cannot be used: {receipt}"
    here = observed_identity(plan.server)
    if not receipt.database.is_the_same_as(here):
        return f"the receipt is about another database: {_which(receipt.database)}, and this is {_which(here)}"
    age = demand.now - receipt.ended
    if age < -CLOCK_TOLERANCE:
        return f"the receipt is of {receipt.made_at}, which is in the future"
    if age > demand.max_age and not demand.begun:
        return f"the receipt is {_age(age)} old, and {_age(demand.max_age)} are allowed (rehearsal_max_age_h)"
    return _difference(receipt, plan, replan)


def _difference(receipt: Rehearsal, plan: Plan, replan: Callable[[Rehearsal], Plan]) -> str | None:
    """What has changed since, once what may join has been left out."""
    if not list(_changes(receipt, plan)):
        return None
    found = list(_changes(receipt, replan(receipt)))
    if not found:
        return None
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return "another plan was rehearsed: " + "; ".join(found[:SHOWN]) + more


def _changes(receipt: Rehearsal, plan: Plan) -> Iterator[str]:
    yield from differing_steps(receipt.digests, step_digests(plan), "the rehearsed plan", "the present plan")
    now = structures(plan.catalog)
    for name, digest in receipt.structures.items():
        if name not in now:
            yield f"{name} is gone"
        elif now[name] != digest:
            yield f"{name} has changed"
    yield from (f"{name} is new" for name in now if name not in receipt.structures)


def _which(database: DatabaseIdentity) -> str:
    return f"{database.name} (OID {database.oid}) of server {database.system_identifier or '?'}"


def _age(age: timedelta) -> str:
    hours = age.total_seconds() / 3600
    return f"{hours:.0f} h" if hours >= 1 else f"{max(hours, 0) * 60:.0f} min"


def _passed(receipt: Rehearsal, demand: RehearsalDemand) -> str:
    copied = f"{receipt.copy.tables} tables with {receipt.copy.rows:,} rows"
    return f"{len(receipt.steps)} steps there and back on a copy ({copied}), {_age(demand.now - receipt.ended)} ago"
