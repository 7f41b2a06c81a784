"""What a server was really sent, read from its log."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pglast
from pglast import ast

from tests.integration.databases import Target, wait_until
from tests.integration.evidence import JOURNAL
from tests.support.servers import Server

# Statements as JSON (PostgreSQL 15 and newer), so that each is whole, whatever stands in a name.
LOGGED = {
    "logging_collector": "on",
    "log_destination": "jsonlog",
    "log_directory": "log",
    "log_filename": "all",
    "log_rotation_age": "0",
    "log_rotation_size": "0",
    "log_statement": "all",
    "autovacuum": "off",  # it could make a step try again, and then its statements are there twice
}
_TITLE = re.compile(r"\A(?:\s*--[^\n]*\n)*\s*")
# Functions that change something though they stand in a SELECT.
_NOT_HARMLESS = re.compile(
    r"\b(?:pg_(?:try_)?advisory_\w+|pg_(?:cancel|terminate)_backend|nextval|setval|set_config|lo_\w+|dblink\w*)\s*\("
)


def split(sql: str) -> list[str]:
    """Single statements, by PostgreSQL's own parser, without comments in front."""
    return [_TITLE.sub("", statement) for statement in pglast.split(sql)]


class ServerLog:
    """The log of a server that was started with :data:`LOGGED`."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._file = target.server.data_dir / "log" / "all.json"
        self._seen = 0

    def news(self) -> list[str]:
        """Every message that the database was sent since the last call, by whomever."""
        marker = f"SELECT 'so far {uuid.uuid4()}'"
        self.target.execute(marker)
        wait_until(lambda: marker.encode() in self._whole_lines(), "the log is written")
        lines = self._whole_lines()
        self._seen += len(lines)
        entries = [json.loads(line) for line in lines.decode().split("\n") if line]
        messages = [entry["message"] for entry in entries if entry.get("dbname") == self.target.name]
        return [m.removeprefix("statement: ") for m in messages if m.startswith("statement: ") and marker not in m]

    def _whole_lines(self) -> bytes:
        """What is new, up to the last line that has an end: the next may be written at this moment."""
        with self._file.open("rb") as file:
            file.seek(self._seen)
            return file.read().rpartition(b"\n")[0]


@dataclass
class Sorted:
    """The statements of a run, told apart: what reads, what is the journal's, and the rest, in order."""

    reads: list[str] = field(default_factory=list)
    journal: list[str] = field(default_factory=list)
    work: list[str] = field(default_factory=list)
    _prepared: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, messages: list[str]) -> Sorted:
        """Sort messages, each of which may hold several statements."""
        found = cls()
        for message in messages:
            for statement in split(message):
                found._add(statement)
        found.work = list(_without_empty_transactions(found.work))
        return found

    @property
    def kept(self) -> list[str]:
        """The work without attempts that gave way to someone and were rolled back: each is made again, the same."""
        return [statement for transaction in _transactions(self.work) if transaction[-1] != "ROLLBACK" for statement in transaction]

    def _add(self, statement: str) -> None:
        node = _node(statement)
        if isinstance(node, ast.PrepareStmt):
            self._prepared[str(node.name)] = body = statement.partition(" AS ")[2]
            self._file(_node(body), body)
        elif isinstance(node, ast.ExecuteStmt):
            body = self._prepared[str(node.name)]
            self._file(_node(body), body)
        else:
            self._file(node, statement)

    def _file(self, node: Any, statement: str) -> None:
        if JOURNAL in statement:
            self.journal.append(statement)
        elif _reads(node, statement):
            self.reads.append(statement)
        else:
            self.work.append(statement)


def _node(statement: str) -> Any:
    """What the parser makes of one statement."""
    return pglast.parse_sql(statement)[0].stmt


def _reads(node: Any, statement: str) -> bool:
    """Whether a statement changes nothing but, at most, the settings of its own session."""
    if isinstance(node, ast.VariableSetStmt):
        return not node.is_local
    if isinstance(node, ast.SelectStmt):
        return node.intoClause is None and not node.lockingClause and not _writes_inside(node)
    return isinstance(node, ast.VariableShowStmt)


def _writes_inside(node: Any) -> bool:
    inner = node.withClause.ctes if node.withClause else ()
    return any(not isinstance(cte.ctequery, ast.SelectStmt) or _writes_inside(cte.ctequery) for cte in inner)


def _transactions(statements: list[str]) -> Iterator[list[str]]:
    """Each with the statement that ends it; what stands outside of one counts with the next."""
    transaction: list[str] = []
    for statement in statements:
        transaction.append(statement)
        if statement.split()[0].rstrip(";").upper() in ("COMMIT", "ROLLBACK"):
            yield transaction
            transaction = []
    if transaction:
        yield transaction


def _without_empty_transactions(statements: list[str]) -> Iterator[str]:
    """Leave out transactions in which nothing is left: those of reads, and those of the journal alone."""
    for transaction in _transactions(statements):
        if len(transaction) > 2 or transaction[-1] not in ("COMMIT", "ROLLBACK"):
            yield from transaction


def writes(messages: list[str]) -> list[str]:
    """Statements that could have changed anything; read-only transactions are none."""
    found = Sorted.of(messages)
    suspicious = [text for text in found.reads if _NOT_HARMLESS.search(text)]
    allowed = re.compile(r"\A(?:BEGIN.* READ ONLY|COMMIT|ROLLBACK|SET LOCAL search_path .*)\Z", re.DOTALL)
    journal = [text for text in found.journal if not isinstance(_node(text), ast.SelectStmt)]
    return suspicious + journal + [text for text in found.work if not allowed.match(text)]


def logging_server(major: int, settings: Mapping[str, str] | None = None) -> Server:
    """A server that logs all it is sent; not started yet."""
    return Server(major=major, fsync=False, settings={"max_connections": "60", **LOGGED, **dict(settings or {})})
