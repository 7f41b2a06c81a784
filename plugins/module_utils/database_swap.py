"""A restored database takes the live one's name: two renames in one transaction.

At every instant there is one database of that name, the old or the new one, also when the server or this process dies. Whoever
connects meanwhile waits.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.connection import ConnectionSettings
from ansible_collections.dbops.multischema.plugins.module_utils.errors import MultischemaError, ServerRefused
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name, statement

OBJECT_IN_USE = "55006"
ATTEMPTS = 4  # each waits 5 s inside the server for sessions that do not end
END_EVERY_S = 0.1
LOST_WAIT_S = 10.0  # for a session of ours that was lost, and told to end
POLL_S = 0.05
_SESSIONS = """
SELECT a.pid, COALESCE(a.usename::text, ''), COALESCE(a.application_name, '') FROM pg_catalog.pg_stat_activity a
 WHERE a.datname = %s AND a.pid <> pg_backend_pid() ORDER BY a.pid
"""
# By the name as well: once the names are swapped, who comes in next comes to stay.
_END = """
SELECT pg_catalog.pg_terminate_backend(a.pid)
  FROM pg_catalog.pg_stat_activity a JOIN pg_catalog.pg_database d ON d.oid = a.datid
 WHERE d.oid = %s::oid AND d.datname = %s AND a.pid <> pg_backend_pid()
"""
_ME = "SELECT a.pid, a.backend_start FROM pg_catalog.pg_stat_activity a WHERE a.pid = pg_backend_pid()"
_OF_LOST = "FROM pg_catalog.pg_stat_activity a WHERE a.pid = %s AND a.backend_start = %s"


class SwapUnknown(MultischemaError):
    """The connection was lost while the names were swapped, and whether that was committed cannot be seen yet."""


def sessions_of(database: Database, name: str) -> list[str]:
    """Who is connected to a database of this server, in words."""
    return [f"pid {pid}, {user} {application}".strip() for pid, user, application in database.rows(_SESSIONS, (name,))]


def swap(other: ConnectionSettings, live: str, new: str, kept: str) -> int:
    """Give the new database the live one's name, and the live one another, in one transaction.

    :param other: a third database of that server.
    :returns: the OID of the one that is live now.
    :raises MultischemaError: when sessions of the live database do not end; nothing was changed then.
    :raises SwapUnknown: when the connection was lost, and the server cannot be asked what has become of it.
    """
    with Database(other, "restore") as database, Database(other, "restore sessions") as ender:
        me = database.rows(_ME)[0]
        oids = {name: database.value("SELECT oid::bigint FROM pg_catalog.pg_database WHERE datname = %s", (name,)) for name in (live, new)}
        for attempt in range(ATTEMPTS):
            try:
                with _sessions_ending(ender, oids), database.transaction():
                    # This takes a lock that whoever connects waits for; so nobody comes in any more, and who is in is being ended.
                    database.execute(statement("ALTER DATABASE {} RENAME TO {}", Name(live), Name(kept)))
                    database.execute(statement("ALTER DATABASE {} RENAME TO {}", Name(new), Name(live)))
                    database.execute(statement("ALTER DATABASE {} ALLOW_CONNECTIONS false", Name(kept)))
                return int(oids[new])
            except ServerRefused as error:
                if database.broken:
                    if _was_committed(other, me, live, kept, int(oids[new])):
                        return int(oids[new])
                    raise _not_swapped(live, [], error) from error
                if error.sqlstate != OBJECT_IN_USE or attempt == ATTEMPTS - 1:
                    raise _not_swapped(live, sessions_of(database, live), error) from error
    raise AssertionError("the last attempt returns or raises")


def _was_committed(other: ConnectionSettings, lost: tuple[Any, ...], live: str, kept: str, new: int) -> bool:
    """Whether the swap was committed, although its answer did not come.

    A session that was lost may still be in the middle of its ``COMMIT``: only once it has ended is that decided. The server may have
    died with it, and need a moment to start again.

    :raises SwapUnknown: when it does not end, or nobody answers.
    """
    until = time.monotonic() + LOST_WAIT_S
    while True:
        try:
            with Database(other, "restore") as database:
                if not database.value(f"SELECT count(pg_catalog.pg_terminate_backend(a.pid)) {_OF_LOST}", lost):
                    return bool(database.value("SELECT oid = %s::oid FROM pg_catalog.pg_database WHERE datname = %s", (new, live)))
                found = f"The session that was lost (pid {lost[0]}) has not ended yet."
        except MultischemaError as error:
            found = error.found
        if time.monotonic() > until:
            raise SwapUnknown(
                f"The connection was lost while the restored database took the place of {live}, and whether it has cannot be seen yet. "
                f"{found}",
                f"It is one transaction: either {live} is the restored database and {kept} the old one, or {live} is the old one still "
                f"and there is no {kept}.",
                "When the server answers again, look at its list of databases. Where the old one is still live, run the restore again: it "
                "drops what this one has left.",
            )
        time.sleep(POLL_S)


def _not_swapped(live: str, connected: list[str], error: ServerRefused) -> MultischemaError:
    return MultischemaError(
        f"The restored database could not take the place of {live}: {error.found}"
        + (f" Still connected: {'; '.join(connected)}." if connected else ""),
        error.why or "A database with sessions in it cannot be renamed. They are ended; these did not end, or this role may not end them.",
        error.remedy or "End them (a superuser can end any), stop what connects again and again, then run it again.",
    )


@contextlib.contextmanager
def _sessions_ending(ender: Database, oids: Mapping[str, int]) -> Iterator[None]:
    """End every session of these databases, again and again, while something waits for that.

    :param oids: by the names that they have until then.
    """
    enough = threading.Event()

    def end() -> None:
        while True:
            with contextlib.suppress(ServerRefused):  # not ours to end: the rename says who is left
                for name, oid in oids.items():
                    ender.execute(_END, (oid, name))
            if enough.wait(END_EVERY_S):
                return

    thread = threading.Thread(target=end, daemon=True)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()
