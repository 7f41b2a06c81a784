"""The preflight checks only read."""

from __future__ import annotations

from tests.integration.databases import Target, wait_until
from tests.lab import Host
from tests.lab.pictures import FIRST, database_differences, file_differences, recall, take
from tests.lab.testinfra_hosts import WRITERS
from tests.lab.topology import STATE

testinfra_hosts = WRITERS


def test_a_real_run_changes_nothing_either(lab_host: Host, database: Target) -> None:
    """Nor in the database, nor on its host."""
    before, now = recall(lab_host, database.name, FIRST), take(lab_host, database.name)
    assert database_differences(before, now) == []
    assert file_differences(before, now) == []


def test_nothing_is_written_on_the_control_node(scenario: str) -> None:
    """No plan, no receipt."""
    assert not (STATE / "artifacts" / scenario).exists()


def test_no_session_of_theirs_is_left(database: Target) -> None:
    """Every connection that they made is closed; the server takes a moment to notice that of the last one that looked."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND usename = 'postgres'"
    wait_until(lambda: database.value(query) == 0, "the last sessions end")
