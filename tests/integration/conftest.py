"""Fixtures: a server for each major version, a database for each test, and the playbooks on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.databases import MAJORS, TEMPLATE, ServerPool, Target, new_database
from tests.integration.playbooks import Playbooks
from tests.support.servers import Server


def pytest_configure(config: pytest.Config) -> None:
    """Make known the marker that this file reads."""
    config.addinivalue_line("markers", "majors(*versions): PostgreSQL versions to run on, instead of all")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on every version, or on those that its ``majors`` marker names."""
    if "server" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("majors")
    majors = marker.args if marker else MAJORS
    # One group for each version and file: its tests share a server, and two workers share the work.
    group = Path(metafunc.module.__file__ or "").stem
    cases = [pytest.param(major, id=f"pg{major}", marks=pytest.mark.xdist_group(f"{group}-pg{major}")) for major in majors]
    metafunc.parametrize("server", cases, indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Playbooks first: what takes longest must not begin last, when the other worker has nothing left to do."""
    items.sort(key=lambda item: item.get_closest_marker("playbook") is None)


@pytest.fixture(scope="session")
def server_pool() -> Iterator[ServerPool]:
    """Servers, started when needed."""
    pool = ServerPool()
    yield pool
    pool.close()


@pytest.fixture
def server(request: pytest.FixtureRequest, server_pool: ServerPool) -> Server:
    """The server of one version."""
    try:
        return server_pool.get(request.param)
    except LookupError as error:
        pytest.skip(str(error))


@pytest.fixture
def sample(server: Server) -> Iterator[Target]:
    """A database with the small sample in it."""
    target = new_database(server, TEMPLATE)
    yield target
    target.drop()


@pytest.fixture
def empty(server: Server) -> Iterator[Target]:
    """A database with nothing in it."""
    target = new_database(server)
    yield target
    target.drop()


@pytest.fixture
def playbooks(sample: Target, tmp_path: Path) -> Playbooks:
    """The playbooks on the sample, with the sandbox's placement."""
    return Playbooks(tmp_path / "user", sample)
