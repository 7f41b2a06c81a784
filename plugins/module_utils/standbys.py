"""Standbys that replay each move, and how far behind they are."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ansible_collections.dbops.multischema.plugins.module_utils.errors import StepFailed
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Step
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database

LOOK_EVERY_S = 1.0

# ``replay_lag`` keeps its last value while nothing is written, so only a standby that has something left to replay counts.
# Consumers of logical slots replay no locks. Columns read NULL without ``pg_read_all_stats``: then nothing is found.
_BEHIND = """
SELECT COALESCE(NULLIF(r.application_name, ''), 'pid ' || r.pid) || COALESCE(' at ' || host(r.client_addr), ''),
       extract(epoch FROM r.replay_lag)::float8, pg_wal_lsn_diff(pg_current_wal_lsn(), r.replay_lsn)::bigint
  FROM pg_catalog.pg_stat_replication r
 WHERE r.replay_lsn < pg_current_wal_lsn() AND r.replay_lag > %s * interval '1 s'
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_replication_slots s WHERE s.active_pid = r.pid AND s.slot_type = 'logical')
 ORDER BY 1
"""


class Standbys:
    """The standbys of the connected server, looked at from time to time.

    :param max_lag_s: how far behind is too far, in seconds; 0 for never looking.
    """

    def __init__(self, database: Database, max_lag_s: float) -> None:
        self._database = database
        self._max_lag_s = max_lag_s
        self._looked: float | None = None

    def behind(self, now: bool = False) -> list[str]:
        """Those that are too far behind, in words.

        :param now: look, even where that was done a moment ago.
        """
        if not self._max_lag_s or (not now and self._looked is not None and time.monotonic() - self._looked < LOOK_EVERY_S):
            return []
        self._looked = time.monotonic()
        rows = self._database.rows(_BEHIND, (self._max_lag_s,))
        return [f"standby {name} is {lag:.1f} s behind with its replay ({left} bytes of WAL)" for name, lag, left in rows]


def too_far_behind(step: Step, behind: Sequence[str], deadline_s: float) -> StepFailed:
    """What a run says that has waited for standbys in vain."""
    return StepFailed(
        step.id,
        f"{step.title}: standbys have not caught up within {deadline_s:g} s: {'; '.join(behind)}.",
        "Each move is replayed on them under the same lock, so readers there would wait for all that has piled up.",
        "See why its replay stands still (a long query there, or pg_wal_replay_pause), then run the same playbook again; "
        "multischema_max_replay_lag_s says how far behind is too far, 0 for not looking.",
    )
