"""Makes the text of a PL/pgSQL routine readable for a parser that has no catalog.

The parser (libpg_query) cannot look types up: a variable of an unknown type is a record to it, and then ``SELECT … INTO`` two variables is
an error. So declared types are read here, and replaced by one that it knows and that fits how the variable is used. Lines stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field

from pglast import scan

from ansible_collections.dbops.multischema.plugins.module_utils.catalog_routines import Routine

_KEEP = ("refcursor", "record", "cursor")
_END_OF_TYPE = frozenset(("COLLATE", "NOT", "COLON_EQUALS", "ASCII_61", "DEFAULT", "ASCII_59"))


@dataclass(frozen=True)
class Token:
    """A token with its text."""

    name: str
    text: str
    start: int
    end: int

    @property
    def word(self) -> str:
        """As an identifier."""
        if self.text.startswith('"'):
            return self.text[1:-1].replace('""', '"')
        return self.text.lower()


@dataclass(frozen=True)
class Declaration:
    """A variable whose type names a relation or a type: ``kind`` is ``%type``, ``%rowtype`` or empty."""

    variable: str
    kind: str
    schema: str | None
    name: str
    column: str
    start: int


@dataclass
class Prepared:
    """``text`` is a CREATE statement for the parser; ``body`` is the part of it that the parser counts lines in."""

    text: str = ""
    body: str = ""
    declarations: list[Declaration] = field(default_factory=list)
    variables: set[str] = field(default_factory=set)


def _tokens(source: str) -> list[Token]:
    found = []
    for token in scan(source):
        if token.name not in ("SQL_COMMENT", "C_COMMENT"):
            found.append(Token(token.name, source[token.start : token.end + 1], token.start, token.end + 1))
    return found


def _declarations(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """The tokens of each declaration, without its semicolon."""
    place = 0
    while place < len(tokens):
        if tokens[place].name != "DECLARE" or (place and tokens[place - 1].name in ("ASCII_46", "ASCII_44")):
            place += 1
            continue
        place += 1
        while place < len(tokens) and tokens[place].name not in ("BEGIN_P", "DECLARE"):
            if tokens[place].name == "LESS_LESS":
                place += 3
                continue
            depth, start = 0, place
            while place < len(tokens) and (depth or tokens[place].name != "ASCII_59"):
                depth += {"ASCII_40": 1, "ASCII_91": 1, "ASCII_41": -1, "ASCII_93": -1}.get(tokens[place].name, 0)
                place += 1
            yield tokens[start:place]
            place += 1


def _type_end(tokens: Sequence[Token], start: int) -> int:
    depth, place = 0, start
    while place < len(tokens) and (depth or tokens[place].name not in _END_OF_TYPE):
        depth += {"ASCII_40": 1, "ASCII_91": 1, "ASCII_41": -1, "ASCII_93": -1}.get(tokens[place].name, 0)
        place += 1
    return place


def _declared(variable: str, tokens: Sequence[Token]) -> Declaration | None:
    """What a type says, where it may be a relation's."""
    percent = next((i for i, token in enumerate(tokens) if token.name == "ASCII_37"), None)
    if percent is not None and percent + 1 < len(tokens):
        parts = [token.word for token in tokens[:percent] if token.name != "ASCII_46"]
        if tokens[percent + 1].word == "rowtype":
            return Declaration(variable, "%rowtype", parts[-2] if len(parts) > 1 else None, parts[-1], "", tokens[0].start)
        if len(parts) > 1:
            return Declaration(variable, "%type", parts[-3] if len(parts) > 2 else None, parts[-2], parts[-1], tokens[0].start)
        return None
    if not tokens or any(token.name == "ASCII_40" for token in tokens[:2]):
        return None
    if len(tokens) > 2 and tokens[1].name == "ASCII_46":
        return Declaration(variable, "", tokens[0].word, tokens[2].word, "", tokens[0].start)
    return Declaration(variable, "", None, tokens[0].word, "", tokens[0].start)


def _replacement(tokens: Sequence[Token], used_as_row: bool, scalar: bool) -> str | None:
    if tokens[-1].word in _KEEP or tokens[0].word in _KEEP:
        return None
    return "record" if used_as_row or (tokens[-1].word == "rowtype" and not scalar) else "text"


