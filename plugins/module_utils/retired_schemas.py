"""The end of a schema that the rollback takes away: first its name, then the schema itself.

A session that has the schema on its search_path finds it by its name, and then asks by its OID whether it may use it. Dropped in
between, that is an error in whatever statement the session was just parsing: "schema with OID … does not exist". So undoing
phase 1 gives the empty schema another name, and from the next statement on nobody finds it any more; it is dropped once every
transaction that was running then has ended.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ansible_collections.dbops.multischema.plugins.module_utils.checks import count_of
from ansible_collections.dbops.multischema.plugins.module_utils.configuration import MAX_IDENTIFIER_BYTES, RETIRED_PREFIX
from ansible_collections.dbops.multischema.plugins.module_utils.errors import JournalError, ServerRefused
from ansible_collections.dbops.multischema.plugins.module_utils.plan import PHASE_SCHEMAS, Step
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import LOCK_NOT_AVAILABLE, OBJECTS_DEPEND, Database
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name, statement
from ansible_collections.dbops.multischema.plugins.module_utils.step_transaction import of_step

POLL_S = 0.05
LOCKED = "a session that holds a lock on one of them"  # when all those who were running have ended

# Every transaction holds a lock on its own virtual id, which everyone may see; since when it runs not everyone may. Processes
# that are nobody's (autovacuum) resolve no names for anybody.
_AT_WORK = """
SELECT l.virtualtransaction, concat_ws(', ', 'pid ' || l.pid, 'user ' || COALESCE(a.usename::text, a.usesysid::text),
         NULLIF(a.application_name, ''), a.state,
         'for ' || round(extract(epoch FROM clock_timestamp() - a.xact_start)::numeric, 1) || ' s')
         || COALESCE(': ' || regexp_replace(left(a.query, 160), '[[:space:]]+', ' ', 'g'), '')
  FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
 WHERE l.locktype = 'virtualxid' AND l.mode = 'ExclusiveLock' AND l.granted AND l.pid <> pg_backend_pid()
   AND a.datname = current_database() AND a.usesysid IS NOT NULL
 ORDER BY l.pid
"""

_INSIDE = """
SELECT pg_describe_object(classid, objid, objsubid) FROM pg_catalog.pg_depend
 WHERE refclassid = 'pg_catalog.pg_namespace'::regclass AND refobjid = to_regnamespace(%s) AND deptype = 'n' ORDER BY 1
