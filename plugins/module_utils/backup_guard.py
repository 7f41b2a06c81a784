"""A dump and a migration keep out of each other's way: who begins looks whether the other is at work.

A dump holds a lock on every table until it ends, and a step that waits for it lets all readers queue behind. A migration in the
middle of a dump would not hurt the dump, which has its snapshot. A rehearsal dumps the database too, into its copy.

Each side first says that it is there, then looks for the other. So where both begin at once, one of them sees the other (both
may, and both refuse; they never both go on).
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from ansible_collections.dbops.multischema.plugins.module_utils.errors import JournalError
from ansible_collections.dbops.multischema.plugins.module_utils.journal import ADVISORY_CLASS, Journal
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database

SETTLE_S = 5.0  # for how long a dump that begins or ends is watched
POLL_S = 0.05
_BACKUP, _REHEARSAL = 1, 2  # the second half of the advisory lock's key; 0 is that of a run
_DUMPS = f"""
SELECT a.pid, a.usename::text, COALESCE(a.application_name, ''), extract(epoch FROM now() - a.backend_start)::int, o.work,
       COALESCE(CASE WHEN o.work IS NULL THEN a.state = 'active' ELSE a.xact_start IS NOT NULL END, false)
  FROM pg_catalog.pg_stat_activity a CROSS JOIN LATERAL (
       SELECT max(l.objid::bigint) FROM pg_catalog.pg_locks l
        WHERE l.pid = a.pid AND l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
          AND l.classid = {ADVISORY_CLASS}::oid AND l.objid IN ({_BACKUP}::oid, {_REHEARSAL}::oid)) o (work)
 WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
   AND (a.application_name IN ('pg_dump', 'pg_dumpall') OR o.work IS NOT NULL)
 ORDER BY o.work IS NULL, a.pid
"""


@dataclass(frozen=True)
class RunningDump:
    """A session of a dump, or of a backup or a rehearsal that makes one.

    :param age_s: in seconds.
    :param work: what it has said of itself (`_BACKUP`, `_REHEARSAL`); None of a dump of somebody else's.
    :param busy: whether it runs a statement, or, where it has said what it does, is in a transaction; as far as that can be seen.
    """

    pid: int
    user: str
    application: str
    age_s: int
    work: int | None = None
    busy: bool = True

    @property
    def rehearsal(self) -> bool:
        """Whether it makes the copy of a rehearsal."""
        return self.work == _REHEARSAL

    def __str__(self) -> str:
        unnamed = "a rehearsal" if self.rehearsal else "a backup"
        return f"{self.application or unnamed} of {self.user}, pid {self.pid}, for {self.age_s} s"


def running_dumps(database: Database) -> list[RunningDump]:
    """Dumps of this database. Whoever may not read others' sessions (pg_monitor) still sees backups and rehearsals of this tool.

    A session outlives its program for a moment. pg_dump ends without a COMMIT, so until the server has heard of its end the session
    is idle in its transaction, as that of a dump at work is between two statements; for the rest of the moment it looks as it did
    before the transaction. So one that does nothing is watched until it has gone, or does something, or has done neither for
    `SETTLE_S`: counted in looks, because where the machine stands still for as long, the session cannot go either.
    """
    looks = int(SETTLE_S / POLL_S)
    while True:
        found = [RunningDump(*row) for row in database.rows(_DUMPS)]
        if not found or any(dump.busy for dump in found) or looks <= 0:
            return found
        looks -= 1
        time.sleep(POLL_S)
        database.execute("SELECT pg_catalog.pg_stat_clear_snapshot()")  # or a transaction would see the same again


def announce_backup(database: Database) -> None:
    """Say that a backup is at work, until this session ends; and look whether tables are being moved.

    :raises JournalError: when they are.
    """
    _announce(database, _BACKUP)
    require_no_migration(database)


def announce_rehearsal(database: Database) -> None:
    """The same for a rehearsal that makes its copy.

    :raises JournalError: when tables are being moved.
    """
    _announce(database, _REHEARSAL)
    require_no_migration(database, "no copy for a rehearsal is made meanwhile")


def _announce(database: Database, work: int) -> None:
    database.execute("SELECT pg_advisory_lock_shared(%s, %s)", (ADVISORY_CLASS, work))  # nobody takes it otherwise than shared


def require_no_migration(database: Database, therefore: str = "no backup begins meanwhile") -> None:
    """:raises JournalError: when a run of the migration is at work on this database."""
    lease = Journal(database).others_lease()
    if lease is not None and lease.live:
        raise JournalError(
            f"A migration is at work on this database: {lease.holder} (run {lease.run}); {therefore}.",
            "A dump holds a lock on every table until it ends: the migration would wait for it, and readers behind the migration.",
            f"Wait until that run has ended; where it was killed, its lease ends in {lease.left_s:.0f} s.",
        )


def require_no_dump(database: Database) -> None:
    """:raises JournalError: when a dump of this database is running."""
    found = running_dumps(database)
    if not found:
        return
    what, it, spoilt = "A dump of this database is running", "It", "dump"
    if any(dump.rehearsal for dump in found):
        what, it, spoilt = "A rehearsal is copying this database", "Its dump", "rehearsal"
    raise JournalError(
        f"{what}: {'; '.join(map(str, found))}. Nothing was changed.",
        f"{it} holds a lock on every table until it ends: each step would wait for it, and readers would wait behind the step.",
        f"Wait until it has ended; or, where this cannot wait, end it (SELECT pg_terminate_backend({found[0].pid}), which spoils that "
        f"{spoilt}). Then run the same playbook again; let no backup and no rehearsal begin during the migration.",
    )
