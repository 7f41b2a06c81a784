"""Two fingerprints differ exactly where rows or sequences do, wherever the tables have gone."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.errors import ServerRefused
from ansible_collections.dbops.multischema.plugins.module_utils.fingerprint import (
    Fingerprint,
    SequenceValue,
    TableDigest,
    compare,
    read_fingerprint,
)
from tests.unit.fake_database import FakeDatabase, refusal

ORDERS = TableDigest(1, "public", "orders", 10, "12345", "record")
SEQUENCE = SequenceValue(2, "public", "orders_id_seq", 10)
BEFORE = Fingerprint((ORDERS,), (SEQUENCE,))


def found(*tables: TableDigest, sequences: tuple[SequenceValue, ...] = (SEQUENCE,)) -> list[str]:
    return list(compare(BEFORE, Fingerprint(tables, sequences)))


def test_nothing_changed() -> None:
    assert found(ORDERS) == []


def test_a_table_that_only_moved_does_not_differ() -> None:
    moved = replace(SEQUENCE, schema="tenant")
    assert found(replace(ORDERS, schema="tenant"), sequences=(moved,)) == []


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (replace(ORDERS, rows=9), "public.orders: 10 rows before, 9 now"),
        (replace(ORDERS, digest="54321"), "public.orders: 10 rows as before, but their content differs"),
        (replace(ORDERS, digest=None), "public.orders: 10 rows as before, but their content differs"),
    ],
)
def test_rows_that_differ_are_named(now: TableDigest, said: str) -> None:
    assert found(now) == [said]


def test_digests_made_in_different_ways_are_not_compared() -> None:
    assert found(replace(ORDERS, digest="54321", method="text")) == []
    assert found(replace(ORDERS, digest=None, method="count")) == []
    counted = Fingerprint((replace(ORDERS, digest=None, method="count"),), ())
    assert list(compare(counted, Fingerprint((ORDERS,), ()))) == []


def test_tables_that_are_gone_or_new_are_named() -> None:
    assert found(replace(ORDERS, oid=3, schema="tenant")) == ["public.orders is gone (10 rows)", "tenant.orders is new (10 rows)"]


def test_sequences_are_compared() -> None:
    assert found(ORDERS, sequences=(replace(SEQUENCE, last_value=11),)) == ["sequence public.orders_id_seq: at 10 before, 11 now"]
    assert found(ORDERS, sequences=(replace(SEQUENCE, last_value=None),)) == ["sequence public.orders_id_seq: at 10 before, None now"]
    assert found(ORDERS, sequences=()) == ["sequence public.orders_id_seq is gone"]


def test_a_fingerprint_survives_its_file() -> None:
    assert Fingerprint.from_dict(json.loads(json.dumps(BEFORE.to_dict()))) == BEFORE


@pytest.mark.parametrize("data", [{}, {"tables": [{}], "sequences": []}, {"tables": [{"colour": 1}], "sequences": []}])
def test_what_is_no_fingerprint_is_refused(data: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError)):
        Fingerprint.from_dict(data)


# --- how it is read ---


class Reading(FakeDatabase):
    """Row digests from a script; transactions as they are."""

    def transaction(self):  # type: ignore[no-untyped-def]
        raise AssertionError("a fingerprint never writes")

    def snapshot(self):  # type: ignore[no-untyped-def]
        return super().transaction()


def reading(version: int, **answers: object) -> Reading:
    given = {"server_version_num": [(version,)], "relkind = 'r'": [(1, "public", "orders")], **answers}
    return Reading({**given, "FROM ONLY": [(10, "12345")]})


@pytest.mark.parametrize(("version", "method"), [(130000, "text"), (140000, "record"), (180000, "record")])
def test_rows_are_hashed_as_the_server_can(version: int, method: str) -> None:
    assert read_fingerprint(reading(version), ["public"]).tables[0].method == method


def test_a_type_without_a_hash_function_falls_back_to_text() -> None:
    database = reading(160000, hash_record_extended=refusal("42883", "no hash function"))
    (digest,) = read_fingerprint(database, ["public"]).tables
    assert (digest.method, digest.digest) == ("text", "12345")
    assert "ROLLBACK TO SAVEPOINT one_table" in database.sent


def test_any_other_error_is_said_with_the_table() -> None:
    with pytest.raises(ServerRefused, match=r"The rows of public\.orders cannot be read"):
        read_fingerprint(reading(160000, hash_record_extended=refusal("42501", "row security")), ["public"])


def test_rows_are_only_counted_where_that_is_asked_for() -> None:
    database = reading(160000)
    database.answers["FROM ONLY"] = [(10, None)]
    assert read_fingerprint(database, ["public"], content=False).tables[0] == TableDigest(1, "public", "orders", 10, None, "count")
    assert not [query for query in database.sent if "hash" in query]


def test_row_security_makes_reading_fail_rather_than_leave_rows_out() -> None:
    database = reading(160000)
    read_fingerprint(database, ["public"])
    assert "SET LOCAL row_security = off" in database.sent