"""


def retired_name(schema: str) -> str:
    """What a schema is called between its undoing and its end; always the same, so that whoever comes later finds it."""
    name = RETIRED_PREFIX + schema
    if len(name.encode()) <= MAX_IDENTIFIER_BYTES:
        return name
    return RETIRED_PREFIX + hashlib.sha256(schema.encode()).hexdigest()[:32]


def retire(schema: str) -> str:
    """The statement that takes the name away."""
    return statement("ALTER SCHEMA {} RENAME TO {}", Name(schema), Name(retired_name(schema)))


def drop_step(schema: str) -> Step:
    """What drops a retired schema. It is no step of a plan: the schema has ended with its undoing, and this clears away."""
    drop = statement("DROP SCHEMA {}", Name(retired_name(schema)))
    return Step(
        id=f"drop_schema:{schema}",
        phase=PHASE_SCHEMAS,
        kind="drop_schema",
        title=f"Drop what was schema {Name(schema).as_string()}, once all transactions have ended that could still look into it",
        do=(drop,),
        undo=(drop,),
        detail={"schema": schema},
    )


def inside(database: Database, schema: str) -> list[str]:
    """What a retired schema holds, in words."""
    return [row[0] for row in database.rows(_INSIDE, (Name(retired_name(schema)).as_string(),))]


def present(database: Database, schemas: Iterable[str]) -> list[str]:
    """Those of some schemas, by their former names, that are there as retired ones."""
    names = {retired_name(schema): schema for schema in schemas}
    rows = database.rows("SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname = ANY(%s)", (list(names),))
    return sorted(names[row[0]] for row in rows)


@dataclass(frozen=True)
class Patience:
    """How far a run has come with waiting for transactions.

    :param older: those that were running when it began to wait, by their virtual id; None where it begins now.
    :param spent_s: for how long it has waited, in seconds.
    """

    older: Sequence[str] | None = None
    spent_s: float = 0.0


@dataclass(frozen=True)
class Waiting:
    """Transactions that are still running: their virtual ids, and who they are."""

    older: list[str]
    who: list[str]


class Undertaker:
    """Drops retired schemas.

    :param should_stop: true ends the waiting for now.
    """

    def __init__(self, database: Database, lock_timeout_ms: int, deadline_s: float, should_stop: Callable[[], bool]) -> None:
        self.database = database
        self._lock_timeout_ms = lock_timeout_ms
        self._deadline_s = deadline_s
        self._should_stop = should_stop

    def drop(self, schemas: Iterable[str], patience: Patience) -> Waiting | None:
        """Drop those of the schemas that have been retired, once nobody can be looking for them.

        :returns: None when none is left; otherwise for whom to wait, in a later call that is given them as ``older``.
        :raises JournalError: when the deadline passes, or something has been put into one of them.
        """
        left = present(self.database, schemas)
        if not left:
            return None
        started = time.monotonic()
        waiting = self._still_running(patience.older)
        while waiting.older or not self._dropped(left):
            if patience.spent_s + time.monotonic() - started > self._deadline_s:
                raise _too_long(left, waiting.who, self._deadline_s)
            if self._should_stop():
                return waiting
            time.sleep(POLL_S)
            waiting = self._still_running(waiting.older)
        return None

    def _still_running(self, older: Sequence[str] | None) -> Waiting:
        found = [(virtual, who) for virtual, who in self.database.rows(_AT_WORK) if older is None or virtual in older]
        return Waiting([virtual for virtual, _ in found], [who for _, who in found] or [LOCKED])

    def _dropped(self, schemas: Sequence[str]) -> bool:
        """Drop them. :returns: false where somebody holds a lock on one."""
        for schema in present(self.database, schemas):
            try:
                with self.database.rolled_back_on_error():
                    for text in of_step(drop_step(schema), False, self._lock_timeout_ms).statements:
                        self.database.execute(text)
            except ServerRefused as error:
                if error.sqlstate == LOCK_NOT_AVAILABLE:
                    return False
                if error.sqlstate == OBJECTS_DEPEND:
                    raise _not_empty(schema, inside(self.database, schema)) from error
                raise
        return True


def _names(schemas: Sequence[str]) -> str:
    return ", ".join(Name(retired_name(schema)).as_string() for schema in schemas)


def _too_long(schemas: Sequence[str], who: Sequence[str], deadline_s: float) -> JournalError:
    return JournalError(
        f"{count_of(len(schemas), 'schema')} that the rollback has emptied and renamed ({_names(schemas)}) could not be dropped within "
        f"{deadline_s:g} s, because transactions that began before are still running: "
        f"{'; '.join(who)}.",
        "One that has such a schema on its search_path could fail if it was dropped now. Every step before that stays undone.",
        "End those sessions (SELECT pg_terminate_backend(PID)) or wait for them, then run playbooks/rollback.yml again: it drops the "
        "schemas and removes the journal.",
    )


def _not_empty(schema: str, found: Sequence[str]) -> JournalError:
    retired = Name(retired_name(schema)).as_string()
    return JournalError(
        f"Schema {retired}, which was {Name(schema).as_string()} before the rollback, is not empty: {', '.join(found[:10])}"
        + (f" and {len(found) - 10} more" if len(found) > 10 else "")
        + ".",
        "Somebody has put that there while the rollback was running, and dropping the schema would lose it. Every step stays undone.",
        "Move it (ALTER … SET SCHEMA) or drop it, then run playbooks/rollback.yml again: it drops the schema and removes the journal.",
    )
