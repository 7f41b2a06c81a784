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


def read_copy(database: Database, seen: Callable[[], None] | None = None) -> Content:
    """Everything that `compare_content` compares, but the schema.

    :param seen: is told of each table that has been read.
    :raises ServerRefused: where rows cannot be read.
    """
    names, tables = tables_of(database), []
    for start in range(0, len(names), TOGETHER):
        with database.snapshot():
            database.execute(SETTINGS)
            for schema, name, _ in names[start : start + TOGETHER]:
                tables.append(read_table(database, schema, name))
                if seen is not None:
                    seen()
    with database.snapshot():
        database.execute(SETTINGS)
        large_objects, digest = read_large_objects(database)
        sequences = read_sequences(database)
    return Content(tuple(tables), sequences, large_objects, digest)
