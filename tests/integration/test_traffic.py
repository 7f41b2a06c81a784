"""An application that goes on by the old names while everything happens: not one of its statements fails."""

from __future__ import annotations

import pytest

from tests.integration.databases import wait_until
from tests.integration.evidence import require_same_schema
from tests.integration.head_start import planned
from tests.integration.playbooks import Playbooks
from tests.sample.traffic import Traffic

pytestmark = [pytest.mark.playbook, pytest.mark.majors(15, 18)]


def test_no_statement_fails_from_phase_1_to_the_rollback(playbooks: Playbooks, capsys: pytest.CaptureFixture[str]) -> None:
    target = playbooks.target
    before = target.server.dump_schema(target.name)
    # Where a step stands still while it holds a table and wants a sequence, the application looks for a deadlock after this, and would be
    # its victim: a step lets go after 50 ms, unless its machine stands still for as long.
    target.execute(f"ALTER DATABASE {target.name} SET deadlock_timeout = '10s'")
    planned(playbooks)
    with Traffic(target.superuser_url, workers=4, pause_s=0.03) as traffic:
        wait_until(lambda: traffic.report.transactions > 20, "the traffic flows")
        for name in ("phase1", "phase2", "verify", "rollback"):
            sofar = traffic.report.statements
            run = playbooks.run(name)
            assert traffic.report.errors == [], f"during {name}"
            run.ok()
            assert traffic.report.statements > sofar, f"nothing was asked during {name}"
            traffic.reconnect()  # as a pool does: the next phase also meets new sessions
    report = traffic.report
    assert report.errors == []
    require_same_schema(before, target.server.dump_schema(target.name))
    with capsys.disabled():
        print(
            f"\n[pg{target.server.major}] {report.statements} statements, {report.transactions} transactions, 0 errors; "
            f"the longest took {report.longest_ms:.0f} ms: {report.longest_statement[:60]}"
        )
