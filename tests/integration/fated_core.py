"""A migration that meets a fault at one boundary of a transaction: before BEGIN, before COMMIT, or behind it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ansible_collections.dbops.multischema.plugins.module_utils.connection import parse_url
from ansible_collections.dbops.multischema.plugins.module_utils.errors import MultischemaError
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.relocation_slice import StopSign
from tests.integration.core import Core
from tests.integration.databases import Target
from tests.integration.faults import BEFORE_BEGIN, BEFORE_COMMIT, BEHIND_COMMIT, Fault, RunKilled
from tests.integration.faults_of_networks import NetworkCut

T = TypeVar("T")


class Sign(StopSign):
    """A stop sign whose window ends when a test says so."""

    ended = False

    @property
    def window_ended(self) -> bool:
        """As the test says."""
        return self.ended


@dataclass
class Fate:
    """What befalls a run, and at which boundary.

    ``where`` says which that was, ``backend`` which process served the session; ``error`` and ``result`` are what the run said.

    :param boundary: its number, from 0 on, among those that the fault has.
    :param targets: the schemas that tables go to.
    :param steps: how many steps there are in all.
    :param back: whether the run goes back.
    """

    fault: Fault
    target: Target
    boundary: int
    targets: tuple[str, ...]
    steps: int
    back: bool
    where: str | None = None
    backend: int = 0
    sign: Sign | None = None
    error: MultischemaError | None = None
    result: Any = None
    _passed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def reached(self, where: str, backend: int) -> bool:
        """Count a boundary. :returns: whether it was this one, and the deed is done."""
        if where not in self.fault.places:
            return False
        with self._lock:
            self._passed += 1
            if self._passed != self.boundary + 1:
                return False
            self.where, self.backend = where, backend
        self.fault.strike()
        return True


class FatedDatabase(Database):
    """A connection that meets its fate at a boundary of a transaction."""

    fate: Fate

    def execute(self, statement: str, parameters: Any = None) -> int:
        """Send, unless it is time."""
        return self._fated(statement, lambda: super(FatedDatabase, self).execute(statement, parameters))

    def rows(self, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """Send, unless it is time."""
        return self._fated(query, lambda: super(FatedDatabase, self).rows(query, parameters))

    def _fated(self, statement: str, send: Callable[[], T]) -> T:
        """A transaction's BEGIN may open a longer message, and its COMMIT may end one."""
        backend = self._connection.info.backend_pid
        text = statement.strip()
        if text.startswith("BEGIN") and "READ ONLY" not in text:
            self.fate.reached(BEFORE_BEGIN, backend)
        if not text.rstrip(";").endswith("COMMIT"):
            return send()
        self.fate.reached(BEFORE_COMMIT, backend)
        answer = send()
        if self.fate.reached(BEHIND_COMMIT, backend) and not self.fate.fault.answer_comes():
            super().execute("SELECT")  # what comes back instead of the answer is that nobody is there any more
        return answer


@dataclass
class FatedCore(Core):
    """A migration that runs into one fault.

    :param targets: the schemas that tables go to.
    """

    fault: Fault = field(default_factory=RunKilled)
    targets: tuple[str, ...] = ()
    steps: int = 0
    fate: Fate | None = None

    def connect(self) -> Database:
        """A connection that meets its fate, where there is one."""
        if self.fate is None:
            return super().connect()
        if isinstance(self.fault, NetworkCut):
            self.fault.connecting()
        database = FatedDatabase.__new__(FatedDatabase)
        database.fate = self.fate
        database.__init__(parse_url(self.url()), "test")  # type: ignore[misc]
        return database

    def url(self) -> str:
        """Where to connect."""
        return super().url() + self.fault.url_options

    def stop_sign(self, seconds: float, window_s: float | None) -> StopSign:
        """One whose window a fault may end."""
        if self.fate is None:
            return super().stop_sign(seconds, window_s)
        self.fate.sign = Sign(seconds)
        return self.fate.sign

    def unharmed(self) -> Core:
        """The same migration, as somebody else runs it."""
        return Core(self.target, self.values, self.pace)

    def struck(self, boundary: int, back: bool = False, workers: int = 1) -> bool:
        """Go there or back until the boundary of that number meets the fault; then heal.

        :param boundary: from 0 on.
        :returns: whether there was such a boundary.
        :raises AssertionError: when the work failed without being struck, or was struck and did not say so.
        """
        self.fault.begin(self, back)
        work = self.rolling_back() if back else self.applying(workers)
        self.fate = self.fault.fate = Fate(self.fault, self.target, boundary, self.targets, self.steps, back)
        usual, self.pace = self.pace, self.fault.pace
        try:
            if isinstance(self.fault, RunKilled):
                return self.killed_after(-1, work)
            return self._struck_here(self.fate, work)
        finally:
            self.fate, self.pace = None, usual
            self.fault.heal(self.target)

    def _struck_here(self, fate: Fate, work: Callable[[], object]) -> bool:
        try:
            fate.result = work()
        except MultischemaError as error:
            fate.error = error
        if fate.where is None:
            if fate.error is not None:
                raise AssertionError(f"failed without being struck: {fate.error}") from fate.error
            return False
        self.fault.judge()
        return True
