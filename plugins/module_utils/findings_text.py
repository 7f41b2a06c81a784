"""Findings about names that stand as text elsewhere: in expressions of the catalog, in jobs, in options of foreign tables."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.dbops.multischema.plugins.module_utils.catalog_routines import Expression
from ansible_collections.dbops.multischema.plugins.module_utils.plan import REFUSE, WARN, Finding
from ansible_collections.dbops.multischema.plugins.module_utils.routine_effects import FAILS
from ansible_collections.dbops.multischema.plugins.module_utils.situation import Situation, table_name
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name, qualified


def _where(s: Situation, expression: Expression) -> str:
    """The table or view that an expression belongs to, by the name that it has in the plan, and the part of it."""
    table = s.catalog.by_oid().get(expression.relation)
    if expression.kind == "view":
        return qualified(expression.schema, expression.relation_name)
    if table is not None:
        return f"{table_name(table)}: {expression.name}"
    return f"{qualified(expression.schema, expression.relation_name)}: {expression.name}" if expression.schema else expression.name


def expressions(s: Situation) -> Iterator[Finding]:
    """``nextval('public.x'::text)`` and the like: resolved each time, and linked by nothing."""
    for expression, reading in zip(s.catalog.expressions, s.readings.expressions):
        effects = list(s.verdicts.effects.of(reading, None))
        if not effects:
            continue
        names = ", ".join(dict.fromkeys(effect.written for effect in effects))
        instead = ", ".join(dict.fromkeys(Name(effect.moved.target, effect.moved.name).as_string() for effect in effects))
        fails = any(effect.outcome == FAILS for effect in effects)
        yield Finding(
            "expression_names",
            REFUSE if fails else WARN,
            _where(s, expression),
            f"This {expression.kind} names {names} as text, so that it does not follow: "
            + ("it fails from then on." if fails else "it answers something else from then on."),
            f"Let it name {instead} as a regclass ('{effects[0].written}'::regclass instead of …::text), before the move: then it follows "
            "by itself." + (" Or accept the finding expression_names." if fails else ""),
            acceptable=fails,
        )


def jobs(s: Situation) -> Iterator[Finding]:
    """Tables of schedulers and tools that hold SQL or names as text."""
    if not s.catalog.mentions:
        return
    moving = {table.name: (group.view, table_name(table), Name(target, table.name).as_string()) for group, table, target in s.moves}
    for _, table, target in s.moves:
        for sequence in table.sequences:
            moving[sequence.name] = (False, qualified(table.schema, sequence.name), Name(target, sequence.name).as_string())
    for mention in s.catalog.mentions:
        named = [moving[name] for name in mention.names if name in moving]
        if not named:
            continue
        gone = [old for view, old, _ in named if not view]
        yield Finding(
            "job_text",
            WARN,
            f"{qualified(mention.schema, mention.table)}: {mention.row}",
            f"Its {mention.column} names what moves. "
            + (f"Nothing stands under {', '.join(gone[:5])} any longer. " if gone else "")
            + "Through a view, statements go on; VACUUM and ANALYZE of a view only warn and do nothing; TRUNCATE, CREATE TABLE … "
            "PARTITION OF and tools that look for a table fail.",
            "Where the old name is meant, write "
            + ", ".join(f"{new} for {old}" for _, old, new in named[:5])
            + (" …" if len(named) > 5 else "")
            + ".",
        )


def remote_tables(s: Situation) -> Iterator[Finding]:
    """Foreign tables name a table of the other side as text; the other side may be this database."""
    moving = {table.name: (group, table, target) for group, table, target in s.moves}
    for remote in s.catalog.remote_tables:
        if remote.remote_table not in moving or remote.database not in ("", s.catalog.server.database):
            continue
        group, table, target = moving[remote.remote_table]
        yield Finding(
            "foreign_table_text",
            WARN,
            qualified(remote.schema, remote.name),
            f"This foreign table stands for {table_name(table)} on server {remote.server}. If that is this very database, it finds "
            + ("a view from then on: reading goes on, TRUNCATE and such UPDATE and DELETE fail as need the row's ctid."
               if group.view else "nothing from then on."),
            f"ALTER FOREIGN TABLE {qualified(remote.schema, remote.name)} OPTIONS (SET schema_name …), with {Name(target).as_string()}, "
            "in the window of phase 2; foreign tables of other databases are not seen from here.",
        )  # fmt: skip
