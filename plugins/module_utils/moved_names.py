"""What names stand for before a move and after it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog, Table
from ansible_collections.dbops.multischema.plugins.module_utils.compatibility_view import copied_defaults
from ansible_collections.dbops.multischema.plugins.module_utils.placement import Group
from ansible_collections.dbops.multischema.plugins.module_utils.reading import CONSTRAINT, PCT_ROWTYPE, TYPE, Reference
from ansible_collections.dbops.multischema.plugins.module_utils.type_placement import TypeMove

TABLE, SEQUENCE, INDEX, CONSTRAINT_NAME, USER_TYPE = "table", "sequence", "index", "constraint", "type"


@dataclass(frozen=True)
class Moved:
    """Something that moves, known by its name.

    ``view``: whether something takes the name, a view for a table, a domain for a type; nothing can for an enum or a sequence.
    ``defaults``: columns whose default that view carries.
    """

    kind: str
    name: str
    schema: str
    target: str
    view: bool = False
    table: Table | None = None  # the table, or the one that it belongs to; None for a type
    defaults: frozenset[str] = frozenset()


class MovedNames:
    """All names of the source schema that leave it."""

    def __init__(self, catalog: Catalog, moves: Iterable[tuple[Group, Table, str]], types: Iterable[TypeMove] = ()) -> None:
        self._source = catalog.source_schema
        self._relations: dict[str, Moved] = {}
        self._constraints: dict[str, Moved] = {}
        self._types = {
            move.found.name: Moved(USER_TYPE, move.found.name, self._source, move.schema, move.found.kind != "e") for move in types
        }
        self._parents = {oid for table in catalog.tables for oid in table.parents}
        foreign_keys: dict[int, list[str]] = {}
        for key in catalog.foreign_keys:
            foreign_keys.setdefault(key.child, []).append(key.name)
        for group, table, target in moves:
            carried = frozenset(default.column for default in copied_defaults(table)) if group.view_defaults else frozenset()
            self._relations[table.name] = Moved(TABLE, table.name, self._source, target, group.view, table, carried)
            for sequence in table.sequences:
                self._relations[sequence.name] = Moved(SEQUENCE, sequence.name, self._source, target, table=table)
            for index in table.indexes:
                self._relations[index.name] = Moved(INDEX, index.name, self._source, target, table=table)
            for name in (*foreign_keys.get(table.oid, ()), *(index.name for index in table.indexes)):
                self._constraints[name] = Moved(CONSTRAINT_NAME, name, self._source, target, table=table)
        moving = {moved.name for moved in self._relations.values()}
        elsewhere = (rel for rel in (*catalog.relations, *catalog.namesakes) if rel.schema != self._source)
        self._others = {(rel.schema, rel.name) for rel in elsewhere if rel.name in moving}

    def words(self, text_words: Iterable[str]) -> list[Moved]:
        """Tables and sequences whose names are among words."""
        found = (self._relations.get(word) for word in sorted(set(text_words)))
        return [moved for moved in found if moved is not None and moved.kind in (TABLE, SEQUENCE)]

    def has_children(self, table: Table) -> bool:
        """Whether ``ONLY`` makes a difference."""
        return table.oid in self._parents or table.kind == "p"

    def lost(self, reference: Reference, path: Sequence[str] | None) -> Moved | None:
        """What a reference names, if the name does not lead to it any longer after the move: to a view instead, or to nothing.

        :param path: the search_path that the text runs under; None for that of whoever calls, which is taken to find the source schema.
        """
        named = self._constraints if reference.use == CONSTRAINT else self._relations
        moved = named.get(reference.name)
        if moved is None and reference.use in (TYPE, PCT_ROWTYPE):
            moved = self._types.get(reference.name)
        if moved is None or reference.schema not in (None, self._source):
            return None
        if reference.schema is None and path is not None and self._found_on(path, moved):
            return None
        return moved

    def named(self, reference: Reference, path: Sequence[str] | None) -> Moved | None:
        """What of ours a reference names before the move; see :meth:`lost` for the path."""
        moved = self._relations.get(reference.name)
        if moved is None or reference.schema not in (None, self._source):
            return None
        return moved if reference.schema or path is None or self._source in path else None

    def _found_on(self, path: Sequence[str], moved: Moved) -> bool:
        """Whether a path leads past the source schema to the moved object, or to something else altogether."""
        for schema in path:
            if schema == self._source:
                return not moved.view and moved.target in path
            if schema == moved.target or (schema, moved.name) in self._others:
                return True
        return True  # it was never found in the source schema
