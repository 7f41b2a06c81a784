"""A dump and a migration keep out of each other's way: who begins looks whether the other is at work.

A dump holds a lock on every table until it ends, and a step that waits for it lets all readers queue behind. A migration in the
middle of a dump would not hurt the dump, which has its snapshot.

Each side first says that it is there, then looks for the other. So where both begin at once, one of them sees the other (both
may, and both refuse; they never both go on).
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.dbops.multischema.plugins.module_utils.errors import JournalError
from ansible_collections.dbops.multischema.plugins.module_utils.journal import ADVISORY_CLASS, Journal
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database

_BACKUP = 1  # the second half of the advisory lock's key; 0 is that of a run
_DUMPS = f"""
SELECT a.pid, a.usename::text, COALESCE(a.application_name, ''), extract(epoch FROM now() - a.backend_start)::int
  FROM pg_catalog.pg_stat_activity a
 WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
   AND (a.application_name IN ('pg_dump', 'pg_dumpall') OR EXISTS (
        SELECT FROM pg_catalog.pg_locks l
         WHERE l.pid = a.pid AND l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
           AND l.classid = {ADVISORY_CLASS}::oid AND l.objid = {_BACKUP}::oid))
 ORDER BY a.pid
"""


@dataclass(frozen=True)
class RunningDump:
    """A session of a dump, or of a backup that makes one.

    :param age_s: in seconds.
    """

    pid: int
    user: str
    application: str
    age_s: int

    def __str__(self) -> str:
        return f"{self.application or 'a backup'} of {self.user}, pid {self.pid}, for {self.age_s} s"


def running_dumps(database: Database) -> list[RunningDump]:
    """Dumps of this database. Whoever may not read others' sessions (pg_monitor) still sees backups of this tool."""
    return [RunningDump(*row) for row in database.rows(_DUMPS)]


def announce_backup(database: Database) -> None:
    """Say that a backup is at work, until this session ends; and look whether tables are being moved.

    :raises JournalError: when they are.
    """
    database.execute("SELECT pg_advisory_lock_shared(%s, %s)", (ADVISORY_CLASS, _BACKUP))  # nobody takes it otherwise than shared
    require_no_migration(database)


def require_no_migration(database: Database) -> None:
    """:raises JournalError: when a run of the migration is at work on this database."""
    journal = Journal(database)
    lease = journal.lease() if journal.exists() else None
    if lease is not None and lease.live:
        raise JournalError(
            f"A migration is at work on this database: {lease.holder} (run {lease.run}); no backup begins meanwhile.",
            "A dump holds a lock on every table until it ends: the migration would wait for it, and readers behind the migration.",
            f"Wait until that run has ended; where it was killed, its lease ends in {lease.left_s:.0f} s.",
        )


def require_no_dump(database: Database) -> None:
    """:raises JournalError: when a dump of this database is running."""
    found = running_dumps(database)
    if found:
        raise JournalError(
            f"A dump of this database is running: {'; '.join(map(str, found))}. Nothing was changed.",
            "It holds a lock on every table until it ends: each step would wait for it, and readers would wait behind the step.",
            f"Wait until it has ended; or, where this cannot wait, end it (SELECT pg_terminate_backend({found[0].pid}), which spoils that "
            "dump). Then run the same playbook again; let no backup begin during the migration.",
        )
