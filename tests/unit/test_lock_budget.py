"""How many locks steps take, and when that is too many."""

from __future__ import annotations

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError
from ansible_collections.dbops.multischema.plugins.module_utils.lock_budget import locks_at_once, locks_of, require_room
from tests.unit.builders import catalog, configuration, partition, plan, table
from tests.unit.fake_database import FakeDatabase

PLAN = plan(catalog(table("a"), table("ev", "p"), *(partition(f"ev_{n}", "ev") for n in range(9))), configuration())
SMALL, LARGE = (step for step in PLAN.steps if step.members)


def test_each_table_of_a_tree_and_each_view_counts() -> None:
    tables = len([member for member in LARGE.members if member.kind in "rp"])
    assert tables == 10
    assert locks_of(LARGE) - locks_of(SMALL) >= 9 * 5


def test_workers_hold_their_locks_at_the_same_time() -> None:
    assert locks_at_once(PLAN.steps) == locks_of(LARGE)
    assert locks_at_once(PLAN.steps, 2) == locks_of(LARGE) + locks_of(SMALL)
    assert locks_at_once([]) == 0


def test_a_quarter_of_the_lock_table_is_refused_with_the_figures() -> None:
    database = FakeDatabase({"max_locks_per_transaction": [(400,)]})
    require_room(database, 99)
    with pytest.raises(ConfigurationError, match="take 100 locks at the same time, 25% of the 400"):
        require_room(database, 100)
