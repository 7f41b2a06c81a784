"""A run that stands still in the middle of a step (its machine sleeps, its network is silent) does not keep the application waiting."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.aftermath import add_what_became_of_it
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ServerRefused, StepFailed
from ansible_collections.dbops.multischema.plugins.module_utils.journal import Journal
from tests.integration.core import Core, MortalDatabase
from tests.integration.databases import Target, wait_until
from tests.integration.evidence import JOURNAL, disagreements, require_same, state
from tests.integration.placements import SHOP, SHOP_SQL, SHOP_TARGETS

HELD = "SELECT count(*) FROM pg_locks WHERE granted AND mode = 'AccessExclusiveLock' AND relation = {}"


@pytest.mark.majors(15, 18)
@pytest.mark.parametrize("workers", [1, 2])
def test_the_server_gives_up_a_step_whose_next_message_does_not_come(empty: Target, monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    empty.execute(SHOP_SQL)
    before = state(empty)
    held = HELD.format(empty.value("SELECT 'public.customers'::regclass::oid::bigint"))
    core = Core(empty, SHOP)
    execute = MortalDatabase.execute
    stood: list[str] = []
    limits: list[str] = []

    def late(database: MortalDatabase, statement: str, parameters: Any = None) -> int:
        if statement.startswith("EXECUTE multischema_record") and "move:public.customers" in statement and not stood:
            stood.append(statement)
            # The connection itself is fine, so keepalives end nothing: only the limit for a transaction that holds locks does. It is made
            # short for this one: with a short one for every step, any pause of a busy machine could end any of them.
            limits.append(database.value("SELECT current_setting('idle_in_transaction_session_timeout')"))
            execute(database, "SET LOCAL idle_in_transaction_session_timeout = 500")
            wait_until(lambda: empty.value(held) == 0, "the server lets the application's table go")
        return execute(database, statement, parameters)

    monkeypatch.setattr(MortalDatabase, "execute", late)
    with pytest.raises(StepFailed, match=r"Move public\.customers .*the connection was lost") as failure:
        core.apply(workers)
    assert stood
    assert limits == ["5s"]
    assert "the step is not done" in failure.value.why
    assert disagreements(empty, SHOP_TARGETS) == []
    core.apply()
    assert core.left() == []
    core.roll_back()
    require_same(before, state(empty))


@pytest.mark.majors(15, 18)
def test_a_session_that_was_lost_is_ended_before_the_journal_is_asked(empty: Target) -> None:
    """The server still believes in it, and it holds a lock: what it has done is not certain before it is gone."""
    empty.execute(SHOP_SQL)
    core = Core(empty, SHOP)
    with core.connect() as lost:
        lost.execute("BEGIN; LOCK TABLE public.notes IN ACCESS EXCLUSIVE MODE")
        with core.connect() as database:
            journal = Journal(database)
            journal.create()
            assert journal.take_lease("lost run", "nobody") is None
            journal.begin_run("lost run", "phase2", "", "nobody", "0")
        error = StepFailed("move:public.notes", "The connection was lost.", connection_lost=True)
        add_what_became_of_it(error, core.connect, "lost run", undoes=False)
        assert error.why == "The journal was asked again: the step is not done."
        assert empty.value("SELECT count(*) FROM pg_locks WHERE relation = 'public.notes'::regclass") == 0
        with pytest.raises(ServerRefused):
            lost.execute("SELECT 1")
    assert empty.rows(f"SELECT outcome FROM {JOURNAL}.run") == [("failed",)]
    assert empty.value(f"SELECT count(*) FROM {JOURNAL}.lease") == 0, "the lease would keep the next run waiting"
