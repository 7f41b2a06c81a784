"""What has become of a step whose connection was lost: the one question that the error itself cannot answer.

When the answer to a ``COMMIT`` does not come, it may have been carried out or not. The journal knows, as soon as the session
that was lost has ended; until then that session holds its locks, so it is ended here if it still stands.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from ansible_collections.dbops.multischema.plugins.module_utils.errors import (
    MultischemaError,
    ServerRefused,
    StepFailed,
)
from ansible_collections.dbops.multischema.plugins.module_utils.journal import Journal
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database

WAIT_S = 5.0  # for sessions that have been told to end
POLL_S = 0.05

# Only the run that has the lease has such sessions, so those of this role that began before this one are what it has lost.
_LOST = """
 FROM pg_catalog.pg_stat_activity a, pg_catalog.pg_stat_activity me
 WHERE me.pid = pg_backend_pid() AND a.pid <> me.pid AND a.datid = me.datid AND a.usesysid = me.usesysid
   AND a.application_name = me.application_name AND a.backend_start < me.backend_start
"""


def add_what_became_of_it(error: MultischemaError, connect: Callable[[], Database], run: str, undoes: bool) -> None:
    """Ask the server once more, and write into the error what has become of the step; end the run, as far as that is possible.

    :param connect: opens a direct connection; to ask takes no longer than that, and `WAIT_S`.
    :param run: which had the lease when the connection was lost.
    :param undoes: whether its steps are undone.
    """
    try:
        with connect() as database:
            said = _ask(Journal(database), error, run, undoes)
    except MultischemaError:
        said = (
            "Nobody answers there now, so whether it was the last thing to be done will be seen when it does. The server ends what "
            "is left of this session, with its locks, within seconds."
        )
    error.why = f"{error.why} {said}".strip()


def _ask(journal: Journal, error: MultischemaError, run: str, undoes: bool) -> str:
    if not journal.exists():
        return "The journal was asked again: there is none, so nothing has been done."
    if not journal.renew_lease(run):
        return "Another run has taken over in the meantime."
    if not _end_the_lost(journal.database):
        return "The session that was lost has not ended yet; the journal will say what it has done."
    in_effect = {entry.step.id for entry in journal.done()}
    journal.end_run(run, "failed")
    journal.release_lease(run)
    if not isinstance(error, StepFailed):
        return "What is left of the session has been ended."
    done = (error.step_id in in_effect) != undoes
    verb = "undone" if undoes else "done"
    return f"The journal was asked again: the step is {verb}." if done else f"The journal was asked again: the step is not {verb}."


def _end_the_lost(database: Database) -> bool:
    """:returns: whether none of them is left."""
    with contextlib.suppress(ServerRefused):  # who acts as another role may not; then they end by themselves, as the server was told
        database.value(f"SELECT count(pg_terminate_backend(a.pid)) {_LOST}")
    until = time.monotonic() + WAIT_S
    while database.value(f"SELECT count(*) {_LOST}"):
        if time.monotonic() > until:
            return False
        time.sleep(POLL_S)
    return True
