"""The laws, checked for one case on one server.

1. The plan refuses, for a reason that is there, or everything is applied without an error.
2. What was asked before is answered as before: in a session that was open, and in a new one.
3. Planned again it is the same plan with nothing left to do, and a second run changes nothing.
4. After the rollback the dump, the rows and the sequences are what they were.
5. The same with two workers, and 6. with an ordinary role.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

import psycopg2

from ansible_collections.dbops.multischema.plugins.module_utils.plan import Plan
from tests.integration.core import Core
from tests.integration.databases import Target, new_database
from tests.integration.evidence import JOURNAL, contents, disagreements, require_same, sequences, state
from tests.integration.evidence import differing as changed_rows
from tests.property.asking import Answer, Session, by_new_name, differing, shown
from tests.property.case import Case
from tests.property.excuses import Moved, excuse
from tests.property.model import MOVER, quoted
from tests.property.oracle import unjustified
from tests.support.servers import Server

PASSWORD = "not a superuser's"


class WrongScript(Exception):
    """The generator has written something that PostgreSQL refuses: its own fault."""


@dataclass
class Seen:
    """What came up over all cases of a run."""

    cases: int = 0
    as_mover: int = 0
    refused: int = 0
    probes: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    excused: Counter[str] = field(default_factory=Counter)
    features: Counter[str] = field(default_factory=Counter)

    def lines(self) -> list[str]:
        """For the end of a test run."""

        def some(counter: Counter[str]) -> str:
            return ", ".join(f"{name} {count}" for name, count in counter.most_common()) or "none"

        return [
            f"{self.cases} cases, {self.as_mover} as an ordinary role, {self.refused} refused, {self.probes} probes",
            f"refused for: {some(self.refusals)}",
            f"accepted: {some(self.accepted)}",
            f"answers that changed with an excuse: {some(self.excused)}",
        ]


def build(server: Server, case: Case) -> Target:
    """A database with the case's schema in it.

    :raises WrongScript: where PostgreSQL refuses a statement of the script.
    """
    target = new_database(server)
    with target.session() as connection, connection.cursor() as cursor:
        cursor.execute(f"SET search_path = {quoted(case.source)}, public; SET client_min_messages = error")
        for statement in case.script:
            try:
                cursor.execute(statement)
            except psycopg2.Error as error:
                raise WrongScript(f"{statement}\n{error}") from error
    return target


def check(server: Server, case: Case, seen: Seen) -> None:
    """All laws.

    :raises AssertionError: for one that is broken.
    :raises WrongScript: see :func:`build`.
    """
    seen.cases += 1
    seen.as_mover += case.as_mover
    seen.features.update(case.features)
    target = build(server, case)
    try:
        _check(target, case, seen)
    finally:
        target.drop()


def _check(target: Target, case: Case, seen: Seen) -> None:
    core = Core(target, case.values, user=MOVER if case.as_mover else None, password=PASSWORD if case.as_mover else None)
    core, plan = _planned(core, case, seen)
    if plan.refusals:
        seen.refused += 1
        wrong = unjustified(target, case, plan)
        assert not wrong, f"refused without a reason that is there: {wrong}"
        return
    before = state(target)
    asking = Session(target, case.source)
    try:
        asking.remember_sequences()
        answers = asking.ask_all(case.probes)
        seen.probes += len(answers)
        _apply(core, case)
        wrong = _disagreements(target, case)
        assert not wrong, f"the journal and the database disagree: {wrong}"
        changed = changed_rows(before.rows, contents(target))
        assert not changed, f"other rows than before: {changed}"
        _same_answers(case, plan, asking, answers, seen)
    finally:
        asking.close()
    changed = changed_rows(before.sequences, sequences(target))
    assert not changed, f"the probes of this test have left their traces: {changed}"
    _again(core, plan)
    core.roll_back()
    require_same(before, state(target))


def _disagreements(target: Target, case: Case) -> list[str]:
    """Between journal and database; what was in a target before is not the journal's business."""
    found = disagreements(target, [schema["name"] for schema in case.values["schemas"]], case.source)
    there = [f"schema {name}: " for name in case.targets_there] + [f" is in {name}, and the journal" for name in case.targets_there]
    return [text for text in found if not any(part in text for part in there)]


def _planned(core: Core, case: Case, seen: Seen) -> tuple[Core, Plan]:
    """The plan; where all that it refuses may be accepted, and the case says so, that is done."""
    plan = core.plan()
    for finding in plan.refusals:
        assert all((finding.object, finding.reason, finding.remedy)), f"a refusal that does not help: {finding}"
        seen.refusals[finding.id] += 1
    if plan.refusals and case.accept and all(finding.acceptable for finding in plan.refusals):
        seen.accepted.update(finding.id for finding in plan.refusals)
        accept = [{"finding": f.id, "object": f.object, "reason": "a test"} for f in plan.refusals]
        core = replace(core, values={**case.values, "accept": accept})
        plan = core.plan()
    return core, plan


def _apply(core: Core, case: Case) -> None:
    try:
        core.apply(case.workers)
    except Exception as error:
        raise AssertionError(f"no refusal by the plan, and an error in between: {type(error).__name__}: {error}") from error


def _same_answers(case: Case, plan: Plan, asking: Session, answers: list[Answer], seen: Seen) -> None:
    fresh = Session(asking.target, case.source)
    try:
        fresh.remember_sequences()
        for who, session in (("a session that was open", asking), ("a new session", fresh)):
            now = session.ask_all(case.probes)
            wrong = []
            for number in differing(answers, now):
                probe = case.probes[number]
                why = excuse(plan, probe, case.source)
                if why is None:
                    wrong.append(shown(probe, answers[number], now[number]))
                else:
                    seen.excused[why] += 1
            assert not wrong, f"answers that changed without a warning, in {who}:\n  " + "\n  ".join(wrong)
        _by_new_names(case, plan, fresh, answers)
    finally:
        fresh.close()


def _by_new_names(case: Case, plan: Plan, session: Session, answers: list[Answer]) -> None:
    """A table that is named by its new name answers as it did by its old one."""
    moved = Moved.by(plan)
    for probe, was in zip(case.probes, answers, strict=True):
        if probe.new and probe.subject in moved.target:
            statements = by_new_name(probe, moved.target[probe.subject])
            now = session.ask(probe, statements)
            excused = not was.same(now) and excuse(plan, probe, case.source)
            assert was.same(now) or excused, "by its new name it answers otherwise:\n  " + shown(probe, was, now, statements)


def _again(core: Core, plan: Plan) -> None:
    """Nothing is left to do, and doing it again does nothing."""
    again = core.plan()
    assert again.digest == plan.digest, "planned again it is another plan"
    assert core.left() == []
    count = f"SELECT count(*), max(seq) FROM {JOURNAL}.step"
    done = core.target.rows(count)
    core.apply()
    assert core.target.rows(count) == done, "a second run has done something"
