"""After phase 2 by the role alone: the tables stand where the placement says, and old names go on working."""

from __future__ import annotations

import pytest

from tests.integration.databases import Target
from tests.integration.evidence import contents, differing, disagreements
from tests.lab import Host
from tests.lab.credentials import credentials
from tests.lab.migrated import TARGETS, tables_per_schema
from tests.lab.pictures import FIRST, file_differences, recall, take
from tests.lab.testinfra_hosts import WRITERS
from tests.lab.topology import STATE

testinfra_hosts = WRITERS


@pytest.mark.parametrize(
    ("table", "schema"),
    [("students", "tenant_kct"), ('"User"', "tenant_shared"), ("page_views", "analytics"), ('"Grade Book"', "tenant_kct")],
)
def test_a_table_stands_where_its_rule_says(database: Target, table: str, schema: str) -> None:
    """And what has its old name is a view."""
    assert database.value("SELECT to_regclass(%s) IS NOT NULL", (f"{schema}.{table}",))
    assert database.value("SELECT relkind FROM pg_class WHERE oid = %s::regclass", (f"public.{table}",)) == "v"


def test_journal_and_database_say_the_same(database: Target) -> None:
    """For every object."""
    assert disagreements(database, TARGETS) == []
    assert set(tables_per_schema(database)) == {"public", *TARGETS}


def test_no_row_was_lost(lab_host: Host, database: Target) -> None:
    """By digests of our own."""
    assert differing(recall(lab_host, database.name, FIRST).database.rows, contents(database)) == {}


def test_the_application_reads_and_writes_by_old_names_and_new(database: Target) -> None:
    """As its own role, with a password, over the network; and finds bare names where they are now."""
    with database.session(user="app_web", password=credentials().application) as connection, connection.cursor() as cursor:
        for name in ("students", "public.students", "tenant_kct.students"):
            cursor.execute(f"SELECT count(*) FROM {name}")
            assert cursor.fetchone() == (150,)
        cursor.execute("UPDATE public.students SET full_name = full_name WHERE id = 1")
        assert cursor.rowcount == 1
        cursor.execute("SELECT to_regclass('students') = to_regclass('tenant_kct.students')")
        assert cursor.fetchone() == (True,)


def test_digests_from_before_the_move_are_kept(lab_host: Host, scenario: str) -> None:
    """On the control node, for their owner alone."""
    file = STATE / "artifacts" / scenario / "sandbox" / lab_host.name / "before.json"
    assert file.stat().st_size > 0
    assert file.stat().st_mode & 0o077 == 0


def test_the_host_itself_was_not_touched(lab_host: Host, database: Target) -> None:
    """No file came, went or changed."""
    assert file_differences(recall(lab_host, database.name, FIRST), take(lab_host, database.name)) == []
