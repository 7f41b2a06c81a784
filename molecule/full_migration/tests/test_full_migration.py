"""After the whole migration: everything in its place and in use, on the writer, its replica, and through the pooler."""

from __future__ import annotations

import os
from pathlib import Path

import testinfra
import testinfra.host

from tests.integration.databases import Target, wait_until
from tests.integration.evidence import JOURNAL, contents, differing
from tests.lab import Host
from tests.lab.configure import PLAYGROUND
from tests.lab.migrated import TARGETS, places, tables_per_schema
from tests.lab.pictures import FIRST, file_differences, leftovers, recall, take, target
from tests.lab.testinfra_hosts import WRITERS
from tests.lab.topology import ROOT, STATE

testinfra_hosts = WRITERS
ANSIBLE = f"ansible://debian13-writer?ansible_inventory={ROOT}/molecule/inventory"


def test_the_server_runs_and_comes_back_after_a_boot(host: testinfra.host.Host, lab_host: Host) -> None:
    """The service is as it was."""
    service = host.service(lab_host.postgres_unit)
    assert service.is_running
    assert service.is_enabled
    assert host.socket("tcp://0.0.0.0:5432").is_listening


def test_every_table_is_in_its_place(database: Target) -> None:
    """None is left in public but the history of a migration tool, which stays on purpose."""
    found = tables_per_schema(database)
    assert found.pop("public") == 1
    assert database.value("SELECT to_regclass('public._prisma_migrations') IS NOT NULL")
    assert set(found) == TARGETS
    assert sum(found.values()) > 50


def test_tables_are_the_same_files_with_the_same_rows(lab_host: Host, database: Target) -> None:
    """OID, file on disk and content of every table."""
    before = recall(lab_host, database.name, FIRST)
    assert differing(before.database.rows, contents(database)) == {}
    assert before.database.rows
    files = database.rows("SELECT oid::bigint, pg_relation_filepath(oid) FROM pg_class WHERE oid = ANY(%s)", ([*before.database.rows],))
    assert len(files) == len(before.database.rows)


def test_the_journal_says_that_all_is_done(database: Target) -> None:
    """Every step in effect, nobody at work."""
    assert database.value(f"SELECT count(*) FROM {JOURNAL}.step WHERE undone_at IS NULL") > 50
    assert database.value(f"SELECT count(*) FROM {JOURNAL}.lease WHERE expires_at > now()") == 0


def test_the_host_itself_was_not_touched(lab_host: Host, database: Target) -> None:
    """No file came, went or changed."""
    assert file_differences(recall(lab_host, database.name, FIRST), take(lab_host, database.name)) == []


def test_nothing_of_ansible_stays_on_the_host(lab_host: Host, scenario: str) -> None:
    """The modules and their arguments are gone again."""
    assert leftovers(lab_host, scenario) == ""


def test_the_replica_has_followed(lab_host: Host, database: Target) -> None:
    """What moved on the writer has moved there."""
    replica = target(lab_host.sibling("replica"), database.name)
    wait_until(lambda: places(replica) == places(database), "the replica to replay the moves")
    assert replica.value("SELECT pg_is_in_recovery()")


def test_the_application_goes_on_through_the_pooler(lab_host: Host, scenario: str) -> None:
    """From its own host, as its own role, by old names and new."""
    application, pooler = lab_host.sibling("application"), lab_host.sibling("pooler").name
    ask = ["psql", "-X", "-At", "-h", pooler, "-p", "6432", "-U", "app_web", "-d", scenario, "-c"]
    for name in ("students", "public.students", "tenant_kct.students"):
        assert application.exec(*ask, f"SELECT count(*) FROM {name}", user="app") == "150\n"
    assert application.exec(*ask, 'SELECT count(*) > 0 FROM tenant_shared."User"', user="app") == "t\n"


def test_other_databases_of_the_server_are_as_they_were(lab_host: Host) -> None:
    """The playground next door."""
    assert target(lab_host, PLAYGROUND).value("SELECT count(*) FROM pg_namespace WHERE nspname = ANY(%s)", ([*TARGETS],)) == 0


def test_the_plan_is_kept_for_its_owner_alone(lab_host: Host, scenario: str) -> None:
    """On the control node."""
    kept = STATE / "artifacts" / scenario / "sandbox" / lab_host.name
    assert {"plan.html", "plan.sql", "plan.json"} <= set(os.listdir(kept))
    assert all(Path(kept, name).stat().st_mode & 0o077 == 0 for name in os.listdir(kept))


def test_ansible_sees_the_same_as_podman() -> None:
    """One look by the way that the playbooks go, become and all."""
    host = testinfra.get_host(ANSIBLE)
    assert host.check_output("id -un") == "root"
    assert host.file("/etc/debian_version").content_string.startswith("13")
