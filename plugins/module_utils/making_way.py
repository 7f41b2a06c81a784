"""Those in front of a step who will not go by themselves."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ansible_collections.dbops.multischema.plugins.module_utils.blockers import Blocker
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ServerRefused, StepFailed
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Step
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Text

GIVES_WAY_S = 5.0  # for how long a worker that was told to end is watched: its process may stand still on a busy machine
POLL_S = 0.05


class MakingWay:
    """What is done about blockers over the attempts of one step.

    An application's session is only ever waited for. An ordinary autovacuum is cancelled; where the right to do so is missing,
    the server's own deadlock check does it for a lock that is waited for longer than ``deadlock_timeout``. Because such a long
    attempt makes the application wait as long, there is one for each worker, and none behind anyone else who stays. What the
    server has told to end is given a moment to do so, for which nobody waits.

    ``cancelled`` counts the workers that were asked to stop.

    :param look: who is in front now.
    """

    def __init__(self, database: Database, step: Step, look: Callable[[], Sequence[Blocker]]) -> None:
        self.cancelled = 0
        self._database = database
        self._step = step
        self._look = look
        self._waited_out: set[int | None] = set()  # workers behind whom a long attempt has been made
        self._before: set[int | None] | None = None  # who was in front of the attempt before

    def clear(self, blockers: Sequence[Blocker], waited_ms: float) -> bool:
        """Deal with those who were in front of an attempt.

        :param waited_ms: how long that attempt has lasted.
        :returns: whether the next attempt has to be a long one.
        :raises StepFailed: where waiting is in vain.
        """
        before, self._before = self._before, {blocker.pid for blocker in blockers}
        blockers = [blocker for blocker in blockers if not self._has_given_way(blocker)]
        self._refuse_the_stubborn(blockers)
        workers = [blocker for blocker in blockers if blocker.autovacuum or blocker.perhaps_autovacuum]
        others = [blocker for blocker in blockers if blocker not in workers]
        if not workers or any(blocker.stays(waited_ms, before) for blocker in others):
            return False
        try:
            for worker in workers:
                self._database.value("SELECT pg_cancel_backend(%s)", (worker.pid,))
                self.cancelled += 1
        except ServerRefused:
            self._waited_out.update(worker.pid for worker in workers)
            return True
        return False

    def _has_given_way(self, blocker: Blocker) -> bool:
        """Whether it is a worker behind whom a long attempt was made, and goes within a few seconds."""
        if blocker.pid not in self._waited_out:
            return False
        until = time.monotonic() + GIVES_WAY_S
        while any(other.pid == blocker.pid for other in self._look()):
            if time.monotonic() > until:
                return False
            time.sleep(POLL_S)
        self._waited_out.discard(blocker.pid)
        return True

    def _refuse_the_stubborn(self, blockers: Sequence[Blocker]) -> None:
        title = self._step.title
        for blocker in blockers:
            if blocker.gid is not None:
                gid = Text(blocker.gid).as_string()
                raise StepFailed(
                    self._step.id,
                    f"{title}: a prepared transaction stands in the way: {blocker}.",
                    "It holds its locks until someone finishes it, however long that takes.",
                    f"COMMIT PREPARED {gid} or ROLLBACK PREPARED {gid}, whichever its owner says; then run again.",
                )
            if blocker.wraparound:
                raise StepFailed(
                    self._step.id,
                    f"{title}: an autovacuum that prevents transaction id wraparound works on it: {blocker}.",
                    "It protects the server from stopping, and would only begin again if it were cancelled.",
                    f"Let it finish (SELECT * FROM pg_stat_progress_vacuum WHERE pid = {blocker.pid} shows how far it is), then run again.",
                )
            if blocker.pid in self._waited_out:
                raise StepFailed(
                    self._step.id,
                    f"{title}: an autovacuum does not give way: {blocker}.",
                    "An ordinary one is cancelled by the server for a lock that is waited for longer than deadlock_timeout. This one "
                    "was not, so it seems to prevent transaction id wraparound; what it runs, this role may not see.",
                    f"Let it finish (SELECT * FROM pg_stat_progress_vacuum WHERE pid = {blocker.pid} shows how far it is), then run "
                    "again. GRANT pg_monitor TO the migrating role, and such a worker is known at once.",
                )
