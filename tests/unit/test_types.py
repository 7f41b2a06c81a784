"""Types stay unless a rule names them; how one that moves is planned, taken back out of an observation, and brought back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog, Relation, TypeName
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_paths import SharedName
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_routines import Argument, Routine
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_types import UserType
from ansible_collections.dbops.multischema.plugins.module_utils.drift import differences
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Finding, Plan, Step
from ansible_collections.dbops.multischema.plugins.module_utils.rollback_plan import WayBack, plan_rollback
from ansible_collections.dbops.multischema.plugins.module_utils.type_step import MoveType
from tests.unit.builders import catalog, configuration, grant, journaled, mover, named, oid, one, plan, schema, table

MOOD = UserType(1, "public", "mood", "e", "boss", "_mood", tables=(oid("people"),))
MAIL = UserType(2, "public", "mail", "d", "boss", "_mail", base=25, tables=(oid("people"),))
HOME = UserType(3, "public", "home", "c", "boss", "_home", relation=33)
SPAN = UserType(4, "public", "span", "r", "postgres", "_span")
OF_EXTENSION = UserType(5, "public", "citext_like", "d", "postgres", extension="ext")
ALL = (MOOD, MAIL, HOME, SPAN, OF_EXTENSION)


def seen(*types: UserType, **values: Any) -> Catalog:
    return catalog(table("people", acl=grant("web")), user_types=types or ALL, **values)


def planned(found: Catalog, types: Sequence[str] = (), **values: Any) -> Plan:
    rule: dict[str, Any] = {"schema": "who", "tables": ["people"]} | ({"types": list(types)} if types else {})
    return plan(found, configuration(schemas=[{"name": "who"}], placement=[rule], **values))


def moves(found: Plan) -> list[Step]:
    return [step for step in found.steps if step.kind == MoveType.kind]


def ids(found: Sequence[Finding], finding: str) -> list[tuple[str, str, bool]]:
    return [(f.object, f.severity, f.acceptable) for f in named(found, finding)]


def test_types_stay_and_those_that_moved_tables_use_are_listed() -> None:
    found = planned(seen())
    assert moves(found) == []
    assert one(found.findings, "types_stay").object == "public"
    assert "stay in public: mail, mood." in one(found.findings, "types_stay").reason
    assert named(planned(seen(SPAN, OF_EXTENSION)).findings, "types_stay") == []
    assert named(planned(seen(MAIL), ["mail"]).findings, "types_stay") == []


def test_types_move_after_the_tables_each_by_itself() -> None:
    steps = planned(seen(), ["*"]).steps
    assert [step.id for step in steps if step.phase == 2] == [
        "move:public.people",
        "move_type:public.home",
        "move_type:public.mail",
        "move_type:public.mood",
        "move_type:public.span",
    ]


def test_a_domain_leaves_an_alias_with_its_owner_and_privileges() -> None:
    found = replace(MAIL, usage=("PUBLIC", "boss", "web"), usage_grantable=("web",))
    step = moves(planned(seen(found), ["mail"]))[0]
    assert step.do == (
        "ALTER DOMAIN public.mail SET SCHEMA who",
        "CREATE DOMAIN public.mail AS who.mail",
        "ALTER DOMAIN public.mail OWNER TO boss",
        "REVOKE ALL ON TYPE public.mail FROM PUBLIC",
        "GRANT USAGE ON TYPE public.mail TO PUBLIC",
        "GRANT USAGE ON TYPE public.mail TO web WITH GRANT OPTION",
    )
    assert step.undo == ("DROP DOMAIN public.mail", "ALTER DOMAIN who.mail SET SCHEMA public")


def test_an_enum_leaves_none() -> None:
    step = moves(planned(seen(), ["mood"]))[0]
    assert step.do == ("ALTER TYPE public.mood SET SCHEMA who",)
    assert step.undo == ("ALTER TYPE who.mood SET SCHEMA public",)


def test_the_first_rule_that_names_a_type_wins_and_a_rule_may_name_types_alone() -> None:
    rules = [{"schema": "a", "types": "ma*"}, {"schema": "b", "types": ["*"], "tables": ["people"]}]
    wanted = configuration(schemas=[{"name": "a"}, {"name": "b"}], placement=rules)
    found = plan(seen(MAIL, MOOD), wanted)
    assert {step.id: step.detail["to"] for step in moves(found)} == {"move_type:public.mail": "a", "move_type:public.mood": "b"}
    usage = next(step for step in found.steps if step.id == "grant_usage:a")
    assert usage.detail["roles"] == ["app_owner", "web"], "whoever uses a column of the type may name it"


# --- findings ---


def test_type_moves_is_refused_for_an_enum() -> None:
    found = planned(seen(), ["mood"]).findings
    assert ids(found, "type_moves") == [("public.mood", "refuse", True)]
    assert 'CAST($1 AS "public"."mood")' in one(found, "type_moves").reason
    accepted = [{"finding": "type_moves", "object": "public.mood", "reason": "the client is changed too"}]
    assert planned(seen(), ["mood"], accept=accepted).refusals == ()


def test_type_alias_says_what_stands_in() -> None:
    assert ids(planned(seen(), ["mail", "home", "span"]).findings, "type_alias") == [
        ("public.home", "auto", False),
        ("public.mail", "auto", False),
        ("public.span", "auto", False),
    ]
    assert ids(planned(seen(), ["mood"]).findings, "type_alias") == []


@pytest.mark.parametrize("trouble", [{"arrays": (oid("people"),)}, {"overloaded": ("f",)}])
def test_an_alias_that_would_not_serve_everywhere_is_refused(trouble: dict[str, Any]) -> None:
    found = planned(seen(replace(MAIL, **trouble)), ["mail"]).findings
    assert ids(found, "type_moves") == [("public.mail", "refuse", True)]
    assert ids(found, "type_alias") == []


@pytest.mark.parametrize(
    ("values", "taken"),
    [
        ({"types": (TypeName(9, "who", "mail", "c"),)}, True),
        ({"types": (TypeName(9, "far", "mail", "c"),)}, False),
        ({"relations": [Relation(9, "who", "mail", "i")]}, False),
    ],
)
def test_a_type_of_that_name_in_the_target_is_a_collision(values: dict[str, Any], taken: bool) -> None:
    found = planned(seen(MAIL, schemas=[schema("who")], **values), ["mail"]).findings
    assert bool(named(found, "collision")) is taken
    index = seen(HOME, schemas=[schema("who")], relations=[Relation(9, "who", "home", "i")])
    assert named(planned(index, ["home"]).findings, "collision") != [], "a composite type is a relation too"


def test_a_type_needs_its_owner_s_rights() -> None:
    as_mover = seen(MAIL, server=mover(create_on_schemas=("public",)))
    assert "public.mail" in [f.object for f in named(planned(as_mover, ["mail"]).findings, "not_owner")]
    assert "public.mail" not in [f.object for f in named(planned(as_mover).findings, "not_owner")]


def test_a_pattern_that_names_no_type_or_one_of_an_extension_is_refused() -> None:
    found = planned(seen(), ["mial", "citext_like"]).findings
    assert one(found, "rule_matches_nothing").object == "multischema_placement[0].types: mial"
    assert "'mail'" in one(found, "rule_matches_nothing").remedy
    assert one(found, "extension_member").object == "public.citext_like"
    assert named(planned(seen(), ["c*"]).findings, "extension_member") == []


def routine(**facts: Any) -> Routine:
    return Routine(77, "public", "work", "public.work()", "BEGIN NULL; END", **{"returns": "void", "owner": "postgres", **facts})


# --- later observations ---

WANTED = ("mail", "home", "mood")
BEFORE = seen(MAIL, HOME, MOOD, relations=[Relation(33, "public", "home", "c")], schemas=[schema("who")])
STEPS = moves(planned(BEFORE, WANTED))
ALIASES = (UserType(12, "public", "mail", "d", "boss", base=2), UserType(13, "public", "home", "d", "boss", base=3))


def after(*aliases: UserType, **values: Any) -> Catalog:
    moved = tuple(replace(t, schema="who") for t in BEFORE.user_types)
    names = tuple(TypeName(100 + n, "who", name, "b") for n, t in enumerate(moved) for name in (t.name, t.array_type))
    return replace(
        BEFORE,
        user_types=(*moved, *aliases),
        types=names,
        relations=tuple(replace(r, schema="who") if r.oid == 33 else r for r in BEFORE.relations),
        shared_names=(SharedName("type", "mail", "public", 12, "mail"), SharedName("type", "mail", "who", 2, "mail")),
        **values,
    )


def test_the_steps_are_taken_back_out_of_a_later_observation() -> None:
    assert MoveType.rewind(after(*ALIASES), STEPS) == BEFORE


def test_the_arguments_of_routines_are_taken_back_too() -> None:
    takes = tuple(routine(arguments=(Argument("i", "m", schema, "mail"),)) for schema in ("public", "who"))
    assert MoveType.rewind(after(*ALIASES, routines=takes[1:]), STEPS).routines == takes[:1]


def test_a_type_that_is_new_or_gone_is_drift() -> None:
    saved = planned(BEFORE, WANTED)
    assert list(differences(saved, MoveType.rewind(after(*ALIASES), STEPS))) == []
    assert list(differences(saved, replace(BEFORE, user_types=(*BEFORE.user_types, SPAN)))) == ["types changed: public.span"]


def back(now: Catalog) -> WayBack:
    return plan_rollback(now, journaled(STEPS))


def undone(way: WayBack) -> list[tuple[str, ...]]:
    return [step.undo for _, step in way.steps]


def test_types_go_back_and_their_aliases_are_dropped_first() -> None:
    way = back(after(*ALIASES))
    assert way.refusals == ()
    assert undone(way) == [step.undo for step in reversed(STEPS)]


def test_an_alias_that_is_gone_is_not_dropped_again_and_a_renamed_type_goes_back_by_its_name() -> None:
    now = after()
    now = replace(now, user_types=tuple(replace(t, name="post") if t.oid == 2 else t for t in now.user_types))
    assert ("ALTER DOMAIN who.post SET SCHEMA public",) in undone(back(now))


def test_a_type_that_was_dropped_since_is_named() -> None:
    now = after(*ALIASES[1:])
    way = back(replace(now, user_types=tuple(t for t in now.user_types if t.oid != 2)))
    assert (way.gone, way.refusals) == (("who.mail",), ())


def test_alias_has_dependents_stops_the_rollback() -> None:
    used = replace(ALIASES[0], dependents=("column a of table b",))
    assert [(f.id, f.object) for f in back(after(used, ALIASES[1])).refusals] == [("alias_has_dependents", "column a of table b")]


def test_a_name_that_was_taken_in_the_source_or_a_type_that_was_moved_on_stops_it_too() -> None:
    theirs = UserType(50, "public", "mail", "d", "boss", base=25)
    assert [f.id for f in back(after(theirs, ALIASES[1])).refusals] == ["name_taken"]
    now = after(*ALIASES)
    on = replace(now, user_types=tuple(replace(t, schema="far") if t.oid == 1 else t for t in now.user_types))
    assert [(f.id, f.object) for f in back(on).refusals] == [("moved_on", "far.mood")]


def test_a_type_with_the_built_in_privileges_has_none_to_copy() -> None:
    assert not any(statement.startswith(("GRANT", "REVOKE")) for step in STEPS for statement in step.do)
