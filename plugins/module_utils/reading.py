"""What was read from the text of a routine or an expression: which names it uses, how, and where.

Made by the parser on the control node (`source_reader.py`), used by the findings, which know nothing of parsers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

# How a name is used. What becomes of each when the table moves is decided in `routine_effects.py`.
READ, INSERT, UPDATE, DELETE, MERGE, LOCK = "read", "insert", "update", "delete", "merge", "lock"
TRUNCATE, COPY, TABLESAMPLE, CURRENT_OF = "truncate", "copy", "tablesample", "current of"
ON_CONSTRAINT, SET_DEFAULT, ONLY, GROUP_KEY, SYSTEM_COLUMN = "on constraint", "set default", "only", "group by key", "system column"
DDL, DDL_ON_VIEW, LIKE, CONSTRAINT = "ddl", "ddl on view", "like", "set constraints"
PCT_TYPE, PCT_ROWTYPE, TYPE = "%type", "%rowtype", "type"
REGCLASS, TO_REGCLASS, EXISTS, SIZE, SERIAL_SEQUENCE, SEQUENCE = (
    "regclass",
    "to_regclass",
    "existence",
    "size",
    "pg_get_serial_sequence",
    "sequence",
)
ROW_ARGUMENT, ROW_FIELD, ROW_RESULT = "row argument", "row field", "row result"

# What is noted of a text besides names.
DYNAMIC, TABLE_SCHEMA, CATALOG, TRANSACTION = "dynamic", "tg_table_schema", "catalog", "transaction"


@dataclass(frozen=True)
class Reference:
    """One use of one name.

    ``schema`` is None where the name is bare. ``line`` is that of the text, from 1. ``detail`` depends on ``use``: the column, function
    or constraint, or for DDL the words of the statement. ``caught``: conditions that an exception handler around it catches.
    """

    use: str
    schema: str | None
    name: str
    line: int
    detail: str = ""
    caught: tuple[str, ...] = ()


@dataclass(frozen=True)
class Note:
    """Something else that matters: dynamic SQL that cannot be read, the name of a trigger's schema, a query of the catalog.

    For a query of the catalog ``detail`` is the relation, a blank and the columns that were asked for, and ``literals`` are the names
    that it compares with.
    """

    kind: str
    line: int
    detail: str = ""
    literals: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading:
    """What one text says.

    ``problem`` says why it could not be parsed: then nothing else is known of it. ``path`` is a search_path that it sets by itself.
    """

    references: tuple[Reference, ...] = ()
    notes: tuple[Note, ...] = ()
    calls: tuple[tuple[str | None, str], ...] = ()
    path: tuple[str, ...] | None = None
    problem: str = ""

    def noted(self, kind: str) -> tuple[Note, ...]:
        """The notes of one kind."""
        return tuple(note for note in self.notes if note.kind == kind)


@dataclass(frozen=True)
class Readings:
    """The readings of a catalog: of routines by OID, of expressions in the order of ``Catalog.expressions``."""

    routines: Mapping[int, Reading] = field(default_factory=dict)
    expressions: tuple[Reading, ...] = ()
