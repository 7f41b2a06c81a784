"""What tests of several files use."""

from __future__ import annotations

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils import relocation
from tests.unit.fake_relocation import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(relocation, "time", made)
    return made
