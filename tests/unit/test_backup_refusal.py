"""What an operator is told of a backup that was tried and is not what was recorded."""

from __future__ import annotations

from ansible_collections.dbops.multischema.plugins.action.backup_verification import _refused


def test_every_difference_and_what_else_there_is_to_know() -> None:
    error = _refused({"name": "shop-1", "verdict": {"differences": ["t: 1 row is missing", "u: not there"]}, "notes": ["Dropped: x."]})
    assert error.found.splitlines() == [
        "The backup shop-1 was tried and is refused:",
        "  t: 1 row is missing",
        "  u: not there",
        "Dropped: x.",
    ]
