"""Steps that are sent as a whole: first come, first done; and what happens where something has changed in between."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils import relocation_slice
from ansible_collections.dbops.multischema.plugins.module_utils.errors import JournalError, StepFailed
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.proof import read_former
from ansible_collections.dbops.multischema.plugins.module_utils.relocation import Pace
from tests.integration.core import Core, MortalDatabase
from tests.integration.databases import Target
from tests.integration.evidence import JOURNAL, disagreements, journaled, require_same, state
from tests.integration.placements import SAMPLE_TARGETS, SHOP, SHOP_SQL, SHOP_TARGETS
from tests.integration.placements import sample as configured

pytestmark = pytest.mark.majors(15, 18)


@pytest.fixture
def shop(empty: Target) -> Core:
    """A small database, and so much time for each lock that no machine needs a second attempt."""
    empty.execute(SHOP_SQL, f"ALTER DATABASE {empty.name} SET deadlock_timeout = '60s'")
    return Core(empty, SHOP, Pace(30_000, 120.0))


def once_read(monkeypatch: pytest.MonkeyPatch, target: Target, *statements: str, known: bool = True) -> None:
    """Let someone else run statements right after the core has read what stands before its steps.

    :param known: whether the core gets to know what it has read; without that it does its steps statement by statement.
    """

    def then(database: Database, steps: Any) -> Any:
        steps = list(steps)
        former = read_former(database, steps)
        if any(step.members for step in steps):
            target.execute(*statements)
            monkeypatch.setattr(relocation_slice, "read_former", read_former)
        return former if known else {}

    monkeypatch.setattr(relocation_slice, "read_former", then)


def test_every_step_of_the_sample_goes_through_as_a_whole(sample: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the way there and back; the proof in the message must find everything as it was, whatever the table looks like."""
    singly: list[str] = []
    execute = MortalDatabase.execute

    def watched(self: MortalDatabase, statement: str, parameters: Any = None) -> int:
        if statement.startswith(("ALTER TABLE", "LOCK TABLE public", "LOCK TABLE tenant", "LOCK TABLE analytics")):
            singly.append(statement)
        return execute(self, statement, parameters)

    monkeypatch.setattr(MortalDatabase, "execute", watched)
    before = state(sample)
    core = Core(sample, configured())
    core.apply()
    assert disagreements(sample, SAMPLE_TARGETS) == []
    core.roll_back()
    assert singly == [], "the proof was in doubt, and the step was done again statement by statement"
    require_same(before, state(sample))


