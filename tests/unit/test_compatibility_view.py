"""The view under the old name gives everyone exactly what they had on the table: nothing less, nothing more."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog, Role, Table
from ansible_collections.dbops.multischema.plugins.module_utils.compatibility_view import CompatibilityView
from ansible_collections.dbops.multischema.plugins.module_utils.privileges import all_table_privileges, defaults_for_new_tables, grantees
from tests.unit.builders import OWNER, catalog, default_privileges, everything, grant, mover, server, table

INVOKER = "CREATE VIEW public.orders WITH (security_invoker=true) AS SELECT * FROM tenant.orders"
AS_OWNER = "CREATE VIEW public.orders AS SELECT * FROM tenant.orders"
TO_OWNER = "ALTER VIEW public.orders OWNER TO app_owner"


def orders(**values: Any) -> Table:
    return table("orders", **values)


def view_of(one: Table, seen: Catalog | None = None, **values: Any) -> CompatibilityView:
    return CompatibilityView(seen or catalog(one, **values), one, "tenant")


def sql(one: Table, **values: Any) -> list[str]:
    return view_of(one, **values).statements()


def test_a_table_without_grants_gets_a_view_of_its_owner() -> None:
    assert sql(orders()) == [INVOKER, TO_OWNER]


def test_the_connected_owner_keeps_the_view_without_a_statement() -> None:
    assert sql(orders(owner="postgres")) == [INVOKER]


def test_grants_are_copied_by_grantee_in_a_stable_order() -> None:
    acl = (*everything(OWNER), *grant("web", "UPDATE", "SELECT", "INSERT"), *grant("auditor"))
    assert sql(orders(acl=acl)) == [
        INVOKER,
        TO_OWNER,
        "GRANT SELECT ON public.orders TO auditor",
        "GRANT INSERT, SELECT, UPDATE ON public.orders TO web",
    ]


def test_the_grant_option_is_copied_and_only_where_it_was() -> None:
    acl = (*everything(OWNER), *grant("web", "SELECT"), *grant("web", "INSERT", grantable=True))
    assert sql(orders(acl=acl))[2:] == ["GRANT SELECT ON public.orders TO web", "GRANT INSERT ON public.orders TO web WITH GRANT OPTION"]


def test_everyone_is_written_as_a_key_word_and_names_are_quoted() -> None:
    acl = (*everything(OWNER), *grant("PUBLIC"), *grant("Web Role"))
    assert sql(orders(acl=acl))[2:] == ["GRANT SELECT ON public.orders TO PUBLIC", 'GRANT SELECT ON public.orders TO "Web Role"']


def test_an_owner_with_less_than_everything_gets_no_more_on_the_view() -> None:
    assert sql(orders(acl=grant(OWNER, "SELECT", "UPDATE"))) == [
        INVOKER,
        TO_OWNER,
        "REVOKE ALL ON public.orders FROM app_owner",
        "GRANT SELECT, UPDATE ON public.orders TO app_owner",
    ]


def test_an_owner_without_any_right_gets_none_on_the_view() -> None:
    assert sql(orders(acl=grant("web"))) == [
        INVOKER,
        TO_OWNER,
        "REVOKE ALL ON public.orders FROM app_owner",
        "GRANT SELECT ON public.orders TO web",
    ]
    assert sql(orders(acl=())) == [INVOKER, TO_OWNER, "REVOKE ALL ON public.orders FROM app_owner"]


def test_on_postgresql_17_everything_includes_maintain() -> None:
    assert all_table_privileges(170000) - all_table_privileges(169999) == {"MAINTAIN"}
    reduced = "REVOKE ALL ON public.orders FROM app_owner"
    assert reduced not in sql(orders(acl=everything(OWNER, 17)), server=server(17))
    assert reduced in sql(orders(acl=everything(OWNER, 16)), server=server(17))
    assert reduced not in sql(orders(acl=everything(OWNER, 16)), server=server(16))


def test_maintain_is_copied() -> None:
    acl = (*everything(OWNER, 17), *grant("dba", "MAINTAIN", "SELECT"))
    assert sql(orders(acl=acl), server=server(17))[2:] == ["GRANT MAINTAIN, SELECT ON public.orders TO dba"]


# --- column privileges and row security ---

COLUMNS = (*grant("web", "UPDATE", column="name"), *grant("web", "SELECT", column="id"), *grant("web", "SELECT", column="Full Name"))


def test_column_privileges_make_a_view_that_runs_as_the_owner() -> None:
    assert sql(orders(acl=everything(OWNER), column_grants=COLUMNS)) == [
        AS_OWNER,
        TO_OWNER,
        'GRANT SELECT ("Full Name"), SELECT (id), UPDATE (name) ON public.orders TO web',
    ]


def test_column_and_table_privileges_are_both_copied() -> None:
    acl = (*everything(OWNER), *grant("web", "INSERT"))
    assert sql(orders(acl=acl, column_grants=grant("web", "SELECT", column="id", grantable=True)))[2:] == [
        "GRANT INSERT ON public.orders TO web",
        "GRANT SELECT (id) ON public.orders TO web WITH GRANT OPTION",
    ]


def test_row_security_keeps_the_view_with_its_caller_even_where_columns_are_granted() -> None:
    one = orders(row_security=True, column_grants=grant("web", column="id"))
    assert sql(one) == [INVOKER, TO_OWNER, "GRANT SELECT (id) ON public.orders TO web"]
    assert sql(orders(row_security=True)) == [INVOKER, TO_OWNER]


def test_a_right_that_the_owner_has_given_up_is_not_lost_for_everyone_else() -> None:
    acl = tuple(one for one in everything(OWNER) if one.privilege != "DELETE")
    assert sql(orders(acl=acl, column_grants=grant("web", column="id")))[0] == INVOKER


@pytest.mark.parametrize(("major", "first"), [(13, AS_OWNER), (14, AS_OWNER), (15, INVOKER), (18, INVOKER)])
def test_security_invoker_is_asked_for_where_there_is_such_a_thing(major: int, first: str) -> None:
    assert sql(orders(), server=server(major))[0] == first


# --- default privileges ---


def test_what_default_privileges_give_is_taken_back_first() -> None:
    entries = (default_privileges("postgres", "public", *grant("web"), *grant("PUBLIC"), *grant("Odd One")),)
    acl = (*everything(OWNER), *grant("web", "INSERT"))
    assert sql(orders(acl=acl), default_privileges=entries) == [
        INVOKER,
        TO_OWNER,
        'REVOKE ALL ON public.orders FROM "Odd One", PUBLIC, web',
        "GRANT ALL ON public.orders TO app_owner",
        "GRANT INSERT ON public.orders TO web",
    ]


def test_default_privileges_for_the_owner_himself_are_not_taken_back() -> None:
    entries = (default_privileges("postgres", "public", *grant(OWNER)),)
    assert sql(orders(), default_privileges=entries) == [INVOKER, TO_OWNER, "GRANT ALL ON public.orders TO app_owner"]


def test_an_owner_whom_default_privileges_leave_out_gets_everything_on_the_view() -> None:
    # ALTER DEFAULT PRIVILEGES … REVOKE ALL … FROM the creator leaves an entry without grants.
    entries = (default_privileges("postgres", "public"),)
    assert sql(orders(owner="postgres"), default_privileges=entries) == [INVOKER, "GRANT ALL ON public.orders TO postgres"]
    everywhere = (default_privileges("postgres", None),)
    assert sql(orders(owner="postgres"), default_privileges=everywhere) == [INVOKER, "GRANT ALL ON public.orders TO postgres"]
    assert sql(orders(owner="postgres"), default_privileges=(default_privileges("other", "public"),)) == [INVOKER]
    assert sql(orders(owner="postgres"), default_privileges=(default_privileges("postgres", "public", kind="S"),)) == [INVOKER]


def test_only_default_privileges_that_reach_the_view_count() -> None:
    entries = (
        default_privileges("postgres", None, *grant("everywhere"), *grant("postgres")),
        default_privileges("postgres", "public", *grant("here")),
        default_privileges("postgres", "tenant", *grant("elsewhere")),
        default_privileges("other", "public", *grant("of_another_creator")),
        default_privileges("postgres", "public", *grant("on_sequences"), kind="S"),
    )
    seen = catalog(default_privileges=entries)
    assert defaults_for_new_tables(seen, "postgres", "public") == {"everywhere", "here"}


# --- who owns the view ---


def test_a_superuser_gives_the_view_to_the_owner_whoever_that_is() -> None:
    assert view_of(orders(), roles=[Role(OWNER, creates_in_source=False, mover_can_become=False)]).owned_by_table_owner


@pytest.mark.parametrize(
    ("become", "creates", "given"), [(True, True, True), (True, False, False), (False, True, False), (False, False, False)]
)
def test_an_ordinary_mover_gives_it_only_to_a_role_that_it_can_become_and_that_may_create_there(
    become: bool, creates: bool, given: bool
) -> None:
    role = Role(OWNER, mover_can_become=become, creates_in_source=creates)
    assert view_of(orders(), server=mover(), roles=[role]).owned_by_table_owner is given


def test_where_the_mover_keeps_the_view_the_owner_gets_all_privileges_instead() -> None:
    roles = [Role(OWNER, creates_in_source=False)]
    assert sql(orders(), server=mover(), roles=roles) == [INVOKER, "GRANT ALL ON public.orders TO app_owner WITH GRANT OPTION"]


def test_where_the_mover_keeps_the_view_the_table_s_list_is_copied_with_its_owner() -> None:
    roles = [Role(OWNER, creates_in_source=False)]
    acl = (*grant(OWNER, "SELECT"), *grant("web", "INSERT"), *grant("migrator", "DELETE"))
    assert sql(orders(acl=acl), server=mover(), roles=roles) == [
        INVOKER,
        "GRANT SELECT ON public.orders TO app_owner WITH GRANT OPTION",
        "GRANT INSERT ON public.orders TO web",
    ]


def test_names_are_quoted_wherever_they_stand() -> None:
    one = table('a"; --', schema="Old", acl=(*everything("The Owner"), *grant("user")), owner="The Owner")
    view = CompatibilityView(catalog(one, source_schema="Old"), one, "New")
    assert view.statements() == [
        'CREATE VIEW "Old"."a""; --" WITH (security_invoker=true) AS SELECT * FROM "New"."a""; --"',
        'ALTER VIEW "Old"."a""; --" OWNER TO "The Owner"',
        'GRANT SELECT ON "Old"."a""; --" TO "user"',
    ]


def test_grantees_are_everyone_but_the_owner() -> None:
    one = orders(acl=(*everything(OWNER), *grant("web"), *grant("PUBLIC")), column_grants=grant("auditor", column="id"))
    assert grantees(one) == {"web", "PUBLIC", "auditor"}
    assert grantees(orders()) == frozenset()
