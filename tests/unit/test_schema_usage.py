"""Who needs USAGE on a target schema."""

from __future__ import annotations

from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog, Role, Schema
from ansible_collections.dbops.multischema.plugins.module_utils.placement import place
from ansible_collections.dbops.multischema.plugins.module_utils.schema_usage import usage_missing
from tests.unit import builders as b
from tests.unit.builders import OWNER, catalog, configuration, grant, server, table

USES = grant("staff", "USAGE")


def seen(*grants: Any, roles: tuple[Role, ...], owner: str = "postgres", everyone: bool = False) -> Catalog:
    """A source schema that only some may use, with one table."""
    found = catalog(table("orders", acl=grants), server=server(public_uses_source=everyone), roles=(Role(OWNER, uses_source=False), *roles))
    home = Schema(b.oid("public"), "public", owner, USES)
    return Catalog(**{**vars(found), "schemas": (home,)})


def missing(found: Catalog) -> set[str]:
    wanted = configuration()
    return usage_missing(found, wanted, place(found, wanted), "tenant")


def test_a_privilege_of_everyone_is_used_by_those_who_may_use_the_schema() -> None:
    assert missing(seen(*grant("PUBLIC"), roles=(Role("staff"),))) == {"staff"}
    assert missing(seen(*grant("PUBLIC"), roles=(Role("staff"),), everyone=True)) == {"PUBLIC"}
    assert missing(seen(*grant("web"), roles=(Role("staff"), Role("web", uses_source=False)))) == set()


def test_a_role_may_reach_a_table_by_the_schema_of_one_role_and_the_privilege_of_another() -> None:
    web = Role("web", uses_source=False)
    assert missing(seen(*grant("web"), roles=(Role("staff", uses_source_for=("web",)), web))) == {"staff"}
    assert missing(seen(*grant("web"), roles=(Role("staff", uses_source_for=("other",)), web))) == set()


def test_the_owner_of_the_source_is_let_in_as_well_and_a_superuser_needs_nothing() -> None:
    roles = (Role("staff", superuser=True), Role("boss"))
    assert missing(seen(*grant("PUBLIC"), roles=roles, owner="boss")) == {"boss"}
