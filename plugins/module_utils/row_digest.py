"""The digest of a table's rows as one statement: equal for equal rows, on whatever server they are and in whatever order (pure).

Each column's value is hashed with a seed of its own, the hashes of a row are joined, mixed once more, and summed over all rows. A value
of the commonest types is hashed as it is: without writing all of them as text the sample database takes 0.6 of the time. That counts,
since it is done beside a dump. Values of all other types are hashed as the text that PostgreSQL writes of them: by their types an enum
hashes by OID, which is another one in a copy, and ``1.0`` like ``1.00``.

What is hashed in 64 bits is a difference missed once in 2^64 times; of a point in time, which PostgreSQL folds into 32 bits first, once
in 2^32.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name, Piece, comma, fragment, statement

# The seeds are any numbers but 0.
_SEED = 1836411252
ROW = "multischema_row"
# By OID of the type (pg_type.dat), which never changes: what makes 64 bits of a value that differ wherever the value does. hashint8extended
# folds into 32 bits first, so the upper half goes in once more; a text is hashed byte by byte, whatever its collation calls equal.
_BY_VALUE = {
    16: "pg_catalog.hashint4extended({value}::pg_catalog.int4, {seed})",  # boolean
    20: "pg_catalog.hashint8extended({value}, {seed}) # pg_catalog.hashint4extended(({value} >> 32)::pg_catalog.int4, {seed} + 1)",
    21: "pg_catalog.hashint2extended({value}, {seed})",
    23: "pg_catalog.hashint4extended({value}, {seed})",
    25: 'pg_catalog.hashtextextended({value} COLLATE pg_catalog."C", {seed})',
    1043: 'pg_catalog.hashtextextended({value}::pg_catalog.text COLLATE pg_catalog."C", {seed})',
    1114: "pg_catalog.timestamp_hash_extended({value}, {seed})",
    1184: "pg_catalog.timestamp_hash_extended({value}::pg_catalog.timestamp, {seed})",  # in UTC: the same number
    2950: "pg_catalog.uuid_hash_extended({value}, {seed})",
}
_BY_TEXT = "pg_catalog.hashtextextended(ROW({})::pg_catalog.text, {})"
# OFFSET 0 keeps the hash of a row from being computed twice. Both halves of it go in, for the same reason as above.
_WHOLE = (
    "SELECT pg_catalog.count(*), pg_catalog.sum(pg_catalog.hashint4extended((h >> 32)::pg_catalog.int4, "
    "pg_catalog.hashint8extended(h, {})))::pg_catalog.text FROM (SELECT {} FROM ONLY {} AS multischema_row OFFSET 0) "
    "AS multischema_rows (h)"
)


def row_digest(schema: str, table: str, columns: Sequence[tuple[str, int]]) -> str:
    """The statement that counts the rows of one table (its own, without partitions or children) and digests them.

    :param columns: names and OIDs of types, in an order that a copy has, too.
    """
    parts, written = [], []
    for number, (column, type_) in enumerate(columns):
        value = Name(ROW, column)
        if type_ in _BY_VALUE:
            seed = _number(_SEED + 2 * number)
            parts.append(fragment(f"COALESCE({_BY_VALUE[type_]}, {{seed}})", value=value, seed=seed))
        else:
            written.append(value)
    if written or not parts:
        parts.append(fragment(_BY_TEXT, comma(written), _number(_SEED - 1)))
    return statement(_WHOLE, _number(_SEED), _joined(parts), Name(schema, table))


def _number(value: int) -> Piece:
    return fragment(str(value))


def _joined(parts: Iterable[Piece]) -> Piece:
    """By exclusive or: the seeds are of the columns, so the same value in two columns is no nothing."""
    first, *others = parts
    for part in others:
        first = fragment("{} # {}", first, part)
    return first
