"""After a restore by the role alone: what was lost is there again, and the database that lost it is kept."""

from __future__ import annotations

import pytest

from tests.integration.databases import Target
from tests.lab import Host
from tests.lab.backups import endings, manifest
from tests.lab.pictures import target
from tests.lab.testinfra_hosts import WRITERS

testinfra_hosts = WRITERS


@pytest.fixture
def kept(lab_host: Host, database: Target) -> Target:
    """The database that was there before; it takes no connections, so it is let in first."""
    names = [row[0] for row in lab_host.server.rows("SELECT datname FROM pg_database WHERE datname ~ '_before_restore_'")]
    mine = [name for name in names if name.startswith(f"{database.name}_before_restore_")]
    assert len(mine) == 1, names
    lab_host.server.execute(f'ALTER DATABASE "{mine[0]}" ALLOW_CONNECTIONS true')
    return target(lab_host, mine[0])


def test_what_was_lost_is_there_again_and_the_loser_is_kept(database: Target, kept: Target) -> None:
    """By the number of rows."""
    query = "SELECT count(*) FROM certificates"
    assert database.value(query) > 0
    assert kept.value(query) == 0
    for table in ("students", '"User"', "page_views"):
        assert database.value(f"SELECT count(*) FROM {table}") == kept.value(f"SELECT count(*) FROM {table}") > 0
    kept.drop()


def test_nothing_of_the_restore_is_left(lab_host: Host, database: Target) -> None:
    """No database that was being restored."""
    assert lab_host.server.rows(f"SELECT datname FROM pg_database WHERE datname ~ '^{database.name}_restoring'") == []


def test_it_came_from_a_backup_that_was_compressed_as_asked_for(lab_host: Host, scenario: str) -> None:
    """By lz4 where pg_dump has that."""
    method, ending = {15: ("gzip:1", ".gz"), 17: ("lz4", ".lz4")}[lab_host.release.postgres]
    said = manifest(lab_host, scenario)
    assert (said.compression, endings(said)) == (method, {ending})
    assert said.proved
