"""What tests of several files use."""

from __future__ import annotations

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils import making_way, relocation
from tests.unit.fake_relocation import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(relocation, "time", made)
    monkeypatch.setattr(making_way, "time", made)
    return made
