"""A backup is a directory on the database's host, for its owner alone; nothing else has changed."""

from __future__ import annotations

import json

from tests.integration.databases import Target
from tests.lab import Host
from tests.lab.configure import temporary_directory
from tests.lab.pictures import FIRST, database_differences, file_differences, recall, take
from tests.lab.testinfra_hosts import WRITERS

testinfra_hosts = WRITERS


def found(host: Host, scenario: str, *words: str) -> list[str]:
    """What lies among the scenario's backups."""
    return host.exec("find", f"{temporary_directory(scenario)}/backups", *words).split()


def test_each_host_has_one_whole_backup(lab_host: Host, scenario: str, database: Target) -> None:
    (path,) = found(lab_host, scenario, "-name", "manifest.json")
    manifest = json.loads(lab_host.exec("cat", path))
    assert manifest["database"]["name"] == database.name
    assert len(manifest["content"]["tables"]) == 58
    assert {"dump/toc.dat", "globals.sql"} <= {file["path"] for file in manifest["files"]}
    assert found(lab_host, scenario, "-name", "*.partial") == []


def test_only_its_owner_can_read_it(lab_host: Host, scenario: str) -> None:
    assert found(lab_host, scenario, "-perm", "/077") == []
    assert set(found(lab_host, scenario, "-printf", "%u ")) == {"postgres"}


def test_nothing_else_has_changed(lab_host: Host, database: Target) -> None:
    before, now = recall(lab_host, database.name, FIRST), take(lab_host, database.name)
    assert database_differences(before, now) == []
    assert file_differences(before, now) == []
