"""The content of a database by name, so that it can be compared with a copy: digests of every table's rows, sequences, large objects.

`fingerprint.py` compares a database with itself, by OID. In a copy every OID is another one, and a row's hash by its types
may be, too; so rows are hashed by what is the same everywhere (`row_digest.py`), under settings that leave nothing to a server.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.errors import ServerRefused
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.row_digest import row_digest
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import qualified

# How values are written as text, as pg_dump sets it (pg_dump.c, setup_connection); an empty path qualifies what regclass and
# its like write. Without row security an error comes rather than some of the rows.
SETTINGS = (
    "SET LOCAL search_path = ''; SET LOCAL DateStyle = 'ISO'; SET LOCAL IntervalStyle = 'postgres'; SET LOCAL extra_float_digits = 3; "
    "SET LOCAL bytea_output = 'hex'; SET LOCAL TimeZone = 'UTC'; SET LOCAL lc_monetary = 'C'; SET LOCAL xmloption = 'content'; "
    "SET LOCAL quote_all_identifiers = off; SET LOCAL synchronize_seqscans = off; SET LOCAL row_security = off"
)
# Every table whose rows a dump holds: not temporary ones, nor those of extensions, whose rows the extension makes (or, where it
# says so, some of them).
_TABLES = """
SELECT n.nspname, c.relname, pg_catalog.pg_table_size(c.oid)
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
                      AND d.deptype = 'e')
 ORDER BY n.nspname, c.relname
"""
_SEQUENCES = """
SELECT n.nspname, c.relname, pg_catalog.pg_sequence_last_value(c.oid)
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
                      AND d.deptype = 'e')
 ORDER BY n.nspname, c.relname
"""
# By name: in a copy the columns of an inheritance child may stand in another order.
_COLUMNS = """
SELECT a.attname, a.atttypid::bigint
  FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attname
"""
# A sum, not an exclusive or: two equal ones must not cancel each other. The seed is any number but 0.
_SEED = 1836411252
_LARGE_OBJECTS = (
    f"SELECT count(*), sum(pg_catalog.hashtextextended(pg_catalog.lo_get(m.oid)::text, {_SEED}))::text "
    "FROM pg_catalog.pg_largeobject_metadata m"
)


@dataclass(frozen=True)
class TableContent:
    """Rows of one table (its own, without partitions or children).

    :param digest: sum of the rows' hashes, as text; None where there are none.
    """

    schema: str
    name: str
    rows: int
    digest: str | None


@dataclass(frozen=True)
class SequenceContent:
    """Where a sequence stood. Its value is not part of a snapshot: a dump writes what it is when the dump comes by.

    :param before: when the dump began; None before its first use.
    :param after: when it had ended.
    """

    schema: str
    name: str
    before: int | None
    after: int | None


@dataclass(frozen=True)
class Content:
    """What a database holds, by name.

    :param schema_digest: SHA-256 of its schema, as one version of ``pg_dump --schema-only`` writes it; empty where it was not read.
    :param large_objects: how many, and the sum of their hashes.
    """

    tables: tuple[TableContent, ...] = ()
    sequences: tuple[SequenceContent, ...] = ()
    large_objects: int = 0
    large_objects_digest: str | None = None
    schema_digest: str = ""

    @property
    def rows(self) -> int:
        """Of all tables."""
        return sum(table.rows for table in self.tables)

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Content:
        """:raises KeyError, TypeError: when the data was not made by :meth:`to_dict`."""
        parts = {
            "tables": tuple(TableContent(**table) for table in data["tables"]),
            "sequences": tuple(SequenceContent(**sequence) for sequence in data["sequences"]),
        }
        return cls(**{**data, **parts})


def tables_of(database: Database) -> list[tuple[str, str, int]]:
    """Schema, name and size in bytes (with TOAST, without indexes) of every table that a dump holds rows of."""
    return [(str(schema), str(name), int(size)) for schema, name, size in database.rows(_TABLES)]


def read_table(database: Database, schema: str, name: str) -> TableContent:
    """Read every row of a table once; inside a transaction with `SETTINGS`.

    :raises ServerRefused: where rows cannot be read, row security included.
    """
    columns = [(str(column), int(type_)) for column, type_ in database.rows(_COLUMNS, (schema, name))]
    try:
        rows, digest = database.rows(row_digest(schema, name, columns))[0]
    except ServerRefused as error:
        raise ServerRefused(
            f"The rows of {qualified(schema, name)} cannot be read: {error.found}",
            "A backup that leaves out rows would not be one.",
            "Connect as the tables' owner, a role with BYPASSRLS, or a superuser.",
            error.sqlstate,
            error.statement,
        ) from error
    return TableContent(schema, name, int(rows), digest)


def read_sequences(database: Database) -> tuple[SequenceContent, ...]:
    """Every sequence, as it stands at this moment."""
    return tuple(SequenceContent(schema, name, value, value) for schema, name, value in database.rows(_SEQUENCES))


def read_sequences_again(database: Database, before: Iterable[SequenceContent]) -> tuple[SequenceContent, ...]:
    """The same sequences when a dump has ended; one that is gone by now keeps its value."""
    now = {(sequence.schema, sequence.name): sequence.after for sequence in read_sequences(database)}
    return tuple(replace(sequence, after=now.get((sequence.schema, sequence.name), sequence.after)) for sequence in before)


def read_large_objects(database: Database) -> tuple[int, str | None]:
    """How many there are, and the sum of their hashes; inside a transaction with `SETTINGS`."""
    count, digest = database.rows(_LARGE_OBJECTS)[0]
    return int(count), digest


def compare_content(recorded: Content, found: Content) -> Iterator[str]:
    """What differs in a copy, in words."""
    if recorded.schema_digest and found.schema_digest and recorded.schema_digest != found.schema_digest:
        yield "the schema differs"
    now = {(table.schema, table.name): table for table in found.tables}
    for was in recorded.tables:
        name = qualified(was.schema, was.name)
        table = now.pop((was.schema, was.name), None)
        if table is None:
            yield f"{name} is missing ({was.rows} rows)"
        elif table.rows != was.rows:
            yield f"{name}: {was.rows} rows recorded, {table.rows} restored"
        elif table.digest != was.digest:
            yield f"{name}: {was.rows} rows as recorded, but their content differs"
    for table in now.values():
        yield f"{qualified(table.schema, table.name)} was not recorded ({table.rows} rows)"
    yield from _compare_sequences(recorded, found)
    if (recorded.large_objects, recorded.large_objects_digest) != (found.large_objects, found.large_objects_digest):
        yield f"large objects: {recorded.large_objects} recorded, {found.large_objects} restored" + (
            ", with other content" if recorded.large_objects == found.large_objects else ""
        )


def _compare_sequences(recorded: Content, found: Content) -> Iterator[str]:
    values = {(sequence.schema, sequence.name): sequence.after for sequence in found.sequences}
    for was in recorded.sequences:
        name = qualified(was.schema, was.name)
        if (was.schema, was.name) not in values:
            yield f"sequence {name} is missing"
        elif not _between(was, values[was.schema, was.name]):
            span = f"at {was.before}" if was.before == was.after else f"from {was.before} to {was.after}"
            yield f"sequence {name}: {span} recorded, at {values[was.schema, was.name]} restored"


def _between(was: SequenceContent, value: int | None) -> bool:
    """Whether a sequence that stood at one value and then at another may have stood at this one in the meantime."""
    if value is None or was.before is None or was.after is None:
        return value == was.before or (was.before is None and was.after is not None)
    return min(was.before, was.after) <= value <= max(was.before, was.after)
