"""Paths as text, their precedence, what they become, and what bare names mean on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.bare_names import changed_meanings, grouped, names_before
from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog, Role
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_paths import (
    ExtensionUse,
    PathSetting,
    PathUser,
    PinnedRoutine,
    SharedName,
)
from ansible_collections.dbops.multischema.plugins.module_utils.drift import differences
from ansible_collections.dbops.multischema.plugins.module_utils.placement import place
from ansible_collections.dbops.multischema.plugins.module_utils.search_path import (
    comes_back,
    effective,
    parse,
    receiving,
    with_targets,
)
from ansible_collections.dbops.multischema.plugins.module_utils.search_path_step import SetSearchPath, restore_statements
from tests.unit.builders import catalog, configuration, mover, oid, partition, plan, schema, server, table

WEB = PathUser("web", uses=("public",))


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ('"$user", public', ("$user", "public")),
        ("$user,Public , x", ("$user", "public", "x")),
        ('"a, b", "say ""hi""", "Up"', ("a, b", 'say "hi"', "Up")),
        ('""', ("",)),
        ("", ()),
        ("  ", ()),
        ("ÜBER, x", ("Über", "x")),  # only ASCII is folded
    ],
)
def test_a_path_is_read_as_postgresql_reads_it(text: str, items: tuple[str, ...]) -> None:
    assert parse(text) == items


