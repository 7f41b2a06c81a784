"""Who stands in front of a lock."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database

# A prepared transaction holds its locks without a process; it is known by the lock on its own transaction id, which shares
# its virtualtransaction (that of the session that prepared it, or -1/<xid> after a restart). Of each holder the strongest lock
# is shown. The views about progress tell everyone who runs what; how far it is, only those who may see other sessions.
_HOLDERS = """
SELECT DISTINCT ON (COALESCE(l.pid, 0), x.gid)
       l.pid, COALESCE(a.usename, a.usesysid::text, x.owner)::text, a.application_name, a.backend_type,
       a.state, extract(epoch FROM clock_timestamp() - COALESCE(a.xact_start, x.prepared))::float8,
       regexp_replace(left(a.query, 160), '[[:space:]]+', ' ', 'g'), l.relation::regclass::text, l.mode, x.gid,
       COALESCE(
         CASE WHEN v.pid IS NOT NULL THEN concat_ws(', ', 'VACUUM', v.phase,
              round(100.0 * v.heap_blks_scanned / NULLIF(v.heap_blks_total, 0)) || ' %% of the table scanned') END,
         CASE WHEN i.pid IS NOT NULL THEN concat_ws(', ', COALESCE(i.command, 'CREATE INDEX or REINDEX'), i.phase,
              round(100.0 * i.blocks_done / NULLIF(i.blocks_total, 0)) || ' %% of this phase') END,
         CASE WHEN n.pid IS NOT NULL THEN concat_ws(', ', 'ANALYZE', n.phase,
              round(100.0 * n.sample_blks_scanned / NULLIF(n.sample_blks_total, 0)) || ' %% of the sample read') END,
         CASE WHEN c.pid IS NOT NULL THEN concat_ws(', ', COALESCE(c.command, 'CLUSTER or VACUUM FULL'), c.phase) END)
  FROM pg_catalog.pg_locks l
  LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
  LEFT JOIN pg_catalog.pg_stat_progress_vacuum v ON v.pid = l.pid
  LEFT JOIN pg_catalog.pg_stat_progress_create_index i ON i.pid = l.pid
  LEFT JOIN pg_catalog.pg_stat_progress_analyze n ON n.pid = l.pid
  LEFT JOIN pg_catalog.pg_stat_progress_cluster c ON c.pid = l.pid
  LEFT JOIN pg_catalog.pg_locks t ON l.pid IS NULL AND t.pid IS NULL AND t.locktype = 'transactionid'
       AND t.mode = 'ExclusiveLock' AND t.virtualtransaction = l.virtualtransaction
  LEFT JOIN pg_catalog.pg_prepared_xacts x ON x.transaction = t.transactionid
 WHERE l.locktype = 'relation' AND l.granted AND l.relation = ANY(%s)
   AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
   AND l.pid IS DISTINCT FROM pg_backend_pid() AND (l.pid IS NULL OR a.pid IS NOT NULL)
 ORDER BY COALESCE(l.pid, 0), x.gid, array_position(ARRAY['AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock',
       'ShareUpdateExclusiveLock', 'RowExclusiveLock', 'RowShareLock', 'AccessShareLock'], l.mode)
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
    doing: str | None = None

    @property
    def autovacuum(self) -> bool:
        """An ordinary autovacuum worker, which gives way when it is cancelled."""
        return self.backend_type == "autovacuum worker" and not self.wraparound

    @property
    def perhaps_autovacuum(self) -> bool:
        """What an autovacuum worker looks like to a role that may not see others' activity.

        Whose session it is everyone may see, of what kind it is not; and of the processes that lock tables only autovacuum
        workers are nobody's.
        """
        return self.pid is not None and self.user is None and self.backend_type is None

    @property
    def wraparound(self) -> bool:
        """An autovacuum that must not be interrupted: it keeps the server from running out of transaction ids."""
        return self.backend_type == "autovacuum worker" and "to prevent wraparound" in (self.query or "")

    def stays(self, waited_ms: float, before: Container[int | None] | None) -> bool:
        """Whether it was in front for a whole attempt, and does not only come and go.

        :param waited_ms: how long the attempt has lasted.
        :param before: who was in front of the attempt before that, None where it was the first: all that can be told where
            ages are hidden.
        """
        if self.age_s is None:
            return before is None or self.pid in before
        return self.age_s * 1000 >= waited_ms

    def __str__(self) -> str:
        doing = f", at work: {self.doing}" if self.doing else ""
        age = "" if self.age_s is None else f", for {self.age_s:.1f} s"
        if self.gid is not None:
            return f"prepared transaction {self.gid!r} of {self.user}{age}, holds {self.mode} on {self.relation}"
        if self.pid is None:
            return f"a prepared transaction{age}, holds {self.mode} on {self.relation}"
        if self.perhaps_autovacuum:
            return f"pid {self.pid}, probably an autovacuum worker{doing}, holds {self.mode} on {self.relation}"
        who = f"pid {self.pid}, user {self.user or '?'}"
        if self.application:
            who += f", {self.application}"
        if self.backend_type and self.backend_type != "client backend":
            who += f", {self.backend_type}"
        return (
            f"{who}, {self.state or 'state unknown'}{age}{doing}, holds {self.mode} on {self.relation}: {self.query or '(no query shown)'}"
        )


def find_blockers(database: Database, oids: Iterable[int]) -> list[Blocker]:
    """Everyone who holds any lock on these relations, in this database.

    Query texts of other users read ``<insufficient privilege>`` unless the role has ``pg_read_all_stats``.
    """
    return [Blocker(*row) for row in database.rows(_HOLDERS, (list(oids),))]
