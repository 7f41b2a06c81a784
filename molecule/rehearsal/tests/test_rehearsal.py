"""After a rehearsal by the role alone: a receipt is there, and nothing else."""

from __future__ import annotations

import json

from tests.integration.databases import Target
from tests.lab import Host
from tests.lab.configure import temporary_directory
from tests.lab.pictures import FIRST, database_differences, file_differences, recall, take
from tests.lab.testinfra_hosts import WRITERS
from tests.lab.topology import STATE

testinfra_hosts = WRITERS


def test_the_database_and_its_host_are_as_they_were(lab_host: Host, database: Target) -> None:
    """Schema, rows, sequences, settings, files."""
    before, now = recall(lab_host, database.name, FIRST), take(lab_host, database.name)
    assert database_differences(before, now) == []
    assert file_differences(before, now) == []


def test_no_copy_is_left(database: Target) -> None:
    """Nor a setting of a role in one."""
    assert database.rows("SELECT datname FROM pg_database WHERE datname ~ '_rehearsal_'") == []
    assert (
        database.value(
            "SELECT count(*) FROM pg_db_role_setting s WHERE s.setdatabase <> 0 AND s.setdatabase NOT IN (SELECT oid FROM pg_database)"
        )
        == 0
    )


def test_the_receipt_is_for_its_owner_alone_and_knows_every_step(lab_host: Host, database: Target, scenario: str) -> None:
    """On the control node."""
    path = STATE / "artifacts" / scenario / "sandbox" / lab_host.name / "rehearsal.json"
    assert path.stat().st_mode & 0o777 == 0o600
    receipt = json.loads(path.read_text())
    assert receipt["database"]["name"] == database.name
    assert receipt["copy"]["tables"] > 50
    there = lab_host.exec("ls", f"{temporary_directory(scenario)}/backups/sandbox/{lab_host.name}").split()
    assert there == [receipt["copy"]["backup"]["name"]]
    assert all(step["duration_ms"] > 0 and step["undo_ms"] > 0 for step in receipt["steps"])