@pytest.mark.parametrize("known", [True, False], ids=["whole", "singly"])
def test_a_view_is_known_by_the_same_digest_in_the_journal_and_in_the_catalog(
    shop: Core, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    """Otherwise each of them would count as changed by hand, and only be taken for ours by what it looks like."""
    once_read(monkeypatch, shop.target, "SELECT", known=known)
    shop.apply()
    catalog, entries = shop.observe()
    recorded = {oid: digest for entry in entries for oid, digest in entry.identity.get("views", {}).values()}
    seen = {view.oid: view.definition for view in catalog.views}
    assert recorded
    assert {oid: seen.get(oid) for oid in recorded} == recorded


def test_a_table_that_was_truncated_since_it_was_read_moves_at_the_second_attempt(shop: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    once_read(monkeypatch, shop.target, "TRUNCATE notes", "ALTER TABLE orders SET (fillfactor = 90)")
    assert shop.apply().progress.retries == 2
    assert disagreements(shop.target, SHOP_TARGETS) == []
    files = dict(shop.target.rows("SELECT oid::bigint, relfilenode::bigint FROM pg_class WHERE relname = 'notes'"))
    (recorded,) = shop.target.rows(
        "SELECT identity FROM multischema_journal.step WHERE definition->>'kind' = 'move_tables' AND definition->>'id' LIKE '%notes'"
    )
    assert {oid: recorded[0][str(oid)]["relfilenode"] for oid in files} == files
    assert shop.left() == []


def test_a_table_that_was_renamed_since_it_was_read_stays_where_it_is(shop: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    once_read(monkeypatch, shop.target, "ALTER TABLE notes RENAME TO other; CREATE TABLE notes (id int)")
    with pytest.raises(StepFailed, match=r"public\.notes .* is not there any more"):
        shop.apply()
    assert shop.target.value("SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tablename IN ('notes', 'other')") == 2
    assert disagreements(shop.target, SHOP_TARGETS) == []


def test_a_privilege_that_was_given_since_it_was_planned_stops_the_step_and_is_kept(shop: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    once_read(monkeypatch, shop.target, "GRANT DELETE ON customers TO PUBLIC")
    with pytest.raises(StepFailed, match=r"the view public\.customers has other privileges than its table"):
        shop.apply()
    assert shop.target.value("SELECT has_table_privilege('pg_monitor', 'public.customers', 'DELETE')")
    assert disagreements(shop.target, SHOP_TARGETS) == []


NO_VIEWS = (
    "CREATE FUNCTION no_views() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no views today'; END $$",
    "CREATE EVENT TRIGGER no_views ON ddl_command_start WHEN TAG IN ('CREATE VIEW') EXECUTE FUNCTION no_views()",
)


def test_the_statement_that_was_refused_is_named(shop: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    once_read(monkeypatch, shop.target, *NO_VIEWS)
    with pytest.raises(StepFailed, match=r"no views today.*\n *statement: CREATE VIEW public\.customers "):
        shop.apply()
    assert not [step for step in journaled(shop.target) if step["kind"] == "move_tables"]
    assert disagreements(shop.target, SHOP_TARGETS) == []
    shop.target.execute("DROP EVENT TRIGGER no_views")
    shop.apply()
    assert shop.left() == []


@pytest.mark.parametrize("known", [True, False], ids=["whole", "singly"])
def test_a_run_that_has_lost_its_lease_moves_nothing_more_there_or_back(shop: Core, monkeypatch: pytest.MonkeyPatch, known: bool) -> None:
    """Another run has taken over: what this one does from now on must not be committed."""
    taken = f"UPDATE {JOURNAL}.lease SET run = 'another'"
    mended = f"DELETE FROM {JOURNAL}.lease"
    once_read(monkeypatch, shop.target, taken, known=known)
    with pytest.raises(JournalError, match="lost its lease"):
        shop.apply()
    assert not [step for step in journaled(shop.target) if step["kind"] == "move_tables"]
    assert disagreements(shop.target, SHOP_TARGETS) == []
    shop.target.execute(mended)
    shop.apply()
    steps = len(journaled(shop.target))
    once_read(monkeypatch, shop.target, taken, known=known)
    with pytest.raises(JournalError, match="lost its lease"):
        shop.roll_back()
    assert len(journaled(shop.target)) == steps
    assert disagreements(shop.target, SHOP_TARGETS) == []
    shop.target.execute(mended)
    shop.roll_back()


# In the step itself someone changes what a column of the view gives; as superuser, so that it may.
MEDDLING = """
CREATE FUNCTION meddle() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  IF EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('public.customers') AND relkind = 'v') THEN
    {} ON public.customers {} pg_monitor;
  END IF;
END $$;
CREATE EVENT TRIGGER meddle ON ddl_command_end WHEN TAG IN ('{}') EXECUTE FUNCTION meddle();
"""
OF_COLUMNS = "GRANT SELECT (id, region), UPDATE (region) ON customers TO pg_monitor"
MEDDLERS = {
    "gives where the table gives none": ("SELECT", MEDDLING.format("GRANT SELECT (name)", "TO", "CREATE VIEW")),
    "gives one more": (OF_COLUMNS, MEDDLING.format("GRANT SELECT (name)", "TO", "CREATE VIEW")),
    "gives more of the same column": (OF_COLUMNS, MEDDLING.format("GRANT INSERT (id)", "TO", "CREATE VIEW")),
    "takes one": (OF_COLUMNS, MEDDLING.format("REVOKE SELECT (id)", "FROM", "GRANT")),
}


@pytest.mark.parametrize("how", MEDDLERS)
def test_other_privileges_on_columns_of_a_view_are_noticed_before_the_commit(shop: Core, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    target, (given, meddling) = shop.target, MEDDLERS[how]
    target.execute(given)  # all else the same, so that only the columns tell
    before = state(target)
    once_read(monkeypatch, target, meddling)  # the plan would refuse it
    with pytest.raises(StepFailed, match=r"the view public\.customers has other column privileges than its table"):
        shop.apply()
    assert not [step for step in journaled(target) if step["id"] == "move:public.customers"]
    assert target.value("SELECT relkind FROM pg_class WHERE oid = 'public.customers'::regclass") == "r", "the step has left something"
    assert disagreements(target, SHOP_TARGETS) == []
    target.execute("DROP EVENT TRIGGER meddle", "DROP FUNCTION meddle")
    shop.apply()
    shop.roll_back()
    require_same(before, state(target))
