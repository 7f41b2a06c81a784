"""Findings about what a view cannot do in the place of a table: first what goes wrong without an error."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import NAMED_KEY, PRIMARY_KEY, Table
from ansible_collections.dbops.multischema.plugins.module_utils.checks import count_of
from ansible_collections.dbops.multischema.plugins.module_utils.compatibility_view import copied_defaults
from ansible_collections.dbops.multischema.plugins.module_utils.plan import AUTO, WARN, Finding
from ansible_collections.dbops.multischema.plugins.module_utils.situation import Situation, table_name
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name

MERGE_SINCE = 150000
MERGE_INTO_VIEWS_SINCE = 170000

# What PostgreSQL refuses on a view, as a person would write it.
_REFUSED = (
    "TRUNCATE",
    "COPY t FROM, COPY t TO (COPY (SELECT …) TO works), and so data-only restores of older dumps",
    "TABLESAMPLE, WHERE CURRENT OF",
    "xmin, ctid and tableoid",
    "CREATE INDEX, TRIGGER, POLICY, REFERENCES t, INHERITS (t), CLUSTER, REINDEX",
    "ALTER TABLE t ADD, DROP or ALTER COLUMN … TYPE, ADD CONSTRAINT",
)


def _with_view(s: Situation) -> list[tuple[Table, str]]:
    """Tables whose old name becomes a view, and where they go."""
    return [(table, target) for group, table, target in s.moves if group.view]


def _columns(table: Table, names: list[str]) -> str:
    return f"{table_name(table)} ({', '.join(Name(name).as_string() for name in names)})"


def defaults_in_updates(s: Situation) -> Iterator[Finding]:
    """PostgreSQL looks at the view for what DEFAULT means in an UPDATE."""
    copied: list[str] = []
    null: list[str] = []
    for table, _ in _with_view(s):
        ours = {d.column for d in copied_defaults(table)} if s.configuration.view_defaults else set()
        if ours:
            copied.append(_columns(table, sorted(ours)))
        left = [d.column for d in table.defaults if d.nullable and d.column not in ours]
        if left:
            null.append(_columns(table, left))
    if copied:
        yield Finding(
            "view_defaults",
            AUTO,
            s.catalog.source_schema,
            f"The views over {count_of(len(copied), 'table')} carry the defaults of their columns, so that UPDATE … SET c = DEFAULT "
            "through the old name means what it meant. A default that is changed on a table later has to be changed on its view too; "
            "verify tells which.",
            affects=tuple(copied),
        )
    if null:
        offer = "" if s.configuration.view_defaults else " Or set multischema_view_defaults: true, and the views carry plain defaults."
        yield Finding(
            "view_update_default",
            WARN,
            s.catalog.source_schema,
            "UPDATE … SET c = DEFAULT by an old name writes NULL where the column has a default and allows NULL, without an error "
            "(in ON CONFLICT DO UPDATE and MERGE too); INSERT is right. "
            f"{count_of(len(null), 'table')} {'has' if len(null) == 1 else 'have'} such columns.",
            f"Look for = DEFAULT in statements of the application.{offer}",
            affects=tuple(null),
        )


def serial_sequences(s: Situation) -> Iterator[Finding]:
    """A view's column owns no sequence."""
    hit = [table for table, _ in _with_view(s) if table.sequences]
    if hit:
        yield Finding(
            "view_serial_sequence",
            WARN,
            s.catalog.source_schema,
            "pg_get_serial_sequence('old name', 'column') is NULL, without an error, so that commands that reset sequences (after loading "
            f"fixtures, say) do nothing. {count_of(len(hit), 'table')} {'owns' if len(hit) == 1 else 'own'} one.",
            "Give such commands the new names; setval and currval need those of the sequences as well.",
            affects=tuple(table_name(table) for table in hit),
        )


def introspection(s: Situation) -> Iterator[Finding]:
    """Who asks the catalog, or copies a table's definition, gets a view's: no keys, no defaults, everything nullable."""
    tables = _with_view(s)
    if not tables:
        return
    yield Finding(
        "view_introspection",
        WARN,
        s.catalog.source_schema,
        f"Tools that read the catalog find a view where a table was ({count_of(len(tables), 'table')}): no primary key, no defaults, "
        "every column nullable. CREATE TABLE x (LIKE old_name INCLUDING ALL) makes a table without defaults, NOT NULL and indexes. "
        "ALTER TABLE old_name RENAME COLUMN, RENAME TO and ALTER COLUMN … SET DEFAULT succeed, and change the view alone. None of this "
        "is an error.",
        "Give code generators and the like the new names, or a search_path of their own; verify finds views that were changed.",
    )


def limits(s: Situation) -> Iterator[Finding]:
    """The loud ones: an error tells of each, and this list tells before."""
    tables = _with_view(s)
    if not tables:
        return
    words = list(_REFUSED)
    if MERGE_SINCE <= s.catalog.server.version_num < MERGE_INTO_VIEWS_SINCE:
        words.append(f"MERGE INTO t (PostgreSQL {s.catalog.server.major})")
    for trait, text in (
        (NAMED_KEY, "ON CONFLICT ON CONSTRAINT (ON CONFLICT (columns) works)"),
        (PRIMARY_KEY, "GROUP BY the primary key alone"),
    ):
        number = sum(1 for table, _ in tables if trait in table.traits)
        if number:
            words.append(f"{text}, on {count_of(number, 'table')}")
    trees = sum(1 for table, _ in tables if table.kind == "p")
    if trees:
        words.append(f"PARTITION OF, ATTACH and DETACH PARTITION, on {count_of(trees, 'table')}")
    yield Finding(
        "view_limits",
        WARN,
        s.catalog.source_schema,
        "These end with an error by the old names, which are views: " + "; ".join(words) + ". A column that a view shows "
        "cannot be dropped or get another type, nor the table be dropped, until the view is gone.",
        "Let what does so use the new names: they are in plan.sql. SELECT, INSERT, UPDATE, DELETE, RETURNING, ON CONFLICT (columns), "
        "FOR UPDATE and LOCK TABLE work.",
    )
