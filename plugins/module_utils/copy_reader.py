"""Read the content of a copy that nobody else works in: table by table, in short transactions."""

from __future__ import annotations

from collections.abc import Callable

from ansible_collections.dbops.multischema.plugins.module_utils.content import (
    SETTINGS,
    Content,
    read_large_objects,
    read_sequences,
    read_table,
    tables_of,
)
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database

TOGETHER = 200  # tables in one transaction: each is a lock


def read_copy(database: Database, seen: Callable[[int, int], None] | None = None, without: str | None = None) -> Content:
    """Everything that `compare_content` compares, but the schema.

    :param seen: is told, after each table, how many have been read, and of how many.
    :param without: a schema that is no part of it.
    :raises ServerRefused: where rows cannot be read.
    """
    names, tables = [(schema, name) for schema, name, _ in tables_of(database) if schema != without], []
    for start in range(0, len(names), TOGETHER):
        with database.snapshot():
            database.execute(SETTINGS)
            for schema, name in names[start : start + TOGETHER]:
                tables.append(read_table(database, schema, name))
                if seen is not None:
                    seen(len(tables), len(names))
    with database.snapshot():
        database.execute(SETTINGS)
        large_objects, digest = read_large_objects(database)
        sequences = tuple(sequence for sequence in read_sequences(database) if sequence.schema != without)
    return Content(tuple(tables), sequences, large_objects, digest)
