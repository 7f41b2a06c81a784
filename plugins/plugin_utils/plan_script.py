"""The plan as an SQL script to read and review: ``plan.sql``.

The playbooks never run this file; but it says exactly what they run, and psql accepts it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.retired_schemas import drop_step
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Text, statement
from ansible_collections.dbops.multischema.plugins.module_utils.step_transaction import of_plain_step, of_step
from ansible_collections.dbops.multischema.plugins.plugin_utils.plan_facts import (
    Document,
    blocking,
    count_text,
    sentence,
    verdict,
    visible,
)

WIDTH = 97
RULE = "-- " + "=" * WIDTH
PHASES = {1: "schemas and privileges", 2: "tables"}


def _comment(sql: str) -> Iterator[str]:
    """Comment SQL out. A line comment ends at a newline or a carriage return, so neither may get through."""
    for line in sql.split("\n"):
        yield f"-- {visible(line)}".rstrip()


def _prose(text: str) -> Iterator[str]:
    """Text as comment lines of a readable length; whatever hides in a name is shown."""
    yield from (f"-- {line}" for line in textwrap.wrap(visible(text), WIDTH, break_on_hyphens=False))


def _locks(step: Mapping[str, Any]) -> str:
    modes: dict[str, list[str]] = {}
    for lock in step["locks"]:
        modes.setdefault(lock["mode"], []).append(lock["object"])
    return "; ".join(f"{mode} on {', '.join(objects)}" for mode, objects in modes.items()) or "none on tables"


def _transaction(step: Mapping[str, Any], undo: bool, lock_timeout_ms: int) -> str:
    return "\n".join(f"{statement};" for statement in of_plain_step(step, undo, lock_timeout_ms).statements)


def _guard(document: Document) -> Iterator[str]:
    """Stop psql before the first step where nothing may be run.

    The body is a string constant and not dollar-quoted: no name can end it early.
    """
    database = document["server"]["database"]
    wrong = statement("'this plan was made for database %, not for %', {}, current_database()", Text(database))
    checks = [statement("IF current_database() <> {} THEN RAISE EXCEPTION ", Text(database)) + f" {wrong}; END IF;"]
    refusals = len(blocking(document))
    if refusals:
        reason = f"the plan is refused because of {count_text(refusals, 'finding')}: see the top of this file"
        checks.append(statement("RAISE EXCEPTION {};", Text(reason)))
    body = "\nBEGIN\n  " + "\n  ".join(checks) + "\nEND\n"
    yield statement("DO {}", Text(body)) + ";"


def _header(document: Document) -> Iterator[str]:
    server = document["server"]
    yield RULE
    yield from _prose(f"{verdict(document)}: plan for database {server['database']}")
    yield RULE
    yield from _prose(sentence(document))
    yield "--"
    facts = {
        "Environment": document["environment"],
        "Host": document["host"],
        "Server": f"PostgreSQL {server['version']}, system identifier {server['system_identifier']}",
        "Made": f"{document['made_at']} by dbops.multischema {document['version']}, as {server['user']}",
        "Digest": document["digest"],
    }
    for label, value in facts.items():
        if value:
            yield f"-- {label + ':':<13}{visible(value)}"
    yield "--"
    yield from _prose(
        "This file is for reading and reviewing. The playbooks apply the plan step by step, try a step again when its "
        "locks are not to be had in time, and write each step to the journal in the same transaction. A run of this "
        "file leaves no journal: rollback.yml would not know of it."
    )
    for finding in blocking(document):
        yield "--"
        yield from _prose(f"REFUSED {finding['id']}: {finding['object']}")
        for text in (finding["reason"], f"To go on: {finding['remedy']}" if finding["remedy"] else ""):
            for line in text.split("\n"):
                yield from _prose(line)


def _do(document: Document, lock_timeout_ms: int) -> Iterator[str]:
    steps = document["steps"]
    for number, step in enumerate(steps, 1):
        if number == 1 or steps[number - 2]["phase"] != step["phase"]:
            of_phase = sum(1 for s in steps if s["phase"] == step["phase"])
            yield ""
            yield RULE
            yield from _prose(f"Phase {step['phase']}: {PHASES.get(step['phase'], '')} ({count_text(of_phase, 'step')})")
            yield RULE
        yield ""
        yield from _prose(f"Step {number} of {len(steps)}: {step['title']}")
        yield from _prose(f"{step['id']}; locks: {_locks(step)}")
        yield _transaction(step, False, lock_timeout_ms)


def _undo(document: Document, lock_timeout_ms: int) -> Iterator[str]:
    steps = document["steps"]
    yield ""
    yield RULE
    yield from _prose(
        "How it is undone, last step first. All of it is commented out: rollback.yml takes the undo from the journal "
        "and undoes only what was done."
    )
    yield RULE
    for number, step in reversed(list(enumerate(steps, 1))):
        sql = _transaction(step, True, lock_timeout_ms)
        yield "--"
        yield from _prose(f"Undo step {number}: {step['title']}")
        if visible(sql, keep="\n") != sql:
            yield "-- (invisible characters in names are shown as symbols here)"
        yield from _comment(sql)
    for step in (drop_step(s["detail"]["schema"]) for s in steps if s["kind"] == "create_schema"):
        yield "--"
        yield from _prose(f"At the end: {step.title}")
        yield from _comment("\n".join(f"{statement};" for statement in of_step(step, True, lock_timeout_ms).statements))


def render(document: Mapping[str, Any], lock_timeout_ms: int = 50) -> str:
    """The plan as a script that psql accepts: every step as one transaction, and the undo in comments.

    :param document: the content of ``plan.json`` (`plan.plan_to_dict`).
    :param lock_timeout_ms: milliseconds that a statement waits for a lock.
    :returns: the text of ``plan.sql``. Run against another database, or where the plan is refused, it stops before
        the first step.
    """
    lines = list(_header(document))
    if document["steps"]:
        lines += [
            "",
            r"\set ON_ERROR_STOP on",
            "SET client_encoding = 'UTF8';",
            "SET standard_conforming_strings = on;",
        ]
        lines += _guard(document)
        lines += _do(document, lock_timeout_ms)
        lines += _undo(document, lock_timeout_ms)
    return "\n".join(lines) + "\n"
