"""SQL text composed with ``psycopg2.sql``, renderable without a connection.

A plan is made on the control node, away from the database, so its identifiers and literals cannot be quoted by
``psycopg2.sql.Identifier``, which asks a connection. The two classes here are composables of the same family that follow
the quoting rules of the PostgreSQL manual (4.1.1 Identifiers and Key Words, 4.1.2.1 String Constants) by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from string import Formatter
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError
from ansible_collections.dbops.multischema.plugins.module_utils.keywords import KEYWORDS

try:
    from psycopg2 import sql
    from psycopg2.sql import Composable, Composed
except ImportError:  # the module that imports this tells the user, see postgres.require_driver
    sql = None  # type: ignore[assignment]
    Composable = Composed = object  # type: ignore[assignment,misc]

Piece = Composable  # any part of a statement
NO_CONNECTION: Any = None  # nothing of ours asks for one
_BARE = re.compile(r"[a-z_][a-z0-9_$]*\Z")


def _refuse_nul(text: str) -> str:
    if "\x00" in text:
        raise ConfigurationError(
            f"A name or value contains a NUL character: {text!r}.",
            "PostgreSQL cannot store it, so it cannot be the name of anything there.",
            "Remove the character.",
        )
    return text


class Name(Composable):
    """One or more identifiers joined by dots, each quoted where PostgreSQL needs it.

    :param parts: for example ``("public", "order")``, rendered ``public."order"``.
    :raises ConfigurationError: when a part is empty or contains NUL.
    """

    def __init__(self, *parts: str) -> None:
        if not parts or not all(parts):
            raise ConfigurationError(f"An identifier is empty: {parts!r}.", "PostgreSQL has no empty names.", "Write a name.")
        self.parts = tuple(_refuse_nul(part) for part in parts)
        super().__init__(self.parts)

    def as_string(self, context: Any = None) -> str:  # noqa: ARG002  the base class passes a connection
        """The SQL text."""
        return ".".join(part if _BARE.match(part) and part not in KEYWORDS else '"' + part.replace('"', '""') + '"' for part in self.parts)


class Text(Composable):
    """A string constant.

    :param value: any text without NUL; backslashes are safe whatever ``standard_conforming_strings`` says.
    """

    def __init__(self, value: str) -> None:
        self.value = _refuse_nul(value)
        super().__init__(value)

    def as_string(self, context: Any = None) -> str:  # noqa: ARG002  the base class passes a connection
        """The SQL text."""
        quoted = "'" + self.value.replace("'", "''") + "'"
        return "E" + quoted.replace("\\", "\\\\") if "\\" in self.value else quoted


def fragment(template: str, *args: Any, **kwargs: Any) -> Composed:
    """Compose a part of a statement."""
    return sql.SQL(template).format(*args, **kwargs)


@cache
def _pieces(template: str) -> tuple[tuple[str, str | None], ...]:
    """The template cut into texts, each with the name of the field behind it: "" for the next argument, None for no field."""
    found = []
    for text, field, form, conversion in Formatter().parse(template):
        if form or conversion or (field or "").isdigit():
            raise ValueError(f"a template has nothing but {{}} and {{name}}: {template!r}")
        found.append((text, field))
    return tuple(found)


def statement(template: str, *args: Any, **kwargs: Any) -> str:
    """Compose one statement and render it.

    The same as by ``psycopg2.sql.SQL.format``, whose objects would take most of the time of a plan with thousands of steps.

    :param template: SQL with ``{}`` or ``{name}`` where the composables go.
    :returns: the text of the statement, without a semicolon.
    """
    parts, left = [], iter(args)
    for text, field in _pieces(template):
        parts.append(text)
        if field is not None:
            piece = kwargs[field] if field else next(left)
            if not isinstance(piece, Composable):
                raise TypeError(f"not a piece of SQL: {piece!r}")
            parts.append(piece.as_string(NO_CONNECTION))
    return "".join(parts).rstrip()


def keyword(word: str) -> Composable:
    """A key word or privilege name that comes from a fixed list, never from a user."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z _]*", word):
        raise ValueError(f"not a key word: {word!r}")
    return sql.SQL(word)


def server_text(text: str) -> Composable:
    """SQL that PostgreSQL itself has written (``pg_get_expr``, with nothing but ``pg_catalog`` in the path), as it is."""
    return sql.SQL(_refuse_nul(text))


def nothing() -> Composable:
    """An empty piece of SQL, for an optional clause."""
    return sql.SQL("")


def comma(items: Iterable[Any]) -> Composed:
    """Join composables by a comma."""
    return sql.SQL(", ").join(items)


def role(name: str) -> Composable:
    """A grantee: ``PUBLIC`` is a key word, everything else a name.

    A role that is really called "public" cannot exist: PostgreSQL reserves that name.
    """
    return sql.SQL("PUBLIC") if name == "PUBLIC" else Name(name)


def qualified(schema: str, name: str) -> str:
    """How a person reads and writes the object: ``public."order"``."""
    return Name(schema, name).as_string()
