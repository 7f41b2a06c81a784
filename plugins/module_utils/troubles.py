"""Troubles of a server that are not about a statement: what they mean, and what helps, by SQLSTATE (manual, appendix A)."""

from __future__ import annotations

from typing import NamedTuple

CONNECTION_LOST = "08006"
DISK_FULL = "53100"
OUT_OF_MEMORY = "53200"  # also: no room left in the lock table


class Trouble(NamedTuple):
    """What it means, and what helps."""

    why: str
    remedy: str


_GO_ON = "then run the same playbook again; it goes on where it stopped."
_LOST = Trouble(
    "The server has ended the session, or nothing has been heard of it for too long. A step that was under way is done whole or not "
    "at all, together with its row in the journal.",
    "See that the server runs and can be reached, " + _GO_ON,
)
LOCK_TABLE_FULL = Trouble(
    "The server's lock table is full: all sessions together hold more locks than max_locks_per_transaction leaves room for, and "
    "others fail with the same message meanwhile.",
    "Find the sessions that hold most (SELECT pid, count(*) FROM pg_locks GROUP BY pid ORDER BY 2 DESC LIMIT 5) and let them end, or "
    "raise max_locks_per_transaction, which needs a restart; " + _GO_ON,
)
_TROUBLES = {
    CONNECTION_LOST: _LOST,
    "08003": _LOST,
    "57P01": _LOST,
    "57P02": _LOST,
    "57P03": Trouble("The server is starting, stopping or recovering.", "Wait until it accepts connections, " + _GO_ON),
    "25P03": Trouble(
        "Nothing was heard from here for too long while a step held its locks, so the server gave the step up, and the application "
        "went on. It was undone whole.",
        "See why this machine or the network stood still, " + _GO_ON,
    ),
    DISK_FULL: Trouble(
        "A disk of the server is full, where the database, its journal (schema multischema_journal) or the WAL is. What was under way "
        "was undone whole.",
        "Make room there (the server's log names the file), " + _GO_ON,
    ),
}


def trouble(sqlstate: str, message: str) -> Trouble | None:
    """What an error means.

    :param message: the server's own words: one SQLSTATE stands for memory and for the lock table.
    """
    if sqlstate == OUT_OF_MEMORY:
        return LOCK_TABLE_FULL if "shared memory" in message else None
    return _TROUBLES.get(sqlstate)
