"""A run, its backend or the postmaster dies by SIGKILL at a boundary of a step: before BEGIN, before COMMIT, or behind it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psycopg2

from ansible_collections.dbops.multischema.plugins.module_utils.connection import parse_url
from ansible_collections.dbops.multischema.plugins.module_utils.errors import MultischemaError
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from tests.integration.core import Core
from tests.integration.databases import Target, wait_until
from tests.support.host import command_line

T = TypeVar("T")
RUN, BACKEND, POSTMASTER = "run", "backend", "postmaster"
FAULTS = (RUN, BACKEND, POSTMASTER)


@dataclass
class Fate:
    """What dies, and at which boundary; ``where`` says which that was."""

    fault: str
    target: Target
    left: int
    where: str | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def reached(self, where: str, backend: int) -> bool:
        """Count a boundary. :returns: whether it was this one, and the deed is done."""
        with self.lock:
            self.left -= 1
            if self.left != -1:
                return False
            self.where = where
        if self.fault == RUN:
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.fault == BACKEND:
            os.kill(backend, signal.SIGKILL)
            wait_until(lambda: not command_line(backend), "the backend is dead")
        else:
            self.target.server.kill()
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
            self.fate.reached("before BEGIN", backend)
        if not text.rstrip(";").endswith("COMMIT"):
            return send()
        self.fate.reached("before COMMIT", backend)
        answer = send()
        if self.fate.reached("behind COMMIT", backend):
            super().execute("SELECT")  # the answer to COMMIT is lost: what comes back is that nobody is there any more
        return answer


@dataclass
class FatedCore(Core):
    """A migration that runs into one fault."""

    fate: Fate | None = None

    def connect(self) -> Database:
        """A connection that will die, where there is a fate."""
        if self.fate is None:
            return super().connect()
        database = FatedDatabase.__new__(FatedDatabase)
        database.fate = self.fate
        database.__init__(parse_url(self.target.url(self.user, self.password)), "test")  # type: ignore[misc]
        return database

    def struck(self, fault: str, boundary: int, decide: Callable[[], Callable[[], object]]) -> bool:
        """Do what is decided until the boundary of that number; then wait until the server can be asked again.

        :param boundary: from 0 on.
        :returns: whether there was such a boundary.
        :raises AssertionError: when the work failed without being struck, or was struck and didn't notice.
        """
        work = decide()
        fate = self.fate = Fate(fault, self.target, boundary)
        try:
            if fault == RUN:
                return self.killed_after(-1, work)
            return self._struck_in_this_process(fate, work)
        finally:
            self.fate = None
            self.target.server.start()
            wait_until(lambda: accepts(self.target), "the server has recovered")

    @staticmethod
    def _struck_in_this_process(fate: Fate, work: Callable[[], object]) -> bool:
        try:
            work()
        except MultischemaError as error:
            if fate.where is None:
                raise AssertionError(f"failed without being struck: {error}") from error
            return True
        assert fate.where is None, f"the {fate.fault} was killed {fate.where}, and the run did not notice"
        return False


def accepts(target: Target) -> bool:
    """Whether the server lets someone in."""
    try:
        target.execute("SELECT")
    except psycopg2.OperationalError:
        return False
    return True
