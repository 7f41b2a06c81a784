"""The journal's figures, on every version: which runs are in effect, and what a person has decided."""

from __future__ import annotations

from ansible_collections.dbops.multischema.plugins.module_utils.journal import OVERRIDE, Journal
from tests.integration.core import Core
from tests.integration.databases import Target
from tests.integration.placements import SHOP, SHOP_SQL


def test_the_journal_knows_its_runs_and_what_was_decided(empty: Target) -> None:
    empty.execute(SHOP_SQL)
    core = Core(empty, SHOP)
    steps = len(core.plan().steps)
    work = core.apply()
    with core.connect() as database:
        journal = Journal(database)
        journal.begin_run("later", "phase2", "", "somebody", "0")
        journal.accept("later", [(OVERRIDE, "receipt of staging", "why"), ("other", "public.t", "because")])
        journal.accept(str(work.common["run"]), [(OVERRIDE, "receipt of staging", "why")])
        history = journal.history()
        assert journal.run_ids() == [work.common["run"], "later"]
        assert journal.accepted(OVERRIDE) == [{"object": "receipt of staging", "reason": "why"}]
    first, second = history["runs"]
    assert (first["id"], first["door"], first["outcome"], first["steps"]) == (work.common["run"], "phase2", "completed", steps)
    assert first["seconds"] >= 0
    assert first["finished_at"] >= first["started_at"]
    assert first["retries"] >= 0
    assert (second["steps"], second["finished_at"], second["seconds"], second["outcome"]) == (0, None, None, None)
    assert [item["finding"] for item in history["accepted"]] == ["other", OVERRIDE]
