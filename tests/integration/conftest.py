"""Fixtures: a server for each major version, a database for each test, and the playbooks on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import fault_page, tallies
from tests.integration.databases import MAJORS, TEMPLATE, ServerPool, Target, new_database
from tests.integration.movers import ORDINARY, SUPERUSER, dismiss, of_an_empty, of_the_sample
from tests.integration.playbooks import Playbooks
from tests.support.servers import Server


def pytest_configure(config: pytest.Config) -> None:
    """Make known the marker that this file reads."""
    config.addinivalue_line("markers", "majors(*versions): PostgreSQL versions to run on, instead of all")
    config.addinivalue_line("markers", "ordinary(*versions): versions on which it also runs as a role that is no superuser; all by default")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on every version, or on those that its ``majors`` marker names; as an ordinary role where ``ordinary`` says so."""
    if "server" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("majors")
    majors = marker.args if marker else MAJORS
    also = metafunc.definition.get_closest_marker("ordinary")
    # One group for each version and file: its tests share a server, and two workers share the work.
    group = Path(metafunc.module.__file__ or "").stem
    marks = {major: pytest.mark.xdist_group(f"{group}-pg{major}") for major in majors}
    if also is None:
        metafunc.parametrize("server", [pytest.param(m, id=f"pg{m}", marks=marks[m]) for m in majors], indirect=True)
        return
    cases = [pytest.param(m, SUPERUSER, id=f"pg{m}", marks=marks[m]) for m in majors]
    cases += [pytest.param(m, ORDINARY, id=f"pg{m}-{ORDINARY}", marks=marks[m]) for m in majors if m in (also.args or majors)]
    metafunc.parametrize(("server", "mover"), cases, indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Playbooks first: what takes longest must not begin last, when the other worker has nothing left to do."""
    items.sort(key=lambda item: item.get_closest_marker("playbook") is None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the fault matrices have counted; on request publish it."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind) if report.when == "call"]
    found = tallies.collected(reports)
    if not found:
        return
    terminalreporter.section("faults")
    for tally in found:
        terminalreporter.write_line(tallies.line(tally))
    terminalreporter.write_line(tallies.total(found))
    if tallies.page_wanted() and not terminalreporter.getreports("failed") and not terminalreporter.getreports("error"):
        fault_page.PAGE.write_text(fault_page.page(found), encoding="utf-8")
        terminalreporter.write_line(f"written: {fault_page.PAGE.relative_to(Path.cwd())}")


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
def mover(request: pytest.FixtureRequest) -> str:
    """As whom the product connects: `movers.SUPERUSER` or `movers.ORDINARY`."""
    return str(getattr(request, "param", SUPERUSER))


@pytest.fixture
def sample(server: Server, mover: str) -> Iterator[Target]:
    """A database with the small sample in it."""
    target = new_database(server, TEMPLATE)
    if mover == ORDINARY:
        target = of_the_sample(target)
    yield target
    target.drop()
    dismiss(target)


@pytest.fixture
def empty(server: Server, mover: str) -> Iterator[Target]:
    """A database with nothing in it."""
    target = new_database(server)
    if mover == ORDINARY:
        target = of_an_empty(target)
    yield target
    target.drop()
    dismiss(target)


@pytest.fixture
def playbooks(sample: Target, tmp_path: Path) -> Playbooks:
    """The playbooks on the sample, with the sandbox's placement."""
    return Playbooks(tmp_path / "user", sample)
