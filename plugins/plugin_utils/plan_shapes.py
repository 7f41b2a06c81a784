"""What the drawing on the plan page is made of, and how wide its words are.

All text in the drawing is monospace, so that its width is known without a browser. Coordinates are units of the
viewBox.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from ansible_collections.dbops.multischema.plugins.plugin_utils.plan_facts import size_text

CHAR, SMALL_CHAR, TITLE_CHAR = 7.3, 6.5, 8.0  # advance of one cell at 12, 10.5 and 13 px, rounded up


@dataclass(frozen=True)
class Entry:
    """One line of a box: a table, or a tree of tables that moves as one."""

    name: str
    note: str
    size: int

    @property
    def size_text(self) -> str:
        """The size for people."""
        return size_text(self.size)


@dataclass(frozen=True)
class Line:
    """An entry with its place. ``full`` is the name where ``name`` had to be shortened."""

    x: float
    y: float
    right: float
    name: str
    note: str
    note_x: float
    size: str
    full: str


@dataclass(frozen=True)
class Box:
    """A schema. ``colour`` is a class of the style sheet."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    name: str
    full: str
    subtitle: str
    lines: tuple[Line, ...]
    more: str = ""

    @property
    def middle(self) -> float:
        """Height of the centre."""
        return self.y + self.height / 2


@dataclass(frozen=True)
class Flow:
    """An arrow from the source to a box, with what it carries."""

    y: float
    half: float
    colour: str
    tables: str
    size: str


@dataclass(frozen=True)
class Lane:
    """The foreign keys from one schema to another."""

    path: str
    head: str
    x: float
    y: float
    colour: str
    number: str
    half: float
    title: str


@dataclass(frozen=True)
class Drawing:
    """Everything that the template draws."""

    width: float
    height: float
    foot: Box
    source_width: float
    source: tuple[str, str, str]
    boxes: tuple[Box, ...]
    flows: tuple[Flow, ...]
    lanes: tuple[Lane, ...]
    complete: bool
    undrawn_pairs: int


def cells(text: str) -> int:
    """Columns that a text takes in a monospace font: two for East Asian wide characters, none for combining ones."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def shorten(text: str, columns: int) -> str:
    """Cut a text to a number of columns, with an ellipsis where something is missing."""
    if cells(text) <= columns:
        return text
    taken, kept = 1, []
    for character in text:
        taken += cells(character)
        if taken > columns:
            break
        kept.append(character)
    return "".join(kept) + "…"
