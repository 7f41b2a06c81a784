"""Preflight: can the migration run on this server, now, and be undone?

Each check is one function that takes the connection and yields `Check`; to add one, list it in `CHECKS`. What depends on
the plan (privileges to do and to undo, collisions) is found by the plan itself (`findings.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.backup_guard import running_dumps
from ansible_collections.dbops.multischema.plugins.module_utils.blockers import find_blockers
from ansible_collections.dbops.multischema.plugins.module_utils.checks import FAIL, PASS, WARN, Check
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError
from ansible_collections.dbops.multischema.plugins.module_utils.lock_budget import SHARE, lock_table_slots, remedy_for
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Text

LONG_S = 60.0
TESTED_MAJORS = range(13, 19)


@dataclass(frozen=True)
class Question:
    """What preflight is asked about.

    :param oids: relations that will be locked.
    :param locks: the most that will be held at the same time (`lock_budget.py`).
    :param workers: how many connections will move tables.
    :param probe: whether each has a reader beside it.
    """

    database: Database
    lock_timeout_ms: int
    oids: Sequence[int]
    locks: int
    workers: int = 1
    probe: bool = True


def _setting(question: Question, name: str) -> str:
    return str(question.database.value("SELECT setting FROM pg_catalog.pg_settings WHERE name = %s", (name,)))


def server_version(question: Question) -> Iterator[Check]:
    """Which PostgreSQL, and whether it is one that the tests run on."""
    number, text = question.database.rows("SELECT current_setting('server_version_num')::int, current_setting('server_version')")[0]
    known = number // 10000 in TESTED_MAJORS
    yield Check(
        "server version",
        PASS if known else WARN,
        f"PostgreSQL {text}",
        "" if known else "Newer than what this version was tested with; rehearse on a copy first.",
    )


def accepts_ddl(question: Question) -> Iterator[Check]:
    """Settings that stop every schema change."""
    standby = question.database.value("SELECT pg_is_in_recovery()")
    read_only = _setting(question, "default_transaction_read_only") == "on"
    if standby:
        yield Check("writable", FAIL, "this server is a standby", "Point the inventory at the primary.")
    elif read_only:
        yield Check(
            "writable",
            FAIL,
            "default_transaction_read_only is on for this role or database",
            "ALTER ROLE … RESET default_transaction_read_only for the migrating role.",
        )
    else:
        yield Check("writable", PASS, "a primary that accepts schema changes")


def event_triggers(question: Question) -> Iterator[Check]:
    """Settings under which event triggers stay silent: an audit or a copy of our schema changes would miss them."""
    there = question.database.value("SELECT count(*) FROM pg_catalog.pg_event_trigger WHERE evtenabled <> 'D'")
    rows = question.database.rows(
        "SELECT name, setting FROM pg_catalog.pg_settings "
        "WHERE (name, setting) IN (('session_replication_role', 'replica'), ('event_triggers', 'off')) ORDER BY name"
    )
    for name, setting in rows if there else ():
        yield Check(
            "event triggers",
            WARN,
            f"{name} is {setting} for this role or database, so event triggers do not run for what the migration does",
            f"ALTER ROLE … RESET {name} for the migrating role, unless that is meant.",
        )


def lock_timeout(question: Question) -> Iterator[Check]:
    """It must stay below deadlock_timeout, or the application's transaction may be the one that is killed."""
    deadlock = int(_setting(question, "deadlock_timeout"))
    fine = 0 < question.lock_timeout_ms < deadlock
    yield Check(
        "lock timeout",
        PASS if fine else FAIL,
        f"{question.lock_timeout_ms} ms, deadlock_timeout is {deadlock} ms",
        "" if fine else f"Set multischema_lock_timeout_ms between 1 and {deadlock - 1}; 50 is a good value.",
    )


def lock_table(question: Question) -> Iterator[Check]:
    """What is locked at the same time, against the shared lock table."""
    slots = lock_table_slots(question.database)
    share = question.locks / slots
    fine = share < SHARE
    yield Check(
        "lock table",
        PASS if fine else FAIL,
        f"{question.locks} locks at the same time at most, of {slots} ({share:.1%})",
        "" if fine else remedy_for(question.locks),
    )


def visibility(question: Question) -> Iterator[Check]:
    """Without it, who stands in the way can be named only by process id."""
    sees = question.database.value("SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')")
    yield Check(
        "sees other sessions",
        PASS if sees else WARN,
        "yes" if sees else "no: what other sessions run cannot be shown",
        "" if sees else "GRANT pg_monitor TO the migrating role.",
    )


def prepared_transactions(question: Question) -> Iterator[Check]:
    """They hold locks with no session that could end."""
    rows = question.database.rows(
        "SELECT gid, owner::text, extract(epoch FROM now() - prepared)::int FROM pg_catalog.pg_prepared_xacts "
        "WHERE database = current_database() ORDER BY prepared"
    )
    holders = {blocker.gid: blocker for blocker in find_blockers(question.database, question.oids) if blocker.gid} if rows else {}
    for gid, owner, age in rows:
        holder = holders.get(gid)
        found = f"{gid!r} of {owner}, prepared {age} s ago, "
        yield Check(
            "prepared transaction",
            FAIL if holder else WARN,
            found + (f"holds {holder.mode} on {holder.relation} until someone finishes it" if holder else "holds none of the tables"),
            f"COMMIT PREPARED or ROLLBACK PREPARED {Text(gid).as_string()}, whichever its owner says.",
        )
    if not rows:
        yield Check("prepared transactions", PASS, "none")


