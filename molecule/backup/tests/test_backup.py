"""After a backup by the role alone: one directory, for its owner alone, that says what it is and that it was restored."""

from __future__ import annotations

from tests.integration.databases import Target
from tests.lab import Host
from tests.lab.backups import endings, found, manifest
from tests.lab.configure import temporary_directory
from tests.lab.pictures import FIRST, database_differences, recall, take
from tests.lab.testinfra_hosts import WRITERS

testinfra_hosts = WRITERS


def test_it_was_restored_and_everything_was_there(lab_host: Host, scenario: str, database: Target) -> None:
    """The verdict stands in the manifest, which knows every table's rows."""
    said = manifest(lab_host, scenario)
    assert said.proved, said.verdict
    assert said.database.name == database.name
    rows = {table.name: table.rows for table in said.content.tables}
    assert rows["students"] == database.value("SELECT count(*) FROM students") > 0
    assert said.server_version_num // 10000 == lab_host.release.postgres


def test_it_is_compressed_by_the_best_that_pg_dump_has(lab_host: Host, scenario: str) -> None:
    """Debian 12's has only gzip; and the files are what the manifest says."""
    method, ending = {15: ("gzip:6", ".gz"), 17: ("zstd:3", ".zst")}[lab_host.release.postgres]
    said = manifest(lab_host, scenario)
    assert (said.compression, endings(said)) == (method, {ending})


def test_nobody_else_may_read_it(lab_host: Host, scenario: str) -> None:
    """Directories and files."""
    assert found(lab_host, scenario, "(", "-perm", "/077", "-o", "!", "-user", "postgres", ")") == []


def test_nothing_half_written_and_no_server_is_left(lab_host: Host, scenario: str) -> None:
    """Of the dump, and of the throwaway server."""
    assert found(lab_host, scenario, "-name", "*.partial") == []
    assert lab_host.exec("find", temporary_directory(scenario), "-maxdepth", "1", "-name", "*scratch*").split() == []


def test_the_database_is_as_it_was(lab_host: Host, database: Target) -> None:
    """Schema, rows, sequences, settings; there is no journal."""
    assert database_differences(recall(lab_host, database.name, FIRST), take(lab_host, database.name)) == []
