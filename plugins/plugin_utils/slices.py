"""Cut work into slices, call the module for each, and show progress in between."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.errors import JournalError
from ansible_collections.dbops.multischema.plugins.module_utils.plain import pack
from ansible_collections.dbops.multischema.plugins.plugin_utils.lease_holder import holder_is_alive
from ansible_collections.dbops.multischema.plugins.plugin_utils.progress import Progress

SLICE_S = 4.0  # a call costs about half a second, so it has to be worth it; and a person likes to see something move
FIRST_STEPS = 100
MOST_STEPS = 2000
LEASE_POLL_S = 1.0
ORPHAN_S = 10.0  # how long what is left of a killed run may go on renewing its lease


@dataclass
class Slices:
    """One run, cut into calls of the module.

    :param call: runs the module with a ``slice`` and returns its result.
    :param common: the parts of a slice that stay the same (run, door, plan_digest, operator, version, accepted).
    :param items: what is to be done, in order, each in plain form.
    :param window_end: no step begins from then on, by the clock of this machine; None for no end.

    After :meth:`run`, ``interrupted`` or ``window_ended`` say what has ended it before everything was done.
    """

    call: Callable[[Mapping[str, Any]], dict[str, Any]]
    common: Mapping[str, Any]
    items: Sequence[Any]
    progress: Progress
    say: Callable[[str], None]
    interrupted: bool = False
    window_ended: bool = False
    journal: Any = None
    most_locks: int = 0
    window_end: datetime | None = None
    _tried: dict[str, tuple[float, int]] = field(default_factory=dict)

    def run(self) -> None:
        """Work until everything is done, someone stops it, or the window ends.

        :raises JournalError: when another run holds the lease, or ansible-playbook itself was killed.
        """
        parent = os.getppid()
        left, size, begin = list(self.items), FIRST_STEPS, True
        while left or begin:
            if os.getppid() != parent:
                raise JournalError("ansible-playbook has gone; its worker stops here.", "", "Run the same playbook again.")
            chunk, later = left[:size], left[size:]
            started = time.monotonic()
            result = self._call(chunk, begin, not later)
            begin = False
            outcomes, took = result["outcomes"], time.monotonic() - started
            # Several workers finish in any order, so what is left is found by name.
            finished = {outcome["step_id"] for outcome in outcomes} | set(result.get("already", ()))
            left = [item for item in chunk if _step_id(item) not in finished] + later
            waiting, tried = result.get("waiting") or [], self._tried
            self._tried = {outcome["step_id"]: self._spent_on(outcome, took) for outcome in waiting}
            self.progress.probe_off = result.get("probe_off") or self.progress.probe_off
            self.progress.add(outcomes, tried)
            self.journal = result.get("journal") or self.journal
            if left or len(self.items) > FIRST_STEPS or waiting:
                self.progress.show(waiting)
            self.interrupted = bool(result.get("interrupted"))
            self.window_ended = bool(result.get("window_ended"))
            if self.interrupted or self.window_ended:
                return
            if outcomes and not waiting:
                size = min(MOST_STEPS, max(FIRST_STEPS, int(len(outcomes) / max(took - 0.5, 0.1) * SLICE_S)))

    def _spent_on(self, outcome: Mapping[str, Any], took: float) -> tuple[float, int]:
        """For how long and how often a step has been tried by now; the pauses between slices count too."""
        spent, attempts = self._tried.get(outcome["step_id"], (0.0, 0))
        return spent + (took if spent else float(outcome["elapsed_ms"]) / 1000), attempts + int(outcome["attempts"])

    def drop_journal(self) -> None:
        """The last call of a rollback, once the journal's content is kept; emptied schemas go before it."""
        self.call({**self.common, "steps": pack([]), "seconds": SLICE_S, "drop": True})

    def _call(self, chunk: Sequence[Any], begin: bool, end: bool) -> dict[str, Any]:
        work = {
            **self.common,
            "steps": pack(list(chunk)),
            "seconds": SLICE_S,
            "begin": begin,
            "end": end,
            "tried": self._tried,
            "most_locks": self.most_locks,
            "window_s": None,
        }
        watching_since: float | None = None
        while True:
            if self.window_end is not None:
                work["window_s"] = max(0.0, (self.window_end - datetime.now(UTC)).total_seconds())
            result = self.call(work)
            lease = result.get("lease")
            if not lease:
                return result
            now = time.monotonic()
            watching_since = self._announce(lease, now) if watching_since is None else watching_since
            alive = holder_is_alive(lease["holder"])
            # From another machine nobody can see the process; a run that renews its lease for so long is alive.
            renewed = now - lease["age_s"] - watching_since
            if alive or (alive is None and renewed > ORPHAN_S):
                raise JournalError(
                    f"Another run is working on this database: {lease['holder']} (run {lease['run']}).",
                    "Two runs at once could undo each other's work.",
                    "Wait until it ends, or stop it (Ctrl-C there); then run again.",
                )
            time.sleep(LEASE_POLL_S)

    def _announce(self, lease: Mapping[str, Any], now: float) -> float:
        if not holder_is_alive(lease["holder"]):
            self.say(
                f"The lease of {lease['holder']} (run {lease['run']}) stands, renewed {lease['age_s']:.0f} s ago; that run seems to "
                f"have been killed. Its lease ends in {lease['left_s']:.0f} s; waiting for that."
            )
        return now


def _step_id(item: Mapping[str, Any]) -> str:
    """The step's id, of a step to do or of an entry to undo."""
    return str(item["step"]["id"] if "step" in item else item["id"])
