"""Names and SQL that stand in string constants: taken apart, and put together as far as they are constant."""

from __future__ import annotations

import re
from typing import Any

from pglast import ast as _ast

ast: Any = _ast  # its attributes are optional to mypy, and the grammar knows better

UNKNOWN = "_not_known_here_"  # stands for what only the running routine knows
# Functions that are handed SQL as text: another session runs it, perhaps of another database,
_ELSEWHERE = frozenset(("dblink", "dblink_exec", "dblink_open", "dblink_send_query"))
_BY_A_JOB = frozenset(("schedule", "schedule_in_database", "alter_job"))  # of schema cron
# or this one, right here: with the text as the argument of that number.
_HERE = {"query_to_xml": 0, "query_to_xmlschema": 0, "query_to_xml_and_xmlschema": 0, "ts_stat": 0, "crosstab": 0, "crosstab_hash": 0}
_SHOWN = 60  # characters of a statement that a note shows
_PART = r'(?:"((?:[^"]|"")+)"|([^".\s]+))'
_NAME = re.compile(rf"\s*{_PART}\s*(?:\.\s*{_PART}\s*)?\Z")
_FORMAT = re.compile(r"%(?:(\d+)\$)?-?\d*([IsL%])")


def split_name(text: str) -> tuple[str | None, str] | None:
    """A name as PostgreSQL reads it from text: ``public.users``, ``"Users"``.

    :returns: schema (None where there is none) and name; None where it is no such name.
    """
    match = _NAME.match(text)
    if match is None:
        return None
    first, second = match[1] or (match[2] or "").lower(), match[3] or (match[4] or "").lower()
    first, second = first.replace('""', '"'), second.replace('""', '"')
    return (first, second) if second else (None, first)


def string(node: Any) -> str | None:
    """The value of a string constant, also under a cast to a type of text; None for anything else."""
    while isinstance(node, ast.TypeCast) and names(node.typeName.names)[-1] in ("text", "varchar", "name", "bpchar", "unknown", "cstring"):
        node = node.arg
    if isinstance(node, ast.A_Const) and isinstance(node.val, ast.String):
        return str(node.val.sval)
    return None


def names(parts: Any) -> list[str]:
    """The parts of a name."""
    return [part.sval for part in parts or () if isinstance(part, ast.String)]


def function_name(node: Any) -> str:
    """The last part of a called function's name, empty for what is no call."""
    return names(node.funcname)[-1] if isinstance(node, ast.FuncCall) else ""


def put_together(node: Any) -> tuple[str, bool]:
    """The text that an expression makes, as far as it is constant.

    :returns: the text, with `UNKNOWN` where a part is not constant, and whether such a part may be more than a name or a value.
    """
    known = string(node)
    if known is not None:
        return known, False
    if isinstance(node, ast.TypeCast):
        return put_together(node.arg)
    if isinstance(node, ast.A_Expr) and names(node.name) == ["||"]:
        return _joined((node.lexpr, node.rexpr))
    return _called(function_name(node), node)


def run_elsewhere(function: list[str], arguments: Any) -> str | None:
    """A call that hands SQL to another session, shortened; None for what does not."""
    by_a_job = function[-1] in _BY_A_JOB and function[-2:-1] == ["cron"]
    if not by_a_job and function[-1] not in _ELSEWHERE:
        return None
    values = (put_together(argument)[0].replace(UNKNOWN, "…") for argument in arguments)
    return shortened(f"{'.'.join(function)}({', '.join(values)})")


def run_here(function: list[str], arguments: Any) -> list[Any]:
    """The arguments of a call whose text is SQL that it runs; none for what runs none."""
    place = _HERE.get(function[-1], len(arguments))
    return [arguments[place]] if place < len(arguments) else []


def shortened(text: str) -> str:
    """In one line, and not longer than a note can be."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"


def _called(name: str, node: Any) -> tuple[str, bool]:
    if name == "format" and node.args:
        return _formatted(node.args)
    if name == "concat":
        return _joined(node.args or ())
    made = {"quote_ident": UNKNOWN, "quote_literal": f"'{UNKNOWN}'", "quote_nullable": f"'{UNKNOWN}'"}.get(name)
    return (UNKNOWN, True) if made is None else (made, False)


def _joined(nodes: Any) -> tuple[str, bool]:
    parts = [put_together(node) for node in nodes]
    return "".join(text for text, _ in parts), any(loose for _, loose in parts)


def _formatted(arguments: Any) -> tuple[str, bool]:
    template = string(arguments[0])
    if template is None:
        return UNKNOWN, True
    values, loose, place = list(arguments[1:]), False, 0

    def value(match: re.Match[str]) -> str:
        nonlocal loose, place
        if match[2] == "%":
            return "%"
        place = int(match[1]) if match[1] else place + 1
        given = values[place - 1] if 0 < place <= len(values) else None
        text, open_end = put_together(given) if given is not None else (UNKNOWN, True)
        if match[2] == "L":
            return "'" + text.replace("'", "''") + "'"
        if match[2] == "I":
            return '"' + text.replace('"', '""') + '"'
        loose = loose or open_end
        return text

    return _FORMAT.sub(value, template), loose
