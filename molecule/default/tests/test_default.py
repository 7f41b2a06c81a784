"""Each host of the lab is what it says."""

from __future__ import annotations

import pytest
import testinfra.host

from tests.integration.databases import wait_until
from tests.lab import RELEASES, ROLES, Host, Release
from tests.lab.configure import PLAYGROUND, WITH_SSH
from tests.lab.pictures import target
from tests.lab.testinfra_hosts import all_of
from tests.lab.topology import NAME

testinfra_hosts = [host for role in ROLES for host in all_of(role)]


@pytest.fixture
def role(lab_host: Host) -> str:
    """What the host is."""
    return lab_host.role


def test_it_has_booted_without_a_failed_unit(host: testinfra.host.Host) -> None:
    """Systemd runs it."""
    assert host.check_output("systemctl is-system-running") == "running"
    assert host.file("/proc/1/comm").content_string == "systemd\n"


def test_names_resolve_on_the_network(host: testinfra.host.Host, lab_host: Host) -> None:
    """To the address that each host has, whichever asks."""
    for other in ROLES:
        sibling = lab_host.sibling(other)
        assert host.check_output(f"getent ahostsv4 {sibling.name}").split()[0] == sibling.address


def test_only_its_own_services_run(host: testinfra.host.Host, lab_host: Host, role: str) -> None:
    """What another host of the lab is for is off, and stays off after a boot."""
    wanted = {
        lab_host.postgres_unit: role in ("writer", "replica"),
        "pgbouncer.service": role == "pooler",
        "prometheus.service": role == "monitor",
        "ssh.service": role in WITH_SSH,
    }
    for unit, runs in wanted.items():
        assert host.service(unit).is_running == runs, unit
        if unit != lab_host.postgres_unit:  # that one is enabled by the unit of all clusters
            assert host.service(unit).is_enabled == runs, unit


def test_versions_are_those_of_the_release(host: testinfra.host.Host, lab_host: Host) -> None:
    """As docs/lab.md says."""
    assert host.package("pgbouncer").version.startswith(lab_host.release.pgbouncer)
    assert host.package("postgresql").version.startswith(f"{lab_host.release.postgres}+")
    assert host.package("python3-psycopg2").is_installed


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_the_replica_streams_from_the_writer(release: Release) -> None:
    """Asked on both ends."""
    replica = Host(release, "replica")
    writer = target(replica.sibling("writer"), PLAYGROUND)
    streams = "SELECT state FROM pg_stat_replication WHERE application_name = %s"
    wait_until(lambda: writer.rows(streams, (replica.name,)) == [("streaming",)], "the replica to stream")
    assert target(replica, PLAYGROUND).value("SELECT pg_is_in_recovery()")


def test_hosts_are_of_every_release() -> None:
    """Ten hosts."""
    assert len(testinfra_hosts) == len(RELEASES) * len(ROLES)
    assert all(NAME in host for host in testinfra_hosts)
