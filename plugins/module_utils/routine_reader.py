"""Observe what is text: routines with their wiring, expressions that name something as text, job tables, foreign tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils import catalog_routine_queries as q
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_routines import (
    Argument,
    Expression,
    Mention,
    RemoteTable,
    Routine,
    Wiring,
)
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.search_path import parse
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name, statement

PARSED_BODIES_SINCE = 140000


def _path(text: str | None) -> tuple[str, ...] | None:
    """A routine's own path; one that PostgreSQL would not take leads nowhere."""
    if text is None:
        return None
    try:
        return parse(text)
    except ValueError:
        return ()


def read_routines(database: Database, version_num: int, scope: Mapping[str, Any]) -> tuple[Routine, ...]:
    """Every routine of the database that is nobody else's: not of PostgreSQL, not of an extension."""
    parsed = "p.prosqlbody IS NOT NULL" if version_num >= PARSED_BODIES_SINCE else "false"
    wiring: dict[int, list[Wiring]] = {}
    for row in database.rows(q.WIRING):
        wiring.setdefault(row[0], []).append(Wiring(*row[1:]))
    return tuple(
        Routine(
            oid=row[0],
            schema=row[1],
            name=row[2],
            signature=row[3],
            source=row[4],
            row_types=tuple(row[5] or ()),
            language=row[6],
            kind=row[7],
            search_path=_path(row[8]),
            security_definer=row[9],
            owner=row[10],
            returns=row[11],
            returns_set=row[12],
            result_table=row[13],
            arguments=tuple(Argument(*argument) for argument in row[14] or ()),
            wiring=tuple(wiring.get(row[0], ())),
        )
        for row in database.rows(q.ROUTINES.format(parsed=parsed), scope)
    )


def read_aggregates(database: Database) -> tuple[str, ...]:
    """Names of aggregate functions besides PostgreSQL's own."""
    return tuple(name for (name,) in database.rows(q.AGGREGATES))


def read_expressions(database: Database, scope: Mapping[str, Any]) -> tuple[Expression, ...]:
    """Expressions in which a relation is named as text."""
    return tuple(Expression(*row) for row in database.rows(q.EXPRESSIONS, scope))


def read_mentions(database: Database, scope: Mapping[str, Any]) -> tuple[Mention, ...]:
    """Rows of known job and metadata tables that hold names of ours."""
    columns = list(zip(*q.JOB_COLUMNS))
    names = {"job_tables": list(columns[0]), "job_columns": list(columns[1]), "job_rows": list(columns[2])}
    found: list[Mention] = []
    for schema, table, column, row in database.rows(q.JOB_TABLES, names):
        query = statement(q.MENTIONS, row=Name("t", row), column=Name(column), table=Name(schema, table))
        found.extend(Mention(schema, table, column, f"{row} {which}", tuple(mentioned)) for which, mentioned in database.rows(query, scope))
    return tuple(found)


def read_remote_tables(database: Database, scope: Mapping[str, Any]) -> tuple[RemoteTable, ...]:
    """Foreign tables of this database that stand for a table of the source schema's name on the other side."""
    return tuple(RemoteTable(*row) for row in database.rows(q.REMOTE_TABLES, scope))
