"""Findings about what stands outside of the database, or beside its tables, and knows them by name."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from ansible_collections.dbops.multischema.plugins.module_utils.plan import WARN, Finding
from ansible_collections.dbops.multischema.plugins.module_utils.situation import Situation
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name

SAME_QUERY_ID_SINCE = 180000  # measured: through a view 15 and 16 give a statement another query id, 18 the same


def _pattern(schema: str) -> str:
    """The name as an argument of pg_dump in a shell: a pattern, in which capitals need quotes of their own."""
    return shlex.quote(Name(schema).as_string())


def dumps_by_name(s: Situation) -> Iterator[Finding]:
    """The most dangerous silent one: a backup that succeeds and holds nothing."""
    if s.moves:
        source = s.catalog.source_schema
        yield Finding(
            "dump_by_name",
            WARN,
            source,
            f"A backup job that names schemas or tables (pg_dump -n {_pattern(source)}, pg_dump -t …) will go on to succeed and hold no "
            "rows of what has moved.",
            f"Dump the whole database, or add -n {' -n '.join(_pattern(name) for name in sorted(s.targets))} to such jobs before phase 2.",
        )


def monitoring_by_name(s: Situation) -> Iterator[Finding]:
    """Statistics views give the schema that a table is in, and sizes are asked for by name."""
    if s.moves:
        source = s.catalog.source_schema
        yield Finding(
            "monitoring_by_name",
            WARN,
            source,
            f"Dashboards and alerts that look for schemaname = '{source}' lose sight of what has moved (the counters go on under the new "
            f"schema), and pg_relation_size('{source}.x') is 0, because that is a view. Neither is an error.",
            f"Let them look for {', '.join(sorted(s.targets))} too, and ask for sizes by the new names.",
        )


def statement_statistics(s: Situation) -> Iterator[Finding]:
    """pg_stat_statements tells statements apart by what they read, not by their text."""
    extension = next((e for e in s.catalog.extensions if e.name == "pg_stat_statements"), None)
    views = any(group.view for group, _, _ in s.moves)
    if extension is not None and views and s.catalog.server.version_num < SAME_QUERY_ID_SINCE:
        yield Finding(
            "statement_statistics",
            WARN,
            extension.name,
            f"On PostgreSQL {s.catalog.server.major} a statement that reads through a view has another queryid than before: "
            "its history ends with the move, and a second entry begins.",
            "Keep a copy of pg_stat_statements from before, and expect alerts on new statements.",
        )
