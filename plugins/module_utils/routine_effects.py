"""What becomes of each use of a name once the table has moved: it works, it fails, or it answers something else.

Measured on PostgreSQL 15, 16 and 18, with a view under the old name and without.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.dbops.multischema.plugins.module_utils import reading as r
from ansible_collections.dbops.multischema.plugins.module_utils.moved_names import (
    CONSTRAINT_NAME,
    INDEX,
    SEQUENCE,
    USER_TYPE,
    Moved,
    MovedNames,
)
from ansible_collections.dbops.multischema.plugins.module_utils.reading import Note, Reading, Reference
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name

FAILS, CHANGES = "fails", "changes"
MERGE_ON_VIEWS_SINCE = 170000

# use → (SQLSTATE, what happens) through a view.
_FAILS_ON_VIEW: Mapping[str, tuple[str, str]] = {
    r.TRUNCATE: ("42809", "TRUNCATE is refused on a view"),
    r.COPY: ("42809", "COPY is refused on a view"),
    r.TABLESAMPLE: ("42601", "TABLESAMPLE is refused on a view"),
    r.CURRENT_OF: ("0A000", "WHERE CURRENT OF is refused on a view"),
    r.ON_CONSTRAINT: ("42704", "ON CONFLICT ON CONSTRAINT {detail} finds no constraint on a view"),
    r.MERGE: ("42809", "MERGE into a view is refused before PostgreSQL 17"),
    r.DDL: ("42809", "{detail} is refused on a view"),
    r.GROUP_KEY: ("42803", "GROUP BY the primary key alone does not cover {detail}: a view has no key"),
    r.SYSTEM_COLUMN: ("42703", "a view has no {detail}"),
    r.ROW_ARGUMENT: ("42883", "{detail}() takes rows of the table, not of the view"),
    r.ROW_RESULT: ("42P13", "its result is a row of the view, and it is declared to return rows of the table"),
    r.ROW_FIELD: ("42703", ".{detail} is a function of the table's rows, not of the view's"),
}
_CHANGES_ON_VIEW: Mapping[str, str] = {
    r.SET_DEFAULT: "SET {detail} = DEFAULT writes NULL through a view",
    r.ONLY: "a view ignores ONLY: rows of children count too",
    r.DDL_ON_VIEW: "{detail} succeeds and touches the view alone",
    r.LIKE: "LIKE copies a view: no defaults, constraints or indexes",
    r.REGCLASS: "it means the view, which has another OID",
    r.TO_REGCLASS: "it means the view, which has another OID",
    r.SIZE: "{detail} is 0 or empty for a view",
    r.SERIAL_SEQUENCE: "pg_get_serial_sequence is NULL for a view",
}
# Said of another use of the same name already, where there is no view.
_SECONDARY = (
    r.ON_CONSTRAINT,
    r.GROUP_KEY,
    r.SYSTEM_COLUMN,
    r.ROW_FIELD,
    r.ONLY,
    r.SET_DEFAULT,
    r.TYPE,
    r.CURRENT_OF,
    r.ROW_ARGUMENT,
    r.ROW_RESULT,
)
_ASKS = (r.EXISTS, r.TO_REGCLASS)

# Condition names of PL/pgSQL for the errors above.
_CONDITIONS = {
    "42809": "wrong_object_type",
    "42601": "syntax_error",
    "0A000": "feature_not_supported",
    "42704": "undefined_object",
    "42803": "grouping_error",
    "42703": "undefined_column",
    "42883": "undefined_function",
    "42P01": "undefined_table",
    "42P13": "invalid_function_definition",
}


@dataclass(frozen=True)
class Effect:
    """One use of a name that does not stay what it was. ``swallowed``: a handler catches the error, so nothing is said."""

    outcome: str
    reference: Reference
    moved: Moved
    why: str
    swallowed: bool = False

    @property
    def written(self) -> str:
        """The name as the text has it."""
        return ".".join(filter(None, (self.reference.schema, self.reference.name)))

    @property
    def instead(self) -> str:
        """The name that is right after the move."""
        return Name(self.moved.target, self.moved.name).as_string()


def _caught(reference: Reference, state: str) -> bool:
    names = {_CONDITIONS[state], state.lower(), "others"}
    if state.startswith("42"):
        names |= {"syntax_error_or_access_rule_violation", "42000"}
    return bool(names.intersection(reference.caught))


def _failure(reference: Reference, moved: Moved, state: str, why: str) -> Effect:
    swallowed = _caught(reference, state)
    return Effect(CHANGES if swallowed else FAILS, reference, moved, why, swallowed)


@dataclass(frozen=True)
class Effects:
    """Judges references.

    :param row_functions: name of a function → OIDs of the tables whose rows it takes.
    """

    names: MovedNames
    version_num: int
    row_functions: Mapping[str, frozenset[int]]

    def of(self, reading: Reading, path: Sequence[str] | None, result_table: int = 0) -> Iterator[Effect]:
        """Everything in a text that does not stay what it was.

        :param result_table: OID of the table whose rows the routine returns, if it does.
        :param path: see :meth:`MovedNames.lost`; what the text sets by itself comes before it.
        """
        for reference in reading.references:
            moved = self.names.lost(reference, reading.path or path)
            if reference.use == r.ROW_RESULT and (moved is None or moved.table is None or moved.table.oid != result_table):
                continue
            effect = self._effect(reference, moved) if moved is not None else None
            if effect is not None:
                yield effect

    def _effect(self, reference: Reference, moved: Moved) -> Effect | None:
        if moved.kind == USER_TYPE:
            return self._type(reference, moved)
        if moved.kind in (SEQUENCE, INDEX, CONSTRAINT_NAME):
            return self._gone(reference, moved)
        return self._through_view(reference, moved) if moved.view else self._without_view(reference, moved)

    @staticmethod
    def _type(reference: Reference, moved: Moved) -> Effect | None:
        """A domain stands in for a type, but has no rows; nothing stands in for an enum."""
        if moved.view and reference.use != r.PCT_ROWTYPE:
            return None
        why = "a domain of that name is no row type" if moved.view else "nothing can stand in for an enum"
        return _failure(reference, moved, "42704", why)

    @staticmethod
    def _gone(reference: Reference, moved: Moved) -> Effect | None:
        """Nothing stands under the name of what moved along."""
        use = reference.use
        if use in _ASKS:
            return Effect(CHANGES, reference, moved, f"the {moved.kind} is not found any longer")
        if use == r.CONSTRAINT:
            return _failure(reference, moved, "42704", "SET CONSTRAINTS does not find the constraint")
        fits = {SEQUENCE: (r.SEQUENCE, r.REGCLASS, r.SIZE, r.READ, r.DDL, r.DDL_ON_VIEW), INDEX: (r.DDL, r.REGCLASS, r.SIZE)}
        if use not in fits.get(moved.kind, ()):
            return None
        return _failure(reference, moved, "42P01", f"no view can stand in for {'a' if moved.kind == SEQUENCE else 'an'} {moved.kind}")

    @staticmethod
    def _without_view(reference: Reference, moved: Moved) -> Effect | None:
        use = reference.use
        if use in _ASKS:
            return Effect(CHANGES, reference, moved, "the table is not found any longer")
        if use == r.TYPE:
            return _failure(reference, moved, "42704", "the type of its rows is not found any longer")
        if use in _SECONDARY:
            return None
        return _failure(reference, moved, "42P01", "the table is not found any longer")

    def _through_view(self, reference: Reference, moved: Moved) -> Effect | None:
        use, detail = reference.use, reference.detail
        if not self._matters(reference, moved):
            return None
        if use in _FAILS_ON_VIEW:
            state, why = _FAILS_ON_VIEW[use]
            return _failure(reference, moved, state, why.format(detail=detail))
        if use in _CHANGES_ON_VIEW:
            return Effect(CHANGES, reference, moved, _CHANGES_ON_VIEW[use].format(detail=detail))
        return None

    def _matters(self, reference: Reference, moved: Moved) -> bool:
        """Whether the use is what it seems, for this table and server."""
        use, detail, table = reference.use, reference.detail, moved.table
        if table is None or use == r.MERGE:
            return self.version_num < MERGE_ON_VIEWS_SINCE
        if use == r.GROUP_KEY:
            return detail == "*" or detail in table.columns
        if use == r.SET_DEFAULT:
            return detail in table.filled and detail not in moved.defaults
        if use == r.ONLY:
            return self.names.has_children(table)
        if use in (r.ROW_ARGUMENT, r.ROW_FIELD):
            return table.oid in self.row_functions.get(detail, frozenset()) and (use == r.ROW_ARGUMENT or detail not in table.columns)
        return True


_SEES_VIEWS = ("information_schema.tables", "information_schema.columns", "pg_class")
_ASKED_OF_TABLES = frozenset(
    ("table_type", "relkind", "is_nullable", "column_default", "is_identity", "identity_generation", "is_generated", "is_insertable_into")
)


def catalog_answer_changes(note: Note, names: MovedNames, source: str) -> str:
    """Whether a query of the catalog answers something else: why, or nothing.

    :param note: of kind `CATALOG`.
    """
    relation, *columns = note.detail.split(" ")
    moved = [m for word in note.literals for m in names.words([word.rsplit(".", 1)[-1]])]
    by_schema = source in note.literals
    if relation in ("pg_namespace",) or not (by_schema or moved):
        return ""
    if relation not in _SEES_VIEWS:
        return f"{relation} does not show it in {source} any longer" if by_schema else ""
    asked = _ASKED_OF_TABLES.intersection(columns)
    if moved and not by_schema and not asked and any(m.view for m in moved):
        return f"{relation} shows it twice: as a table, and as the view under the old name"
    if by_schema and (asked or any(not m.view for m in moved)):
        return f"in {source} {relation} shows a view, or nothing, where the table was"
    return ""
