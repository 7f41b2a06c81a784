"""Ask a database the questions of a case, each in a transaction that is rolled back, and remember the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from tests.integration.databases import Target
from tests.property.case import NEW_NAME, Probe
from tests.property.model import quoted

_SEQUENCES = """
SELECT c.oid::bigint, n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'S' AND n.nspname !~ '^(pg_|information_schema|multischema_journal)'
"""


def _plain(value: object) -> str:
    return bytes(value).hex() if isinstance(value, memoryview) else str(value)


@dataclass(frozen=True)
class Answer:
    """:param error: SQLSTATE and the constraint that was violated; None where there was no error."""

    rows: tuple[tuple[str, ...], ...] = ()
    error: tuple[str, str | None] | None = None
    message: str = ""

    def same(self, other: Answer) -> bool:
        """The words of an error may name another schema."""
        return (self.rows, self.error) == (other.rows, other.error)

    def __str__(self) -> str:
        return f"error {self.error}: {self.message}" if self.error else f"rows {self.rows}"


class Session:
    """A client's session.

    :param path: its search_path.
    """

    def __init__(self, target: Target, source: str) -> None:
        self.target = target
        self.connection: Connection = target.server.connect(target.name)
        self.connection.autocommit = True
        self.cursor: Cursor = self.connection.cursor()
        self.cursor.execute(f"SET search_path = {quoted(source)}, public; SET client_min_messages = error")
        self._sequences: str | None = None
        self._prepared: dict[str, str] = {}

    def remember_sequences(self) -> None:
        """Their values are put back after every probe: nextval() is not rolled back."""
        self.cursor.execute(_SEQUENCES)
        found = self.cursor.fetchall()
        if not found:
            return
        one = sql.SQL("SELECT {}::oid, last_value, is_called FROM {}.{}")
        parts = [one.format(sql.Literal(oid), sql.Identifier(schema), sql.Identifier(name)) for oid, schema, name in found]
        self.cursor.execute(sql.SQL(" UNION ALL ").join(parts))
        values = ", ".join(f"setval({oid}::regclass, {last}, {called})" for oid, last, called in self.cursor.fetchall())
        self._sequences = f"SELECT {values}"

    def ask(self, probe: Probe, statements: Sequence[str]) -> Answer:
        """Run, remember, take back."""
        rows: list[tuple[str, ...]] = []
        try:
            self.cursor.execute("BEGIN" + (f"; SET LOCAL ROLE {quoted(probe.role)}" if probe.role else ""))
            for statement in statements:
                self.cursor.execute(self._as_prepared(statement, probe))
                if self.cursor.description:
                    rows += sorted(tuple(_plain(value) for value in row) for row in self.cursor.fetchall())
            answer = Answer(tuple(rows))
        except psycopg2.Error as error:
            if self.connection.closed:
                raise
            answer = Answer(error=(str(error.pgcode), error.diag.constraint_name), message=" ".join(str(error).split()))
        reset = f"; {self._sequences}" if self._sequences and any(not s.startswith("SELECT *") for s in statements) else ""
        self.cursor.execute("ROLLBACK" + reset)
        return answer

    def _as_prepared(self, statement: str, probe: Probe) -> str:
        """A whole-table SELECT is prepared once in a session, as drivers do, and executed from then on."""
        if not statement.startswith("SELECT * FROM") or probe.role:
            return statement
        if statement not in self._prepared:
            name = f"p{len(self._prepared)}"
            self.cursor.execute(f"PREPARE {name} AS {statement}")
            self._prepared[statement] = name
        return f"EXECUTE {self._prepared[statement]}"

    def ask_all(self, probes: Sequence[Probe]) -> list[Answer]:
        """By the old names."""
        return [self.ask(probe, probe.statements) for probe in probes]

    def close(self) -> None:
        """End the session."""
        self.connection.close()


def by_new_name(probe: Probe, target: str) -> list[str]:
    """The probe's statements with the table's name in the schema that it has moved to."""
    return [statement.replace(NEW_NAME, quoted(target, str(probe.subject))) for statement in probe.new]


def differing(before: Sequence[Answer], after: Sequence[Answer]) -> list[int]:
    """Numbers of the probes whose answer is another."""
    return [number for number, (was, now) in enumerate(zip(before, after, strict=True)) if not was.same(now)]


def shown(probe: Probe, was: Answer, now: Answer, statements: Sequence[Any] = ()) -> str:
    """For a failure."""
    asked = "; ".join(statements or probe.statements)
    return f"{probe.label}{f' as {probe.role}' if probe.role else ''}: {asked}\n    before: {was}\n    after:  {now}"
