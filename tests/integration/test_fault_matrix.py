"""Every fault at every boundary of every step, there and back: there is no third state."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.evidence import disagreements
from tests.integration.fated_core import FatedCore
from tests.integration.fault_matrix import FAULTS, Matrix, Tally, doomed
from tests.integration.faults import BackendKilled, Fault
from tests.integration.placements import SHOP, SHOP_SQL, SHOP_TARGETS
from tests.integration.tallies import Record, publish

pytestmark = pytest.mark.own_roles("a server of its own, which faults strike; as an ordinary role dies the run of test_kill_matrix")


@pytest.fixture
def shop(request: pytest.FixtureRequest) -> Iterator[FatedCore]:
    """A small database on a server of its own, which may die."""
    with doomed(request.node.callspec.params["kind"], lambda target: target.execute(SHOP_SQL), SHOP, SHOP_TARGETS) as core:
        yield core


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.name.replace(" ", "_"))
def test_no_third_state_after_a_fault_at_any_boundary(shop: FatedCore, kind: type[Fault], record_property: Record) -> None:
    tally = Tally(kind.name, "shop", shop.target.server.major)
    matrix = Matrix(shop, tally)
    matrix.walk()
    steps = shop.steps
    # Each step has each of the fault's places, so there are at least that many boundaries.
    least = steps * len(kind.places)
    assert tally.there >= least, tally
    assert tally.back >= (least if kind.both_ways else 0), tally
    publish(record_property, tally)


@pytest.mark.parametrize("kind", [BackendKilled])
def test_one_of_several_workers_loses_its_backend(shop: FatedCore, kind: type[Fault]) -> None:
    matrix = Matrix(shop, Tally(kind.name, "shop", shop.target.server.major))
    met = 0
    for boundary in range(16, 60, 5):  # behind phase 1, which one connection does
        met += shop.struck(boundary, workers=3)
        assert disagreements(shop.target, SHOP_TARGETS) == []
        shop.expire_lease()
        shop.apply()
        assert shop.left() == []
        shop.roll_back()
    matrix.compare()
    assert met >= 3, "hardly any boundary was met"
