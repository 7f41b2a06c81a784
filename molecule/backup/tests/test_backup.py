"""After a backup by the role alone: one directory, for its owner alone, that says what it is and that it was restored."""

from __future__ import annotations

from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import Manifest, parse_manifest
from tests.integration.databases import Target
from tests.lab import Host
from tests.lab.pictures import FIRST, database_differences, recall, take
from tests.lab.testinfra_hosts import WRITERS

testinfra_hosts = WRITERS
ROOT = "/var/lib/postgresql/backups/backup"


def manifest(host: Host) -> Manifest:
    """Of the one backup that there is."""
    paths = host.exec("find", ROOT, "-name", "manifest.json").split()
    assert len(paths) == 1, paths
    return parse_manifest(host.exec("cat", paths[0]).encode())


def test_it_was_restored_and_everything_was_there(lab_host: Host, database: Target) -> None:
    """The verdict stands in the manifest, which knows every table's rows."""
    found = manifest(lab_host)
    assert found.proved, found.verdict
    assert found.database.name == database.name
    rows = {table.name: table.rows for table in found.content.tables}
    assert rows["students"] == database.value("SELECT count(*) FROM students") > 0
    assert found.server_version_num // 10000 == lab_host.release.postgres


def test_nobody_else_may_read_it(lab_host: Host) -> None:
    """Directories and files."""
    assert lab_host.exec("find", ROOT, "-mindepth", "1", "(", "-perm", "/077", "-o", "!", "-user", "postgres", ")").split() == []


def test_nothing_half_written_and_no_server_is_left(lab_host: Host) -> None:
    """Of the dump, of the work beside it, of the throwaway server."""
    assert lab_host.exec("find", ROOT, "-name", "*.partial").split() == []
    servers = lab_host.exec("pgrep", "--count", "--full", "postgres .*-D").split()
    assert servers == ["1"], "the host's own server, and no other"


def test_the_database_is_as_it_was(lab_host: Host, database: Target) -> None:
    """Schema, rows, sequences, settings; there is no journal."""
    assert database_differences(recall(lab_host, database.name, FIRST), take(lab_host, database.name)) == []
