"""Reads a PL/pgSQL routine: its declarations, its statements with their lines and exception handlers, and what it executes as text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pglast import ast as _ast
from pglast import parse_plpgsql, parse_sql, scan
from pglast.parser import ParseError

from ansible_collections.dbops.multischema.plugins.module_utils import reading as r
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_routines import Routine
from ansible_collections.dbops.multischema.plugins.module_utils.reading import Note, Reading, Reference
from ansible_collections.dbops.multischema.plugins.plugin_utils.plpgsql_source import Prepared, prepare
from ansible_collections.dbops.multischema.plugins.plugin_utils.sql_collector import Collector
from ansible_collections.dbops.multischema.plugins.plugin_utils.sql_reader import SqlReader
from ansible_collections.dbops.multischema.plugins.plugin_utils.sql_scope import column
from ansible_collections.dbops.multischema.plugins.plugin_utils.sql_text import shortened

ast: Any = _ast  # its attributes are optional to mypy, and the grammar knows better

_STATEMENT, _EXPRESSION = 0, 2  # RawParseMode, as libpg_query gives it; from 3 on an assignment
_DYNAMIC_QUERY = ("PLpgSQL_stmt_dynexecute", "PLpgSQL_stmt_dynfors")
_ATTEMPTS = 12
_NAMING = re.compile(r"select|\(|::|cast|tg_table_schema|tg_relid", re.IGNORECASE)


class PlpgsqlReader:
    """One routine."""

    def __init__(self, routine: Routine, row_functions: frozenset[str], aggregates: frozenset[str]) -> None:
        self._routine = routine
        self._found = Collector(row_functions, aggregates)
        self._assigned: dict[str, list[Mapping[str, Any]]] = {}
        self._starts: list[int] = []  # of the body's lines
        self._prepared = Prepared()

    def read(self) -> Reading:
        """Read it.

        :raises pglast.parser.ParseError: when it cannot be parsed.
        """
        tree = self._parse()
        self._starts = [0, *(match.end() for match in re.finditer("\n", self._prepared.body))]
        self._declare()
        for name, expression in _expressions(tree):
            if expression.get("parseMode", 0) > _EXPRESSION or name:
                self._assigned.setdefault(name or _assigned_to(expression["query"]), []).append(expression)
        self._walk(tree, 1, "")
        return self._found.reading()

    def _parse(self) -> Any:
        """Parse, and correct what was guessed about variables by what the parser says of them."""
        rows: set[str] = set()
        scalars: set[str] = set()
        guess = True
        for _ in range(_ATTEMPTS):
            self._prepared = prepare(self._routine, frozenset(rows), frozenset(scalars), guess)
            try:
                return parse_plpgsql(self._prepared.text)
            except ParseError as error:
                if guess and "record variable cannot be part" in str(error.args[0]):
                    guess = False
                    continue
                said = re.match(r'"([^".]+)"(?: is not a scalar variable)|"([^".]+)\.[^"]*" is not a known variable', str(error.args[0]))
                if said is None or (said[1] or said[2]) in (scalars if said[1] else rows):
                    raise
                (scalars if said[1] else rows).add(said[1] or said[2])
                rows -= scalars if said[1] else set()
        return parse_plpgsql(self._prepared.text)

    def _declare(self) -> None:
        prepared, found = self._prepared, self._found
        found.variables = dict.fromkeys(prepared.variables)
        for declaration in prepared.declarations:
            if declaration.schema is None and declaration.name in prepared.variables:
                continue  # the type of another variable
            use = {"%type": r.PCT_TYPE, "%rowtype": r.PCT_ROWTYPE}.get(declaration.kind, r.TYPE)
            line = self._routine.source.count("\n", 0, declaration.start) + 1
            found.references.append(Reference(use, declaration.schema, declaration.name, line, declaration.column))
            if use != r.PCT_TYPE:
                found.variables[declaration.variable] = (declaration.schema, declaration.name)

    # --- the tree ---

    def _walk(self, node: Any, line: int, kind: str) -> None:
        if isinstance(node, list):
            for item in node:
                self._walk(item, line, kind)
        elif isinstance(node, Mapping):
            line = node.get("lineno", line)
            if node.get("exceptions"):
                self._protected(node, line)
                return
            for key, value in node.items():
                if key == "PLpgSQL_expr":
                    self._expression(value, line)
                elif key in ("PLpgSQL_stmt_commit", "PLpgSQL_stmt_rollback"):
                    self._found.notes.append(Note(r.TRANSACTION, value.get("lineno", line)))
                elif key == "dynquery" or (key == "query" and kind in _DYNAMIC_QUERY):
                    self._execute(value["PLpgSQL_expr"], line)
                elif isinstance(value, (list, Mapping)):
                    self._walk(value, line, key if key.startswith("PLpgSQL_stmt") else kind)

    def _protected(self, block: Mapping[str, Any], line: int) -> None:
        """A block with handlers: what they catch belongs to its body, not to themselves."""
        handlers = [item["PLpgSQL_exception"] for item in block["exceptions"]["PLpgSQL_exception_block"]["exc_list"]]
        conditions = tuple(c["PLpgSQL_condition"]["condname"].lower() for handler in handlers for c in handler["conditions"])
        outer = self._found.caught
        self._found.caught = (*outer, *conditions)
        self._walk(block.get("body", []), line, "")
        self._found.caught = outer
        self._walk([handler.get("action", []) for handler in handlers], line, "")

    def _expression(self, expression: Mapping[str, Any], line: int) -> None:
        if expression.get("parseMode", 0) >= _EXPRESSION and not self._may_name(expression["query"]):
            return
        sql, shift = _as_statement(expression)
        SqlReader(self._found, self._line_of(expression["query"], line, shift)).read(sql)

    def _may_name(self, query: str) -> bool:
        """Whether an expression can name anything: most are a comparison or a constant, and need not be parsed."""
        return _NAMING.search(query) is not None or any(name in query for name in self._found.row_functions)

    def _line_of(self, query: str, line: int, shift: int) -> Callable[[int], int]:
        """Where a position of the query stands in the body. INTO is cut out of a query, and PERFORM reads SELECT in it."""
        body, start = self._prepared.body, self._starts[min(line, len(self._starts)) - 1]
        beginning = query.partition("  ")[0]  # where INTO was cut out, blanks stand
        attempts = (body.find(query, start), body.find(beginning, start), body.find(query[7:], start) - 7)
        place = next((at for at in attempts if at >= start), -1)

        def line_at(position: int) -> int:
            offset = max(position - shift, 0)
            if place < 0:
                return line + query.count("\n", 0, offset)
            return body.count("\n", 0, place + offset) + 1

        return line_at

    # --- dynamic SQL ---

    def _execute(self, expression: Mapping[str, Any], line: int) -> None:
        self._expression(expression, line)  # what it is made from is SQL too
        node = _target(_as_statement(expression)[0])
        made: list[Any] = [node]
        if isinstance(node, ast.ColumnRef) and len(node.fields) == 1:
            made = [_target(_as_statement(item)[0]) for item in self._assigned.get(column(node)[0], ())] or [node]
        known = [SqlReader(self._found, lambda _: line).read_made(item, line) for item in made]
        if not all(known):
            self._found.notes.append(Note(r.DYNAMIC, line, shortened(expression["query"])))


def _target(sql: str) -> Any:
    """The expression of ``SELECT expression``."""
    statement: Any = parse_sql(sql)[0].stmt
    return statement.targetList[0].val


def _assigned_to(query: str) -> str:
    """The variable that an assignment sets."""
    match = re.match(r'\s*("?)([^"\s:=.\[]+)', query)
    return "" if match is None else match[2] if match[1] else match[2].lower()


def _as_statement(expression: Mapping[str, Any]) -> tuple[str, int]:
    """An expression of PL/pgSQL as SQL, and how far it was shifted to the right (to the left where it lost its target)."""
    query, mode = str(expression["query"]), expression.get("parseMode", 0)
    if mode == _STATEMENT:
        return query, 0
    if mode == _EXPRESSION:
        return "SELECT " + query, 7
    depth = 0
    for token in scan(query):
        depth += {"ASCII_40": 1, "ASCII_91": 1, "ASCII_41": -1, "ASCII_93": -1}.get(token.name, 0)
        if not depth and token.name in ("COLON_EQUALS", "ASCII_61"):
            return "SELECT " + query[token.end + 1 :], 7 - token.end - 1
    return "SELECT " + query, 7


def _expressions(node: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every expression of a tree; a default of a variable comes with the variable's name."""
    for item in node if isinstance(node, list) else ():
        yield from _expressions(item)
    for key, value in node.items() if isinstance(node, Mapping) else ():
        if key == "PLpgSQL_expr":
            yield "", value
        elif key == "default_val":
            yield str(node.get("refname", "")), value["PLpgSQL_expr"]
        else:
            yield from _expressions(value)
