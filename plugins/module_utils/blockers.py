"""Who stands in front of a lock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database

# A prepared transaction holds its locks without a process; it is known by the lock on its own transaction id, which shares
# its virtualtransaction (that of the session that prepared it, or -1/<xid> after a restart).
_HOLDERS = """
SELECT DISTINCT ON (COALESCE(l.pid, 0), x.gid) l.pid, COALESCE(a.usename, x.owner)::text, a.application_name, a.backend_type,
       a.state, extract(epoch FROM clock_timestamp() - COALESCE(a.xact_start, x.prepared))::float8,
       regexp_replace(left(a.query, 160), '\\s+', ' ', 'g'), l.relation::regclass::text, l.mode, x.gid
  FROM pg_catalog.pg_locks l
  LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
  LEFT JOIN pg_catalog.pg_locks t ON l.pid IS NULL AND t.pid IS NULL AND t.locktype = 'transactionid'
       AND t.mode = 'ExclusiveLock' AND t.virtualtransaction = l.virtualtransaction
  LEFT JOIN pg_catalog.pg_prepared_xacts x ON x.transaction = t.transactionid
 WHERE l.locktype = 'relation' AND l.granted AND l.relation = ANY(%s)
   AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
   AND l.pid IS DISTINCT FROM pg_backend_pid()
 ORDER BY COALESCE(l.pid, 0), x.gid
"""


@dataclass(frozen=True)
class Blocker:
    """A session or prepared transaction that holds a lock on something that has to move."""

    pid: int | None
    user: str | None
    application: str | None
    backend_type: str | None
    state: str | None
    age_s: float | None
    query: str | None
    relation: str
    mode: str
    gid: str | None

    @property
    def autovacuum(self) -> bool:
        """An ordinary autovacuum worker, which gives way when it is cancelled."""
        return self.backend_type == "autovacuum worker" and not self.wraparound

    @property
    def perhaps_autovacuum(self) -> bool:
        """What an autovacuum worker looks like to a role that may not see others' activity: no user, and its kind of lock."""
        return self.pid is not None and self.user is None and self.backend_type is None and self.mode == "ShareUpdateExclusiveLock"

    @property
    def wraparound(self) -> bool:
        """An autovacuum that must not be interrupted: it keeps the server from running out of transaction ids."""
        return self.backend_type == "autovacuum worker" and "to prevent wraparound" in (self.query or "")

    def __str__(self) -> str:
        age = "" if self.age_s is None else f", for {self.age_s:.1f} s"
        if self.gid is not None:
            return f"prepared transaction {self.gid!r} of {self.user}{age}, holds {self.mode} on {self.relation}"
        if self.pid is None:
            return f"a prepared transaction{age}, holds {self.mode} on {self.relation}"
        if self.perhaps_autovacuum:
            return f"pid {self.pid}, probably an autovacuum worker, holds {self.mode} on {self.relation}"
        who = f"pid {self.pid}, user {self.user or '?'}"
        if self.application:
            who += f", {self.application}"
        if self.backend_type and self.backend_type != "client backend":
            who += f", {self.backend_type}"
        return f"{who}, {self.state or 'state unknown'}{age}, holds {self.mode} on {self.relation}: {self.query or '(no query shown)'}"


def find_blockers(database: Database, oids: Iterable[int]) -> list[Blocker]:
    """Everyone who holds any lock on these relations, in this database.

    Query texts of other users read ``<insufficient privilege>`` unless the role has ``pg_read_all_stats``.
    """
    return [Blocker(*row) for row in database.rows(_HOLDERS, (list(oids),))]
