"""What a physical copy holds of a database's content when it is recovered to an instant (pure, but for one query).

Two things are not what a dump of that instant would hold. Unlogged tables are empty, because nothing of them is in the WAL. And a
sequence may stand further on than it did: PostgreSQL writes to the WAL where it will be some values later (``SEQ_LOG_VALS``, 32, in
sequence.c), so that not every value has to be written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ansible_collections.dbops.multischema.plugins.module_utils.content import Content, SequenceContent
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database

_AHEAD = 32  # SEQ_LOG_VALS
_PECULIAR = """
SELECT n.nspname, c.relname, c.relkind::text, c.relpersistence = 'u',
       s.seqincrement::bigint, s.seqcache::bigint
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_sequence s ON s.seqrelid = c.oid
 WHERE c.relkind = 'S' OR (c.relkind = 'r' AND c.relpersistence = 'u')
"""
_NameOf = tuple[str, str]  # schema, name


@dataclass(frozen=True)
class Peculiarities:
    """What is not copied as it is.

    :param unlogged: tables, and sequences that go with them.
    :param leads: of each sequence, how much further on it may stand.
    """

    unlogged: frozenset[_NameOf]
    leads: Mapping[_NameOf, int]


def read_peculiarities(database: Database) -> Peculiarities:
    """Of the connected database."""
    rows = database.rows(_PECULIAR)
    return Peculiarities(
        frozenset((schema, name) for schema, name, _, unlogged, _, _ in rows if unlogged),
        {(schema, name): int(step) * (_AHEAD + int(cache)) for schema, name, kind, _, step, cache in rows if kind == "S"},
    )


def as_recovered(content: Content, found: Peculiarities, before: Iterable[SequenceContent]) -> Content:
    """The content of a snapshot, as a copy has it that was recovered to its instant.

    :param before: the sequences as they stood before that instant; in `content` they are as they stood after it.
    """
    was = {(sequence.schema, sequence.name): sequence.before for sequence in before}
    return replace(
        content,
        tables=tuple(
            replace(table, rows=0, digest=None) if (table.schema, table.name) in found.unlogged else table for table in content.tables
        ),
        sequences=tuple(
            _between(sequence, was, found.leads) for sequence in content.sequences if (sequence.schema, sequence.name) not in found.unlogged
        ),
    )


def _between(sequence: SequenceContent, was: Mapping[_NameOf, int | None], leads: Mapping[_NameOf, int]) -> SequenceContent:
    key = (sequence.schema, sequence.name)
    ahead = None if sequence.after is None else sequence.after + leads.get(key, 0)
    return replace(sequence, before=was.get(key, sequence.before), after=ahead)
