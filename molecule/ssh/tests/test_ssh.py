"""After a migration over SSH: it is done, and no secret has come to light anywhere."""

from __future__ import annotations

import subprocess
from dataclasses import asdict

import pytest
import testinfra.host

from tests.integration.databases import Target
from tests.integration.evidence import JOURNAL, contents, differing
from tests.lab import Host
from tests.lab.credentials import LOGIN, SSH_KEY, credentials
from tests.lab.migrated import TARGETS, tables_per_schema
from tests.lab.pictures import FIRST, leftovers, recall
from tests.lab.ssh_access import CONFIGURATION, VAULT
from tests.lab.testinfra_hosts import WRITERS
from tests.lab.topology import ROOT, STATE

testinfra_hosts = WRITERS
LOG = STATE / "logs" / "ssh-ansible.log"


@pytest.fixture(scope="module")
def output() -> str:
    """All that Ansible has said in this scenario, at its most talkative."""
    return LOG.read_text()


def test_the_tables_are_in_their_places(lab_host: Host, database: Target) -> None:
    """With the same rows; as an ordinary role, which owns none of them."""
    assert set(tables_per_schema(database)) == {"public", *TARGETS}
    assert differing(recall(lab_host, database.name, FIRST).database.rows, contents(database)) == {}
    assert database.value("SELECT rolsuper FROM pg_roles WHERE rolname = 'mover_ssh'") is False
    owner = "SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = %s"
    assert database.value(owner, (JOURNAL,)) == "mover_ssh"


def test_it_went_by_ssh_and_host_keys_were_checked(output: str, lab_host: Host) -> None:
    """Not by podman, and not past a key that nobody knows."""
    assert f"<{lab_host.name}> ESTABLISH SSH CONNECTION FOR USER: {LOGIN}" in output
    assert f"-F {ROOT}/molecule/inventory/../../{CONFIGURATION.relative_to(ROOT)} " in output
    assert "StrictHostKeyChecking=no" not in output
    assert "podman exec" not in output


def test_no_secret_is_in_the_output(output: str) -> None:
    """None of the lab's, in over a thousand lines."""
    assert output.count("PLAY RECAP") >= 3
    assert len(output.splitlines()) > 1000
    found = [name for name, value in asdict(credentials()).items() if value in output]
    assert found == []


def test_no_secret_is_in_what_is_kept(database: Target, scenario: str) -> None:
    """Neither in the plan's files nor in the journal."""
    kept = [file for file in (STATE / "artifacts" / scenario).rglob("*") if file.is_file()]
    assert len(kept) >= 6
    journal = str(database.rows(f"SELECT r::text FROM {JOURNAL}.run r UNION ALL SELECT s::text FROM {JOURNAL}.step s"))
    for name, value in asdict(credentials()).items():
        assert not [file for file in kept if value.encode() in file.read_bytes()], name
        assert value not in journal, name


def test_the_vault_file_is_encrypted() -> None:
    """It begins as such a file does, and holds no password that could be read."""
    text = VAULT.read_text()
    assert text.startswith("$ANSIBLE_VAULT;")
    assert not [name for name, value in asdict(credentials()).items() if value in text]


def test_nothing_is_left_of_it_on_the_host(host: testinfra.host.Host, lab_host: Host, scenario: str) -> None:
    """Modules lie with their arguments in files while they run: those are gone."""
    assert leftovers(lab_host, scenario) == ""
    assert host.check_output(f"find /home/{LOGIN}/.ansible -type f 2>/dev/null || true") == ""


def test_a_host_with_another_key_is_not_talked_to(lab_host: Host) -> None:
    """Nor is a root login, or one that has only a password, let in."""
    by_address = ["ssh", "-F", str(CONFIGURATION), lab_host.address, "true"]
    result = subprocess.run(by_address, capture_output=True, text=True, check=False)
    assert result.returncode == 255
    assert "Host key verification failed" in result.stderr
    as_root = subprocess.run(
        ["ssh", "-F", str(CONFIGURATION), f"root@{lab_host.name}", "true"], capture_output=True, text=True, check=False
    )
    assert as_root.returncode == 255
    assert "Permission denied" in as_root.stderr
    me = subprocess.run(["ssh", "-F", str(CONFIGURATION), lab_host.name, "id", "-un"], capture_output=True, text=True, check=False)
    assert me.stdout == f"{LOGIN}\n"
    assert SSH_KEY.stat().st_mode & 0o077 == 0
