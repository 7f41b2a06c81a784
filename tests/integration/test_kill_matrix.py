"""A run that dies before any one of its messages to the server: the database is as the journal says, and a plain second run goes on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils import relocation_slice
from tests.integration.core import Core
from tests.integration.databases import Target
from tests.integration.evidence import disagreements, journaled, require_same, state
from tests.integration.placements import SHOP, SHOP_SQL, SHOP_TARGETS
from tests.integration.probes import wait_until_alone

# Every message on the newest version, a sample on the oldest: they differ in nothing that matters here.
STRIDES = {15: 7, 18: 1}
pytestmark = [pytest.mark.majors(*STRIDES), pytest.mark.ordinary(15)]


@pytest.fixture
def shop(empty: Target) -> Core:
    """A small database whose migration has a few dozen statements in seven or eight steps."""
    empty.execute(SHOP_SQL)
    return Core(empty, SHOP)


def killed(core: Core, statements: int, work: Callable[[], object]) -> bool:
    """`Core.killed_after`, from one quiet moment to the next.

    A run that meets sessions which are just ending waits for them, and sends more messages; and what a killed worker has sent last may
    still be on its way through the server.
    """
    wait_until_alone(core.target)
    found = core.killed_after(statements, work)
    wait_until_alone(core.target)
    return found


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "singly"])
def test_death_before_each_message_of_the_way_there(shop: Core, monkeypatch: pytest.MonkeyPatch, whole: bool) -> None:
    """A step is sent in two messages; where that is not possible, statement by statement."""
    steps = len(shop.plan().steps)
    before, stride = state(shop.target), STRIDES[shop.target.server.major]
    if not whole:
        monkeypatch.setattr(relocation_slice, "read_former", lambda *_: {})
        stride *= 2
    reached: set[int] = set()
    for statements in range(0, 10_000, stride):
        was_killed = killed(shop, statements, shop.applying())
        assert disagreements(shop.target, SHOP_TARGETS) == [], f"killed before statement {statements}"
        reached.add(len(journaled(shop.target)))
        if not was_killed:
            break
        shop.expire_lease()
        shop.apply()
        assert len(journaled(shop.target)) == steps
        assert disagreements(shop.target, SHOP_TARGETS) == []
        shop.roll_back()
        # The whole dump takes a while; the core itself has proved each table's identity.
        if statements % 10 == 0:
            require_same(before, state(shop.target))
    assert shop.left() == []
    shop.roll_back()
    require_same(before, state(shop.target))
    if stride == 1:
        assert reached == set(range(steps + 1)), "some step was never the last one before a death"


def test_death_before_each_message_of_the_way_back(shop: Core) -> None:
    steps = len(shop.plan().steps)
    before, stride = state(shop.target), 2 * STRIDES[shop.target.server.major]
    for statements in range(0, 10_000, stride):
        shop.apply()
        was_killed = killed(shop, statements, shop.rolling_back())
        assert disagreements(shop.target, SHOP_TARGETS) == [], f"killed before statement {statements}"
        if not was_killed:
            break
        shop.expire_lease()
        if statements % 4:  # forth again, from wherever it stopped
            shop.apply()
            assert len(journaled(shop.target)) == steps
        shop.roll_back()
        if statements % 10 == 0:
            require_same(before, state(shop.target))
    require_same(before, state(shop.target))


def test_death_with_several_workers(shop: Core) -> None:
    before, steps = state(shop.target), len(shop.plan().steps)
    for statements in range(10, 200, 15):
        was_killed = killed(shop, statements, shop.applying(workers=3))
        assert disagreements(shop.target, SHOP_TARGETS) == []
        shop.expire_lease()
        shop.apply()
        assert len(journaled(shop.target)) == steps
        shop.roll_back()
        if not was_killed:
            break
    require_same(before, state(shop.target))
