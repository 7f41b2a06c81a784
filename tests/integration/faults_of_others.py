"""Others: a session that does not move on, a second run, and the end of the window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from ansible_collections.dbops.multischema.plugins.module_utils import relocation_slice
from ansible_collections.dbops.multischema.plugins.module_utils.errors import JournalError
from tests.integration.databases import Target, end_session, wait_until
from tests.integration.evidence import JOURNAL, journaled
from tests.integration.faults import BEFORE_BEGIN, BEFORE_COMMIT, IMPATIENT, Fault
from tests.integration.probes import Background

if TYPE_CHECKING:
    from tests.integration.fated_core import FatedCore

_JOURNAL_GOES = f"""
SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = '{JOURNAL}' AND l.mode = 'AccessExclusiveLock' AND c.relname = 'journal'
"""
_ASKS_JOURNAL = f"""
SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = '{JOURNAL}' AND NOT l.granted
"""
_READABLE = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v') AND n.nspname = ANY(%s)
"""


class IdleInTransaction(Fault):
    """A session has read every table, by the old name and the new, and does nothing more."""

    name = "idle"
    title = "session idle in transaction"
    how = "another session has read every table in a transaction that it does not end; the step's deadline passes"
    answer = "gives way, tries again until the deadline, then fails and names the session"
    way_on = "end that session, the same playbook"
    places = (BEFORE_BEGIN,)
    pace = IMPATIENT
    always = False  # steps that move nothing are not in its way

    def __init__(self) -> None:
        self._session: Connection | None = None

    def strike(self) -> None:
        """Read."""
        tables = self.fate.target.rows(_READABLE, (["public", *self.fate.targets],))
        self._session = self.fate.target.server.connect(self.fate.target.name)
        with self._session.cursor() as cursor:
            cursor.execute("BEGIN")
            for schema, name in tables:
                cursor.execute(sql.SQL("SELECT FROM {} LIMIT 0").format(sql.Identifier(schema, name)))

    def heal(self, target: Target) -> None:
        """It ends."""
        if self._session is not None:
            end_session(self._session)
            self._session = None
        super().heal(target)

    def judge(self) -> None:
        """It is named."""
        super().judge()
        if self.fate.error is not None and self._session is not None:
            assert f"pid {self._session.info.backend_pid}" in str(self.fate.error)
            assert "idle in transaction" in str(self.fate.error)


class SecondRun(Fault):
    """Somebody else starts a run; it is refused, and this one does not notice."""

    name = "second run"
    title = "second run"
    how = "another run of the same kind is started; it is refused, and the first one goes through"
    answer = "the second one is refused and told who is at work; the first one goes through"
    way_on = "wait for the first one"
    always = False
    places = (BEFORE_BEGIN, BEFORE_COMMIT)

    def __init__(self) -> None:
        self._other: Any = None
        self._waiting: Background | None = None
        self.refused = ""

    def begin(self, core: FatedCore, back: bool) -> None:
        """Decide what it would do: at the boundary, catalogs of tables that are locked could not be read."""
        other = core.unharmed()
        self._other = other.rolling_back() if back else other.applying()
        self._waiting, self.refused = None, ""

    def strike(self) -> None:
        """Start it. While the journal is being removed it waits for that, and finds nothing left to do."""
        if self.fate.target.value(_JOURNAL_GOES):
            self._waiting = other = Background(self._other)
            wait_until(lambda: self.fate.target.value(_ASKS_JOURNAL) or not other.is_alive(), "it asks the journal that goes")
            return
        with pytest.MonkeyPatch.context() as patch:
            for name in ("ADVISORY_LOCK_WAIT_S", "LOST_WAIT_S"):
                patch.setattr(relocation_slice, name, 0.0)
            with pytest.raises(JournalError, match="Another run is working") as refusal:
                self._other()
        self.refused = str(refusal.value)

    def judge(self) -> None:
        """The first one has gone through."""
        assert self.fate.error is None, f"the first run has failed: {self.fate.error}"
        if self._waiting is not None:
            self._waiting.finish()
            return
        assert "What to do: " in self.refused


class WindowEnds(Fault):
    """The maintenance window ends."""

    name = "window"
    title = "end of the window"
    how = "the maintenance window ends; the step that is under way is finished, no other begins, and the run says so"
    answer = "finishes the step that is under way, begins no other, and fails with what is done"
    way_on = "the same playbook in the next window, or `rollback.yml` at any time"
    places = (BEFORE_BEGIN, BEFORE_COMMIT)
    both_ways = False  # whoever goes back is not held by it
    always = False  # it is no error of the core: the door makes one of it

    def strike(self) -> None:
        """It is over."""
        self.done = len(journaled(self.fate.target))
        assert self.fate.sign is not None
        self.fate.sign.ended = True

    def judge(self) -> None:
        """At most the step that was under way was finished, and what is left is known to be left."""
        assert self.fate.error is None, str(self.fate.error)
        done = len(journaled(self.fate.target))
        assert done - self.done <= 1, f"{self.fate.where}: {done - self.done} steps were done after the end of the window"
        assert self.fate.result.window_ended == (done < self.fate.steps), (self.fate.where, done)
