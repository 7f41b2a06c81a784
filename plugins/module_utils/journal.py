"""What was done, kept in the migrated database itself.

A step and its journal row are one transaction, so whatever happens at whatever instant, the database is in the state that
the journal says. The lease makes sure that one run works at a time: it is a row with an expiry, renewed while the run
lives, so that the lease of a killed run ends by itself.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.configuration import JOURNAL_SCHEMA
from ansible_collections.dbops.multischema.plugins.module_utils.errors import JournalError, ServerRefused
from ansible_collections.dbops.multischema.plugins.module_utils.plain import to_plain
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Step, step_from_dict, step_to_dict
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import (
    CHECK_VIOLATION,
    NOT_NULL_VIOLATION,
    UNDEFINED_TABLE,
    Database,
)

FORMAT = 1
OVERRIDE = "promotion_override"  # among what was accepted: that the migration went on without a receipt of the environment before
LEASE_SECONDS = 20  # longer than any pause between two renewals of a live run, short enough to wait for after a kill

# Each one statement: a subscriber of a publication FOR ALL TABLES needs them too.
JOURNAL_TABLES = (
    f"CREATE TABLE {JOURNAL_SCHEMA}.journal (format int PRIMARY KEY, created_at timestamptz NOT NULL DEFAULT clock_timestamp())",
    f"""CREATE TABLE {JOURNAL_SCHEMA}.run (
  id text PRIMARY KEY, door text NOT NULL, plan_digest text NOT NULL, operator text NOT NULL, version text NOT NULL,
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(), finished_at timestamptz, outcome text,
  longest_stall_ms float8, longest_stall_on text
)""",
    f"""CREATE TABLE {JOURNAL_SCHEMA}.step (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id text NOT NULL, run text NOT NULL, phase int NOT NULL,
  definition jsonb NOT NULL, identity jsonb NOT NULL, attempts int NOT NULL,
  done_at timestamptz NOT NULL DEFAULT clock_timestamp(), undone_at timestamptz, undone_by text,
  CHECK ((undone_at IS NULL) = (undone_by IS NULL))
) WITH (toast_tuple_target = 8160)""",  # a row is written in every step, and compressing it would take longer than all the rest of that
    f"""CREATE TABLE {JOURNAL_SCHEMA}.accepted (
  run text NOT NULL, finding text NOT NULL, object text NOT NULL, reason text NOT NULL, PRIMARY KEY (run, finding, object)
)""",
    f"""CREATE TABLE {JOURNAL_SCHEMA}.lease (
  run text PRIMARY KEY, holder text NOT NULL, renewed_at timestamptz NOT NULL, expires_at timestamptz NOT NULL
)""",
    f"""CREATE TABLE {JOURNAL_SCHEMA}.backup (
  name text NOT NULL, tried_at timestamptz NOT NULL, passed boolean NOT NULL, differences jsonb NOT NULL, PRIMARY KEY (name, tried_at)
)""",
)
_CREATE = f"""
CREATE SCHEMA {JOURNAL_SCHEMA};
COMMENT ON SCHEMA {JOURNAL_SCHEMA} IS 'dbops.multischema: what the running migration has done; rollback.yml reads it and removes it';
{";".join(JOURNAL_TABLES)};
CREATE UNIQUE INDEX step_done_once ON {JOURNAL_SCHEMA}.step (id) WHERE undone_at IS NULL;
GRANT ALL ON ALL TABLES IN SCHEMA {JOURNAL_SCHEMA} TO CURRENT_USER;
INSERT INTO {JOURNAL_SCHEMA}.journal (format) VALUES ({FORMAT})
"""

_STALL = ("longest_stall_ms", "longest_stall_on")
_RUNS = f"""
SELECT r.id, r.door, r.operator, r.version, to_char(r.started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
       to_char(r.finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
       round(extract(epoch FROM r.finished_at - r.started_at)::numeric, 3)::float8, r.outcome,
       count(s.seq), COALESCE(sum(s.attempts - 1), 0)::int, r.longest_stall_ms, r.longest_stall_on
  FROM {JOURNAL_SCHEMA}.run AS r LEFT JOIN {JOURNAL_SCHEMA}.step AS s ON s.run = r.id AND s.undone_at IS NULL
 GROUP BY r.id ORDER BY r.started_at, r.id
"""

# Advisory locks belong to one database, so one key is enough: "mult" in ASCII.
ADVISORY_CLASS = 0x6D756C74


@dataclass(frozen=True)
class Entry:
    """A step that the journal records."""

    seq: int
    step: Step
    run: str
    done_at: str
    undone_at: str | None
    attempts: int
    identity: Mapping[str, Any]


@dataclass(frozen=True)
class Lease:
    """Who works on the database now."""

    run: str
    holder: str
    age_s: float
    left_s: float

    @property
    def live(self) -> bool:
        """Whether it has not expired."""
        return self.left_s > 0


class Journal:
    """The journal of the connected database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def exists(self) -> bool:
        """Whether a migration has begun here.

        :raises JournalError: when the journal was made by a version that this one does not understand.
        """
        if self.database.value(f"SELECT to_regclass('{JOURNAL_SCHEMA}.journal')") is None:
            return False
        found = self.database.value(f"SELECT max(format) FROM {JOURNAL_SCHEMA}.journal")
        if found != FORMAT:
            raise JournalError(
                f"The journal in this database has format {found}, and this version works with format {FORMAT}.",
                "Another version of dbops.multischema began the migration.",
                "Finish or roll back with the version that began it.",
            )
        return True

    def create(self) -> None:
        """Make the journal unless it is there. Two runs that start at once are told apart by the advisory lock."""
        if not self.exists():
            if self.database.value("SELECT to_regnamespace(%s)", (JOURNAL_SCHEMA,)) is not None:
                raise JournalError(
                    f"There is a schema {JOURNAL_SCHEMA} in this database, and it is not a journal of this tool.",
                    "What is done is written there.",
                    f"Look at what it holds and rename or drop it: ALTER SCHEMA {JOURNAL_SCHEMA} RENAME TO …",
                )
            with self.database.transaction():
                self.database.execute(_CREATE)

    def drop(self) -> None:
        """Remove the journal, once every step is undone.

        :raises JournalError: when steps are still in effect.
        """
        left = self.done()
        if left:
            raise JournalError(f"{len(left)} steps are still in effect, so the journal stays.", "", "Roll back first.")
        with self.database.transaction():
            self.database.execute(f"DROP SCHEMA {JOURNAL_SCHEMA} CASCADE")

    # --- steps ---

    def _entries(self, condition: str, parameters: tuple[Any, ...] = ()) -> list[Entry]:
        rows = self.database.rows(
            f"SELECT seq, definition, run, done_at::text, undone_at::text, attempts, identity FROM {JOURNAL_SCHEMA}.step {condition}",
            parameters,
        )
        return [Entry(row[0], step_from_dict(row[1]), *row[2:]) for row in rows]

    def done(self) -> list[Entry]:
        """Steps in effect, in the order in which they were done; none where there is no journal."""
        return self._entries("WHERE undone_at IS NULL ORDER BY seq") if self.exists() else []

    def retired(self) -> list[str]:
        """Schemas whose creation was undone, by their former names; whether something is left of them, the catalog knows."""
        rows = self.database.rows(
            f"SELECT DISTINCT definition->'detail'->>'schema' FROM {JOURNAL_SCHEMA}.step "
            "WHERE undone_at IS NOT NULL AND definition->>'kind' = 'create_schema' ORDER BY 1"
        )
        return [row[0] for row in rows]

    def done_of(self, numbers: Sequence[int]) -> list[Entry]:
        """Those of some steps that are in effect, by their ``seq``."""
        return self._entries("WHERE undone_at IS NULL AND seq = ANY(%s) ORDER BY seq", (list(numbers),))

    def record(self, run: str, step: Step, identity: Mapping[str, Any], attempts: int) -> None:
        """Write a step as done; to be called inside its transaction.

        :raises JournalError: when this run's lease is gone; the caller's transaction must be rolled back.
        """
        with _or_lease_lost():
            self.database.execute(self.recording(run, step, identity, attempts))

    def recording(self, run: str, step: Step, identity: Mapping[str, Any], attempts: int) -> str:
        """The statement that writes a step as done, to be sent together with others.

        Where this run's lease is gone it fails (there is no step without a run), and so does all that comes behind it.
        """
        self.database.prepare(
            "multischema_record",
            # KEY SHARE lets the run renew its lease meanwhile, and keeps anyone from taking it before this commit.
            f"WITH lease AS (SELECT run FROM {JOURNAL_SCHEMA}.lease WHERE run = $1::text FOR KEY SHARE) "
            f"INSERT INTO {JOURNAL_SCHEMA}.step (id, run, phase, definition, identity, attempts) "
            "VALUES ($2::text, (SELECT run FROM lease), $3::int, $4::jsonb, $5::jsonb, $6::int)",
        )
        parameters = (run, step.id, step.phase, _json(step_to_dict(step)), _json(identity), attempts)
        return self.database.execution("multischema_record", parameters)

    def record_undone(self, run: str, entry: Entry) -> None:
        """Write a step as undone; to be called inside the transaction that undoes it.

        :raises JournalError: as :meth:`record`.
        """
        with _or_lease_lost():
            self.database.execute(self.recording_undone(run, entry))

    def recording_undone(self, run: str, entry: Entry) -> str:
        """The statement that writes a step as undone, like :meth:`recording`: no step is undone by nobody."""
        self.database.prepare(
            "multischema_record_undone",
            f"WITH lease AS (SELECT run FROM {JOURNAL_SCHEMA}.lease WHERE run = $1::text FOR KEY SHARE) "
            f"UPDATE {JOURNAL_SCHEMA}.step SET undone_at = clock_timestamp(), undone_by = (SELECT run FROM lease) "
            "WHERE seq = $2::bigint AND undone_at IS NULL",
        )
        return self.database.execution("multischema_record_undone", (run, entry.seq))

    # --- runs ---

    def begin_run(self, run: str, door: str, plan_digest: str, operator: str, version: str) -> None:
        """Note that a run has begun; the same run may say so again."""
        self.database.execute(
            f"INSERT INTO {JOURNAL_SCHEMA}.run (id, door, plan_digest, operator, version) VALUES (%s, %s, %s, %s, %s) "
            "ON CONFLICT (id) DO NOTHING",
            (run, door, plan_digest, operator, version),
        )

    def end_run(self, run: str, outcome: str) -> None:
        """Note how a run has ended."""
        self.database.execute(
            f"UPDATE {JOURNAL_SCHEMA}.run SET finished_at = clock_timestamp(), outcome = %s WHERE id = %s",
            (outcome, run),
        )

    def note_stall(self, run: str, longest_ms: float, table: str) -> None:
        """Note the longest time that a reader of a table on the move has waited, where it is the longest of the run.

        :param longest_ms: in milliseconds.
        """
        self.database.execute(
            f"UPDATE {JOURNAL_SCHEMA}.run SET longest_stall_ms = %s, longest_stall_on = %s "
            "WHERE id = %s AND COALESCE(longest_stall_ms, -1) < %s",
            (longest_ms, table, run, longest_ms),
        )

    def accept(self, run: str, accepted: Iterable[tuple[str, str, str]]) -> None:
        """Note findings that a person has decided to live with: (finding, object, reason)."""
        for finding, obj, reason in accepted:
            self.database.execute(
                f"INSERT INTO {JOURNAL_SCHEMA}.accepted VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
                (run, finding, obj, reason),
            )

    def accepted(self, finding: str) -> list[dict[str, str]]:
        """What a person has decided to live with, of one kind: ``object`` and ``reason``, each once."""
        query = f"SELECT DISTINCT object, reason FROM {JOURNAL_SCHEMA}.accepted WHERE finding = %s ORDER BY 1, 2"
        rows = self.database.rows(query, (finding,))
        return [{"object": obj, "reason": reason} for obj, reason in rows]

    def note_backup(self, name: str, passed: bool, tried_at: str, differences: Iterable[str]) -> bool:
        """Note what came of trying a backup.

        :returns: whether that was noted; not where there is no journal, or one of a version that has no place for it.
        """
        if self.database.value(f"SELECT to_regclass('{JOURNAL_SCHEMA}.backup')") is None:
            return False
        self.database.execute(
            f"INSERT INTO {JOURNAL_SCHEMA}.backup VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (name, tried_at, passed, _json(list(differences))),
        )
        return True

    def run_ids(self) -> list[str]:
        """Every run that has begun here, in order."""
        return [row[0] for row in self.database.rows(f"SELECT id FROM {JOURNAL_SCHEMA}.run ORDER BY started_at, id")]

    def history(self) -> dict[str, Any]:
        """Figures of each run, in order, and everything that was accepted. A run's ``steps`` are those that are in effect."""
        runs = self.database.rows(_RUNS)
        names = ("id", "door", "operator", "version", "started_at", "finished_at", "seconds", "outcome", "steps", "retries", *_STALL)
        rows = self.database.rows(f"SELECT DISTINCT finding, object, reason FROM {JOURNAL_SCHEMA}.accepted ORDER BY 1, 2, 3")
        return {
            "runs": [dict(zip(names, run)) for run in runs],
            "accepted": [{"finding": finding, "object": obj, "reason": reason} for finding, obj, reason in rows],
        }

    def export(self) -> dict[str, Any]:
        """Everything that the journal holds, as plain data."""
        found: dict[str, Any] = {}
        tables = ["journal", "run", "step", "accepted"]
        if self.database.value(f"SELECT to_regclass('{JOURNAL_SCHEMA}.backup')") is not None:
            tables.append("backup")  # a journal that an earlier version made has none
        for table in tables:
            rows = self.database.rows(f"SELECT to_jsonb(t) FROM {JOURNAL_SCHEMA}.{table} t ORDER BY 1")
            found[table] = [row[0] for row in rows]
        return found

    # --- the lease ---

    def others_lease(self) -> Lease | None:
        """The lease that stands, where there is a journal; for those who have none themselves.

        Nothing keeps it for them: a rollback that is at its end may be removing the journal at this moment.
        """
        try:
            return self.lease() if self.exists() else None
        except ServerRefused as error:
            if error.sqlstate != UNDEFINED_TABLE:
                raise
            return None

    def lease(self) -> Lease | None:
        """The lease that stands, live or expired."""
        rows = self.database.rows(
            "SELECT run, holder, extract(epoch FROM clock_timestamp() - renewed_at)::float8, "
            f"extract(epoch FROM expires_at - clock_timestamp())::float8 FROM {JOURNAL_SCHEMA}.lease"
        )
        return Lease(*rows[0]) if rows else None

    def take_lease(self, run: str, holder: str) -> Lease | None:
        """Take the lease, or renew it where this run has it.

        :returns: None when it is ours now, otherwise the live lease of the other run.
        """
        if self.renew_lease(run):
            return None
        with self.database.transaction():
            self.database.execute(f"LOCK TABLE {JOURNAL_SCHEMA}.lease IN EXCLUSIVE MODE")
            found = self.lease()
            if found is not None and found.live:
                return found
            self.database.execute(f"DELETE FROM {JOURNAL_SCHEMA}.lease")
            self.database.execute(
                f"INSERT INTO {JOURNAL_SCHEMA}.lease VALUES (%s, %s, clock_timestamp(), clock_timestamp() + %s * interval '1 s')",
                (run, holder, LEASE_SECONDS),
            )
        return None

    def renew_lease(self, run: str) -> bool:
        """Say that the run lives. :returns: whether it still has the lease."""
        touched = self.database.execute(
            f"UPDATE {JOURNAL_SCHEMA}.lease SET renewed_at = clock_timestamp(), "
            "expires_at = clock_timestamp() + %s * interval '1 s' WHERE run = %s",
            (LEASE_SECONDS, run),
        )
        return touched == 1

    def release_lease(self, run: str) -> None:
        """Give the lease back."""
        self.database.execute(f"DELETE FROM {JOURNAL_SCHEMA}.lease WHERE run = %s", (run,))

    def lock(self) -> bool:
        """Take the advisory lock of this session: the second guard, against a run that only seems dead."""
        return bool(self.database.value("SELECT pg_try_advisory_lock(%s, 0)", (ADVISORY_CLASS,)))


def _json(data: Any) -> str:
    """JSON that a database of any encoding can store: escapes would have to be converted by the server."""
    return json.dumps(data, ensure_ascii=False, default=to_plain)


@contextlib.contextmanager
def _or_lease_lost() -> Iterator[None]:
    """Say why a step could not be written: the lease names no run, and a step without one breaks a constraint of the journal."""
    try:
        yield
    except ServerRefused as error:
        if error.sqlstate not in (NOT_NULL_VIOLATION, CHECK_VIOLATION):
            raise
        raise JournalError(
            "This run has lost its lease: another run has taken over.",
            "It was silent for longer than the lease lasts, so it was taken for dead.",
            "Let the other run finish, then run again; what this step did was rolled back.",
        ) from error
