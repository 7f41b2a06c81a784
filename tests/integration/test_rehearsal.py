"""A rehearsal tries everything on a copy, says what it took, and leaves the live database and its server as they were."""

from __future__ import annotations

import pytest

from tests.integration.core import Core
from tests.integration.databases import Target
from tests.integration.evidence import require_same, state
from tests.integration.placements import SHOP_SQL, sample_steps, shop
from tests.integration.placements import sample as configuration
from tests.integration.rehearsals import allow_copies, copies, rehearse


@pytest.mark.majors(18)
def test_the_shop_is_rehearsed_there_and_back_and_stays_as_it_was(empty: Target) -> None:
    empty.execute(SHOP_SQL)
    allow_copies(empty)
    core = Core(empty, shop(empty.owner))
    before = state(empty)
    receipt = rehearse(core)
    require_same(before, state(empty))
    assert copies(empty) == []
    assert receipt.plan_digest == core.plan().digest
    assert [step.id for step in receipt.steps] == [step.id for step in core.plan().steps]
    assert all(step.duration_ms > 0 and step.undo_ms > 0 for step in receipt.steps)


@pytest.mark.majors(18)
def test_the_sample_database_is_rehearsed(sample: Target) -> None:
    allow_copies(sample)
    core = Core(sample, configuration())
    before = state(sample)
    receipt = rehearse(core)
    require_same(before, state(sample))
    assert copies(sample) == []
    assert len(receipt.steps) == sample_steps(sample)
    assert receipt.notes == ()
