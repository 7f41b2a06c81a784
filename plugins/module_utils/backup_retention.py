"""Which backups go once a new one is there (pure)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import Manifest
from ansible_collections.dbops.multischema.plugins.module_utils.database_identity import DatabaseIdentity


def to_be_removed(
    backups: Iterable[Manifest], database: DatabaseIdentity, now: datetime, keep_count: int, keep_days: float
) -> list[Manifest]:
    """Those of this very database that are beyond the newest few, or too old.

    The newest backup stays, and so does the newest one that somebody has proved by restoring it: what comes after it may yet
    turn out to be none. Backups of other databases are not looked at.

    :param keep_count: how many stay; 0 for no limit.
    :param keep_days: for how long they stay, in days since they were complete; 0 for no limit.
    :returns: the oldest first.
    """
    own = sorted((backup for backup in backups if backup.database.is_the_same_as(database)), key=lambda backup: (backup.ended, backup.name))
    newest_first = own[::-1]
    beyond = newest_first[keep_count:] if keep_count else []
    too_old = [backup for backup in own if keep_days and now - backup.ended > timedelta(days=keep_days)]
    kept = newest_first[:1] + [backup for backup in newest_first if backup.proved][:1]
    going = {backup.name for backup in (*beyond, *too_old)} - {backup.name for backup in kept}
    return [backup for backup in own if backup.name in going]
