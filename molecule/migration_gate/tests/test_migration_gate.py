"""The gate only asks."""

from __future__ import annotations

import testinfra.host

from tests.integration.databases import Target
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


def test_its_module_ran_with_the_python_of_the_host(host: testinfra.host.Host) -> None:
    """The system's own, with the psycopg2 of the distribution."""
    wanted = {"12": "3.11", "13": "3.13"}[host.system_info.release.split(".")[0]]
    assert host.check_output("/usr/bin/python3 -c 'import psycopg2, sys; print(\"%d.%d\" % sys.version_info[:2])'") == wanted
