"""A snapshot, and the place in the WAL that it is the state of: what a physical copy, recovered to there, must hold.

Two ways. A logical replication slot is created at a place in the WAL and hands out the snapshot of exactly that place (manual,
55.4 ``CREATE_REPLICATION_SLOT``, ``EXPORT_SNAPSHOT``); whatever is written meanwhile. Where there can be none, an instant is looked
for at which no transaction is writing: then the snapshot of that instant is the state at the end of the WAL.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.connection import CONNECT_TIMEOUT_S, ConnectionSettings
from ansible_collections.dbops.multischema.plugins.module_utils.errors import MultischemaError, ServerRefused
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import APPLICATION_NAME, Database
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name, statement

try:
    import psycopg2
    import psycopg2.extras
except ImportError:  # postgres.require_driver() has said so by then
    psycopg2 = None  # type: ignore[assignment]

BY_SLOT, BY_QUIET = "slot", "quiet"
LOOK_S = 0.05
_SLOT = "multischema_"
_HERE = "SELECT pg_catalog.pg_current_wal_insert_lsn()::text"
_SNAPSHOT = "SELECT pg_catalog.pg_current_snapshot()::text"
_TIMELINE = "SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()"
# Every transaction that has written anything holds a lock on its own number until all others see it as ended.
_WRITING = """
SELECT count(*), COALESCE(string_agg(COALESCE(l.pid::text, 'a prepared transaction'), ', ' ORDER BY l.pid), '')
  FROM pg_catalog.pg_locks l WHERE l.locktype = 'transactionid' AND l.granted AND l.mode = 'ExclusiveLock'
"""


@dataclass(frozen=True)
class Moment:
    """An instant.

    :param snapshot: exported; valid as long as the context lasts.
    :param lsn: what was written before it is in the snapshot, and nothing of what comes after.
    :param timeline: of the WAL.
    :param how: `BY_SLOT` or `BY_QUIET`.
    """

    snapshot: str
    lsn: str
    timeline: int
    how: str


@contextlib.contextmanager
def exact_moment(database: Database, wait_s: float, check: Callable[[], None]) -> Iterator[Moment]:
    """Find one; the session is inside of a transaction that sees it, until the context ends.

    :param wait_s: how long is looked for one, in seconds; a slot has to wait for the end of transactions that are open.
    :param check: is called again and again, and raises when that should end.
    :raises MultischemaError: where there was none.
    """
    timeline = int(database.value(_TIMELINE))
    with contextlib.ExitStack() as stack:
        try:
            snapshot, lsn = stack.enter_context(_of_a_slot(database, wait_s))
            found = Moment(snapshot, lsn, timeline, BY_SLOT)
        except _NoSlot as error:
            snapshot, lsn = stack.enter_context(_of_a_quiet_instant(database, wait_s, check, str(error)))
            found = Moment(snapshot, lsn, timeline, BY_QUIET)
        yield found


class _NoSlot(Exception):
    """The message says why there can be none."""


@contextlib.contextmanager
def _of_a_slot(database: Database, wait_s: float) -> Iterator[tuple[str, str]]:
    with contextlib.closing(_replication(database.settings, wait_s)) as connection, database.snapshot():
        try:
            with connection.cursor() as cursor:
                cursor.execute(
                    statement("CREATE_REPLICATION_SLOT {} TEMPORARY LOGICAL pgoutput EXPORT_SNAPSHOT", Name(_SLOT + secrets.token_hex(6)))
                )
                _, lsn, snapshot, _ = cursor.fetchall()[0]
        except psycopg2.Error as error:
            raise _NoSlot(_said(error)) from error
        database.execute("SET TRANSACTION SNAPSHOT %s", (snapshot,))
        exported = str(database.value("SELECT pg_catalog.pg_export_snapshot()"))
        connection.close()  # the slot goes with it, and keeps no WAL while everything is read
        yield exported, str(lsn)


def _replication(settings: ConnectionSettings, wait_s: float) -> Any:
    options = f"{settings.parameters.get('options', '')} -c lock_timeout={int(wait_s * 1000)} -c statement_timeout=0".strip()
    parameters: dict[str, Any] = {"connect_timeout": str(CONNECT_TIMEOUT_S), **settings.parameters, "options": options}
    try:
        parameters["application_name"] = f"{APPLICATION_NAME} backup slot"
        return psycopg2.connect(connection_factory=psycopg2.extras.LogicalReplicationConnection, **parameters)
    except psycopg2.Error as error:
        raise _NoSlot(_said(error)) from error


def _said(error: psycopg2.Error) -> str:
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    return " ".join((primary or str(error).rpartition("FATAL: ")[2] or str(error)).split())


@contextlib.contextmanager
def _of_a_quiet_instant(database: Database, wait_s: float, check: Callable[[], None], why: str) -> Iterator[tuple[str, str]]:
    until = time.monotonic() + wait_s
    with Database(database.settings, "backup instant") as other:
        while True:
            with database.snapshot():
                snapshot = str(database.value("SELECT pg_catalog.pg_export_snapshot()"))
                lsn, writing = _quiet(database, other)
                if lsn:
                    yield snapshot, lsn
                    return
            check()
            if time.monotonic() >= until:
                raise MultischemaError(
                    f"For {wait_s:g} s there was no instant at which nothing was being written (in transactions of pid {writing}), "
                    f"and no replication slot can be had: {why}.",
                    "What a physical backup must hold is known at an exact place in the WAL only: a slot gives one at any time "
                    "(wal_level = logical, a free slot, a role with REPLICATION), a pause in writing without one.",
                    "Set wal_level = logical (it takes a restart), run it at a calmer time, set backup_lock_wait_s higher, or end what "
                    "has been open for long. The backup that pgbackrest has taken stays in its repository; it is not recorded here.",
                )
            time.sleep(LOOK_S)


def _quiet(database: Database, other: Database) -> tuple[str, str]:
    """The end of the WAL, where the session's snapshot is the state there; otherwise nothing, and who is writing.

    In this order: a transaction whose end is in the WAL by then, and which the snapshot does not see, still holds its lock when locks
    are looked at, or has ended by the time of the second snapshot, which is another one then.
    """
    before = database.value(_SNAPSHOT)
    lsn = str(other.value(_HERE))
    count, who = other.rows(_WRITING)[0]
    return (lsn, "") if not count and other.value(_SNAPSHOT) == before else ("", who or "none that is open long")


def is_primary(database: Database) -> bool:
    """Whether the server writes WAL of its own, and is no standby."""
    try:
        return not database.value("SELECT pg_catalog.pg_is_in_recovery()")
    except ServerRefused:
        return False
