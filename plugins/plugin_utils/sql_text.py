"""Names and SQL that stand in string constants: taken apart, and put together as far as they are constant."""

from __future__ import annotations

import re
from typing import Any

from pglast import ast as _ast

ast: Any = _ast  # its attributes are optional to mypy, and the grammar knows better

UNKNOWN = "_not_known_here_"  # stands for what only the running routine knows
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
