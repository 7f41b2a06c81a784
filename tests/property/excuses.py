"""When an answer may change after all: what the plan has said, what was asked for, and what it does not see yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ansible_collections.dbops.multischema.plugins.module_utils.plan import REFUSE, WARN, Finding, Plan
from tests.property.case import Probe
from tests.property.model import quoted

# Ways of naming a table in a routine, a trigger or a default that the plan does not read yet, and why each answers otherwise
# through a view. Whatever is taken out of here must be warned about by object.
NOT_READ_YET: dict[str, str] = {}
# Findings about a table that say which statements with its old name may answer otherwise.
SAY_IT_OF_TABLES: dict[str, Callable[[Probe], bool]] = {
    "expression_names": lambda _: True,
    "inheritance_only": lambda probe: "only" in probe.constructs,
    # A view that runs as an owner who has given up a right fails for everyone, superusers too.
    "column_privileges": lambda _: True,
}


@dataclass(frozen=True)
class Moved:
    """What a plan does to the tables: names of those that leave with and without a view."""

    target: dict[str, str]
    with_view: frozenset[str]

    @classmethod
    def by(cls, plan: Plan) -> Moved:
        """Read from the steps."""
        target, views = {}, set()
        for step in plan.steps:
            for member in step.members:
                if member.kind in ("r", "p"):
                    target[member.name] = str(step.detail["to"])
                    views |= {member.name} if member.view else set()
        return cls(target, frozenset(views))

    @property
    def without_view(self) -> set[str]:
        """Old names that stop working, as was asked for."""
        return set(self.target) - self.with_view


def _said(findings: Iterable[Finding], probe: Probe, source: str) -> Finding | None:
    """A warning, or a refusal that was accepted, about a routine or table of the probe."""
    tables = {name for table in probe.tables for name in (f"{source}.{table}", quoted(source, table), f"{quoted(source)}.{table}")}
    tables |= {f"{source}.{quoted(table)}" for table in probe.tables}
    for finding in findings:
        if finding.severity != WARN and not (finding.severity == REFUSE and finding.accepted):
            continue
        if any(quoted(routine)[1:-1] in finding.object for routine in probe.routines):
            return finding
        says = SAY_IT_OF_TABLES.get(finding.id)
        if says is not None and finding.object.partition(": ")[0] in tables and says(probe):
            return finding
    return None


def excuse(plan: Plan, probe: Probe, source: str) -> str | None:
    """Why the answer to this probe may differ, or None."""
    moved = Moved.by(plan)
    if moved.without_view.intersection(probe.asks):
        return "asked for: no view"
    said = _said(plan.findings, probe, source)
    if said is not None:
        return f"said: {said.id}"
    for construct in probe.constructs:
        if construct in NOT_READ_YET:
            return f"not read yet: {construct}"
    return None
