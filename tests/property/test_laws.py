"""Generated schemas and placements: applied and rolled back, or refused for a reason; nothing in between, and no answer changes."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.property.case import Case
from tests.property.cases import cases
from tests.property.conftest import Pool
from tests.property.laws import Seen, check

CASES = int(os.environ.get("MULTISCHEMA_PROPERTY_CASES", "200"))
SEED = os.environ.get("MULTISCHEMA_PROPERTY_SEED", "1")
MAJORS = (18, 15, 18, 16, 18, 18, 16, 18, 15, 18)  # a tenth of the cases each
# Workers that start in different seconds still draw different cases.
FIRST_SEED = int(time.time()) * len(MAJORS) if SEED == "random" else int(SEED)
MOST_REFUSED = 0.4


def _told(case: Case, number: int, law: Callable[[], None]) -> None:
    """Check, and say how to look at it again where that fails."""
    try:
        law()
    except Exception as error:
        file = Path(tempfile.gettempdir()) / f"multischema-case-{number}.json"
        file.write_text(case.to_json())
        again = f"PYTHONPATH=.ansible/collections python -m tests.property.replay {file}"
        raise AssertionError(f"{error}\n\nAgain: {again}\n\n{case}") from error


@pytest.mark.parametrize("share", range(len(MAJORS)), ids=[f"pg{major}-{share}" for share, major in enumerate(MAJORS)])
def test_laws_of_generated_schemas(share: int, pool: Pool, record_property: Callable[[str, object], None]) -> None:
    server, seen, number = pool.get(MAJORS[share]), Seen(), FIRST_SEED + share
    record_property("seed", number)

    @seed(number)
    @settings(
        max_examples=CASES // len(MAJORS),
        deadline=None,
        database=None,
        derandomize=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases(MAJORS[share]))
    def laws(case: Case) -> None:
        _told(case, number, lambda: check(server, case, seen))

    laws()
    for line in seen.lines():
        record_property("seen", line)
    assert seen.refused < MOST_REFUSED * seen.cases, f"too many were refused for this to show much: {seen.lines()}"
    assert seen.probes > 5 * seen.cases, "hardly anything was asked"
