"""Check mode tells the truth: what it prints is, statement by statement, what the server's log shows of the real run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.databases import TEMPLATE
from tests.integration.evidence import JOURNAL
from tests.integration.head_start import planned
from tests.integration.playbooks import Playbooks, Run, files_in
from tests.integration.server_log import ServerLog, Sorted, logging_server, split, writes
from tests.sample import load
from tests.support.servers import Server, find_binaries

pytestmark = pytest.mark.playbook

# Several phases in one playbook on the oldest server that can log as JSON, one by one on the newest; as an ordinary role in between.
JOURNEYS = {15: ("site", "rollback"), 16: ("site", "rollback"), 18: ("phase1", "phase2", "rollback")}


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of its own that logs everything, instead of the one that tests share."""
    if find_binaries(request.param) is None:
        pytest.skip(reason=f"PostgreSQL {request.param} is not installed here (tests/support/servers.py says how to get it)")
    with logging_server(request.param) as server:
        server.create_database(TEMPLATE)
        connection = server.connect(TEMPLATE)
        try:
            load(connection, "small")
        finally:
            connection.close()
        yield server


def printed(run: Run) -> list[str]:
    """The SQL in the diffs of a run."""
    return [statement for text in run.diffs() for statement in split(text)]


def test_what_check_mode_prints_is_what_the_server_is_sent(playbooks: Playbooks) -> None:
    log = ServerLog(playbooks.target)
    journey = JOURNEYS[playbooks.target.server.major]
    if "site" not in journey:
        planned(playbooks)
    for name in journey:
        log.news()
        files = files_in(playbooks.artifacts)
        announced = printed(playbooks.run(name, "--diff", check=True).ok())
        assert announced, f"{name} --check --diff shows no SQL"
        assert not [text for text in announced if JOURNAL in text]
        looked = log.news()
        assert len(looked) > 20, "the log does not show what check mode has read"
        assert writes(looked) == [], f"{name} --check has written"
        assert files_in(playbooks.artifacts) == files, f"{name} --check has written an artifact"
        run = playbooks.run(name, "--diff").ok()
        sent = Sorted.of(log.news())
        assert sent.kept == announced, f"{name} has sent something else than --check --diff had shown"
        assert sent.journal, "the journal was not written"
        assert printed(run) == announced, f"{name} --diff does not show what it sends"
