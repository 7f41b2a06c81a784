"""What is collected while a text is read."""

from __future__ import annotations

from dataclasses import dataclass, field

from ansible_collections.dbops.multischema.plugins.module_utils.reading import Note, Reading, Reference
from ansible_collections.dbops.multischema.plugins.plugin_utils.sql_scope import Table


@dataclass
class Collector:
    """What has been read so far of one text, and the circumstances of what is being read.

    :param row_functions: names of functions that take a table's row.
    :param aggregates: names of aggregate functions besides PostgreSQL's own.
    :param deparsed: the text was made by PostgreSQL from its catalog: a literal of type regclass in it follows by OID.
    """

    row_functions: frozenset[str] = frozenset()
    aggregates: frozenset[str] = frozenset()
    deparsed: bool = False
    variables: dict[str, Table | None] = field(default_factory=dict)  # of PL/pgSQL, with the table whose row they hold
    caught: tuple[str, ...] = ()
    references: list[Reference] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    calls: set[tuple[str | None, str]] = field(default_factory=set)
    made: set[str] = field(default_factory=set)  # relations that the text itself creates
    path: tuple[str, ...] | None = None

    def reading(self) -> Reading:
        """What was read, without the relations that the text makes for itself."""
        own = {reference for reference in self.references if reference.schema is None and reference.name in self.made}
        kept = (reference for reference in dict.fromkeys(self.references) if reference not in own)
        return Reading(tuple(kept), tuple(dict.fromkeys(self.notes)), tuple(sorted(self.calls, key=str)), self.path)
