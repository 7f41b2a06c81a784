"""A server that refuses, a clock that stands still, and the smallest steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.configuration import TargetSchema
from ansible_collections.dbops.multischema.plugins.module_utils.relocation import Pace, Relocator
from ansible_collections.dbops.multischema.plugins.module_utils.schema_steps import CreateSchema
from tests.unit.fake_database import FakeDatabase, refusal

STEP = CreateSchema.build(TargetSchema("tenant"))
OTHER = CreateSchema.build(TargetSchema("other"))
LOCK_TIMEOUT = "55P03"


class Clock:
    """Time that passes only when someone sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Server(FakeDatabase):
    """Refuses the first statements of a step with these SQLSTATEs, one an attempt."""

    def __init__(self, *refusals: str, blockers: list[Any] | None = None, **answers: Any) -> None:
        super().__init__({"pg_locks": blockers or [], "deadlock_timeout": [(1000,)], "pg_cancel_backend": [(True,)], **answers})
        self.left = list(refusals)
        self.on_execute = self._refuse

    def _refuse(self, statement: str) -> None:
        if statement.startswith(("CREATE SCHEMA", "LOCK TABLE", "DROP")) and self.left:
            raise refusal(self.left.pop(0))

    def count(self, text: str) -> int:
        return sum(1 for statement in self.sent if statement.startswith(text))


def relocator(database: FakeDatabase, deadline_s: float = 300.0, stop: Callable[[], bool] = lambda: False) -> Relocator:
    return Relocator(database, "run-1", Pace(50, deadline_s), stop)


def raise_error(error: Exception) -> None:
    """For where only an expression can stand."""
    raise error
