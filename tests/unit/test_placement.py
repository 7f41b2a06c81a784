"""Rules decide where every table goes, and a rule that cannot be followed is said with what to write instead."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog
from ansible_collections.dbops.multischema.plugins.module_utils.configuration import BOOKKEEPING_TABLES, Configuration
from ansible_collections.dbops.multischema.plugins.module_utils.globs import is_glob, matches
from ansible_collections.dbops.multischema.plugins.module_utils.placement import place, table_names
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Finding
from tests.unit.builders import catalog, configuration, found, named, one, partition, placed, relation, table, view


def shop(*names: str, **values: Any) -> Catalog:
    return catalog(*(table(name) for name in names), **values)


def noticed(seen: Catalog, wanted: Configuration) -> list[Finding]:
    return place(seen, wanted).findings


# --- matching ---


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("orders", "orders", True),
        ("orders", "order", False),
        ("order*", "order", True),
        ("order*", "orders_2024", True),
        ("order?", "orders", True),
        ("order?", "order", False),
        ("orders_[0-9]*", "orders_2024", True),
        ("orders_[0-9]*", "orders_x", False),
        ("Orders", "orders", False),
        ("order*", "Orders", False),
        ("*", "anything at all", True),
        ("weird[1]", "weird[1]", True),
        ("weird[1]", "weird1", True),
        ("what?", "what?", True),
        ("a*b", "a*b", True),
        ("public.orders", "orders", False),
        ("two*", "two\nlines", True),
    ],
)
def test_names_and_globs_match_case_sensitively(pattern: str, name: str, fits: bool) -> None:
    assert matches(pattern, name) is fits


def test_what_is_a_glob() -> None:
    assert [is_glob(text) for text in ("a", "a*", "a?", "[a]", "a_%")] == [False, True, True, True, False]


def test_the_first_rule_that_matches_wins() -> None:
    seen = shop("orders", "order_items", "users")
    assert placed(seen, configuration({"a": ["orders"], "b": ["order*"], "c": ["*"]})) == {
        "order_items": "b",
        "orders": "a",
        "users": "c",
    }
    assert placed(seen, configuration({"b": ["order*"], "c": ["*"], "a": ["orders"]}))["orders"] == "b"


def test_every_table_is_in_exactly_one_group() -> None:
    seen = catalog(table("b", "p"), partition("b_1", "b"), table("a"), table("c"))
    groups = place(seen, configuration()).groups
    assert [[member.name for member in group.members] for group in groups] == [["a"], ["b", "b_1"], ["c"]]
    assert [group.why for group in groups] == ["rule 1 (*)"] * 3


def test_a_name_with_glob_characters_can_be_named() -> None:
    assert placed(shop("weird[1]", "weird1"), configuration({"a": ["weird1"], "b": ["weird[1]"]})) == {"weird1": "a", "weird[1]": "b"}


def test_only_tables_of_the_source_schema_are_placed() -> None:
    seen = catalog(table("a"), table("b", schema="elsewhere"), views=[view("v", "a")])
    assert placed(seen) == {"a": "tenant"}
    legacy = catalog(table("a"), table("b", schema="legacy"), source_schema="legacy")
    assert placed(legacy, configuration(source_schema="legacy")) == {"b": "tenant"}


@pytest.mark.parametrize(
    ("general", "own", "view_kept"), [(True, None, True), (False, None, False), (True, False, False), (False, True, True)]
)
def test_a_rule_decides_on_its_views_before_the_general_setting(general: bool, own: bool | None, view_kept: bool) -> None:
    rule = {"schema": "tenant", "tables": "*", "compatibility_view": own}
    (group,) = place(shop("a"), configuration(placement=[rule], compatibility_views=general)).groups
    assert group.view is view_kept


# --- what stays ---


def test_what_is_kept_stays_whatever_the_rules_say() -> None:
    seen = shop("audit", "tmp_1", "users")
    assert placed(seen, configuration(keep=["audit", "tmp_*"])) == {"audit": None, "tmp_1": None, "users": "tenant"}
    assert noticed(seen, configuration(keep=["audit", "tmp_*"])) == []


def test_a_table_that_no_rule_names_is_refused() -> None:
    finding = one(noticed(shop("orders", "users"), configuration({"a": "orders"})), "unplaced_table")
    assert (finding.object, finding.blocks, finding.acceptable) == ("public.users", True, False)
    assert "'users'" in finding.remedy
    assert "multischema_unplaced: keep" in finding.remedy


def test_a_table_that_no_rule_names_stays_where_that_is_asked_for() -> None:
    wanted = configuration({"a": "orders"}, unplaced="keep")
    assert placed(shop("orders", "users"), wanted) == {"orders": "a", "users": None}
    assert noticed(shop("orders", "users"), wanted) == []


@pytest.mark.parametrize("name", BOOKKEEPING_TABLES)
def test_bookkeeping_tables_stay_without_a_word_where_only_a_glob_names_them(name: str) -> None:
    assert placed(shop(name, "users"), configuration()) == {name: None, "users": "tenant"}
    assert noticed(shop(name, "users"), configuration()) == []


def test_a_bookkeeping_table_that_is_named_is_refused_and_stays() -> None:
    seen, wanted = shop("_prisma_migrations"), configuration({"a": ["_prisma_migrations"]})
    finding = one(noticed(seen, wanted), "bookkeeping_table")
    assert (finding.object, finding.severity, finding.acceptable) == ("public._prisma_migrations", "refuse", True)
    assert placed(seen, wanted) == {"_prisma_migrations": None}


def test_a_bookkeeping_table_moves_once_a_person_insists() -> None:
    entry = {"finding": "bookkeeping_table", "object": "public._prisma_migrations", "reason": "Prisma was told"}
    wanted = configuration({"a": ["_prisma_migrations"]}, accept=[entry])
    assert placed(shop("_prisma_migrations"), wanted) == {"_prisma_migrations": "a"}
    assert one(found(shop("_prisma_migrations"), wanted), "bookkeeping_table").accepted == "Prisma was told"


def test_accepting_a_bookkeeping_table_does_not_open_a_glob() -> None:
    entry = {"finding": "bookkeeping_table", "object": "public._prisma_migrations", "reason": "Prisma was told"}
    assert placed(shop("_prisma_migrations", "a"), configuration(accept=[entry]))["_prisma_migrations"] is None


def test_accepting_one_bookkeeping_table_does_not_accept_another() -> None:
    entry = {"finding": "bookkeeping_table", "object": "public._prisma_migrations", "reason": "Prisma was told"}
    wanted = configuration({"a": ["_prisma_migrations", "alembic_version"]}, accept=[entry])
    assert placed(shop("_prisma_migrations", "alembic_version"), wanted) == {"_prisma_migrations": "a", "alembic_version": None}


def test_a_table_of_an_extension_stays() -> None:
    seen = catalog(table("spatial_ref_sys", extension="postgis"), table("users"))
    assert placed(seen) == {"spatial_ref_sys": None, "users": "tenant"}
    assert noticed(seen, configuration()) == []
    assert place(seen, configuration()).groups[0].why == "belongs to extension postgis"


def test_a_table_of_an_extension_that_is_named_is_refused() -> None:
    seen = catalog(table("spatial_ref_sys", extension="postgis"))
    finding = one(noticed(seen, configuration({"a": "spatial_ref_sys"})), "extension_member")
    assert (finding.object, finding.severity, finding.acceptable) == ("public.spatial_ref_sys", "refuse", False)
    assert placed(seen, configuration({"a": "spatial_ref_sys"})) == {"spatial_ref_sys": None}


# --- trees ---

TREE = (
    table("orders", "p"),
    partition("orders_2024", "orders", "p"),
    partition("orders_2024_01", "orders_2024"),
    partition("archive", "orders"),
)


def test_a_tree_goes_where_its_root_goes() -> None:
    wanted = configuration({"a": ["orders"], "b": ["users"]})
    assert placed(catalog(*TREE, table("users")), wanted) == {
        "orders": "a",
        "orders_2024": "a",
        "orders_2024_01": "a",
        "archive": "a",
        "users": "b",
    }


def test_members_follow_their_root_roots_first() -> None:
    (group,) = place(catalog(*reversed(TREE)), configuration()).groups
    assert [member.name for member in group.members] == ["orders", "archive", "orders_2024", "orders_2024_01"]


def test_tables_with_several_parents_are_one_group() -> None:
    seen = catalog(table("child", parents=["mother", "father"]), table("mother"), table("father"), table("cousin", parents=["father"]))
    (group,) = place(seen, configuration({"a": "father", "b": "*"})).groups
    assert [member.name for member in group.members] == ["father", "mother", "child", "cousin"]
    assert group.schema == "a"


def test_a_member_whose_own_name_would_send_it_elsewhere_is_refused() -> None:
    finding = one(noticed(catalog(*TREE), configuration({"a": "orders*", "b": "archive"})), "partition_elsewhere")
    assert (finding.object, finding.severity, finding.acceptable) == ("public.archive", "refuse", True)
    assert "orders" in finding.remedy


def test_a_member_that_only_a_glob_would_send_elsewhere_is_a_warning() -> None:
    seen = catalog(*TREE, table("archives"))
    finding = one(noticed(seen, configuration({"a": "orders*", "b": "archi*"})), "partition_elsewhere")
    assert (finding.object, finding.severity) == ("public.archive", "warn")


@pytest.mark.parametrize("rules", [{"a": "orders*", "b": "*"}, {"a": ["orders", "archive"]}, {"a": "*"}])
def test_a_member_that_a_catch_all_or_the_same_schema_names_is_no_stray(rules: dict[str, Any]) -> None:
    assert named(noticed(catalog(*TREE, table("users")), configuration(rules, unplaced="keep")), "partition_elsewhere") == []


def test_a_member_that_is_to_be_kept_is_not_moved_in_silence() -> None:
    wanted = configuration({"a": "*"}, keep=["archive"])
    seen = catalog(*TREE)
    stays = placed(seen, wanted)["archive"] is None
    assert stays or [f for f in noticed(seen, wanted) if f.object == "public.archive"], "multischema_keep names it, and it moves"


def test_a_rule_that_names_only_a_member_of_a_tree_that_stays_is_not_ignored_in_silence() -> None:
    wanted = configuration({"a": "orders_2024"}, unplaced="keep")
    assert noticed(catalog(*TREE), wanted), "a person has asked for it, nothing moves, and nothing is said"


def test_a_partition_of_a_table_elsewhere_is_placed_alone() -> None:
    seen = catalog(table("root", "p", schema="elsewhere"), partition("part", "root"))
    assert placed(seen) == {"part": "tenant"}


# --- rules that match nothing ---


def suggestion(pattern: str, seen: Catalog) -> str:
    finding = one(noticed(seen, configuration({"a": pattern}, unplaced="keep")), "rule_matches_nothing")
    assert finding.object == f"multischema_placement[0]: {pattern}"
    assert (finding.severity, finding.acceptable) == ("refuse", False)
    return finding.remedy


def test_a_misspelt_name_is_refused_with_what_was_probably_meant() -> None:
    assert "Did you mean 'orders'" in suggestion("ordres", shop("orders", "users"))


def test_a_name_in_the_wrong_case_is_recognized() -> None:
    remedy = suggestion("Orders", shop("orders", "ordera"))
    assert "Did you mean 'orders'?" in remedy
    assert "case-sensitive" in remedy


def test_a_qualified_name_is_recognized() -> None:
    assert "Write 'orders': names in a rule have no schema." in suggestion("public.orders", shop("orders"))
    assert "Write 'order*'" in suggestion("public.order*", shop("orders"))


def test_a_table_whose_name_has_a_dot_is_no_qualified_name() -> None:
    assert placed(shop("public.orders"), configuration({"a": "public.orders"})) == {"public.orders": "a"}


@pytest.mark.parametrize(("kind", "word"), [("v", "view"), ("m", "materialized view"), ("S", "sequence"), ("i", "index")])
def test_what_is_no_table_is_called_what_it_is(kind: str, word: str) -> None:
    remedy = suggestion("totals", shop("orders", relations=[relation("totals", kind)]))
    assert remedy.startswith(f"totals is a {word}, and only tables are placed")


def test_a_table_that_is_in_the_target_already_is_recognized() -> None:
    assert "already in tenant" in suggestion("orders", shop("users", relations=[relation("orders", schema="tenant")]))


def test_where_nothing_is_close_the_number_of_tables_is_said() -> None:
    assert suggestion("zzz", shop("a", "b")) == "Remove it, or correct the name; public holds 2 tables."


def test_one_dead_glob_beside_a_live_one_is_no_mistake_but_a_dead_name_is() -> None:
    rules = {"a": ["order*", "invoice*", "users"]}
    findings = noticed(shop("orders"), configuration(rules))
    assert [finding.object for finding in named(findings, "rule_matches_nothing")] == ["multischema_placement[0]: users"]
    assert len(named(noticed(shop("a"), configuration({"a": ["x*", "y*"]}, unplaced="keep")), "rule_matches_nothing")) == 2


def test_a_rule_that_matches_is_not_reported() -> None:
    assert noticed(shop("orders", "users"), configuration({"a": ["order*"], "b": ["users"]})) == []


# --- rules that never win ---


def test_a_rule_in_the_shadow_of_another_is_refused() -> None:
    finding = one(noticed(shop("orders"), configuration({"a": "*", "b": "orders"})), "rule_never_wins")
    assert (finding.object, finding.severity) == ("multischema_placement[1]", "refuse")


def test_a_rule_that_wins_once_is_no_shadow() -> None:
    assert named(noticed(shop("orders", "users"), configuration({"a": "orders", "b": ["orders", "users"]})), "rule_never_wins") == []


# --- targets ---


@pytest.mark.parametrize(
    "name", ["pg_catalog", "pg_toast", "pg_x", "information_schema", "multischema_journal", "multischema_gone_x", "public"]
)
def test_a_reserved_schema_cannot_be_a_target(name: str) -> None:
    finding = one(noticed(shop("a"), configuration({name: "*"})), "reserved_target")
    assert (finding.object, finding.severity, finding.acceptable) == (name, "refuse", False)


def test_the_source_itself_cannot_be_a_target_whatever_it_is_called() -> None:
    seen = catalog(table("a", schema="legacy"), source_schema="legacy")
    assert one(noticed(seen, configuration({"legacy": "*"}, source_schema="legacy")), "reserved_target").object == "legacy"
    assert named(noticed(seen, configuration({"public": "*"}, source_schema="legacy")), "reserved_target") == []


def test_a_target_that_is_not_listed_is_refused() -> None:
    rule = [{"schema": "tennant", "tables": "*"}]
    finding = one(noticed(shop("a"), configuration(placement=rule, schemas=[{"name": "tenant"}])), "unlisted_target")
    assert (finding.object, finding.severity) == ("tennant", "refuse")
    assert "(tenant)" in finding.reason
    assert "{name: tennant}" in finding.remedy


def test_a_schema_may_be_listed_without_a_rule() -> None:
    assert noticed(shop("a"), configuration(schemas=[{"name": "tenant"}, {"name": "spare"}])) == []


def test_many_names_are_shortened() -> None:
    assert table_names([table(name) for name in "abc"]) == "public.a, public.b, public.c"
    assert table_names([table(name) for name in "abcdefg"]).endswith("public.e and 2 more")


def test_a_misspelt_name_to_keep_is_refused_with_what_was_probably_meant() -> None:
    finding = one(noticed(shop("orders", "legacy_table"), configuration({"a": "*"}, keep=["legacy_tabel"])), "keep_matches_nothing")
    assert (finding.object, finding.severity, finding.acceptable) == ("multischema_keep[0]: legacy_tabel", "refuse", True)
    assert "Did you mean 'legacy_table'" in finding.remedy


def test_a_glob_to_keep_need_not_match() -> None:
    assert noticed(shop("orders"), configuration({"a": "*"}, keep=["legacy_*"])) == []
