"""Why a step could not be done, in words for the person who has to go on from there."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.dbops.multischema.plugins.module_utils.errors import ServerRefused, StepFailed
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Step
from ansible_collections.dbops.multischema.plugins.module_utils.troubles import OUT_OF_MEMORY

LACKING = "nobody in particular; the server has no memory left for it, as a rule in its lock table (max_locks_per_transaction)"


def raise_if(problems: Sequence[str], step: Step) -> None:
    """:raises StepFailed: when there are any."""
    if problems:
        raise StepFailed(
            step.id,
            f"{step.title}: " + "; ".join(problems[:5]) + (f" and {len(problems) - 5} more" if len(problems) > 5 else "") + ".",
            "The database is not what was planned on, so this step was rolled back whole; steps before it stay done.",
            "Run playbooks/plan.yml to see what has changed, read the new plan, and run this phase again. Where the plan is "
            "still the same, look at event triggers and at what else runs on this database.",
        )


def failure(step: Step, error: ServerRefused, broken: bool) -> StepFailed:
    """A step that the server has refused, or whose connection is gone."""
    if broken:
        return StepFailed(
            step.id,
            f"{step.title}: the connection was lost. {error.found}",
            "The step's transaction and its journal row are one: either both are there or neither.",
            "Run the same playbook again, once the server can be reached: it reads the journal and goes on with the next step.",
            connection_lost=True,
        )
    return StepFailed(
        step.id,
        f"{step.title}: {error.found}\n  statement: {error.statement}",
        error.why or "PostgreSQL refused it; this step was rolled back whole, steps before it stay done.",
        error.remedy or "Remove the cause, then run the same playbook again; it goes on where it stopped.",
    )


def too_late(step: Step, waited_for: Sequence[str], attempts: int, deadline_s: float, last: ServerRefused) -> StepFailed:
    """A step that has not had its locks in time.

    :param last: what the server has said to the last attempt.
    """
    if last.sqlstate == OUT_OF_MEMORY:
        return StepFailed(
            step.id, f"{step.title}: {last.found} for {deadline_s:g} s ({attempts} attempts). Nothing is half done.", last.why, last.remedy
        )
    who = "; ".join(waited_for) or "sessions that come and go"
    return StepFailed(
        step.id,
        f"{step.title}: no lock within {deadline_s:g} s ({attempts} attempts). In front: {who}.",
        "It gives way to the application each time rather than make it wait.",
        "End that session (SELECT pg_terminate_backend(PID)) or wait for it, then run the same playbook again; a longer "
        "multischema_deadline_s waits longer.",
    )
