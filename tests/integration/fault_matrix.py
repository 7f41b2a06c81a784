"""Every fault at every boundary of every step, there and back, and the count of what was found."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.configuration import RETIRED_PREFIX
from ansible_collections.dbops.multischema.plugins.module_utils.plain import to_plain
from tests.integration.databases import Target, new_database
from tests.integration.evidence import JOURNAL, State, disagreements, journaled, require_same, require_same_schema, state
from tests.integration.fated_core import FatedCore
from tests.integration.faults import BackendKilled, Fault, PostmasterKilled, RunKilled
from tests.integration.faults_of_networks import AnswerLost, NetworkCut
from tests.integration.faults_of_others import IdleInTransaction, SecondRun, WindowEnds
from tests.integration.faults_of_resources import DiskFull, LocksFull, WalFull

FAULTS: tuple[type[Fault], ...] = (
    RunKilled,
    BackendKilled,
    PostmasterKilled,
    NetworkCut,
    AnswerLost,
    LocksFull,
    DiskFull,
    WalFull,
    IdleInTransaction,
    SecondRun,
    WindowEnds,
)


@contextlib.contextmanager
def doomed(kind: type[Fault], fill: Callable[[Target], None], values: Mapping[str, Any], targets: tuple[str, ...]) -> Iterator[FatedCore]:
    """A database on a server of its own, which the fault may strike; the test is skipped where it cannot be made.

    :param fill: makes what is to be migrated.
    """
    fault = kind()
    missing = fault.why_not()
    if missing:
        pytest.skip(reason=f"{fault.title} cannot be made here: {missing}")
    with fault.server() as server:
        target = new_database(server)
        fill(target)
        fault.prepare(target)
        yield FatedCore(target, values, fault=fault, targets=targets)


@dataclass
class Tally:
    """What one fault was met with.

    :param database: ``shop`` or ``sample``.
    :param there: boundaries at which it struck on the way there; ``back``, on the way back.
    :param seed: of the boundaries that were drawn; None where all were taken.
    """

    fault: str
    database: str
    major: int
    there: int = 0
    back: int = 0
    third: list[str] = field(default_factory=list)
    seed: int | None = None

    def plain(self) -> dict[str, Any]:
        """For the report of the test run."""
        return asdict(self)


class Ruler:
    """What the schema looks like when exactly the first n steps are done: the only states that there may be.

    :param finely: for every n; otherwise for none and for all of them, and what is between is left to journal and catalog.
    """

    def __init__(self, core: FatedCore, finely: bool) -> None:
        self.core = core
        plan = core.plan()
        self.ids = [step.id for step in plan.steps]
        self.dumps = {0: self.dump()}
        if finely:
            for number, step in enumerate(plan.steps, 1):
                core.work("phase2", plan.digest, [to_plain(step)])
                self.dumps[number] = self.dump()
        else:
            core.apply()
            self.dumps[len(self.ids)] = self.dump()
        core.roll_back()

    def dump(self) -> str:
        """The schema now, the journal apart, and what it knows is still to be dropped."""
        target = self.core.target
        found = target.server.dump(target.name, "--schema-only", "-N", JOURNAL, "-N", f"{RETIRED_PREFIX}*")
        return "".join(line for line in found.splitlines(keepends=True) if not line.startswith(("\\restrict ", "\\unrestrict ")))

    def third_states(self) -> list[str]:
        """What makes the state now one that must not be: journal and database disagree, or no number of whole steps leads to it."""
        target = self.core.target
        done = [step["id"] for step in journaled(target)]
        problems = disagreements(target, self.core.targets)
        if done != self.ids[: len(done)]:
            problems.append(f"the journal holds {done}, which is not a beginning of the plan")
        if len(done) in self.dumps:
            try:
                require_same_schema(self.dumps[len(done)], self.dump())
            except AssertionError as error:
                problems.append(f"after {len(done)} steps {error}")
        return problems


class Matrix:
    """One fault on one database.

    :param core: decides and runs; its fault is the one.
    :param finely: as by `Ruler`.
    :param without: a table whose rows do not survive a crash.
    """

    def __init__(self, core: FatedCore, tally: Tally, finely: bool = True, without: str = "") -> None:
        self.core, self.tally, self._without = core, tally, without
        self.ruler = Ruler(core, finely)
        core.steps = len(self.ruler.ids)
        self.before = self._state()

    @property
    def target(self) -> Target:
        """The database."""
        return self.core.target

    def walk(self) -> None:
        """Every boundary, until there are no more on either way."""
        there, back, boundary = True, self.core.fault.both_ways, 0
        while there or back:
            there, back = self.case(boundary, there, back)
            boundary += 1
        self.compare()

    def case(self, boundary: int, there: bool = True, back: bool = True) -> tuple[bool, bool]:
        """Struck on the way there, completed, struck on the way back, completed; and all is as it was.

        :returns: whether there were such boundaries.
        """
        core = self.core
        if there:
            there = core.struck(boundary)
            self.tally.there += there
            self._look(f"there, boundary {boundary}")
        if there and not core.fault.both_ways:
            core.expire_lease()
            self._undo()  # from where it stopped; the next one is completed first
        core.expire_lease()
        core.apply()
        assert core.left() == [], f"boundary {boundary}: a plain second run does not complete it"
        assert len(journaled(self.target)) == core.steps
        if back:
            back = core.struck(boundary, back=True)
            self.tally.back += back
            self._look(f"back, boundary {boundary}")
        core.expire_lease()
        self._undo()
        self._look(f"back again, boundary {boundary}")
        return there, back

    def _undo(self) -> None:
        if self.target.value(f"SELECT to_regclass('{JOURNAL}.step')") is not None:
            self.core.roll_back()

    def _look(self, when: str) -> None:
        self.tally.third += [f"{when}: {problem}" for problem in self.ruler.third_states()]
        assert self.tally.third == []

    def compare(self) -> None:
        """Schema, rows, sequences and settings are what they were. In a crash sequences may skip values, for they are logged 32 ahead."""
        before, after = self.before, self._state()
        if self.core.fault.crashes:
            assert all(now[1] >= before.sequences[oid][1] for oid, now in after.sequences.items())
            after = State(after.schema, after.rows, before.sequences, after.settings)
        require_same(before, after)

    def _state(self) -> State:
        found = state(self.target)
        rows = {oid: row for oid, row in found.rows.items() if row[0] != self._without}
        return State(found.schema, rows, found.sequences, found.settings)
