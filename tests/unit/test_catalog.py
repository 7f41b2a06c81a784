"""A catalog crosses Ansible as text and comes out the same; two observations of a table are compared part by part."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog, Role, Server, Table, changed_parts
from ansible_collections.dbops.multischema.plugins.module_utils.plain import from_plain, pack, to_plain, unpack
from tests.unit.builders import catalog, everything, grant, oid, partition, table
from tests.unit.test_rewind import FULL


def test_a_catalog_survives_being_packed() -> None:
    assert from_plain(Catalog, unpack(pack(FULL))) == FULL


def test_a_catalog_survives_json() -> None:
    assert from_plain(Catalog, json.loads(json.dumps(to_plain(FULL)))) == FULL


def test_a_table_without_acl_is_not_one_with_an_empty_acl() -> None:
    for acl in (None, ()):
        assert from_plain(Table, json.loads(json.dumps(to_plain(table("a", acl=acl))))).acl == acl


def test_data_of_another_version_is_refused() -> None:
    with pytest.raises(KeyError, match="colour"):
        from_plain(Server, {**to_plain(FULL.server), "colour": "blue"})
    with pytest.raises(TypeError):
        from_plain(Table, {"oid": 1})


def test_lookups() -> None:
    found = catalog(table("b"), table("a"), table("c", schema="other"), roles=[Role("web")])
    assert [t.name for t in found.source_tables] == ["a", "b"]
    assert found.by_oid()[oid("c")].name == "c"
    assert found.schema("public") is not None
    assert found.schema("nowhere") is None
    assert found.role("web") == Role("web")
    assert found.role("PUBLIC") is None
    assert FULL.server.major == 16


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, []),
        ({"name": "b"}, ["name"]),
        ({"schema": "other"}, ["schema"]),
        ({"owner": "b"}, ["owner"]),
        ({"row_security": True}, ["row security"]),
        ({"parents": (1,)}, ["parents"]),
        ({"extension": "postgis"}, ["extension"]),
        ({"acl": everything("app_owner")}, ["acl"]),
        ({"column_grants": grant("web", column="id")}, ["column grants"]),
        ({"structure": {"columns": "c2", "constraints": "k1"}}, ["columns"]),
        ({"structure": {"columns": "c1"}}, ["constraints"]),
        ({"structure": {"columns": "c1", "constraints": "k1", "triggers": "t1"}}, ["triggers"]),
        ({"owner": "b", "structure": {"columns": "c2", "constraints": "k2"}}, ["owner", "columns", "constraints"]),
        ({"rows_estimate": 7, "bytes_estimate": 7, "comment": "new"}, []),
    ],
)
def test_what_changed_is_said_part_by_part(change: dict[str, object], words: list[str]) -> None:
    before = table("a")
    assert list(changed_parts(before, replace(before, **change))) == words  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (table("a"), "table"),
        (table("a", "p"), "partitioned table"),
        (table("a", "f"), "foreign table"),
        (partition("b", "a"), "partition"),
        (partition("b", "a", "p"), "partitioned table"),
    ],
)
def test_kinds_have_names(one: Table, text: str) -> None:
    assert one.kind_text == text


@pytest.mark.parametrize("secret", ["x", "-", ".", "g", "G", "=", "1", "e", "postgres", "", "///"])
def test_what_is_packed_holds_no_secret_that_ansible_would_mask(secret: str) -> None:
    data = {"tables": [f"table_{n}" for n in range(400)]}
    text = pack(data, [secret])
    assert not secret or secret not in text
    assert unpack(text) == data
