"""What a subscriber of logical replication has to do, as scripts for psql: ``subscriber.sql``, and the way back.

Changes carry the names that their tables had when they were written. So a subscriber must have moved a table when the first change
under the new name comes, and not before the last one under the old name is applied. While the publisher is written to, these points
are different for each table, and its worker tells them: it stops with an error at a table that it has not got. The script moves the
tables in the publisher's order, one each time the worker stops, and the rest when everything from before the end of the migration
has been applied.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import TABLE_KINDS, Catalog
from ansible_collections.dbops.multischema.plugins.module_utils.configuration import JOURNAL_SCHEMA
from ansible_collections.dbops.multischema.plugins.module_utils.journal import JOURNAL_TABLES
from ansible_collections.dbops.multischema.plugins.module_utils.move_step import MoveTables, published_by
from ansible_collections.dbops.multischema.plugins.module_utils.plan import PHASE_TABLES, Plan, Step
from ansible_collections.dbops.multischema.plugins.module_utils.retired_schemas import drop_step, retire
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name, Text, comma, fragment, statement
from ansible_collections.dbops.multischema.plugins.plugin_utils.plan_facts import visible

WIDTH = 97
THERE, BACK = "subscriber.sql", "subscriber_rollback.sql"


@dataclass(frozen=True)
class Move:
    """One table of one step: the publisher has moved a step's tables in one transaction."""

    number: int
    schema: str
    name: str
    target: str

    @property
    def sql(self) -> str:
        """The statement."""
        return statement("ALTER TABLE {} SET SCHEMA {}", Name(self.schema, self.name), Name(self.target))


def _moves(catalog: Catalog, steps: Sequence[Step]) -> Iterator[Move]:
    """Published tables of the steps, in the order in which the publisher moves them."""
    tables = catalog.by_oid()
    published = frozenset().union(*(published_by(publication, catalog) for publication in catalog.publications))
    for number, step in enumerate(steps, 1):
        for member in step.members:
            if member.kind in TABLE_KINDS and member.oid in published:
                yield Move(number, str(step.detail["from"]), tables[member.oid].name, str(step.detail["to"]))


def _prose(text: str) -> Iterator[str]:
    yield from (f"-- {line}".rstrip() for line in textwrap.wrap(visible(text), WIDTH, break_on_hyphens=False))


def _head(plan: Plan, name: str, when: str) -> Iterator[str]:
    publications = ", ".join(sorted(p.name for p in plan.catalog.publications))
    yield from _prose(f"For the subscribers of {publications} in database {plan.server.database}; plan {plan.digest[:12]}.")
    yield "--"
    yield from _prose(
        f"1. {when} The subscriptions may go on working meanwhile: a worker that stops at a table loses nothing, its slot keeps the "
        "server's WAL until it goes on."
    )
    yield from _prose("2. Ask the publisher how far it is:  SELECT pg_current_wal_lsn();")
    yield from _prose(
        "3. On each subscriber, as a superuser or as the owner of the tables and of the subscription (PostgreSQL 15 or newer), and before "
        "any REFRESH PUBLICATION there:"
    )
    yield f"--      psql -v subscription=NAME -v lsn=THE_ANSWER_OF_2 -f {name} …"
    yield "--"
    yield from _prose(
        "It waits for the worker, and moves each table when the worker has come to that point. It can be run again, and it leaves alone "
        "what is not there. Never create one of the tables anew here instead of moving it: a table that the subscription does not know "
        "is skipped without an error. No REFRESH PUBLICATION is needed: a subscription knows its tables by OID. That the worker has come "
        "to a table is told by its error: do not restart the publisher while this runs, for any other error is taken for that."
    )


def _journal_tables() -> Iterator[str]:
    yield ""
    yield from _prose(
        "A publication FOR ALL TABLES publishes the migration's journal too. These tables have to be here, and they stay empty. Run this "
        "part before phase 1 where the worker should not stop there."
    )
    yield statement("CREATE SCHEMA IF NOT EXISTS {}", Name(JOURNAL_SCHEMA)) + ";"
    for table in JOURNAL_TABLES:
        yield table.replace("CREATE TABLE ", "CREATE TABLE IF NOT EXISTS ") + ";"


def _block(moves: Sequence[Move]) -> str:
    """The loop. Its body is a string constant and not dollar-quoted: no name can end it early.

    The subscription is disabled while a table moves, so that an error that is counted afterwards can only be a new one. A worker that
    ends is off the list of the subscription's workers before it has counted its error, so its process has to have gone too. The first
    turn moves nothing: errors from before the script, at a table of the journal that it has just made, say, are counted by then.
    """
    rows = comma(
        fragment(
            "\n    ({}, {}, {}, {})",
            Text(f"{move.number:05}"),
            Text(Name(move.schema).as_string()),
            Text(Name(move.name).as_string()),
            Text(move.sql),
        )
        for move in moves
    )
    body = statement(_BODY, moves=rows)
    return statement("DO {}", Text(body)) + ";"


