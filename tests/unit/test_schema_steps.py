"""The steps of phase 1: what they do, and how exactly they take it back."""

from __future__ import annotations

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Grant
from ansible_collections.dbops.multischema.plugins.module_utils.configuration import TargetSchema
from ansible_collections.dbops.multischema.plugins.module_utils.retired_schemas import drop_step, retired_name
from ansible_collections.dbops.multischema.plugins.module_utils.schema_steps import CopyDefaultPrivileges, CreateSchema, GrantUsage
from ansible_collections.dbops.multischema.plugins.module_utils.steps import KINDS
from tests.unit.builders import default_privileges, grant


def test_a_schema_is_created_for_its_owner_with_its_comment() -> None:
    step = CreateSchema.build(TargetSchema("tenant", "app_owner", "It's ours"))
    assert step.do == ("CREATE SCHEMA tenant AUTHORIZATION app_owner", "COMMENT ON SCHEMA tenant IS 'It''s ours'")
    assert step.undo == ("ALTER SCHEMA tenant RENAME TO multischema_gone_tenant",)
    assert (step.id, step.phase, step.title) == ("create_schema:tenant", 1, "Create schema tenant, owned by app_owner")


def test_a_schema_without_owner_and_comment_is_just_created() -> None:
    step = CreateSchema.build(TargetSchema("Tenant"))
    assert step.do == ('CREATE SCHEMA "Tenant"',)
    assert step.undo == ('ALTER SCHEMA "Tenant" RENAME TO "multischema_gone_Tenant"',)
    assert step.title == 'Create schema "Tenant"'


def test_a_created_schema_loses_its_name_first_and_is_dropped_later_and_without_cascade() -> None:
    assert drop_step("tenant").do == drop_step("tenant").undo == ("DROP SCHEMA multischema_gone_tenant",)
    assert "once no session can be looking it up" in drop_step("tenant").title


def test_a_long_name_is_cut_by_its_digest_so_that_postgresql_does_not_cut_it() -> None:
    fits, long, other = "é" * 23, "é" * 31, "é" * 30 + "e"
    assert retired_name(fits) == f"multischema_gone_{fits}"
    assert len(retired_name(long).encode()) <= 63
    assert retired_name(long) != retired_name(other)


def test_usage_is_granted_to_all_roles_at_once_and_revoked_from_the_same() -> None:
    step = GrantUsage.build("tenant", {"web", "PUBLIC", "Big Role"})
    assert step.do == ('GRANT USAGE ON SCHEMA tenant TO "Big Role", PUBLIC, web',)
    assert step.undo == ('REVOKE USAGE ON SCHEMA tenant FROM "Big Role", PUBLIC, web',)
    assert (step.id, step.phase) == ("grant_usage:tenant", 1)


def test_default_privileges_are_copied_for_each_grantee() -> None:
    entry = default_privileges("app_owner", "public")
    missing = [*grant("web", "SELECT", "INSERT"), *grant("auditor", grantable=True), Grant("PUBLIC", "SELECT")]
    step = CopyDefaultPrivileges.build(entry, "tenant", missing)
    prefix = "ALTER DEFAULT PRIVILEGES FOR ROLE app_owner IN SCHEMA tenant"
    assert step.do == (
        f"{prefix} GRANT SELECT ON TABLES TO PUBLIC",
        f"{prefix} GRANT SELECT ON TABLES TO auditor WITH GRANT OPTION",
        f"{prefix} GRANT INSERT, SELECT ON TABLES TO web",
    )
    assert step.undo == (
        f"{prefix} REVOKE INSERT, SELECT ON TABLES FROM web",
        f"{prefix} REVOKE SELECT ON TABLES FROM auditor",
        f"{prefix} REVOKE SELECT ON TABLES FROM PUBLIC",
    )
    assert step.id == "default_privileges:tenant:app_owner:r"


def test_each_kind_of_object_has_its_word() -> None:
    words = {"r": ("SELECT", "TABLES"), "S": ("USAGE", "SEQUENCES"), "f": ("EXECUTE", "ROUTINES"), "T": ("USAGE", "TYPES")}
    for kind, (privilege, word) in words.items():
        step = CopyDefaultPrivileges.build(default_privileges("a", "public", kind=kind), "tenant", grant("web", privilege))
        assert step.do[0].endswith(f"GRANT {privilege} ON {word} TO web")


def test_every_kind_of_step_is_registered_in_the_order_in_which_it_runs() -> None:
    assert list(KINDS) == ["create_schema", "grant_usage", "default_privileges", "move_tables", "move_type", "routine_path", "search_path"]
