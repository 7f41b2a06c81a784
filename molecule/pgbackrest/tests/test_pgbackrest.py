"""After a backup by pgbackrest, its proof, and a restore to a point in time, by the role alone."""

from __future__ import annotations

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import PGBACKREST, Manifest
from tests.integration.databases import Target
from tests.lab import Host, backups
from tests.lab.configure import temporary_directory
from tests.lab.pictures import target
from tests.lab.testinfra_hosts import WRITERS

testinfra_hosts = WRITERS


@pytest.fixture
def manifest(lab_host: Host, scenario: str) -> Manifest:
    """Of the one backup that there is."""
    return backups.manifest(lab_host, scenario)


def test_it_was_recovered_and_everything_was_there(manifest: Manifest, lab_host: Host, database: Target) -> None:
    """The verdict stands in the manifest, which says which backup of which stanza it is."""
    assert manifest.proved, manifest.verdict
    assert (manifest.engine, manifest.stanza, manifest.database.name) == (PGBACKREST, "lab", database.name)
    assert manifest.server_version_num // 10000 == lab_host.release.postgres


def test_no_secret_is_in_the_manifest(manifest: Manifest) -> None:
    """The repository's passphrase is pgbackrest's own affair."""
    assert b"passphrase" not in manifest.to_bytes()


def test_the_database_is_as_it_was_before_the_rows_were_lost_and_the_loser_is_kept(lab_host: Host, database: Target) -> None:
    """With what was written between the backup and that time."""
    names = [row[0] for row in lab_host.server.rows("SELECT datname FROM pg_database WHERE datname ~ '_before_restore_'")]
    mine = [name for name in names if name.startswith(f"{database.name}_before_restore_")]
    assert len(mine) == 1, names
    lab_host.server.execute(f'ALTER DATABASE "{mine[0]}" ALLOW_CONNECTIONS true')
    kept = target(lab_host, mine[0])
    assert database.value("SELECT count(*) FROM certificates") > 0
    assert kept.value("SELECT count(*) FROM certificates") == 0
    assert database.value("SELECT count(*) FROM countries WHERE code = 'ZZ'") == 1
    kept.drop()


def test_nothing_of_it_is_left(lab_host: Host, scenario: str) -> None:
    """Neither a throwaway server, nor a replication slot of ours, nor a database that was being restored."""
    assert lab_host.exec("find", temporary_directory(scenario), "-maxdepth", "1", "-name", "*scratch*").split() == []
    assert lab_host.server.rows("SELECT slot_name FROM pg_replication_slots WHERE slot_name ~ '^multischema_'") == []
    assert lab_host.server.rows(f"SELECT datname FROM pg_database WHERE datname ~ '^{scenario}_restoring'") == []
