"""``podman network disconnect`` between control node and database: before, during and after a commit, there and back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.errors import StepFailed
from tests.integration.databases import Target, wait_until
from tests.integration.evidence import JOURNAL, disagreements, journaled
from tests.integration.fated_core import FatedCore
from tests.integration.fault_matrix import Matrix, Tally
from tests.integration.faults_of_networks import NetworkCut, may_pause
from tests.integration.placements import SHOP, SHOP_SQL, SHOP_TARGETS
from tests.integration.probes import Background
from tests.lab import Host
from tests.lab.cable import Cable, CablePulled
from tests.lab.testinfra_hosts import WRITERS
from tests.support.servers import Server

testinfra_hosts = WRITERS

# Of the boundaries of nine steps, three a step: those of one in the middle. The integration tests make every cut at every boundary,
# by a network namespace of the server's own.
BEFORE_BEGIN, BEFORE_COMMIT, BEHIND_COMMIT = 12, 13, 14
# A commit that lasts until a row says that it may go on. Each statement of the loop sees what is committed by then.
SLOW = f"""
CREATE TABLE {JOURNAL}.go_on (it bool);
CREATE FUNCTION {JOURNAL}.slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  WHILE NOT EXISTS (SELECT FROM {JOURNAL}.go_on) LOOP PERFORM pg_catalog.pg_sleep(0.1); END LOOP;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER slowly AFTER INSERT ON {JOURNAL}.step DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW WHEN (NEW.id = '%s') EXECUTE FUNCTION {JOURNAL}.slowly();
"""


@pytest.fixture
def core(lab_host: Host, scenario: str) -> Iterator[FatedCore]:
    """A small database on that host, behind a cable that can be pulled."""
    lab_host.server.drop_database(scenario)
    lab_host.server.create_database(scenario)
    target = Target(cast(Server, lab_host.server), scenario)
    target.execute(SHOP_SQL)
    fault = CablePulled(Cable(lab_host))
    with may_pause():
        yield FatedCore(target, SHOP, fault=fault, targets=SHOP_TARGETS)
    fault.network.heal()
    lab_host.server.drop_database(scenario)


def test_a_cable_that_is_pulled_at_a_boundary_leaves_no_third_state(core: FatedCore) -> None:
    """Before BEGIN, before COMMIT and behind it, and once on the way back; completed by a plain second run each time."""
    matrix = Matrix(core, Tally(NetworkCut.name, "shop", core.target.server.major))
    assert core.steps * 3 > BEHIND_COMMIT
    for boundary in (BEFORE_BEGIN, BEFORE_COMMIT, BEHIND_COMMIT):
        back = boundary == BEFORE_COMMIT
        assert matrix.case(boundary, back=back) == (True, back)
    matrix.compare()
    assert matrix.tally.third == []


def test_a_cable_that_is_pulled_while_a_commit_is_carried_out(core: FatedCore) -> None:
    """The server has heard COMMIT and is at it when nothing arrives any more: it does all of it or nothing, and the journal knows."""
    ids = [step.id for step in core.plan().steps]
    slow = ids[len(ids) // 2]
    core.unharmed().work("phase1", core.plan().digest, [])  # makes the journal
    core.target.execute(SLOW % slow)
    fault = cast(CablePulled, core.fault)
    backends: list[int] = []
    pulled = Background(lambda: _pull_while_it_commits(core.target, fault, backends))
    try:
        with pytest.raises(StepFailed, match="Nobody answers there now") as caught:
            core.apply()
    finally:
        pulled.join()
        fault.heal(core.target)
        core.target.execute(f"INSERT INTO {JOURNAL}.go_on VALUES (true)")
    pulled.finish()
    # Its session ends with it, for nobody is there any more; and not before the commit is there whole, or is not.
    wait_until(lambda: not core.target.value("SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s)", (backends,)), "it is through")
    assert (caught.value.step_id, caught.value.connection_lost) == (slow, True)
    assert disagreements(core.target, SHOP_TARGETS) == []
    done = [step["id"] for step in journaled(core.target)]
    assert done in (ids[: ids.index(slow)], ids[: ids.index(slow) + 1])
    core.expire_lease()
    core.apply()
    assert core.left() == []
    core.roll_back()


def _committing(target: Target) -> list[int]:
    """The process that is at it."""
    return [pid for (pid,) in target.rows("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'")]


def _pull_while_it_commits(target: Target, fault: CablePulled, backends: list[int]) -> None:
    def found() -> bool:
        backends[:] = _committing(target)
        return bool(backends)

    wait_until(found, "the server is at the commit")
    fault.cut_for_good()
