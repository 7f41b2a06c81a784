"""A run that dies before any one of its statements: the database is as the journal says, and a plain second run goes on."""

from __future__ import annotations

import pytest

from tests.integration.core import Core
from tests.integration.databases import Target
from tests.integration.evidence import State, disagreements, journaled, require_same, require_same_schema, state
from tests.integration.placements import SHOP, SHOP_SQL, SHOP_TARGETS

STRIDES = {15: 5, 16: 7, 18: 1}  # every statement on the newest version, a sample on the others


@pytest.fixture
def shop(empty: Target) -> Core:
    """A small database whose migration has a few dozen statements."""
    empty.execute(SHOP_SQL)
    return Core(empty, SHOP)


def test_death_before_each_statement_of_the_way_there(shop: Core) -> None:
    before, stride = state(shop.target), STRIDES[shop.target.server.major]
    reached: set[int] = set()
    for statements in range(0, 10_000, stride):
        killed = shop.killed_after(statements, lambda core: core.apply())
        assert disagreements(shop.target, SHOP_TARGETS) == [], f"killed before statement {statements}"
        reached.add(len(journaled(shop.target)))
        if not killed:
            break
        shop.expire_lease()
        shop.apply()
        assert shop.left() == []
        assert disagreements(shop.target, SHOP_TARGETS) == []
        shop.roll_back()
        # The whole dump takes a while; the catalog has been compared step by step, by the run itself too.
        if statements % 10 == 0:
            require_same(before, state(shop.target))
    shop.roll_back()
    require_same(before, state(shop.target))
    if stride == 1:
        assert reached == set(range(len(shop.plan().steps) + 1)), "some step boundary was never the last one"


def test_death_before_each_statement_of_the_way_back(shop: Core) -> None:
    before, stride = state(shop.target), STRIDES[shop.target.server.major]
    for statements in range(0, 10_000, stride):
        shop.apply()
        killed = shop.killed_after(statements, lambda core: core.roll_back())
        assert disagreements(shop.target, SHOP_TARGETS) == [], f"killed before statement {statements}"
        if not killed:
            break
        shop.expire_lease()
        if statements % 2:  # forth again, from wherever it stopped
            shop.apply()
            assert shop.left() == []
        shop.roll_back()
        if statements % 10 == 0:
            require_same(before, state(shop.target))
    require_same_schema(before.schema, state(shop.target).schema)


def test_death_with_several_workers(shop: Core) -> None:
    before: State = state(shop.target)
    for statements in range(20, 200, 12):
        killed = shop.killed_after(statements, lambda core: core.apply(workers=3))
        assert disagreements(shop.target, SHOP_TARGETS) == []
        shop.expire_lease()
        shop.apply()
        assert shop.left() == []
        shop.roll_back()
        if not killed:
            break
    require_same(before, state(shop.target))