_BODY = """
DECLARE
  subscription name := current_setting('multischema.subscription');
  upto pg_lsn := current_setting('multischema.lsn')::pg_lsn;
  known oid := (SELECT s.oid FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid
                 WHERE s.subname = subscription AND d.datname = current_database());
  errors bigint; drained boolean := false; turn text; one record;
BEGIN
  IF known IS NULL THEN RAISE EXCEPTION 'this database has no subscription %', subscription; END IF;
  CREATE TEMPORARY TABLE multischema_moves ON COMMIT PRESERVE ROWS AS
    SELECT * FROM (VALUES {moves}
    ) AS v (step, schema, name, statement)
     WHERE EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                    WHERE quote_ident(n.nspname) = v.schema AND quote_ident(c.relname) = v.name AND c.relkind IN ('r', 'p'));
  FOR turn IN SELECT '' UNION SELECT m.step FROM multischema_moves m ORDER BY 1 LOOP
    LOOP
      EXIT WHEN turn = '' OR drained;
      PERFORM pg_catalog.pg_stat_clear_snapshot();
      drained := COALESCE((SELECT w.latest_end_lsn >= upto FROM pg_catalog.pg_stat_subscription w
                            WHERE w.subid = known AND w.relid IS NULL AND w.pid IS NOT NULL LIMIT 1), false);
      EXIT WHEN drained OR (SELECT s.apply_error_count FROM pg_catalog.pg_stat_subscription_stats s WHERE s.subid = known) > errors;
      COMMIT;
      PERFORM pg_catalog.pg_sleep(0.1);
    END LOOP;
    EXECUTE format('ALTER SUBSCRIPTION %I DISABLE', subscription);
    COMMIT;
    WHILE EXISTS (SELECT FROM pg_catalog.pg_stat_subscription w WHERE w.subid = known AND w.pid IS NOT NULL) LOOP
      COMMIT;
      PERFORM pg_catalog.pg_sleep(0.02);
    END LOOP;
    WHILE EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.datname = current_database()
                     AND a.backend_type LIKE 'logical replication%worker'
                     AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_subscription w WHERE w.pid = a.pid)) LOOP
      COMMIT;
      PERFORM pg_catalog.pg_sleep(0.02);
    END LOOP;
    FOR one IN SELECT m.statement FROM multischema_moves m WHERE m.step = turn ORDER BY m.name LOOP
      EXECUTE one.statement;
      RAISE NOTICE '%', one.statement;
    END LOOP;
    PERFORM pg_catalog.pg_stat_clear_snapshot();
    errors := (SELECT s.apply_error_count FROM pg_catalog.pg_stat_subscription_stats s WHERE s.subid = known);
    EXECUTE format('ALTER SUBSCRIPTION %I ENABLE', subscription);
    COMMIT;
  END LOOP;
END
"""


def _script(head: Sequence[str], before: Sequence[str], moves: Sequence[Move], after: Sequence[str]) -> str:
    lines = [
        *head,
        "",
        r"\set ON_ERROR_STOP on",
        "SET client_encoding = 'UTF8'; SET standard_conforming_strings = on; SET lock_timeout = 0;",
        "SELECT set_config('multischema.subscription', :'subscription', false) \\gset ignored_",
        "SELECT set_config('multischema.lsn', :'lsn', false) \\gset ignored_",
        *before,
        "",
        *_prose("Table by table, in the order of the publisher."),
        _block(moves),
        *after,
    ]
    return "\n".join(lines) + "\n"


def _farewell(created: Sequence[str], journal: bool) -> Iterator[str]:
    """What somebody may do when all tables are back: schemas go as they go on the publisher (`retired_schemas.py`)."""
    statements = []
    if created or journal:
        yield ""
        yield from _prose("When nothing of others is in them:")
    if created:
        yield from _prose("(Names go first, for a session that is just looking one up on its search_path would fail in a DROP SCHEMA.)")
        statements += [*map(retire, created), "SELECT pg_sleep(1)", *(do for name in created for do in drop_step(name).do)]
    if journal:
        statements.append(statement("DROP SCHEMA {} CASCADE", Name(JOURNAL_SCHEMA)))
    for text in statements:
        # A name may hold a newline or a carriage return, and neither may end the comment.
        yield from (f"--   {visible(line)}" for line in f"{text};".split("\n"))


def subscriber_scripts(plan: Plan) -> dict[str, str]:
    """The scripts by the names of their files; empty where nothing that moves is published."""
    steps = [step for step in plan.of_phase(PHASE_TABLES) if step.kind == MoveTables.kind]
    moves = list(_moves(plan.catalog, steps))
    if not moves:
        return {}
    everything = any(publication.all_tables for publication in plan.catalog.publications)
    targets = list(dict.fromkeys(move.target for move in moves))
    there = [*(_journal_tables() if everything else ()), ""]
    there += [statement("CREATE SCHEMA IF NOT EXISTS {}", Name(target)) + ";" for target in targets]
    there += _prose("Whoever reads these tables here needs USAGE on the schemas: GRANT USAGE ON SCHEMA … TO …;")
    back = [Move(len(steps) + 1 - move.number, move.target, move.name, move.schema) for move in moves]
    created = [step.detail["schema"] for step in plan.steps if step.kind == "create_schema" and step.detail["schema"] in targets]
    after = list(_farewell(created, everything))
    return {
        THERE: _script(list(_head(plan, THERE, "Run phases 1 and 2 on the publisher.")), there, moves, []),
        BACK: _script(list(_head(plan, BACK, "Run rollback.yml on the publisher.")), [], back, after),
    }
