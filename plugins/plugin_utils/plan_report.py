"""A plan in lines for a terminal of 100 columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ansible_collections.dbops.multischema.plugins.module_utils.checks import count_of, wrap
from ansible_collections.dbops.multischema.plugins.module_utils.plain import to_plain
from ansible_collections.dbops.multischema.plugins.module_utils.plan import AUTO, WARN, Finding, Plan, Step
from ansible_collections.dbops.multischema.plugins.module_utils.step_transaction import of_step
from ansible_collections.dbops.multischema.plugins.plugin_utils.folded import Fold, fold, some
from ansible_collections.dbops.multischema.plugins.plugin_utils.plan_facts import visible

MOST_OF_A_KIND = 3  # different texts; those that are folded count as one
MOST_NAMES = 4


def size_text(size: int) -> str:
    """Bytes for people: 1.5 GB."""
    value = float(size)
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            return f"{value:.0f} {unit}" if unit == "bytes" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")


def finding_lines(findings: Iterable[Finding]) -> list[str]:
    """What is wrong and what to do: what is said of many objects once, and of one kind not more than a few."""
    by_kind: dict[str, list[Fold]] = {}
    for fold_ in fold(to_plain(finding) for finding in findings):
        by_kind.setdefault(fold_.first["id"], []).append(fold_)
    lines: list[str] = []
    for kind, folds in by_kind.items():
        for one in folds[:MOST_OF_A_KIND]:
            lines += _fold_lines(one)
        rest = [name for one in folds[MOST_OF_A_KIND:] for name in one.objects]
        if rest:
            lines += wrap(f"{kind}: {len(rest)} more like these: {some(rest, MOST_NAMES)}.", indent="    ", first="  - ")
    return lines


def _fold_lines(one: Fold) -> list[str]:
    finding, number = one.first, len(one.objects)
    which = finding["object"] if number == 1 else f"{number} objects ({some(one.objects, MOST_NAMES)})"
    as_example = "" if one.alike else f" (of {finding['object']}; likewise of the others)"
    lines = wrap(f"{finding['id']}: {which}: {finding['reason']}{as_example if number > 1 else ''}", indent="    ", first="  - ")
    if finding["affects"]:
        lines += wrap(f"{some(finding['affects'], MOST_NAMES)}", indent="    ")
    if finding["accepted"] is not None:
        lines += wrap(f"accepted: {finding['accepted']}", indent="      ", first="    ")
    elif finding["remedy"]:
        lines += wrap(f"→ {finding['remedy']}", indent="      ", first="    ")
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
        "and types and set search paths (phase 2), each in a transaction of its own that can be undone."
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
        lines += ["", f"{count_of(care, 'more finding')} {'is' if care == 1 else 'are'} taken care of by the plan itself (see the page)."]
    if files and any(f.affects for f in plan.findings):
        lines += ["The page names every object that is only counted here."]
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
    """The SQL of steps, statement by statement as it is sent; only the proof and the journal's own are left out."""
    lines = []
    for step in steps:
        statements = of_step(step, undo, lock_timeout_ms).statements
        lines += [f"-- {visible(step.title)}", *(f"{statement};" for statement in statements), ""]
    return lines
