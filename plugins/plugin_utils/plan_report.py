"""A plan in lines for a terminal of 100 columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ansible_collections.dbops.multischema.plugins.module_utils.checks import count_of, wrap
from ansible_collections.dbops.multischema.plugins.module_utils.plan import AUTO, WARN, Finding, Plan, Step
from ansible_collections.dbops.multischema.plugins.plugin_utils.plan_facts import visible

MOST_FINDINGS = 40


def size_text(size: int) -> str:
    """Bytes for people: 1.5 GB."""
    value = float(size)
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            return f"{value:.0f} {unit}" if unit == "bytes" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")


def finding_lines(findings: Iterable[Finding]) -> list[str]:
    """What is wrong and what to do, shortened where there are very many."""
    lines: list[str] = []
    found = list(findings)
    for finding in found[:MOST_FINDINGS]:
        lines += wrap(f"{finding.id}: {finding.object}: {finding.reason}", indent="    ", first="  - ")
        if finding.accepted is not None:
            lines += wrap(f"accepted: {finding.accepted}", indent="      ", first="    ")
        elif finding.remedy:
            lines += wrap(f"→ {finding.remedy}", indent="      ", first="    ")
    if len(found) > MOST_FINDINGS:
        lines.append(f"  … and {len(found) - MOST_FINDINGS} more; plan.html and plan.json have them all.")
    return lines


def _verdict(plan: Plan, left: int) -> list[str]:
    count = len(plan.refusals)
    if count:
        return wrap(f"REFUSED: {count_of(count, 'finding')} must be settled before anything is touched.")
    if not plan.steps:
        return ["NOTHING TO DO: no table has to move and every schema is there."]
    if not left:
        return [f"DONE: all {len(plan.steps)} steps are in the journal; a run would change nothing."]
    done = len(plan.steps) - left
    return [f"READY: {count_of(left, 'step')} to do" + (f", {done} done already." if done else ".")]


def plan_report(plan: Plan, left: int, files: Mapping[str, str]) -> list[str]:
    """The plan as ``terraform plan`` would put it: verdict first.

    :param left: how many steps are not done.
    :param files: paths by kind, as shown to the user; empty where nothing was written.
    """
    summary = plan.summary()
    server = plan.server
    lines = _verdict(plan, left)
    lines += wrap(
        f"{count_of(summary['tables_moving'], 'table')}"
        + (f", {summary['partitions_moving']} of them partitions" if summary["partitions_moving"] else "")
        + f" ({size_text(summary['bytes_moving'])}) leave {plan.source_schema} in database "
        f"{server.database} (PostgreSQL {server.version}): "
        + ", ".join(f"{count} to {schema}" for schema, count in summary["by_schema"].items())
        + f"; staying there: {summary['tables_staying']}."
    )
    lines += wrap(
        f"{count_of(summary['phase1_steps'], 'step')} create schemas and rights (phase 1), {summary['phase2_steps']} move tables "
        "(phase 2), each in a transaction of its own that can be undone."
    )
    for title, chosen in (
        ("Refused:", plan.refusals),
        ("Accepted by a person:", [f for f in plan.findings if f.accepted is not None]),
        ("Warnings:", [f for f in plan.findings if f.severity == WARN]),
    ):
        if chosen:
            lines += ["", title, *finding_lines(chosen)]
    care = sum(1 for finding in plan.findings if finding.severity == AUTO)
    if care:
        lines += ["", f"{care} more findings are taken care of by the plan itself (see the page)."]
    if files:
        lines += [
            "",
            f"Page to read:   {files['html']}",
            f"SQL to review:  {files['sql']}",
            f"Plan as saved:  {files['json']}",
        ]
        lines += [f"Subscribers:    {files[kind]}" for kind in ("subscriber", "subscriber_rollback") if kind in files]
    lines += ["", f"Digest {plan.digest[:16]}"]
    return lines


def step_sql(steps: Iterable[Step], undo: bool = False, lock_timeout_ms: int = 50) -> list[str]:
    """The SQL of steps, as it is sent."""
    lines = []
    for step in steps:
        lines += [f"-- {visible(step.title)}", "BEGIN;", f"SET LOCAL lock_timeout = {lock_timeout_ms};"]
        lines += [f"{statement};" for statement in (step.undo if undo else step.do)]
        lines += ["COMMIT;", ""]
    return lines
