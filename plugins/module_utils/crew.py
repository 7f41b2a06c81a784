"""Several connections that move tables side by side."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Union

from ansible_collections.dbops.multischema.plugins.module_utils.plan import Step
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.probe import Probe, probing
from ansible_collections.dbops.multischema.plugins.module_utils.proof import Former
from ansible_collections.dbops.multischema.plugins.module_utils.relocation import (
    HeadStart,
    Outcome,
    Pace,
    Relocator,
    longest_attempt_ms,
)

Message = Union[Outcome, BaseException, None]  # None: a worker has ended


class Crew:
    """Workers that take steps from one queue; the first error ends all of them after the step they are at.

    Each has a connection of its own, and where a probe is wanted a probe of its own: one for all would wait at the table of
    one worker and not see what readers of the others' tables notice.

    :param connect: opens a direct connection.
    :param should_stop: asked between steps, and ``before``, ``earlier``: as by `relocation.Relocator`.

    ``unfinished`` are the steps that were being tried when the work was stopped.
    """

    def __init__(
        self,
        connect: Callable[[], Database],
        run: str,
        pace: Pace,
        should_stop: Callable[[], bool],
        *,
        before: Mapping[int, Former] | None = None,
        earlier: Mapping[str, HeadStart] | None = None,
    ) -> None:
        self._connect = connect
        self._run = run
        self._pace = pace
        self._should_stop = should_stop
        self._before = before
        self._earlier = earlier or {}
        self._ended = threading.Event()
        self._todo: queue.SimpleQueue[Step] = queue.SimpleQueue()
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.unfinished: list[Outcome] = []
        self.probes: list[Probe] = []

    def apply(self, steps: Sequence[Step], workers: int) -> Iterator[Outcome]:
        """Do the steps in any order, yielding after each commit.

        :raises StepFailed: the first failure, once every worker has ended.
        """
        for step in steps:
            self._todo.put(step)
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(min(workers, len(steps)))]
        for thread in threads:
            thread.start()
        running, first_error = len(threads), None
        try:
            while running:
                message = self._messages.get()
                if message is None:
                    running -= 1
                elif isinstance(message, BaseException):
                    first_error = first_error or message
                else:
                    yield message
        finally:
            # Also where whoever takes the outcomes has given up: no worker goes on behind its back.
            self._ended.set()
            for thread in threads:
                thread.join()
        if first_error is not None:
            raise first_error

    def _work(self) -> None:
        try:
            with self._connect() as database, probing(self._connect, self._pace.probe, longest_attempt_ms(database)) as probe:
                database.hold_nothing_in_silence()
                if probe is not None:
                    self.probes.append(probe)
                relocator = Relocator(database, self._run, self._pace, self._stops, before=self._before, earlier=self._earlier, probe=probe)
                for outcome in relocator.apply(self._take()):
                    self._messages.put(outcome)
                if relocator.unfinished is not None:
                    self.unfinished.append(relocator.unfinished)
        except BaseException as error:  # handed to the main thread, which raises it
            self._ended.set()
            self._messages.put(error)
        finally:
            self._messages.put(None)

    def _stops(self) -> bool:
        return self._ended.is_set() or self._should_stop()

    def _take(self) -> Iterator[Step]:
        with contextlib.suppress(queue.Empty):
            while not self._ended.is_set():
                yield self._todo.get_nowait()
