"""Read the content of a database in a snapshot, on a connection and a thread of its own, while a dump is made from the same one."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import replace

from ansible_collections.dbops.multischema.plugins.module_utils.content import (
    SETTINGS,
    Content,
    TableContent,
    read_large_objects,
    read_sequences,
    read_sequences_again,
    read_table,
    tables_of,
)
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database


class ContentReader:
    """Begins to read when it is made, and must be ended by :meth:`end`, at best as a context manager.

    :param connect: opens a connection.
    :param snapshot: that some session has exported, and holds until this one has begun to use it.
    :param schema_digest: reads the digest of the schema.
    """

    def __init__(self, connect: Callable[[], Database], snapshot: str, schema_digest: Callable[[], str]) -> None:
        self.done = 0
        self.total: int | None = None
        self._schema_digest = schema_digest
        self._stop = False
        self._error: BaseException | None = None
        self._content = Content()
        self._database = connect()
        try:
            # By a statement of its own, before the transaction: looking at a sequence locks it until the transaction ends.
            self._sequences = read_sequences(self._database)
            self._database.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            self._database.execute("SET TRANSACTION SNAPSHOT %s", (snapshot,))
            self._database.execute(SETTINGS)
            # One process and no more: others have work to do, the dump first of all.
            self._database.execute("SET LOCAL max_parallel_workers_per_gather = 0")
        except BaseException:
            self._database.close()
            raise
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._content = self._read()
        except BaseException as error:  # whoever waits for the result raises it
            self._error = error

    def _read(self) -> Content:
        found = tables_of(self._database)
        self.total = len(found)
        tables: list[TableContent] = []
        for schema, name, _ in sorted(found, key=lambda table: -table[2]):  # the largest first, as pg_dump does
            if self._stop:
                break
            tables.append(read_table(self._database, schema, name))
            self.done += 1
        large_objects, digest = read_large_objects(self._database)
        by_name = tuple(sorted(tables, key=lambda table: (table.schema, table.name)))
        return Content(by_name, self._sequences, large_objects, digest, self._schema_digest())

    @property
    def running(self) -> bool:
        """Whether it still reads."""
        return self._thread.is_alive()

    def check(self) -> None:
        """:raises MultischemaError: where reading has failed."""
        if self._error is not None:
            raise self._error

    def result(self) -> Content:
        """What was read, once it has ended and the dump is made: sequences are looked at once more.

        :raises MultischemaError: where reading has failed.
        """
        self._thread.join()
        self.check()
        self._database.rollback()
        return replace(self._content, sequences=read_sequences_again(self._database, self._sequences))

    def end(self) -> None:
        """Stop reading, and end the session."""
        self._stop = True
        while self._thread.is_alive():
            with contextlib.suppress(Exception):  # nothing to cancel, or the connection is gone: it ends by itself
                self._database.cancel()
            self._thread.join(0.2)
        self._database.close()

    def __enter__(self) -> ContentReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
