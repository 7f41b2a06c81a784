"""What a user writes becomes one configuration; whatever cannot be used is said all at once."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.configuration import (
    AcceptedFinding,
    PlacementRule,
    TargetSchema,
    read_configuration,
)
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError

MINIMAL: dict[str, Any] = {"schemas": [{"name": "tenant"}], "placement": [{"schema": "tenant", "tables": ["*"]}]}


def problems(**values: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read_configuration({**MINIMAL, **values})
    return caught.value.found


def test_defaults() -> None:
    read = read_configuration(MINIMAL)
    assert read.schemas == (TargetSchema("tenant", None, None),)
    assert read.placement == (PlacementRule("tenant", ("*",), None),)
    assert (read.source_schema, read.keep, read.unplaced, read.accept) == ("public", (), "refuse", ())
    assert (read.compatibility_views, read.application_roles) == (True, ())


def test_everything_is_read() -> None:
    read = read_configuration(
        {
            "schemas": [{"name": "Tenant", "owner": "boss", "comment": "It's ours"}, {"name": "b", "owner": "", "comment": None}],
            "placement": [{"schema": "Tenant", "tables": ["a", "b*"], "compatibility_view": False}],
            "source_schema": "legacy",
            "keep": ["tmp_*"],
            "unplaced": "keep",
            "accept": [{"finding": "inheritance_only", "object": "legacy.a", "reason": "checked"}],
            "compatibility_views": False,
            "application_roles": ["web"],
        }
    )
    assert read.schemas == (TargetSchema("Tenant", "boss", "It's ours"), TargetSchema("b", None, None))
    assert read.placement == (PlacementRule("Tenant", ("a", "b*"), False),)
    assert read.accept == (AcceptedFinding("inheritance_only", "legacy.a", "checked"),)
    assert (read.source_schema, read.keep, read.unplaced, read.compatibility_views) == ("legacy", ("tmp_*",), "keep", False)
    assert read.target_names == ("Tenant", "b")
    assert read.named_roles == ("web", "boss")


def test_tables_may_be_one_name_or_a_list() -> None:
    one = read_configuration({**MINIMAL, "placement": [{"schema": "tenant", "tables": "order_*"}]})
    assert one.placement[0].tables == ("order_*",)
    assert one == read_configuration({**MINIMAL, "placement": [{"schema": "tenant", "tables": ["order_*"]}]})


def test_a_single_name_may_stand_for_a_list_of_names() -> None:
    read = read_configuration({**MINIMAL, "keep": "audit", "application_roles": "web"})
    assert (read.keep, read.application_roles) == (("audit",), ("web",))


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("Yes", True), ("on", True), ("1", True), ("false", False), ("NO", False), ("off", False), ("0", False)],
)
def test_booleans_may_be_text(text: str, value: bool) -> None:
    rule = {"schema": "tenant", "tables": "*", "compatibility_view": text}
    read = read_configuration({**MINIMAL, "compatibility_views": text, "placement": [rule]})
    assert (read.compatibility_views, read.placement[0].compatibility_view) == (value, value)


@pytest.mark.parametrize("value", ["maybe", "", 2, [], 1.0])
def test_what_is_neither_true_nor_false_is_refused(value: Any) -> None:
    assert "multischema_compatibility_views is" in problems(compatibility_views=value)


def test_all_mistakes_are_reported_together() -> None:
    text = problems(
        schemas=[{"name": "a"}, {"name": "a"}, {"nam": "b"}, "c", {"name": "d", "owner": 7}],
        placement=[{"schema": "a"}, {"schema": "a", "tables": [2024]}, {"schema": "a", "tables": "x", "compatibility_view": "maybe"}],
        unplaced="drop",
        keep=5,
        accept=[{"finding": "x", "object": "y"}],
        source_schema=3,
    )
    for part in (
        "lists a twice",
        "multischema_schemas[2] lacks name",
        "key nam,",
        "multischema_schemas[3] is 'c'",
        "owner is 7",
        "multischema_placement[0] lacks tables",
        "2024",
        "'maybe'",
        "multischema_unplaced is 'drop': write refuse or keep",
        "multischema_keep is 5",
        "multischema_accept[0] lacks reason",
        "multischema_source_schema is 3",
    ):
        assert part in text, part
    assert text.count("\n  - ") == 12


def test_a_mistake_is_named_by_its_place_in_the_list_that_was_written() -> None:
    assert "multischema_schemas[1].name is 5" in problems(schemas=[{"owner": "x"}, {"name": 5}])
    assert "multischema_placement[1].tables[0] is 5" in problems(placement=[{"schema": "tenant"}, {"schema": "tenant", "tables": [5]}])


def test_unknown_keys_are_named_with_the_known_ones() -> None:
    text = problems(placement=[{"schema": "tenant", "tables": "*", "view": True}])
    assert "key view" in text
    assert "compatibility_view" in text


@pytest.mark.parametrize("value", [{"name": "tenant"}, "tenant", 5, True])
def test_a_list_of_schemas_has_to_be_a_list(value: Any) -> None:
    assert "multischema_schemas is" in problems(schemas=value)


def test_no_target_schema_is_a_mistake() -> None:
    assert "multischema_schemas is empty" in problems(schemas=[], placement=[])
    assert "multischema_schemas is empty" in problems(schemas=None, placement=None)


def test_a_name_that_postgresql_would_cut_is_refused() -> None:
    assert read_configuration({**MINIMAL, "keep": ["x" * 63]}).keep == ("x" * 63,)
    assert "at most 63 bytes" in problems(keep=["x" * 64])
    assert "at most 63 bytes" in problems(keep=["ü" * 32])
    assert "multischema_schemas[0].name" in problems(schemas=[{"name": "x" * 64}])


@pytest.mark.parametrize("name", ["", "a\x00b", 7, None, ["x"]])
def test_what_cannot_be_a_name_is_refused(name: Any) -> None:
    assert "multischema_application_roles[0] is" in problems(application_roles=[name])


def test_nothing_in_a_message_is_left_to_guess() -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_configuration({**MINIMAL, "unplaced": "drop"})
    assert "Nothing was read from or written to the database." in caught.value.why
    assert "inventory" in caught.value.remedy


def test_the_digest_tells_configurations_apart() -> None:
    same = read_configuration({**MINIMAL, "unplaced": "refuse", "keep": []})
    assert read_configuration(MINIMAL).digest == same.digest
    others: list[dict[str, Any]] = [{"keep": ["a"]}, {"unplaced": "keep"}, {"compatibility_views": False}, {"application_roles": ["web"]}]
    digests = {read_configuration({**MINIMAL, **other}).digest for other in others}
    assert len(digests | {same.digest}) == 5
