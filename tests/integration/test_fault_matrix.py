"""The run, its backend or the postmaster is killed at every boundary of every step, there and back: there is no third state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.integration.databases import Target, new_database
from tests.integration.evidence import JOURNAL, State, disagreements, journaled, require_same, state
from tests.integration.faults import BACKEND, POSTMASTER, RUN, FatedCore
from tests.integration.placements import SHOP, SHOP_SQL, SHOP_TARGETS
from tests.support.servers import Server, find_binaries

# They differ in nothing that matters here, so each fault has a version of its own; the first that is installed.
VERSIONS = {RUN: (16, 18, 15), BACKEND: (18, 16, 15), POSTMASTER: (15, 18, 16)}
pytestmark = pytest.mark.superuser_only("a server of its own that is crashed; as an ordinary role dies the run of test_kill_matrix")
Record = Callable[[str, object], None]


@pytest.fixture
def shop(request: pytest.FixtureRequest) -> Iterator[FatedCore]:
    """A small database on a server of its own, which may die."""
    fault = request.node.callspec.params["fault"]
    major = next((major for major in VERSIONS[fault] if find_binaries(major) is not None), None)
    assert major is not None, "no PostgreSQL is installed"
    with Server(major=major, fsync=False) as server:
        target = new_database(server)
        target.execute(SHOP_SQL)
        yield FatedCore(target, SHOP)


def _same(before: State, after: State, crashed: bool) -> None:
    """As before; in a crash sequences may skip values, because PostgreSQL logs them 32 ahead."""
    if crashed:
        assert all(now[1] >= before.sequences[oid][1] for oid, now in after.sequences.items())
        after = State(after.schema, after.rows, before.sequences, after.settings)
    require_same(before, after)


def _there(target: Target) -> bool:
    return target.value(f"SELECT to_regclass('{JOURNAL}.step')") is not None


@pytest.mark.parametrize("fault", [RUN, BACKEND, POSTMASTER])
def test_no_third_state_after_any_fault_at_any_boundary(shop: FatedCore, fault: str, record_property: Record) -> None:
    target, crashed = shop.target, fault != RUN
    before, steps = state(target), len(shop.plan().steps)
    done: Counter[int] = Counter()
    undone: Counter[int] = Counter()
    third: list[str] = []
    there = back = True
    boundary = 0
    while there or back:
        if there:
            there = shop.struck(fault, boundary, shop.applying)
            third += [f"there, boundary {boundary}: {text}" for text in disagreements(target, SHOP_TARGETS)]
            assert third == []
            done[len(journaled(target))] += there
        # A plain second run finishes.
        shop.expire_lease()
        shop.apply()
        assert shop.left() == []
        assert len(journaled(target)) == steps
        if back:
            back = shop.struck(fault, boundary, shop.rolling_back)
            third += [f"back, boundary {boundary}: {text}" for text in disagreements(target, SHOP_TARGETS)]
            assert third == []
            undone[len(journaled(target))] += back
        shop.expire_lease()
        if _there(target):
            shop.roll_back()
        if boundary % 6 == 0 or not (there or back):
            _same(before, state(target), crashed)
        boundary += 1
    # Both sides of every COMMIT were met, and the last thing that was done was each step once.
    assert set(done) == set(undone) == set(range(steps + 1))
    assert min(done[number] for number in range(1, steps)) >= 3, done
    text = f"{fault}: {done.total()} boundaries there, {undone.total()} back, third states {len(third)}"
    record_property("faults", text)
    print(text)


@pytest.mark.parametrize("fault", [BACKEND])
def test_one_of_several_workers_loses_its_backend(shop: FatedCore, fault: str) -> None:
    before = state(shop.target)
    met = 0
    for boundary in range(16, 60, 5):  # behind phase 1, which one connection does
        met += shop.struck(fault, boundary, lambda: shop.applying(workers=3))
        assert disagreements(shop.target, SHOP_TARGETS) == []
        shop.expire_lease()
        shop.apply()
        assert shop.left() == []
        shop.roll_back()
    _same(before, state(shop.target), crashed=True)
    assert met >= 3, "hardly any boundary was met"
