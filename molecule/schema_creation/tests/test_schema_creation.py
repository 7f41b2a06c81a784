"""After phase 1: the schemas are there, with owner, comment and rights, and no table has moved."""

from __future__ import annotations

import pytest

from tests.integration.databases import Target
from tests.integration.evidence import JOURNAL, contents, differing
from tests.lab import Host
from tests.lab.migrated import TARGETS, tables_per_schema
from tests.lab.pictures import FIRST, file_differences, recall, take
from tests.lab.testinfra_hosts import WRITERS

testinfra_hosts = WRITERS


def test_the_schemas_belong_to_their_owner_and_say_what_they_are_for(database: Target) -> None:
    """As in the inventory."""
    query = (
        "SELECT nspname, pg_get_userbyid(nspowner), obj_description(oid, 'pg_namespace') IS NOT NULL FROM pg_namespace"
        " WHERE nspname = ANY(%s) ORDER BY 1"
    )
    assert database.rows(query, ([*TARGETS],)) == [(name, "app_owner", True) for name in sorted(TARGETS)]


@pytest.mark.parametrize("role", ["app_web", "app_worker", "reporting"])
def test_the_application_may_use_them_and_not_create_in_them(database: Target, role: str) -> None:
    """What a table's privileges are worth nothing without."""
    query = "SELECT has_schema_privilege(%s, n, 'USAGE'), has_schema_privilege(%s, n, 'CREATE') FROM unnest(%s) AS n"
    assert database.rows(query, (role, role, [*TARGETS])) == [(True, False)] * len(TARGETS)


def test_new_tables_will_grant_there_what_they_grant_in_public(database: Target) -> None:
    """Default privileges were copied."""
    count = "SELECT count(*) FROM pg_default_acl WHERE defaclnamespace = %s::regnamespace"
    assert database.value(count, ("public",)) > 0
    assert all(database.value(count, (name,)) > 0 for name in TARGETS)


def test_no_table_has_moved(lab_host: Host, database: Target) -> None:
    """All in public, with the same rows."""
    assert set(tables_per_schema(database)) == {"public"}
    assert differing(recall(lab_host, database.name, FIRST).database.rows, contents(database)) == {}


def test_the_journal_knows_how_to_go_back(database: Target) -> None:
    """Each step with the statements that undo it; none of phase 2 yet."""
    kinds = dict(database.rows(f"SELECT definition->>'kind', count(*) FROM {JOURNAL}.step GROUP BY 1"))
    assert kinds["create_schema"] == len(TARGETS)
    assert not [kind for kind in kinds if kind.startswith("move")]
    assert database.value(f"SELECT count(*) FROM {JOURNAL}.step WHERE jsonb_array_length(definition->'undo') = 0") == 0


def test_the_host_itself_was_not_touched(lab_host: Host, database: Target) -> None:
    """No file came, went or changed."""
    assert file_differences(recall(lab_host, database.name, FIRST), take(lab_host, database.name)) == []
