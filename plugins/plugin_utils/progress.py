"""Live progress of long work, as lines for a terminal or a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.checks import count_of, wrap
from ansible_collections.dbops.multischema.plugins.module_utils.probe import Reading
from ansible_collections.dbops.multischema.plugins.module_utils.rehearsal import Taken


def _retries(number: int) -> str:
    return "1 retry" if number == 1 else f"{number} retries"


class Progress:
    """Counts what slices report and says it.

    :param say: where lines go.
    :param total: how many steps there are.
    :param verb: what is done to them, for example ``moved``.

    ``taken`` is what each step took, by its id.
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
        self.probe_off: str | None = None
        self.taken: dict[str, Taken] = {}
        self.stall = Reading()
        self._said_stall_ms = 0.0
        self._started = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._started

    def add(self, outcomes: Sequence[Mapping[str, Any]], tried: Mapping[str, tuple[float, int]] | None = None) -> None:
        """Take in what a slice has done.

        :param tried: for how long in seconds, and how often, earlier slices have tried a step.
        """
        for outcome in outcomes:
            self.done += 1
            self._note(outcome)
            spent_s, _ = (tried or {}).get(outcome["step_id"], (0.0, 0))
            self.taken[outcome["step_id"]] = Taken(spent_s * 1000 + float(outcome["elapsed_ms"]), float(outcome["held_ms"]))

    def _note(self, outcome: Mapping[str, Any]) -> None:
        self.retries += int(outcome["attempts"]) - 1
        self.cancelled += int(outcome["cancelled"])
        self.longest_wait_ms = max(self.longest_wait_ms, float(outcome["longest_wait_ms"]))
        self.longest_held_ms = max(self.longest_held_ms, float(outcome["held_ms"]))
        self._note_stall(outcome)

    def _note_stall(self, outcome: Mapping[str, Any]) -> None:
        if outcome.get("stall"):
            self.stall.add(Reading(**outcome["stall"]))

    def show(self, waiting: Sequence[Mapping[str, Any]] = ()) -> None:
        """One line, and more for each step that is waiting for someone.

        :param waiting: the outcomes, so far, of the steps that are being tried.
        """
        for outcome in waiting:
            # The step goes on in the next slice, which begins to count anew.
            self.retries += int(outcome["attempts"])
            self.longest_wait_ms = max(self.longest_wait_ms, float(outcome["longest_wait_ms"]))
            self._note_stall(outcome)
        left = self.total - self.done
        text = f"{self.done} of {self.total} steps {self.verb}, {_retries(self.retries)}, longest wait for a lock "
        text += f"{self.longest_wait_ms:.0f} ms"
        if left and self.done:
            text += f", about {self.elapsed_s / self.done * left:.0f} s to go"
        self._say(text)
        if self.stall.longest_ms > self._said_stall_ms:
            self._said_stall_ms = self.stall.longest_ms
            for line in wrap(f"{self.stall.longest()}, so far", "    ", "  "):
                self._say(line)
        for outcome in waiting:
            if outcome["waited_for"]:
                for line in wrap(f"waiting: {outcome['title']}. In front: {'; '.join(outcome['waited_for'])}", "    ", "  "):
                    self._say(line)

    def summary(self) -> str:
        """What it took, in one sentence."""
        return (
            f"{count_of(self.done, 'step')} {self.verb} in {self.elapsed_s:.1f} s; {_retries(self.retries)}, longest wait for a lock "
            f"{self.longest_wait_ms:.0f} ms, longest lock held {self.longest_held_ms:.0f} ms"
            + (f", {self.cancelled} autovacuum runs cancelled" if self.cancelled else "")
            + "."
        )

    def stall_summary(self) -> str:
        """What a reader has noticed, in one sentence; empty where nobody was to read."""
        failures = "; ".join(f"{times} failed: {text}" for text, times in self.stall.failed.items())
        if self.stall.reads:
            found = f"L{self.stall.longest()[1:]}, of {count_of(self.stall.reads, 'read')} while the tables moved"
            return found + (f"; of further reads {failures}." if failures else ".")
        if self.probe_off or failures:
            return f"No reader has measured what the application notices: {self.probe_off or failures}."
        return ""
