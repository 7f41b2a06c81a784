"""What a rehearsal predicts for the real run, and what became of it, in lines for a person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ansible_collections.dbops.multischema.plugins.module_utils.checks import count_of, wrap
from ansible_collections.dbops.multischema.plugins.module_utils.rehearsal import (
    PHASES,
    STATEMENT,
    Rehearsal,
    StepPrediction,
    Taken,
    of_phase,
)

SHOWN = 3  # steps that are named


def _ms(value: float) -> str:
    return f"{value / 1000:.1f} s" if value >= 10_000 else f"{value:.0f} ms"


def _longest(steps: Iterable[StepPrediction], undo: bool = False) -> StepPrediction:
    return max(steps, key=lambda step: step.undo_held_ms if undo else step.held_ms)


def rehearsal_lines(found: Rehearsal, path: str, fate: str) -> list[str]:
    """The receipt in lines.

    :param fate: what has become of the copy.
    """
    lines = wrap(f"Rehearsed: {STATEMENT} ({found.plan_digest[:16]}…).")
    lines += wrap(
        f"On {found.copy.where}: {found.copy.tables} tables with {found.copy.rows:,} rows, every sequence, the schema and the settings "
        "are as before."
    )
    restored = found.copy.backup
    if restored is not None:
        lines += wrap(
            f"That copy was restored from the backup {restored.name}, which was {restored.age} old (digest {restored.digest[:16]}…)."
        )
    lines += ["", "Expect for the real run, on an idle server like this one:"]
    for phase, name in PHASES:
        steps = of_phase(found.steps, phase)
        if steps:
            lines.append(_expected(name, steps, found.seconds.get(name, 0.0)))
    lines.append(_expected("rollback", found.steps, found.seconds.get("rollback", 0.0), undo=True))
    for step in sorted(found.steps, key=lambda step: -step.held_ms)[:SHOWN]:
        lines += wrap(f"{_ms(step.held_ms)} locked, {_ms(step.undo_held_ms)} on the way back: {step.title}", "    ", "  ")
    if found.copy.seconds:
        lines.append(f"  the copy itself took {found.copy.seconds:.1f} s")
    for note in (*found.notes, fate):
        lines += wrap(note)
    return [*lines, *wrap(f"Receipt, with every step: {path}")]


def _expected(name: str, steps: Sequence[StepPrediction], seconds: float, undo: bool = False) -> str:
    worst = _longest(steps, undo)
    held = worst.undo_held_ms if undo else worst.held_ms
    return f"  {name:<9} {count_of(len(steps), 'step'):>10} in {seconds:6.1f} s, no lock held for longer than {_ms(held)}"


def compared_lines(predicted: Sequence[StepPrediction], taken: Mapping[str, Taken]) -> list[str]:
    """Predicted against real, for the steps that were done now; nothing where none of them was rehearsed.

    :param taken: what each step took, by its id.
    """
    pairs = [(step, taken[step.id]) for step in predicted if step.id in taken]
    if not pairs:
        return []
    expected, real = sum(step.duration_ms for step, _ in pairs), sum(took.duration_ms for _, took in pairs)
    held, really = max(step.held_ms for step, _ in pairs), max(took.held_ms for _, took in pairs)
    lines = wrap(
        f"Against the rehearsal: {count_of(len(pairs), 'step')}, {_ms(expected)} of work predicted, {_ms(real)} needed; longest lock "
        f"{_ms(held)} predicted, {_ms(really)} held."
    )
    apart = sorted(pairs, key=lambda pair: -abs(pair[1].duration_ms - pair[0].duration_ms))[:SHOWN]
    for step, took in apart:
        locked = f"locked {_ms(step.held_ms)} → {_ms(took.held_ms)}"
        lines += wrap(f"{_ms(step.duration_ms)} → {_ms(took.duration_ms)}, {locked}: {step.title}", "    ", "  ")
    return lines
