"""After a run in check mode: neither the database nor the host is in any way different."""

from __future__ import annotations

from tests.integration.databases import Target
from tests.lab import Host
from tests.lab.pictures import LATEST, database_differences, file_differences, recall, take
from tests.lab.testinfra_hosts import WRITERS

testinfra_hosts = WRITERS


def test_check_mode_changed_nothing(lab_host: Host, database: Target) -> None:
    """Schema, rows, sequences, settings, journal, and every file of the host."""
    before, now = recall(lab_host, database.name, LATEST), take(lab_host, database.name)
    assert before.database.rows, "an empty picture would show no change"
    assert database_differences(before, now) == []
    assert file_differences(before, now) == []
