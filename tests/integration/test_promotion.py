"""Staging runs only what development has passed, and a decision to go on all the same stays on record."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.databases import new_database
from tests.integration.evidence import require_same, state
from tests.integration.ladder import Ladder
from tests.integration.placements import SHOP
from tests.support.servers import Server
from tests.support.ssh_keys import NAMESPACE, SIGNER

pytestmark = [pytest.mark.playbook, pytest.mark.majors(18), pytest.mark.no_role("what a receipt says and who has signed it")]
REASON = "INC-4711: orders are lost since noon, and the fix was tried on a restored copy"
MOVED = 6  # tables and partitions of the small database


@pytest.fixture
def ladder(server: Server, tmp_path: Path) -> Iterator[Ladder]:
    """Both environments, each with the small database."""
    targets = [new_database(server), new_database(server)]
    yield Ladder(tmp_path, *targets)
    for target in targets:
        target.drop()


def test_staging_follows_development_by_its_receipt(ladder: Ladder) -> None:
    development, staging = ladder.development, ladder.staging
    untouched = state(staging.target)
    staging.run("phase1").refused("There is no receipt of development", "playbooks/promote.yml")
    staging.run("phase1", multischema_promotes_from="").refused("multischema_promotes_from may not be given with -e")
    require_same(untouched, state(staging.target))

    development.run("site").ok()
    looked = development.run("promote", check=True).ok()
    assert "would be written" in looked.report
    assert not ladder.folder("development").exists()
    promoted = development.run("promote").ok()
    assert f"{SIGNER} vouches for it" in promoted.report
    (receipt,) = ladder.receipts("development")
    assert receipt["results"]["tables_moved"] == MOVED
    assert receipt["database"]["name"] == development.target.name
    assert {run["door"] for run in receipt["results"]["runs"]} == {"phase1", "phase2"}
    assert {check["status"] for check in receipt["results"]["checks"]} <= {"pass", "warn"}
    assert receipt["overrides"] == []
    (path,) = ladder.folder("development").glob("*.json")
    by_hand = ["ssh-keygen", "-Y", "verify", "-f", str(ladder.signers), "-I", SIGNER, "-n", NAMESPACE, "-s", f"{path}.sig"]
    subprocess.run(by_hand, stdin=path.open("rb"), check=True)

    others = [{**rule, "tables": rule["tables"][:1]} for rule in SHOP["placement"]]
    for name in ("preflight", "phase1"):
        refused = staging.run(name, multischema_placement=others, multischema_unplaced="keep")
        refused.refused("not about what would run here", 'multischema_placement[0].tables[1]: "orders" there, nothing here')
    said = staging.run("phase1", check=True, multischema_placement=others, multischema_unplaced="keep").ok()
    assert "A run without --check would stop here" in said.report
    assert 'multischema_placement[0].tables[1]: "orders" there, nothing here' in said.report
    require_same(untouched, state(staging.target))

    followed = staging.run("site").ok()
    assert f"development has passed the same on sandbox: receipt of {SIGNER}" in " ".join(followed.report.split())


def test_an_override_is_in_the_journal_the_report_and_the_receipts(ladder: Ladder) -> None:
    staging = ladder.staging
    staging.run("plan").ok()
    staging.run("phase1", multischema_promotion_override={"reason": "urgent"}).refused("gives no reason that could be understood")
    override = {"reason": REASON}
    begun = staging.run("phase1", multischema_promotion_override=override).ok()
    assert REASON in " ".join(begun.report.split())
    assert staging.target.rows("SELECT finding, object, reason FROM multischema_journal.accepted") == [
        ("promotion_override", "receipt of development", REASON)
    ]
    staging.run("phase2").refused("There is no receipt of development")
    moved = staging.run("phase2", multischema_promotion_override=override).ok()
    assert f"decided it went on without a receipt of development: {REASON}" in " ".join(moved.report.split())
    staging.run("promote", multischema_signing_key=str(ladder.key)).ok()
    (receipt,) = ladder.receipts("staging")
    assert [item["reason"] for item in receipt["overrides"]] == [REASON]
    staging.run("rollback").ok()
    (kept,) = (ladder.artifacts / "staging").rglob("journal-*.json")
    assert REASON in kept.read_text()
