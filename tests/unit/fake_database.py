"""A session that answers from a script. It has no idea of SQL: what PostgreSQL makes of a statement is for tests/integration."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.errors import ServerRefused
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database

Answer = Any  # rows, or an exception to be raised


class FakeDatabase(Database):
    """Answers a query by the first key of ``answers`` that it contains, and keeps everything that it was sent."""

    def __init__(self, answers: Mapping[str, Answer] | None = None) -> None:
        self.answers: dict[str, Answer] = dict(answers or {})
        self.sent: list[str] = []
        self.gone = False
        self.on_execute: Callable[[str], None] = lambda _statement: None

    def rows(self, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:  # noqa: ARG002  as in Database
        """The scripted rows; none where nothing is scripted."""
        self.sent.append(query)
        for part, answer in self.answers.items():
            if part in query:
                if isinstance(answer, Exception):
                    raise answer
                return list(answer)
        return []

    def prepared(self, name: str, query: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:  # noqa: ARG002  as in Database
        """As :meth:`rows`, found by the name of the query."""
        return self.rows(name, parameters)

    def prepare(self, name: str, query: str) -> None:
        """Nothing to plan."""

    def execution(self, name: str, parameters: tuple[Any, ...]) -> str:  # noqa: ARG002  as in Database
        """The name of the query, for the statement that would run it."""
        return name

    def execute(self, statement: str, parameters: Any = None) -> int:  # noqa: ARG002  as in Database
        """Keep it, and let the test have its say."""
        self.sent.append(statement)
        self.on_execute(statement)
        return 1

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """BEGIN, then COMMIT or ROLLBACK."""
        self.sent.append("BEGIN")
        try:
            yield
        except BaseException:
            self.sent.append("ROLLBACK")
            raise
        self.sent.append("COMMIT")

    def rollback(self) -> None:
        """ROLLBACK."""
        self.sent.append("ROLLBACK")

    @property
    def broken(self) -> bool:
        """Whether the connection is gone."""
        return self.gone

    def close(self) -> None:
        """Nothing to end."""


def refusal(sqlstate: str, text: str = "PostgreSQL: canceling statement due to lock timeout") -> ServerRefused:
    """What the server answers when it says no."""
    return ServerRefused(text, "", "", sqlstate, "LOCK TABLE x")
