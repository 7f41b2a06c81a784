"""Live progress of long work, as lines for a terminal or a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.checks import count_of, wrap


class Progress:
    """Counts what slices report and says it.

    :param say: where lines go.
    :param total: how many steps there are.
    :param verb: what is done to them, for example ``moved``.
    """

    def __init__(self, say: Callable[[str], None], total: int, verb: str) -> None:
        self._say = say
        self.total = total
        self.verb = verb
        self.done = 0
        self.retries = 0
        self.cancelled = 0
        self.longest_wait_ms = 0.0
        self.longest_held_ms = 0.0
        self._started = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._started

    def add(self, outcomes: Sequence[Mapping[str, Any]]) -> None:
        """Take in what a slice has done."""
        for outcome in outcomes:
            self.done += 1
            self._note(outcome)

    def _note(self, outcome: Mapping[str, Any]) -> None:
        self.retries += int(outcome["attempts"]) - 1
        self.cancelled += int(outcome["cancelled"])
        self.longest_wait_ms = max(self.longest_wait_ms, float(outcome["longest_wait_ms"]))
        self.longest_held_ms = max(self.longest_held_ms, float(outcome["held_ms"]))

    def show(self, waiting: Mapping[str, Any] | None = None) -> None:
        """One line; two where a step is waiting for someone.

        :param waiting: the outcome, so far, of the step that is being tried.
        """
        if waiting is not None:
            # The step goes on in the next slice, which begins to count anew.
            self.retries += int(waiting["attempts"])
            self.longest_wait_ms = max(self.longest_wait_ms, float(waiting["longest_wait_ms"]))
        left = self.total - self.done
        text = f"{self.done} of {self.total} steps {self.verb}, {self.retries} retries, longest wait for a lock "
        text += f"{self.longest_wait_ms:.0f} ms"
        if left and self.done:
            text += f", about {self.elapsed_s / self.done * left:.0f} s to go"
        self._say(text)
        if waiting is not None and waiting["waited_for"]:
            for line in wrap(f"waiting: {waiting['title']}. In front: {'; '.join(waiting['waited_for'])}", "    ", "  "):
                self._say(line)

    def summary(self) -> str:
        """What it took, in one sentence."""
        return (
            f"{count_of(self.done, 'step')} {self.verb} in {self.elapsed_s:.1f} s; {self.retries} retries, longest wait for a lock "
            f"{self.longest_wait_ms:.0f} ms, longest lock held {self.longest_held_ms:.0f} ms"
            + (f", {self.cancelled} autovacuum runs cancelled" if self.cancelled else "")
            + "."
        )
