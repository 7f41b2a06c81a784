"""What the plan says of publications, of who decodes changes, and of foreign tables, on servers where it can be seen to be true."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.readiness import Question, foreign_readers
from tests.integration.core import Core
from tests.integration.databases import Target, new_database
from tests.integration.evidence import require_same_schema, state
from tests.integration.placements import SHOP, SHOP_SQL

pytestmark = pytest.mark.majors(15, 18)
PUBLISHED = "SELECT tablename, attnames::text, rowfilter FROM pg_publication_tables WHERE pubname = 'shop' ORDER BY 1"


@pytest.fixture
def shop(empty: Target) -> Core:
    """The small database."""
    empty.execute(SHOP_SQL)
    return Core(empty, SHOP)


def _findings(core: Core, finding: str) -> list[Any]:
    return [found for found in core.plan().findings if found.id == finding]


def test_what_leaves_a_published_schema_is_published_as_before(shop: Core) -> None:
    target = shop.target
    target.execute("CREATE PUBLICATION shop FOR TABLES IN SCHEMA public WITH (publish_via_partition_root = true)")
    published, before = target.rows(PUBLISHED), state(target).schema
    leaves = _findings(shop, "publication_leaves")
    if target.mover is not None:  # such a publication belongs to a superuser, and who does not own it may not repair it
        assert {finding.id for finding in shop.plan().refusals} == {"publication_leaves"}
        assert {finding.remedy for finding in leaves} == {"Connect as postgres or a superuser, who may change the publication."}
        return
    assert {finding.severity for finding in leaves} == {"auto"}
    shop.apply()
    assert target.rows(PUBLISHED) == published
    assert shop.left() == []
    shop.roll_back()
    require_same_schema(before, state(target).schema)


def test_what_would_join_a_publication_is_refused_with_what_it_would_lose(shop: Core) -> None:
    target = shop.target
    target.execute(
        "CREATE SCHEMA sales",
        "CREATE SCHEMA past",
        "CREATE PUBLICATION shop FOR TABLES IN SCHEMA sales, past, TABLE customers WHERE (id > 10)",
    )
    (filtered,) = [row for row in target.rows(PUBLISHED) if row[0] == "customers"]
    found = {("sales" if "schema sales" in f.reason else "past"): f for f in _findings(shop, "publication_joins")}
    assert {f.severity for f in found.values()} == {"refuse"}
    assert "public.customers, public.orders would join" in found["sales"].reason
    assert "filter or column list that public.customers" in found["sales"].reason
    assert "UPDATE and DELETE of public.notes, public.visits_2025, public.visits_2026 would begin to fail" in found["past"].reason
    # It is true: a bare ALTER TABLE takes the filter away, and UPDATE fails.
    target.execute("ALTER TABLE customers SET SCHEMA sales", "ALTER TABLE notes SET SCHEMA past")
    (joined,) = [row for row in target.rows(PUBLISHED) if row[0] == "customers"]
    assert filtered[2] is not None
    assert joined[2] is None
    with pytest.raises(psycopg2.Error, match="replica identity"):
        target.execute("UPDATE past.notes SET body = 'x'")
    target.execute("ALTER TABLE sales.customers SET SCHEMA public", "ALTER TABLE past.notes SET SCHEMA public")
    target.execute("ALTER PUBLICATION shop DROP TABLES IN SCHEMA sales, past")
    assert shop.plan().refusals == ()


def test_where_both_schemas_are_published_whole_nothing_changes(shop: Core) -> None:
    target = shop.target
    target.execute("CREATE SCHEMA sales", "CREATE SCHEMA past", "CREATE PUBLICATION shop FOR TABLES IN SCHEMA public, sales, past")
    published, before = target.rows(PUBLISHED), state(target).schema
    assert shop.plan().refusals == ()
    assert _findings(shop, "publication_leaves") == []
    shop.apply()
    assert target.rows(PUBLISHED) == published
    shop.roll_back()
    require_same_schema(before, state(target).schema)


def test_a_filter_that_has_no_effect_now_and_would_have_one_is_refused(shop: Core) -> None:
    target = shop.target
    target.execute("CREATE PUBLICATION shop FOR TABLES IN SCHEMA public, TABLE customers WHERE (id > 10)")
    refusals = [finding for finding in shop.plan().refusals if finding.id != "publication_leaves"]  # as which the rest is refused
    assert [(finding.id, finding.object) for finding in refusals] == [("publication_filter", "public.customers")]
    assert (len(shop.plan().refusals) > 1) is (target.mover is not None)


def test_filters_and_column_lists_of_their_own_go_along(shop: Core) -> None:
    target = shop.target
    target.execute("CREATE PUBLICATION shop FOR TABLE customers (id, name) WHERE (id > 10), TABLE orders WITH (publish = 'insert')")
    published = target.rows(PUBLISHED)
    shop.apply()
    assert target.rows(PUBLISHED) == published
    shop.roll_back()
    assert target.rows(PUBLISHED) == published


def test_whoever_decodes_changes_is_named_and_gets_the_new_schema(shop: Core) -> None:
    target = shop.target
    target.execute("CREATE PUBLICATION shop FOR TABLE customers")
    target.rows("SELECT pg_create_logical_replication_slot('reader', 'pgoutput')")
    options = "'proto_version', '1', 'publication_names', 'shop'"

    def decoded() -> bytes:
        target.execute("INSERT INTO public.customers (name) VALUES ('by the old name')")
        rows = target.rows(f"SELECT data FROM pg_logical_slot_get_binary_changes('reader', NULL, NULL, {options})")
        return b"".join(bytes(data) for (data,) in rows)

    try:
        assert [(f.severity, f.object) for f in _findings(shop, "logical_slot")] == [("warn", "reader")]
        assert b"public\0customers" in decoded()
        shop.apply()
        assert b"sales\0customers" in decoded()
        shop.roll_back()
        assert b"public\0customers" in decoded()
    finally:
        target.rows("SELECT pg_drop_replication_slot('reader')")


def test_a_publication_of_all_tables_that_nobody_reads_is_only_told(shop: Core) -> None:
    shop.target.execute("CREATE PUBLICATION shop FOR ALL TABLES")
    assert [f.severity for f in _findings(shop, "publication_all_tables")] == ["warn"]
    shop.apply()
    shop.roll_back()


@pytest.fixture
def elsewhere(shop: Core) -> Iterator[Target]:
    """Another database that reads the first by foreign tables."""
    target = shop.target
    if not target.value("SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'postgres_fdw')"):
        pytest.skip(reason=f"PostgreSQL {target.server.major} has no postgres_fdw here (the wheel has no contrib)")
    other = new_database(target.server)
    _lead_to(other, target)
    yield other
    other.drop()


def _lead_to(here: Target, there: Target) -> None:
    server = there.server
    here.execute(
        "CREATE EXTENSION postgres_fdw",
        f"CREATE SERVER shop FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '{server.host}', port '{server.port}', dbname '{there.name}')",
        f"CREATE USER MAPPING FOR CURRENT_USER SERVER shop OPTIONS (user '{server.user}', password '{server.password}')",
        "CREATE SCHEMA remote",
        "CREATE FOREIGN TABLE remote.customers (id int, name text, region text) SERVER shop OPTIONS (schema_name 'public')",
    )


def test_foreign_tables_elsewhere_go_on_reading_and_follow_by_the_statement(shop: Core, elsewhere: Target) -> None:
    with elsewhere.session() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM remote.customers")
        with shop.connect() as database:
            assert [check.status for check in foreign_readers(Question(database, 50, (), 0))] == ["warn"]
        shop.apply()
        cursor.execute("SELECT count(*) FROM remote.customers")
        assert cursor.fetchone() == (20,)
        cursor.execute("INSERT INTO remote.customers (id, name) VALUES (1000, 'from elsewhere')")
        with pytest.raises(psycopg2.Error, match="ctid"):
            cursor.execute("UPDATE remote.customers SET name = name || random()::text WHERE id = 1000")
        cursor.execute("ALTER FOREIGN TABLE remote.customers OPTIONS (SET schema_name 'sales')")
        cursor.execute("UPDATE remote.customers SET name = name || random()::text WHERE id = 1000")
        assert cursor.rowcount == 1


def test_a_foreign_table_that_leads_back_here_is_named(shop: Core, elsewhere: Target) -> None:
    _lead_to(shop.target, shop.target)
    assert [(f.severity, f.object) for f in _findings(shop, "foreign_table_text")] == [("warn", "remote.customers")]
