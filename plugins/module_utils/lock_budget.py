"""How much of the server's lock table the steps need.

The lock table is shared: it has room for ``max_locks_per_transaction`` locks for each of ``max_connections`` and
``max_prepared_transactions`` (PostgreSQL manual, 19.12). Once it is full, sessions that have nothing to do with the
migration fail.
"""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Step
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database

SHARE = 0.25  # beyond a quarter of the lock table, sessions that have nothing to do with it begin to fail
PER_STEP = 16  # its transaction, the schemas, the publication, the journal, and the catalogs that are read to prove the move
PER_VIEW = 4  # the view, its rule, its row type and its array type: what the rollback drops
PER_PUBLICATION = 2


def locks_of(step: Step) -> int:
    """The most locks in the shared table that a step takes, on its way there or back.

    Indexes take none, and neither do tables that foreign keys lead to.
    """
    kinds = [member.kind for member in step.members]
    views = sum(member.view for member in step.members)
    roles = {sql.rsplit(" TO ", 1)[-1] for sql in step.do if sql.startswith("GRANT ")}
    own = sum(kind in "rpfSs" for kind in kinds)
    return PER_STEP + own + PER_VIEW * views + PER_PUBLICATION * len(step.detail.get("publications", ())) + len(roles)


def locks_at_once(steps: Iterable[Step], workers: int = 1) -> int:
    """The most locks that are held at the same time: those of the largest steps, one for each worker."""
    return sum(sorted((locks_of(step) for step in steps), reverse=True)[: max(1, workers)])


def lock_table_slots(database: Database) -> int:
    """How many locks the server's lock table has room for, at least."""
    return int(
        database.value(
            "SELECT current_setting('max_locks_per_transaction')::int "
            "* (current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int)"
        )
    )


def require_room(database: Database, locks: int) -> None:
    """Refuse to begin what would fill the lock table.

    :param locks: held at the same time, from :func:`locks_at_once`; nothing is asked where it is 0.
    :raises ConfigurationError: with the figures.
    """
    if not locks:
        return
    slots = lock_table_slots(database)
    if locks >= slots * SHARE:
        raise ConfigurationError(
            f"The largest steps take {locks} locks at the same time, {locks / slots:.0%} of the {slots} that this server has room for.",
            f"Beyond {SHARE:.0%} other sessions begin to fail with 'out of shared memory'. Nothing was touched.",
            remedy_for(locks),
        )


def remedy_for(locks: int) -> str:
    """What to do about a lock table that is too small."""
    return (
        f"Raise max_locks_per_transaction so that it has room for {int(locks / SHARE) + 1} (needs a restart), set multischema_workers "
        "to 1, or reduce the number of partitions first."
    )
