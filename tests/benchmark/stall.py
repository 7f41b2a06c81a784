"""How long a reader of a table waits while it is moved and someone else stands in the way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.benchmark import core, scripts
from tests.benchmark.database import table_names
from tests.integration.databases import Target
from tests.integration.probes import Reader, blocker
from tests.support.servers import Server

BLOCKER_S = 10.0
TABLES = 2  # of which the first has a blocker in front


@dataclass(frozen=True)
class Stall:
    """:param longest_ms: of the reader's queries, and ``reads``, how many there were; ``attempts``, of the one who moves."""

    longest_ms: float
    reads: int
    attempts: int


def _behind_a_blocker(target: Target, move: Callable[[], int]) -> Stall:
    """Move one table while a transaction that has read it does nothing for ten seconds."""
    table = next(table_names(1))[0]
    attempts: list[int] = []
    with Reader(target, "public", table) as reader:
        with blocker(target, f"SELECT count(*) FROM public.{table}"):
            mover = threading.Thread(target=lambda: attempts.append(move()))
            mover.start()
            time.sleep(BLOCKER_S)
        mover.join()
        time.sleep(0.2)
    return Stall(reader.longest_s * 1000, reader.reads, attempts[0])


def of_script(server: Server, database: str) -> Stall:
    """By ``ALTER TABLE … SET SCHEMA`` without any limit."""
    scripts.make_targets(server, database)

    def move() -> int:
        scripts.run(server, database, scripts.plain(TABLES))
        return 1

    return _behind_a_blocker(Target(server, database), move)


def of_core(server: Server, database: str) -> Stall:
    """By the core, at its defaults."""
    return _behind_a_blocker(Target(server, database), lambda: core.run(server, database, TABLES, views=True).attempts)
