"""Backups of generated databases, which are whole, are all proved and accepted: in every format, on a named and on a throwaway server."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.backup_acceptance import Demand
from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import BY_RESTORE
from ansible_collections.dbops.multischema.plugins.module_utils.backup_shelf import choose
from ansible_collections.dbops.multischema.plugins.module_utils.backup_verification import Trial, verify
from tests.integration import backups
from tests.property.cases import make_case
from tests.property.conftest import Pool
from tests.property.dice import SIZE, Dice
from tests.property.laws import build

CASES = int(os.environ.get("MULTISCHEMA_BACKUP_CASES", "20"))
SEED = os.environ.get("MULTISCHEMA_PROPERTY_SEED", "1")
FIRST_SEED = int(time.time()) if SEED == "random" else int(SEED)
MAJORS = (18, 15)
THROWAWAY_EVERY = 5  # a server of its own takes longer, and is the same for all of them


@pytest.mark.parametrize("major", MAJORS, ids=[f"pg{major}" for major in MAJORS])
def test_backups_of_generated_databases_are_accepted(
    major: int, pool: Pool, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    server = pool.get(major)
    record_property("seed", FIRST_SEED)
    for number in range(CASES // len(MAJORS)):
        dice = Dice(random.Random(f"{FIRST_SEED} {major} {number}").randbytes(SIZE))  # noqa: S311  no secret
        target = build(server, make_case(dice, major))
        try:
            folder, form = tmp_path / str(number), backups.FORMATS[number % len(backups.FORMATS)]
            trial = backups.trial(server)
            throwaway = number % THROWAWAY_EVERY == THROWAWAY_EVERY - 1
            manifest, _ = verify(backups.take(target, folder, form), BY_RESTORE, Trial(trial.restoring) if throwaway else trial)
            assert manifest.proved, f"case {number} of seed {FIRST_SEED}, {form}: {manifest.verdict}"
            judgements, accepted = choose(folder, Demand(backups.identity(target), datetime.now(UTC), timedelta(hours=24)))
            assert accepted is not None, judgements
        finally:
            target.drop()
    record_property("seen", f"{CASES // len(MAJORS)} backups, all proved")
