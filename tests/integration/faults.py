"""What can befall a run at a boundary of a step, each made for real; `FAULTS` lists them all."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import psycopg2

from ansible_collections.dbops.multischema.plugins.module_utils.relocation import Pace
from tests.integration.databases import Target, wait_until
from tests.support.host import ServerError
from tests.support.servers import Server, find_binaries

if TYPE_CHECKING:
    from tests.integration.fated_core import Fate, FatedCore

BEFORE_BEGIN, BEFORE_COMMIT, BEHIND_COMMIT = "before BEGIN", "before COMMIT", "behind COMMIT"
PLACES = (BEFORE_BEGIN, BEFORE_COMMIT, BEHIND_COMMIT)
IMPATIENT = Pace(50, 0.3)
ALONE = {"autovacuum": "off"}  # at its own time it would stand in the way, or write what a fault has counted on


class Fault:
    """One kind of fault.

    ``name`` for tests; ``title``, ``how``, ``answer`` and ``way_on`` for the published page; ``places``: at which boundaries it is
    made; ``crashes``: whether the server crashes, so that sequences may skip values; ``majors``: on which PostgreSQL, the first that
    is installed; ``always``: whether a run that meets it must end with an error; ``both_ways``: whether it can meet a rollback;
    ``pace``: of the run that meets it, and of no other.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    how: ClassVar[str]
    answer: ClassVar[str]
    way_on: ClassVar[str]
    places: ClassVar[tuple[str, ...]] = PLACES
    crashes: ClassVar[bool] = False
    majors: ClassVar[tuple[int, ...]] = (18, 16, 15)
    always: ClassVar[bool] = True
    both_ways: ClassVar[bool] = True
    settings: ClassVar[dict[str, str]] = {}
    pace: ClassVar[Pace] = Pace(50, 30.0)
    fate: Fate  # the run that meets it

    @property
    def url_options(self) -> str:
        """What every connection is given besides."""
        return ""

    @staticmethod
    def why_not() -> str | None:
        """What is missing on this machine to make it; None where nothing is."""
        return None

    def major(self) -> int:
        """The version that it is made on."""
        found = next((major for major in self.majors if find_binaries(major) is not None), None)
        assert found is not None, "no PostgreSQL is installed"
        return found

    @contextlib.contextmanager
    def server(self) -> Iterator[Server]:
        """A server of its own, which may die. Without fsync: a process that dies loses nothing of what it has written."""
        with Server(major=self.major(), fsync=False, settings=ALONE | self.settings) as server:
            yield server

    def prepare(self, target: Target) -> None:
        """Make a database ready for it."""

    def begin(self, core: FatedCore, back: bool) -> None:
        """Before a run that is to meet it is decided."""

    def strike(self) -> None:
        """Do it."""
        raise NotImplementedError

    def answer_comes(self) -> bool:
        """Whether a run that was struck behind ``COMMIT`` hears of it."""
        return True

    def heal(self, target: Target) -> None:
        """Take it back, and wait until the server can be asked again."""
        wait_until(lambda: accepts(target), "the server answers")

    def judge(self) -> None:
        """Hold what the run has said against what has befallen it.

        :raises AssertionError: it did not notice, or said something else.
        """
        if self.always:
            assert self.fate.error is not None, f"{self.name}, {self.fate.where}: the run did not notice"
        if self.fate.error is not None:
            assert "What to do: " in str(self.fate.error), f"{self.name}, {self.fate.where}: no way on is said: {self.fate.error}"


def accepts(target: Target) -> bool:
    """Whether the server lets someone in; it is started where it is down."""
    try:
        target.server.start()
        target.execute("SELECT")
    except (psycopg2.OperationalError, ServerError):
        return False
    return True


def _reaped(pid: int) -> bool:
    """Whether not even a zombie is left of a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


class RunKilled(Fault):
    """The client dies."""

    name = "run"
    title = "SIGKILL of the run"
    how = "the process that speaks to the server is killed; the server notices that the connection is closed"
    answer = "nothing more; the server undoes the step that was under way"
    way_on = "the same playbook; it waits for the lease of the killed run, 20 s at most"
    majors = (16, 18, 15)
    always = False  # nobody is left to say anything

    def strike(self) -> None:
        """Die."""
        os.kill(os.getpid(), signal.SIGKILL)


class BackendKilled(Fault):
    """The server process of the run dies, and the server restarts all others."""

    name = "backend"
    title = "SIGKILL of its backend"
    how = "the server process of the run is killed; PostgreSQL ends all others, recovers, and goes on"
    answer = "fails, and says what the journal holds of the step, where it can be asked"
    way_on = "the same playbook, once the server has recovered"
    crashes = True

    def strike(self) -> None:
        """Kill it, and wait until the postmaster has noticed: from then on it lets nobody in before it has recovered."""
        os.kill(self.fate.backend, signal.SIGKILL)
        wait_until(lambda: _reaped(self.fate.backend), "the postmaster has noticed")

    def answer_comes(self) -> bool:
        """The answer to COMMIT is lost."""
        return False


class PostmasterKilled(Fault):
    """The whole server dies."""

    name = "postmaster"
    title = "SIGKILL of the postmaster"
    how = "postmaster and all its processes are killed; the server is started again and recovers"
    answer = "fails, and says that nobody answers"
    way_on = "start the server, then the same playbook"
    crashes = True
    majors = (15, 18, 16)

    def strike(self) -> None:
        """Kill all."""
        self.fate.target.server.kill()

    def answer_comes(self) -> bool:
        """The answer to COMMIT is lost."""
        return False
