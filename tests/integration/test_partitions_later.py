"""What is made while the migration stands: partitions and statistics, in the target or in public."""

from __future__ import annotations

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.drift import require_no_drift
from ansible_collections.dbops.multischema.plugins.module_utils.steps import rewind
from tests.integration import movers
from tests.integration.core import Core
from tests.integration.databases import Target
from tests.integration.evidence import require_same_schema, state
from tests.integration.head_start import ready
from tests.integration.placements import SHOP_SQL, sample
from tests.integration.placements import shop as shop_values
from tests.integration.playbooks import Playbooks

pytestmark = pytest.mark.ordinary(18)
PARTITION = "CREATE TABLE {schema}.{name} PARTITION OF {parent} FOR VALUES FROM ('{year}-01-01') TO ('{next}-01-01')"


def _partition(schema: str, year: int, parent: str = "visits") -> str:
    name = f"{parent.rpartition('.')[2]}_{year}"
    return PARTITION.format(schema=schema, name=name, parent=parent, year=year, next=year + 1)


def _schema_of(target: Target, name: str) -> str:
    return str(
        target.value(
            "SELECT nspname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
            " WHERE relname = %s AND relkind IN ('r', 'p', 'S', 'i')",
            (name,),
        )
    )


@pytest.fixture
def shop(empty: Target) -> Core:
    """The small database."""
    empty.execute(SHOP_SQL)
    return Core(empty, shop_values(empty.owner))


def _expected(core: Core, *statements: str) -> str:
    """The dump of the same database when these things are made in public, and nothing ever moved."""
    twin = movers.twin(core.target)
    try:
        twin.execute(SHOP_SQL, *statements)
        return twin.server.dump_schema(twin.name)
    finally:
        twin.drop()


def test_a_partition_made_between_plan_and_phase_2_joins(shop: Core) -> None:
    saved = shop.plan()
    shop.target.execute(_partition("public", 2027))
    catalog, entries = shop.observe()
    require_no_drift(saved, rewind(catalog, [entry.step for entry in entries]))
    shop.apply()
    assert _schema_of(shop.target, "visits_2027") == "past"
    assert shop.left() == []
    shop.roll_back()
    assert _schema_of(shop.target, "visits_2027") == "public"
    require_same_schema(_expected(shop, _partition("public", 2027)), state(shop.target).schema)


def test_partitions_made_after_phase_2_go_along(shop: Core) -> None:
    shop.apply()
    shop.target.execute(_partition("past", 2027, "past.visits"), _partition("public", 2028, "past.visits"))
    assert shop.left() != [], "the partition in public is not noticed"
    shop.apply()
    assert [_schema_of(shop.target, f"visits_{year}") for year in (2026, 2027, 2028)] == ["past"] * 3
    assert shop.left() == []
    shop.target.execute("INSERT INTO public.visits VALUES ('2027-05-05', 'x'), ('2028-05-05', 'y')")
    shop.roll_back()
    assert shop.target.value("SELECT count(*) FROM public.visits") == 62
    expected = _expected(shop, _partition("public", 2027), _partition("public", 2028))
    require_same_schema(expected, state(shop.target).schema)


def test_partitions_made_after_phase_2_come_back_without_a_second_run(shop: Core) -> None:
    shop.apply()
    shop.target.execute(_partition("past", 2027, "past.visits"), _partition("public", 2028, "past.visits"))
    shop.roll_back()
    expected = _expected(shop, _partition("public", 2027), _partition("public", 2028))
    require_same_schema(expected, state(shop.target).schema)


def test_a_partition_below_a_new_partition_goes_along(shop: Core) -> None:
    shop.apply()
    tree = (
        "CREATE TABLE {0}.visits_2027 PARTITION OF {1} FOR VALUES FROM ('2027-01-01') TO ('2028-01-01') PARTITION BY RANGE (at)",
        "CREATE TABLE {0}.visits_2027_h1 PARTITION OF {0}.visits_2027 FOR VALUES FROM ('2027-01-01') TO ('2027-07-01')",
    )
    shop.target.execute(*(statement.format("past", "past.visits") for statement in tree))
    shop.apply()
    shop.roll_back()
    expected = _expected(shop, *(statement.format("public", "visits") for statement in tree))
    require_same_schema(expected, state(shop.target).schema)


def test_indexes_sequences_and_columns_made_after_phase_2_come_back(shop: Core) -> None:
    shop.apply()
    made = (
        "CREATE INDEX orders_total ON {0}.orders (total)",
        "CREATE SEQUENCE {0}.orders_extra OWNED BY {0}.orders.total",
        "ALTER TABLE {1}.notes ADD COLUMN id serial",
        "CREATE UNIQUE INDEX notes_id ON {1}.notes (id)",
    )
    shop.target.execute(*(statement.format("sales", "past") for statement in made))
    shop.roll_back()
    expected = _expected(shop, *(statement.format("public", "public") for statement in made))
    require_same_schema(expected, state(shop.target).schema)


def test_statistics_made_after_phase_2_come_back(shop: Core) -> None:
    shop.apply()
    statistics = "CREATE STATISTICS {}.{} (ndistinct) ON customer, total FROM {}.orders"
    shop.target.execute(statistics.format("sales", "late", "sales"), statistics.format("public", "later", "sales"))
    shop.apply()
    shop.roll_back()
    expected = _expected(shop, statistics.format("public", "late", "public"), statistics.format("public", "later", "public"))
    require_same_schema(expected, state(shop.target).schema)


def test_a_member_dropped_after_phase_2_does_not_stop_the_way_back_in_the_middle(shop: Core) -> None:
    shop.apply()
    shop.target.execute("DROP TABLE past.visits_2025 CASCADE", "DROP INDEX sales.orders_customer")
    way = shop.way_back()
    if way.refusals:  # also fine, as long as it is said before the first step is undone
        assert "visits_2025" in str(way.refusals)
        return
    shop.roll_back()
    expected = _expected(shop, "DROP TABLE visits_2025", "DROP INDEX orders_customer")
    require_same_schema(expected, state(shop.target).schema)


@pytest.mark.playbook
@pytest.mark.majors(16)
def test_the_playbooks_take_new_partitions_along(playbooks: Playbooks) -> None:
    target = playbooks.target
    owner, late = (
        "ALTER TABLE {}.page_views_{} OWNER TO analytics_owner",
        "PARTITION OF {} FOR VALUES FROM ('2026-{:02}-01') TO ('2026-{:02}-01')",
    )
    core = ready(playbooks)
    target.execute(f"CREATE TABLE public.page_views_a {late.format('page_views', 7, 8)}", owner.format("public", "a"))
    playbooks.run("phase2").ok()
    assert _schema_of(target, "page_views_a") == "analytics"
    target.execute(
        f"CREATE TABLE analytics.page_views_b {late.format('analytics.page_views', 8, 9)}",
        f"CREATE TABLE public.page_views_c {late.format('analytics.page_views', 9, 10)}",
        owner.format("analytics", "b"),
        owner.format("public", "c"),
    )
    again = playbooks.run("phase2").ok()
    assert again.changed == 1
    assert _schema_of(target, "page_views_c") == "analytics"
    playbooks.run("verify").ok()
    core.roll_back()
    twin = movers.twin_of_the_sample(target)
    try:
        for number, name in enumerate("abc", 7):
            twin.execute(
                f"CREATE TABLE page_views_{name} {late.format('page_views', number, number + 1)}",
                owner.format("public", name),
            )
        require_same_schema(twin.server.dump_schema(twin.name), target.server.dump_schema(target.name))
    finally:
        twin.drop()
    assert Core(target, sample()).plan().refusals == ()
