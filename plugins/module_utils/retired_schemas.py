"""The end of a schema that the rollback takes away: first its name, then the schema itself.

A session that has the schema on its search_path finds it by its name, and then asks by its OID whether it may use it. Dropped in
between, that is an error in whatever statement the session was just parsing: "schema with OID … does not exist". So undoing
phase 1 gives the empty schema another name, which nobody looks for. It is dropped once no session can be between the two any more.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Sequence

from ansible_collections.dbops.multischema.plugins.module_utils.configuration import MAX_IDENTIFIER_BYTES, RETIRED_PREFIX
from ansible_collections.dbops.multischema.plugins.module_utils.errors import JournalError, ServerRefused
from ansible_collections.dbops.multischema.plugins.module_utils.plan import PHASE_SCHEMAS, Step
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import LOCK_NOT_AVAILABLE, OBJECTS_DEPEND, Database
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name, statement
from ansible_collections.dbops.multischema.plugins.module_utils.step_transaction import of_step

POLL_S = 0.02
SETTLE_S = 5.0  # a name is looked up in microseconds, so a transaction that still runs after that is not waited for

# Every transaction holds a lock on its own virtual id, which everyone may see; since when it runs not everyone may.
_AT_WORK = """
SELECT l.virtualtransaction FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
 WHERE l.locktype = 'virtualxid' AND l.mode = 'ExclusiveLock' AND l.granted AND l.pid <> pg_backend_pid()
   AND a.datname = current_database() AND a.usesysid IS NOT NULL
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
        title=f"Drop what was schema {Name(schema).as_string()}, once no session can be looking it up any more",
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


def drop_retired(database: Database, schemas: Iterable[str], lock_timeout_ms: int) -> None:
    """Drop those of some schemas, by their former names, that have been retired. It takes a few seconds at most.

    :raises JournalError: when something has been put into one of them, or somebody holds a lock on it.
    """
    left = present(database, schemas)
    if not left:
        return
    until = time.monotonic() + SETTLE_S
    running = _running(database)
    while running and time.monotonic() < until:
        time.sleep(POLL_S)
        running &= _running(database)
    for schema in left:
        _drop(database, schema, lock_timeout_ms, time.monotonic() + SETTLE_S)


def _running(database: Database) -> set[str]:
    """The transactions of other sessions in this database, by their virtual ids."""
    return {row[0] for row in database.rows(_AT_WORK)}


def _drop(database: Database, schema: str, lock_timeout_ms: int, until: float) -> None:
    while True:
        try:
            with database.rolled_back_on_error():
                for text in of_step(drop_step(schema), False, lock_timeout_ms).statements:
                    database.execute(text)
            return
        except ServerRefused as error:
            if error.sqlstate == OBJECTS_DEPEND:
                raise _not_empty(schema, inside(database, schema)) from error
            if error.sqlstate != LOCK_NOT_AVAILABLE:
                raise
            if time.monotonic() > until:
                raise _locked(schema) from error
            time.sleep(POLL_S)


def _locked(schema: str) -> JournalError:
    return JournalError(
        f"Schema {_retired(schema)}, which was {Name(schema).as_string()} before the rollback, could not be dropped: a session that is "
        "making something in it holds a lock on it.",
        "Every step stays undone; only the empty schema and the journal are left.",
        "Run playbooks/rollback.yml again when that session has ended: it drops the schema and removes the journal.",
    )


def _retired(schema: str) -> str:
    return Name(retired_name(schema)).as_string()


def _not_empty(schema: str, found: Sequence[str]) -> JournalError:
    return JournalError(
        f"Schema {_retired(schema)}, which was {Name(schema).as_string()} before the rollback, is not empty: {', '.join(found[:10])}"
        + (f" and {len(found) - 10} more" if len(found) > 10 else "")
        + ".",
        "Somebody has put that there while the rollback was running, and dropping the schema would lose it. Every step stays undone.",
        "Move it (ALTER … SET SCHEMA) or drop it, then run playbooks/rollback.yml again: it drops the schema and removes the journal.",
    )
