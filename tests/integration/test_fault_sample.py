"""The same faults at random boundaries of the sample database; the seed is printed, so that what is found can be repeated."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest

from tests.integration.databases import Target
from tests.integration.fated_core import FatedCore
from tests.integration.fault_matrix import FAULTS, Matrix, Tally, doomed
from tests.integration.faults import Fault
from tests.integration.placements import SAMPLE_TARGETS, sample
from tests.integration.tallies import Record, publish
from tests.sample import load

pytestmark = pytest.mark.own_roles("a server of its own, which faults strike; as an ordinary role dies the run of test_kill_matrix")
CASES = 2
SEED = os.environ.get("MULTISCHEMA_FAULTS_SEED", "")
UNLOGGED = "login_sessions"  # PostgreSQL empties it when it recovers from a crash


def _fill(target: Target) -> None:
    with target.session() as connection:
        load(connection, "small")


@pytest.fixture
def school(request: pytest.FixtureRequest) -> Iterator[FatedCore]:
    """The sample on a server of its own."""
    with doomed(request.node.callspec.params["kind"], _fill, sample(), SAMPLE_TARGETS) as core:
        yield core


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.name.replace(" ", "_"))
def test_no_third_state_at_random_boundaries_of_the_sample(school: FatedCore, kind: type[Fault], record_property: Record) -> None:
    seed = int(SEED) if SEED else random.randrange(10**6)  # noqa: S311 - any boundaries, not a secret
    print(f"MULTISCHEMA_FAULTS_SEED={seed}")
    tally = Tally(kind.name, "sample", school.target.server.major, seed=seed)
    matrix = Matrix(school, tally, finely=False, without=UNLOGGED if kind.crashes else "")
    # Behind the last of them there is nothing left to be struck.
    boundaries = random.Random(seed).sample(range(school.steps * len(kind.places)), CASES)  # noqa: S311
    for boundary in boundaries:
        assert matrix.case(boundary, back=kind.both_ways)[0], f"boundary {boundary} was not met"
    matrix.compare()
    publish(record_property, tally)