def dumps(question: Question) -> Iterator[Check]:
    """A dump holds a lock on every table until it ends."""
    found = running_dumps(question.database)
    for dump in found:
        yield Check(
            "running dump",
            FAIL,
            f"{dump}; it holds a lock on every table until it ends",
            "Wait for it, and let no backup begin during the migration.",
        )
    if not found:
        yield Check("running dumps", PASS, "none")


def blockers(question: Question) -> Iterator[Check]:
    """Who holds locks on the tables right now, for longer than a moment."""
    found = [b for b in find_blockers(question.database, question.oids) if (b.age_s or 0) > LONG_S or b.wraparound]
    for blocker in found:
        if blocker.gid is None:
            yield Check(
                "blocker",
                FAIL if blocker.wraparound else WARN,
                str(blocker),
                f"Wait until it ends; SELECT * FROM pg_stat_progress_vacuum WHERE pid = {blocker.pid} shows how far it is."
                if blocker.wraparound
                else "The migration waits for it in short attempts; end it, or pick another time.",
            )
    if not found:
        yield Check("blockers", PASS, f"no transaction older than {LONG_S:.0f} s holds a lock on the tables")


def standbys(question: Question) -> Iterator[Check]:
    """An ACCESS EXCLUSIVE lock is replayed on every standby and waits there for its readers."""
    rows = question.database.rows("SELECT application_name, state FROM pg_catalog.pg_stat_replication ORDER BY 1")
    if rows:
        names = ", ".join(f"{name or '?'} ({state or 'state unknown'})" for name, state in rows)
        yield Check(
            "standbys",
            WARN,
            f"{names}: each move is replayed there under the same lock, and long queries on a standby can hold up its replay",
            "Move in a quiet hour for the standbys too.",
        )


def foreign_readers(question: Question) -> Iterator[Check]:
    """Another database may name our tables in the options of its foreign tables, where we cannot look."""
    rows = question.database.rows(
        "SELECT DISTINCT usename::text, COALESCE(client_addr::text, 'this host') FROM pg_catalog.pg_stat_activity "
        "WHERE datname = current_database() AND application_name = 'postgres_fdw' ORDER BY 1, 2"
    )
    if rows:
        who = ", ".join(f"{user or '?'} from {address}" for user, address in rows)
        yield Check(
            "foreign tables elsewhere",
            WARN,
            f"another database reads this one through postgres_fdw ({who}); its foreign tables name ours as text",
            "There, after phase 2: ALTER FOREIGN TABLE … OPTIONS (SET schema_name …). Through a view UPDATE and DELETE may fail.",
        )


def connections(question: Question) -> Iterator[Check]:
    """The migration needs connections of its own at any moment: one, and one for each worker, each with its reader."""
    used, limit = question.database.rows(
        "SELECT (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend')::int, "
        "current_setting('max_connections')::int"
    )[0]
    crew = question.workers if question.workers > 1 else 0
    ours = 1 + crew + (max(crew, 1) if question.probe else 0)
    fine = used + ours <= limit * 0.9
    yield Check(
        "connections",
        PASS if fine else WARN,
        f"{used} of {limit} in use, the migration takes {ours}",
        "" if fine else "Few are free; the migration could be refused one in the middle.",
    )


CHECKS: tuple[Callable[[Question], Iterator[Check]], ...] = (
    server_version,
    accepts_ddl,
    event_triggers,
    lock_timeout,
    lock_table,
    visibility,
    prepared_transactions,
    dumps,
    blockers,
    standbys,
    foreign_readers,
    connections,
)


def examine(question: Question) -> list[Check]:
    """Run every check, read only."""
    return [check for function in CHECKS for check in function(question)]


def examine_checklist(checklist: Mapping[str, Any]) -> list[Check]:
    """The plan's own checklist: each item is done, missing, or waived with a reason.

    :param checklist: item → ``{required: bool, waived: "reason", done: "evidence"}``.
    :raises ConfigurationError: when an item cannot be read.
    """
    found = []
    for item, value in checklist.items():
        if not isinstance(value, Mapping) or set(value) - {"required", "waived", "done"}:
            raise ConfigurationError(
                f"multischema_checklist.{item} is {value!r}.",
                "",
                "Write {required: true, done: 'evidence'} or {required: true, waived: 'reason'}.",
            )
        done, waived = (text.strip() if isinstance(text, str) else text for text in (value.get("done"), value.get("waived")))
        for key, text in (("done", done), ("waived", waived)):
            if text is not None and (not isinstance(text, str) or (key == "waived" and 0 < len(text) < 5)):
                raise ConfigurationError(
                    f"multischema_checklist.{item}.{key} is {text!r}.",
                    "It goes into the report, where a person has to understand it.",
                    "Write a sentence: what was done and where that can be seen, or why it may be waived.",
                )
        if done:
            found.append(Check(f"checklist, {item}", PASS, f"done: {done}"))
        elif waived:
            found.append(Check(f"checklist, {item}", WARN, f"waived: {waived}"))
        else:
            required = str(value.get("required", True)).lower() not in ("false", "no", "off", "0")
            found.append(
                Check(
                    f"checklist, {item}",
                    FAIL if required else WARN,
                    f"missing, {'required' if required else 'not required'} in this environment",
                    f"Do it and say so: multischema_checklist.{item}.done: 'what, when, where it can be seen'; or waive it with a "
                    f"reason in multischema_checklist.{item}.waived.",
                )
            )
    return found
