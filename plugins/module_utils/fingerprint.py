"""Prove that nothing was lost: digests of every table's rows, independent of their order, and every sequence's value.

Identity (`identity.py`) proves in constant time that a move has touched no row. This is the other proof, for those who
want to count: it reads every row once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.errors import ServerRefused
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name, fragment, qualified, statement

HASH_SINCE = 140000  # hash_record_extended()
UNDEFINED_FUNCTION = "42883"  # a column's type has no hash function
BY_RECORD, BY_TEXT, BY_COUNT = "record", "text", "count"

_TABLES = """
SELECT c.oid::bigint, n.nspname, c.relname
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY(%s) AND c.relkind = 'r' AND c.relpersistence <> 't' ORDER BY n.nspname, c.relname
"""

_SEQUENCES = """
SELECT c.oid::bigint, n.nspname, c.relname, pg_sequence_last_value(c.oid)
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = ANY(%s) AND c.relkind = 'S' ORDER BY n.nspname, c.relname
"""

# A sum, not an exclusive or: two equal rows must not cancel each other. The seed must not be 0: a NULL hashes to 0 whatever
# the seed, and 0.0, NaN and infinity hash to the seed.
_SEED = 1836411252
_EXPRESSIONS = {
    BY_RECORD: f"sum(pg_catalog.hash_record_extended(ROW(multischema_row.*), {_SEED}))",
    BY_TEXT: f"sum(pg_catalog.hashtextextended(ROW(multischema_row.*)::text, {_SEED}))",
    BY_COUNT: "NULL",
}


@dataclass(frozen=True)
class TableDigest:
    """Rows of one table (its own, without partitions or children).

    :param digest: sum of the rows' hashes, as text; None where only the rows were counted.
    :param method: how a row was hashed: ``record``, ``text`` (for types without a hash function), ``count``.
    """

    oid: int
    schema: str
    name: str
    rows: int
    digest: str | None
    method: str


@dataclass(frozen=True)
class SequenceValue:
    """Where a sequence stands; None before its first use."""

    oid: int
    schema: str
    name: str
    last_value: int | None


@dataclass(frozen=True)
class Fingerprint:
    """Digests by OID, so that a table is found again wherever it went."""

    tables: tuple[TableDigest, ...]
    sequences: tuple[SequenceValue, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Fingerprint:
        """:raises KeyError, TypeError: when the data was not made by :meth:`to_dict`."""
        return cls(
            tuple(TableDigest(**table) for table in data["tables"]),
            tuple(SequenceValue(**sequence) for sequence in data["sequences"]),
        )


def _digest(database: Database, schema: str, name: str, method: str) -> tuple[int, str | None, str]:
    query = statement("SELECT count(*), {}::text FROM ONLY {} AS multischema_row", fragment(_EXPRESSIONS[method]), Name(schema, name))
    rows, digest = database.rows(query)[0]
    return int(rows), digest, method


def _digest_somehow(database: Database, schema: str, name: str, methods: list[str]) -> tuple[int, str | None, str]:
    """Try the methods in order. An error aborts the transaction, so each begins from a savepoint of its own."""
    database.execute("SAVEPOINT one_table")
    try:
        return _digest(database, schema, name, methods[0])
    except ServerRefused as error:
        if error.sqlstate == UNDEFINED_FUNCTION and len(methods) > 1:
            database.execute("ROLLBACK TO SAVEPOINT one_table")
            return _digest_somehow(database, schema, name, methods[1:])
        raise ServerRefused(
            f"The rows of {qualified(schema, name)} cannot be read: {error.found}",
            "A digest that leaves out rows would prove nothing.",
            "Connect as the tables' owner, a role with BYPASSRLS, or a superuser.",
            error.sqlstate,
            error.statement,
        ) from error


def read_fingerprint(database: Database, schemas: Iterable[str], content: bool = True) -> Fingerprint:
    """Read every table of the schemas in one snapshot.

    :param schemas: source and targets; those that are not there have no tables.
    :param content: whether to hash the rows; otherwise they are counted.
    :raises ServerRefused: where rows cannot be read, row security included.
    """
    names = list(schemas)
    version = int(database.value("SELECT current_setting('server_version_num')::int"))
    methods = [BY_RECORD, BY_TEXT] if version >= HASH_SINCE else [BY_TEXT]
    with database.snapshot():
        # With row_security off, PostgreSQL answers with an error rather than with some of the rows.
        database.execute("SET LOCAL row_security = off")
        tables = []
        for oid, schema, name in database.rows(_TABLES, (names,)):
            rows, digest, method = _digest_somehow(database, schema, name, methods if content else [BY_COUNT])
            tables.append(TableDigest(oid, schema, name, rows, digest, method))
        sequences = tuple(SequenceValue(*row) for row in database.rows(_SEQUENCES, (names,)))
    return Fingerprint(tuple(tables), sequences)


def compare(before: Fingerprint, after: Fingerprint) -> Iterator[str]:
    """What differs, in words; a table that only went to another schema does not differ."""
    now = {table.oid: table for table in after.tables}
    for was in before.tables:
        name = qualified(was.schema, was.name)
        table = now.pop(was.oid, None)
        if table is None:
            yield f"{name} is gone ({was.rows} rows)"
        elif was.rows != table.rows:
            yield f"{name}: {was.rows} rows before, {table.rows} now"
        elif was.digest is not None and was.method == table.method and was.digest != table.digest:
            yield f"{name}: {was.rows} rows as before, but their content differs"
    for table in now.values():
        yield f"{qualified(table.schema, table.name)} is new ({table.rows} rows)"
    values = {sequence.oid: sequence for sequence in after.sequences}
    for sequence in before.sequences:
        found = values.get(sequence.oid)
        if found is None:
            yield f"sequence {qualified(sequence.schema, sequence.name)} is gone"
        elif found.last_value != sequence.last_value:
            yield (f"sequence {qualified(sequence.schema, sequence.name)}: at {sequence.last_value} before, {found.last_value} now")
