"""Fixtures: a server for each major version, a database for each test, and the playbooks on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration import databases, fault_page, tallies
from tests.integration.databases import TEMPLATE, ServerPool, Target, new_database
from tests.integration.movers import dismiss, of_an_empty, of_the_sample
from tests.integration.playbooks import Playbooks
from tests.integration.who_runs import ORDINARY, SUPERUSER, Says, Undecided, cases
from tests.support.servers import Server

WHY_NOT = {
    "superuser_only": "only a superuser can do what it is about",
    "own_roles": "it chooses itself who connects",
    "no_role": "who connects makes no difference to what it is about",
}


def pytest_configure(config: pytest.Config) -> None:
    """Make known the markers that this file reads."""
    lines = {
        "majors(*versions)": "PostgreSQL versions to run on as superuser, instead of the oldest and the newest",
        "ordinary(*versions)": "versions to run on as a role that is no superuser, instead of one",
    } | {f"{name}(reason)": f"does not also run as an ordinary role: {why}" for name, why in WHY_NOT.items()}
    for name, meaning in lines.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")


def _why_not(node: Any) -> tuple[str, str] | None:
    """(marker, reason) of a test that does not run as an ordinary role."""
    for name in WHY_NOT:
        marker = node.get_closest_marker(name)
        if marker is not None:
            return name, str(*marker.args)
    return None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test as superuser and as an ordinary role, on the versions that `who_runs` finds.

    A test that would run as superuser alone and does not say why is an error.
    """
    test = metafunc.definition
    majors, ordinary, why_not = test.get_closest_marker("majors"), test.get_closest_marker("ordinary"), _why_not(test)
    says = Says(majors and majors.args, ordinary and ordinary.args, why_not and why_not[1])
    try:
        found = cases(says, metafunc.fixturenames)
    except Undecided as error:
        pytest.fail(f"{test.nodeid}: {error}", pytrace=False)
    # One group for each version and file: its tests share a server, and two workers share the work.
    group = Path(metafunc.module.__file__ or "").stem
    marks = [pytest.mark.xdist_group(f"{group}-pg{major}") for major, _ in found]
    names = [f"pg{major}-{ORDINARY}" if who == ORDINARY else f"pg{major}" for major, who in found]
    if "mover" in metafunc.fixturenames and found:
        runs = [pytest.param(*case, id=name, marks=mark) for case, name, mark in zip(found, names, marks, strict=True)]
        metafunc.parametrize(("server", "mover"), runs, indirect=True)
    elif found:
        runs = [pytest.param(case[0], id=name, marks=mark) for case, name, mark in zip(found, names, marks, strict=True)]
        metafunc.parametrize("server", runs, indirect=True)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Write down as whom a test runs: what is written there reaches the summary also from other processes."""
    who = item.callspec.params.get("mover") if isinstance(item, pytest.Function) and hasattr(item, "callspec") else None
    item.user_properties.append(("runs as", _why_not(item) or (who or SUPERUSER,)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what pytest itself does not count."""
    _summarize_roles(terminalreporter)
    _summarize_faults(terminalreporter)


def _summarize_roles(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests have run as whom, and list the reasons of those that did not also run as an ordinary role."""
    runs: Counter[tuple[str, ...]] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "call":
                runs.update(tuple(value) for name, value in report.user_properties if name == "runs as")
    if not runs:
        return
    terminalreporter.section("as whom", sep="-")
    for who in (SUPERUSER, ORDINARY):
        terminalreporter.line(f"{runs[(who,)]:4} as {who}")
    for name, why in WHY_NOT.items():
        reasons = sorted((reason, count) for (marker, *rest), count in runs.items() if marker == name for reason in rest)
        if not reasons:
            continue
        terminalreporter.line(f"{sum(count for _, count in reasons):4} not as an ordinary role, because {why}:")
        for reason, count in reasons:
            terminalreporter.line(f"     {count:4} {reason}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Playbooks first: what takes longest must not begin last, when the other worker has nothing left to do."""
    items.sort(key=lambda item: item.get_closest_marker("playbook") is None)


def _summarize_faults(terminalreporter: pytest.TerminalReporter) -> None:
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
        pytest.skip(reason=str(error))


@pytest.fixture
def mover(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """As whom the product connects: `SUPERUSER` or `ORDINARY`."""
    who = str(getattr(request, "param", SUPERUSER))
    monkeypatch.setattr(databases, "never_as_superuser", who == ORDINARY)
    return who


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