@pytest.mark.parametrize("text", ["a b", "a,", ",a", '"a', 'a"b"', "a,,b"])
def test_what_postgresql_would_refuse_is_no_path(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse(text)


@pytest.mark.parametrize("text", ['"$user", public', '"a, b", "Up", x_1', '"", public'])
def test_a_text_that_set_would_store_comes_back_by_set(text: str) -> None:
    assert comes_back(text)


@pytest.mark.parametrize("text", ["public,x", "Public", '"public"', "user, x", '"user"', "$user", "", "a b"])
def test_a_text_that_set_would_store_otherwise_comes_back_from_the_current_one(text: str) -> None:
    assert not comes_back(text)
    statements = restore_statements("web", "shop", text)
    assert statements[1] == "ALTER ROLE web IN DATABASE shop SET search_path FROM CURRENT"
    assert statements[2] == "SELECT pg_catalog.set_config('search_path', 'pg_catalog', true)"


def test_without_a_former_path_ours_is_reset() -> None:
    assert restore_statements(None, 'Sh"op', None) == ('ALTER DATABASE "Sh""op" RESET search_path',)
    assert restore_statements("web", "shop", '"$user", public') == ('ALTER ROLE web IN DATABASE shop SET search_path = "$user", public',)


@pytest.mark.parametrize(
    ("former", "becomes"),
    [
        (("$user", "public"), ("$user", "a", "b", "public")),
        (("x", "public", "ext"), ("x", "a", "b", "public", "ext")),
        (("b", "public"), ("b", "a", "public")),
        (("a", "b", "public"), ("a", "b", "public")),
        (("public", "b", "ext"), ("a", "b", "public", "ext")),
        (("ext",), None),
        ((), None),
    ],
)
def test_targets_go_before_the_source_and_everything_else_stays_in_order(former: Sequence[str], becomes: Sequence[str] | None) -> None:
    assert with_targets(former, "public", ("a", "b"), "web") == becomes


def test_the_schema_of_the_user_counts_as_the_one_that_it_stands_for() -> None:
    assert with_targets(("$user", "public"), "public", ("a", "web"), "web") == ("$user", "a", "public")


def test_the_schema_that_receives_most_tables_comes_first() -> None:
    tree = (table("tree", "p"), *(partition(f"leaf{n}", "tree") for n in range(5)))
    seen = catalog(table("a"), table("b"), *tree, table("c1"), table("c2"), table("stays"))
    wanted = configuration({"none": "x*", "one": "a", "same": "b", "tree": "tree", "two": "c*"}, unplaced="keep")
    assert receiving(wanted, place(seen, wanted)) == ("two", "one", "same", "tree")


def test_the_narrower_setting_wins() -> None:
    places: list[tuple[str | None, bool]] = [(None, False), (None, True), ("web", False), ("web", True)]
    seen = catalog(server=server(search_path="conf"))
    assert effective(seen, "web") == "conf"
    for number in range(len(places)):
        settings = tuple(PathSetting(r, h, f"p{n}") for n, (r, h) in enumerate(places[: number + 1]))
        assert effective(replace(seen, search_paths=settings), "web") == f"p{number}"
    assert effective(replace(seen, search_paths=(PathSetting("other", True, "x"),)), "web") == "conf"
    assert effective(catalog(server=server(search_path=None)), "web") is None


def seen_by(*settings: PathSetting, users: Sequence[PathUser] = (WEB,), **values: Any) -> Catalog:
    return catalog(table("orders"), table("items"), search_paths=settings, path_users=tuple(users), **values)


WANTED = configuration({"sales": ["orders", "items"]}, application_roles=["web"])


def paths(found: Catalog, **more: Any) -> list[str]:
    wanted = configuration({"sales": ["orders", "items"]}, **{"application_roles": ["web"], **more})
    return [s for step in plan(found, wanted).steps if step.kind == SetSearchPath.kind for s in step.do]


def test_the_path_of_each_role_is_set_after_every_move() -> None:
    steps = plan(seen_by(), WANTED).steps
    assert [step.kind for step in steps][-2:] == ["move_tables", "search_path"]
    assert steps[-1].do == ('ALTER ROLE web IN DATABASE shop SET search_path = "$user", sales, public',)
    assert steps[-1].undo == ("ALTER ROLE web IN DATABASE shop RESET search_path",)


def test_whose_path_is_set_is_configured() -> None:
    assert paths(seen_by(), search_path="database") == ['ALTER DATABASE shop SET search_path = "$user", sales, public']
    assert paths(seen_by(), search_path="unchanged") == []
    assert paths(seen_by(), application_roles=[]) == []
    assert paths(seen_by(PathSetting("web", False, "sales, public"))) == []


def test_a_path_that_the_connected_role_may_not_set_gets_no_step() -> None:
    assert paths(seen_by(users=[replace(WEB, may_configure=False)], server=mover())) == []
    assert paths(seen_by(server=mover(owns_database=False)), search_path="database") == []


def after(before: Catalog, value: str = '"$user", sales, public', **changes: Any) -> Catalog:
    """The settings as they are once the step is done, or once someone has come after it."""
    others = tuple(s for s in before.search_paths if (s.role, s.in_database) != ("web", True))
    return replace(before, search_paths=(*others, PathSetting("web", True, value)), **changes)


@pytest.mark.parametrize("former", [None, '"$user",public', "public, x"])
def test_the_step_is_taken_back_out_of_a_later_observation(former: str | None) -> None:
    before = seen_by(*((PathSetting("web", True, former),) if former else ()))
    step = plan(before, WANTED).steps[-1]
    later = after(before, ", ".join(step.detail["path"]).replace("$user", '"$user"'))
    assert SetSearchPath.rewind(later, [step]).search_paths == before.search_paths


def test_the_path_of_the_server_is_remembered_where_the_step_hides_it() -> None:
    before = seen_by()
    step = plan(before, WANTED).steps[-1]
    later = after(before, server=replace(before.server, search_path=None))
    assert SetSearchPath.rewind(later, [step]) == before


def test_a_path_that_someone_has_set_since_is_drift() -> None:
    before = seen_by()
    saved = plan(before, WANTED)
    assert list(differences(saved, SetSearchPath.rewind(after(before), [saved.steps[-1]]))) == []
    theirs = SetSearchPath.rewind(after(before, "sales"), [saved.steps[-1]])
    assert list(differences(saved, theirs)) == ["search paths changed: of web in this database"]
    assert list(differences(saved, replace(before, server=replace(before.server, search_path="x")))) == [
        "search paths changed: of the server's configuration"
    ]


# --- bare names ---


def name(text: str, number: int, kind: str = "relation", least: int = 0, most: int = 0) -> SharedName:
    where, label = text.split(".")
    return SharedName(kind, label.split("(")[0], where, number, label, least, most)


def meanings(*names: SharedName, moves: dict[int, str] | None = None, old: Sequence[str] = ("public", "ext")) -> list[tuple[int, int]]:
    return [(was.oid, becomes.oid) for was, becomes in changed_meanings(grouped(names), old, ("sales", *old), moves or {})]


def test_a_name_in_the_target_that_comes_before_another_changes_its_meaning() -> None:
    assert meanings(name("public.plans", 1), name("sales.plans", 2)) == [(1, 2)]
    assert meanings(name("ext.plans", 1), name("sales.plans", 2)) == [(1, 2)]
    assert meanings(name("public.mood", 1, "type"), name("sales.mood", 2, "type")) == [(1, 2)]


def test_a_name_that_meant_nothing_or_means_the_same_is_no_change() -> None:
    assert meanings(name("elsewhere.plans", 1), name("sales.plans", 2)) == []
    assert meanings(name("public.plans", 1), name("ext.plans", 2)) == []
    assert meanings(name("public.plans", 1), name("ext.plans", 2), moves={1: "sales"}) == [], "the table is meant, wherever it is"


def test_a_schema_before_the_source_hides_what_the_target_has() -> None:
    names = grouped([name("first.plans", 1), name("sales.plans", 2)])
    assert list(changed_meanings(names, ("first", "public"), ("first", "sales", "public"), {})) == []


def test_a_table_that_moves_behind_another_of_its_name_is_a_change() -> None:
    names = grouped([name("public.plans", 1), name("sales.plans", 2)])
    assert [(w.oid, b.oid) for w, b in changed_meanings(names, ("public",), ("sales", "far", "public"), {1: "far"})] == [(1, 2)]
    assert list(changed_meanings(names, ("public",), ("far", "sales", "public"), {1: "far"})) == []


@pytest.mark.parametrize(
    ("there", "new", "changed"),
    [
        (name("public.f(int4)", 1, "routine", 1, 1), name("sales.f(int4)", 2, "routine", 1, 1), [(1, 2)]),
        (name("public.f(int8)", 1, "routine", 1, 1), name("sales.f(int4)", 2, "routine", 1, 1), [(1, 2)]),
        (name("public.f()", 1, "routine", 0, 0), name("sales.f(int4)", 2, "routine", 1, 1), []),
        (name("public.f()", 1, "routine", 0, 0), name("sales.f(int4)", 2, "routine", 0, 1), [(1, 2)]),
        (name("elsewhere.f()", 1, "routine", 0, 0), name("sales.f()", 2, "routine", 0, 0), []),
    ],
)
def test_a_call_may_be_settled_otherwise_where_the_arguments_fit(there: SharedName, new: SharedName, changed: list[Any]) -> None:
    assert meanings(there, new) == changed


def test_a_routine_does_not_move_because_a_table_has_its_oid() -> None:
    assert meanings(name("public.f()", 1, "routine"), name("ext.f()", 2, "routine"), moves={1: "sales"}) == []


def test_shared_names_are_taken_back_with_the_moves() -> None:
    before = (name("public.plans", 1), name("sales.plans", 2))
    during = (name("far.plans", 1), name("public.plans", 9), name("sales.plans", 2), name("far.orders", 3), name("public.orders", 8))
    assert names_before(during, {1, 3}, "public", {8, 9}) == before


# --- findings ---

SHARED = (name("public.tax", 1, "collation"), name("sales.tax", 2, "collation"))


def found(seen: Catalog, finding: str, **more: Any) -> list[tuple[str, str, bool]]:
    wanted = configuration({"sales": ["orders", "items"]}, **{"application_roles": ["web"], **more})
    return [(f.object, f.severity, f.acceptable) for f in plan(seen, wanted).findings if f.id == finding]


def test_search_path_findings_say_what_is_set_by_whom() -> None:
    assert found(seen_by(), "search_path") == [("web", "auto", False)]
    by_hand = seen_by(users=[replace(WEB, may_configure=False)], server=mover())
    assert found(by_hand, "search_path_by_hand") == [("web", "warn", False)]
    assert found(by_hand, "search_path") == found(seen_by(), "search_path_by_hand") == []


def test_search_path_left_and_unknown_are_said() -> None:
    without = seen_by(PathSetting("web", True, "elsewhere"))
    assert found(without, "search_path_left") == [("web", "warn", False)]
    hidden = seen_by(server=server(search_path=None))
    assert found(hidden, "search_path_unknown") == [("web", "warn", False)]
    group = seen_by(roles=[Role("web", can_login=False)])
    assert found(group, "search_path_no_login") == [("web", "warn", False)]
    assert paths(group) == []
    assert found(seen_by(roles=[Role("web")]), "search_path_no_login") == []
    assert found(seen_by(), "search_path_left") == found(seen_by(), "search_path_unknown") == []


def test_search_path_overridden_is_refused_for_the_database_only() -> None:
    pinned = seen_by(PathSetting("web", False, "public"))
    assert found(pinned, "search_path_overridden", search_path="database") == [("web", "refuse", True)]
    assert found(pinned, "search_path_overridden") == found(seen_by(), "search_path_overridden", search_path="database") == []


def test_search_path_ambiguous_is_refused_where_the_path_changes() -> None:
    seen = seen_by(shared_names=SHARED, schemas=[schema("sales")])
    assert found(seen, "search_path_ambiguous") == [("sales.tax", "refuse", True)]
    assert found(seen, "search_path_ambiguous", search_path="unchanged") == []
    assert found(seen_by(PathSetting("web", True, "x"), shared_names=SHARED), "search_path_ambiguous") == []


def test_search_path_creates_warns_of_both_ways() -> None:
    may = seen_by(users=[replace(WEB, creates=("public",))])
    owner = seen_by(users=[replace(WEB, acts_for=("boss",))])
    schemas = [{"name": "sales", "owner": "boss"}]
    assert found(may, "search_path_creates") == [("web", "warn", False)]
    assert found(owner, "search_path_creates", schemas=schemas) == [("web", "warn", False)]
    first = replace(WEB, uses=("web", "public"), creates=("web", "public"))
    assert found(seen_by(users=[first]), "search_path_creates") == [], "its own schema is first, as before"
    assert found(seen_by(), "search_path_creates") == []


def test_search_path_loses_extension_where_the_target_is_on_a_path_without_it() -> None:
    use: dict[str, Any] = {"extension_uses": (ExtensionUse("citext", "public", (oid("orders"),)),)}
    lost = seen_by(PathSetting("web", True, "sales"), **use)
    assert found(lost, "search_path_loses_extension") == [("role web: citext", "warn", False)]
    routine = seen_by(pinned_routines=(PinnedRoutine("public.f()", "sales, x"), PinnedRoutine("public.g()", "sales, public")), **use)
    assert found(routine, "search_path_loses_extension") == [("routine public.f(): citext", "warn", False)]
    assert found(seen_by(PathSetting("web", True, "x"), **use), "search_path_loses_extension") == []
    assert found(seen_by(PathSetting("web", True, "sales")), "search_path_loses_extension") == []
