"""A reader beside the move: how long does the application wait at worst?

While a step is tried, a second connection reads its tables by their old names again and again, as the application does, and
keeps the longest time that one read took. It asks for no row (``LIMIT 0``): names, locks and privileges are checked as for
any read, but a table whose first pages hold nothing any more is not searched for a row, which would keep the lock that the
move waits for.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ansible_collections.dbops.multischema.plugins.module_utils.errors import MultischemaError, ServerRefused
from ansible_collections.dbops.multischema.plugins.module_utils.move_step import MoveTables
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Step
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import QUERY_CANCELED, Database
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name, qualified, statement

PURPOSE = "dbops.multischema probe"
PERMISSION_DENIED = "42501"
PAUSE_S = 0.002  # between two reads
LATER_PAUSE_S = 0.010  # once a step has been tried for longer than a second
IDLE_SHARE = 4  # the probe rests at least so many times as long as its quickest read of the step has taken
BEYOND_MS = 2000  # a read is given up so long after the longest wait that the move itself may cause
LARGEST_TREE = 16  # reading the root locks every member; of larger trees only members are read
MEMBERS_READ = 3
KINDS_OF_FAILURE = 5


@dataclass
class Reading:
    """What a reader of one step's tables has noticed.

    :param longest_ms: the longest time that one read took, in milliseconds.
    :param on: the table that it read.
    :param failed: what the server said to reads that failed → how often.
    """

    reads: int = 0
    longest_ms: float = 0.0
    on: str = ""
    failed: dict[str, int] = field(default_factory=dict)

    def note(self, name: str, took_ms: float) -> None:
        """Count a read."""
        self.reads += 1
        if took_ms > self.longest_ms:
            self.longest_ms, self.on = took_ms, name

    def add(self, other: Reading) -> None:
        """Take in what was noticed elsewhere."""
        self.reads += other.reads
        if other.longest_ms > self.longest_ms:
            self.longest_ms, self.on = other.longest_ms, other.on
        for text, times in other.failed.items():
            self.note_failure(text, times)

    def longest(self) -> str:
        """In words."""
        return f"longest stall of a reader {self.longest_ms:.0f} ms" + (f" on {self.on}" if self.on else "")

    def note_failure(self, text: str, times: int = 1) -> None:
        """Count reads that failed."""
        text = text if text in self.failed or len(self.failed) < KINDS_OF_FAILURE else "other reasons"
        self.failed[text] = self.failed.get(text, 0) + times


def names_to_read(step: Step) -> list[str]:
    """The old names of the tables that are read for a step: of a tree the root and a few members.

    A foreign table is not read: that would ask the server behind it.
    """
    if step.kind != MoveTables.kind:
        return []
    tables = [member.name for member in step.members if member.kind in ("r", "p")]
    leaves = [member.name for member in step.members[1:] if member.kind == "r"]
    chosen = leaves[:: max(1, len(leaves) // MEMBERS_READ)][:MEMBERS_READ]
    return ([tables[0]] if tables and len(tables) <= LARGEST_TREE else []) + chosen


class _Table:
    """A table that is read, by its old name. The text is made when it is needed: the thread of the move has no time for it."""

    def __init__(self, source: str, name: str) -> None:
        self._source = source
        self._name = name

    @property
    def label(self) -> str:
        """For people."""
        return qualified(self._source, self._name)

    @functools.cached_property
    def query(self) -> str:
        """The read."""
        return statement("SELECT 1 FROM {} LIMIT 0", Name(self._source, self._name))


class _Watched:
    """The tables of one step, and what was noticed about them."""

    def __init__(self, step: Step) -> None:
        source = str(step.detail.get("from", ""))
        self.left = [_Table(source, name) for name in names_to_read(step)]
        self.reading = Reading()
        self.quickest_s = 1.0
        self.since = time.monotonic()

    def pause_s(self) -> float:
        """How long to rest before the next read."""
        usual = PAUSE_S if time.monotonic() - self.since < 1 else LATER_PAUSE_S
        return max(usual, min(self.quickest_s * IDLE_SHARE, 0.1))


class Probe:
    """Reads in a thread of its own, on a connection of its own, each read a transaction of its own.

    :param connect: opens a direct connection.
    :param longest_attempt_ms: the longest wait that one attempt of the move may cause, in milliseconds.

    ``off`` says why nothing is read, where that is so; ``pid`` is its server process.
    """

    def __init__(self, connect: Callable[[], Database], longest_attempt_ms: int) -> None:
        self.off: str | None = None
        self.pid: int | None = None
        self._database: Database | None = None
        self._watched: _Watched | None = None
        self._wake = threading.Event()
        self._closed = False
        try:
            self._database = database = connect()
            database.execute(f"SET application_name = '{PURPOSE}'; SET statement_timeout = {int(longest_attempt_ms) + BEYOND_MS}")
            self.pid = int(database.value("SELECT pg_backend_pid()"))
        except MultischemaError as error:
            self.off = error.found
            return
        self._thread = threading.Thread(target=self._run, args=(database,), daemon=True)
        self._thread.start()

    def watch(self, step: Step) -> Reading | None:
        """Read this step's tables from now on.

        :returns: what is noticed; it grows until the probe watches something else. None where nothing is read.
        """
        watched = _Watched(step)
        if self.off is not None or not watched.left:
            return None
        self._watched = watched
        self._wake.set()
        return watched.reading

    def rest(self) -> None:
        """Read nothing more; a read that is on its way is still counted."""
        self._watched = None

    def close(self) -> None:
        """End the reading and the session; what was returned by :meth:`watch` is final then."""
        self._closed = True
        self._wake.set()
        if self._database is not None:
            if self.off is None:
                self._thread.join(BEYOND_MS / 1000)
            self._database.close()  # of a read that is still on its way it waits for the end
            if self.off is None:
                self._thread.join(BEYOND_MS / 1000)

    def __enter__(self) -> Probe:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    # --- in the thread ---

    def _run(self, database: Database) -> None:
        turn = 0
        while not self._closed:
            watched = self._watched
            if watched is None or not watched.left:
                self._wake.wait()
                self._wake.clear()
                continue
            turn += 1
            self._read(database, watched, turn % len(watched.left))
            if self._wake.wait(watched.pause_s()):
                self._wake.clear()

    def _read(self, database: Database, watched: _Watched, which: int) -> None:
        table = watched.left[which]
        started = time.monotonic()
        try:
            database.execute(table.query)
        except ServerRefused as error:
            if database.broken:
                self.off, self._closed = error.found, True
                return
            watched.reading.note_failure(error.found)
            if error.sqlstate == PERMISSION_DENIED:
                del watched.left[which]
            if error.sqlstate != QUERY_CANCELED:
                return
        took = time.monotonic() - started
        watched.quickest_s = min(watched.quickest_s, took)
        watched.reading.note(table.label, took * 1000)


@contextlib.contextmanager
def probing(connect: Callable[[], Database], wanted: bool, longest_attempt_ms: int) -> Iterator[Probe | None]:
    """A probe where one is wanted, closed at the end; None otherwise."""
    if not wanted:
        yield None
        return
    with Probe(connect, longest_attempt_ms) as probe:
        yield probe
