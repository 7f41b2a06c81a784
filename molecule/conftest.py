"""What the scenarios' tests share; and a record of how many ran, for a verify that collects none reports success."""

from __future__ import annotations

import os

import pytest
import testinfra.host

from tests.integration.databases import Target
from tests.lab import Host, Lab
from tests.lab.pictures import target
from tests.lab.record import write_record
from tests.lab.topology import NAME

_passed: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember what has passed."""
    if report.when == "call" and report.passed:
        _passed.append(report.nodeid)


def pytest_sessionfinish() -> None:
    """Say so to whoever runs the scenarios."""
    write_record(_passed)


@pytest.fixture
def scenario() -> str:
    """The scenario's name, which is that of its database."""
    return os.environ["MOLECULE_SCENARIO_NAME"]


@pytest.fixture
def lab_host(host: testinfra.host.Host) -> Host:
    """The host that testinfra looks at, as the lab knows it."""
    return Lab().host(host.backend.hostname.removeprefix(f"{NAME}-"))


@pytest.fixture
def database(lab_host: Host, scenario: str) -> Target:
    """The scenario's database on that host."""
    return target(lab_host, scenario)