def _cursor_arguments(tokens: Sequence[Token], place: int) -> Iterator[tuple[int, int]]:
    """The types of a cursor's parameters, as first and last token."""
    if place + 1 >= len(tokens) or tokens[place + 1].name != "ASCII_40":
        return
    place += 2
    while place < len(tokens):
        start, depth = place + 1, 0
        while place < len(tokens) and (depth or tokens[place].name not in ("ASCII_44", "ASCII_41")):
            depth += {"ASCII_40": 1, "ASCII_41": -1}.get(tokens[place].name, 0)
            place += 1
        if start < place:
            yield start, place
        if place >= len(tokens) or tokens[place].name == "ASCII_41":
            return
        place += 1


def prepare(routine: Routine, rows: frozenset[str] = frozenset(), scalars: frozenset[str] = frozenset(), guess: bool = True) -> Prepared:
    """The text for the parser.

    :param rows, scalars: variables that are known to be, or not to be, rows.
    :param guess: take those of the others for rows that a dot follows somewhere.
    :raises pglast.parser.ParseError: when the body has no tokens that PostgreSQL knows.
    """
    source, found = routine.source, Prepared()
    tokens = _tokens(source)
    dotted = {token.word for token, dot in zip(tokens, tokens[1:], strict=False) if dot.name == "ASCII_46" and token.end == dot.start}
    with_fields = ((dotted if guess else set()) | rows) - scalars
    edits: list[tuple[int, int, str]] = []

    def edit(first: Token, last: Token, text: str) -> None:
        lines = "\n" * source.count("\n", first.start, last.end)
        edits.append((first.start, last.end, text + lines))

    for declaration in _declarations(tokens):
        if len(declaration) < 2 or declaration[1].word == "alias":
            continue
        variable = declaration[0].word
        found.variables.add(variable)
        cursor = next((i for i, token in enumerate(declaration[:4]) if token.name == "CURSOR"), None)
        if cursor is not None:
            for first, last in _cursor_arguments(declaration, cursor):
                edit(declaration[first], declaration[last - 1], "text")
            continue
        start = 2 if declaration[1].word == "constant" else 1
        parts = declaration[start : _type_end(declaration, start)]
        if not parts:
            continue
        named = _declared(variable, parts)
        if named is not None:
            found.declarations.append(named)
        text = _replacement(parts, variable in with_fields, variable in scalars)
        if text is not None:
            edit(parts[0], parts[-1], text)
    body = source
    for first_character, end, text in sorted(edits, reverse=True):
        body = body[:first_character] + text + body[end:]
    found.body = body
    found.variables.update(argument.name for argument in routine.arguments if argument.name)
    found.text = _header(routine, with_fields) + _quoted(body)
    return found


def _quoted(body: str) -> str:
    tag = "_body"
    while f"${tag}$" in body:
        tag += "_"
    return f"${tag}${body}${tag}$"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


_MODES = {"i": "", "o": "OUT ", "b": "INOUT ", "v": "", "t": "OUT "}


def _header(routine: Routine, rows: Set[str]) -> str:
    arguments, outputs = [], 0
    for argument in routine.arguments:
        outputs += argument.mode in ("o", "b", "t")
        kind = "some_row" if argument.table or argument.name in rows else "text"
        kind = argument.type if argument.type in _KEEP else kind
        name = _identifier(argument.name) + " " if argument.name else ""
        arguments.append(f"{_MODES[argument.mode]}{name}{kind}")
    if routine.kind == "p":
        returns = ""
    elif outputs:
        returns = f"RETURNS {'SETOF ' if routine.returns_set else ''}{'record' if outputs > 1 else 'text'}"
    elif routine.returns_set:
        returns = "RETURNS SETOF record"
    else:
        returns = f"RETURNS {routine.returns or 'text'}"
    word = "PROCEDURE" if routine.kind == "p" else "FUNCTION"
    return f"CREATE {word} {_identifier(routine.name)}({', '.join(arguments)}) {returns} LANGUAGE plpgsql AS "
