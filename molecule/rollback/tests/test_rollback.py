"""After a rollback, from wherever: the database is what it was, to the byte of its dump."""

from __future__ import annotations

import json

import testinfra.host

from tests.integration.databases import Target, wait_until
from tests.integration.evidence import JOURNAL, require_same_schema
from tests.lab import Host
from tests.lab.migrated import TARGETS, places
from tests.lab.pictures import FIRST, file_differences, recall, take, target
from tests.lab.testinfra_hosts import WRITERS
from tests.lab.topology import STATE

testinfra_hosts = WRITERS


def test_the_schema_is_what_it_was(lab_host: Host, database: Target) -> None:
    """The same dump, settings of the roles included."""
    before, now = recall(lab_host, database.name, FIRST), take(lab_host, database.name)
    require_same_schema(before.database.schema, now.database.schema)
    assert before.database.settings == now.database.settings


def test_every_table_is_the_same_as_before(lab_host: Host, database: Target) -> None:
    """By OID; what was written meanwhile is not counted here."""
    before, now = recall(lab_host, database.name, FIRST), take(lab_host, database.name)
    assert before.database.rows.keys() == now.database.rows.keys()
    changed = {before.database.rows[oid][0] for oid in before.database.rows if before.database.rows[oid] != now.database.rows[oid]}
    assert changed <= {"countries"}


def test_no_journal_is_left_in_the_database(database: Target) -> None:
    """Neither it nor a target schema."""
    names = [JOURNAL, *TARGETS]
    assert database.value("SELECT count(*) FROM pg_namespace WHERE nspname = ANY(%s)", (names,)) == 0


def test_a_copy_of_the_journal_is_kept_on_the_control_node(lab_host: Host, scenario: str) -> None:
    """For its owner alone, and every step of it undone or about to be."""
    kept = sorted((STATE / "artifacts" / scenario / "sandbox" / lab_host.name).glob("journal-*.json"))
    assert kept
    assert all(file.stat().st_mode & 0o077 == 0 for file in kept)
    assert all(json.loads(file.read_text()) for file in kept)


def test_the_replica_has_gone_back_too(lab_host: Host, database: Target) -> None:
    """Every table where it is on the writer."""
    replica = target(lab_host.sibling("replica"), database.name)
    wait_until(lambda: places(replica) == places(database), "the replica to replay the rollback")


def test_the_host_itself_was_not_touched(host: testinfra.host.Host, lab_host: Host, database: Target) -> None:
    """No file came, went or changed, and the server runs."""
    assert file_differences(recall(lab_host, database.name, FIRST), take(lab_host, database.name)) == []
    assert host.service(lab_host.postgres_unit).is_running
