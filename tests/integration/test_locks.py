"""Those who stand in the way: named, waited for, and never made to wait themselves."""

from __future__ import annotations

import re
import time
from typing import Any

import psycopg2
import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.errors import StepFailed
from ansible_collections.dbops.multischema.plugins.module_utils.relocation import Pace
from tests.integration.core import Core
from tests.integration.databases import Target, wait_until
from tests.integration.evidence import disagreements, journaled, require_same, state
from tests.integration.head_start import ready
from tests.integration.placements import SAMPLE_TARGETS, SHOP, SHOP_SQL, SHOP_TARGETS
from tests.integration.playbooks import LIMIT_S, Playbooks
from tests.integration.probes import Background, Reader, blocker, wait_for_an_attempt
from tests.sample.loader import DEFAULT_PASSWORD

PATIENT = Pace(50, 120)
CASUAL = {"user": "app_web", "password": DEFAULT_PASSWORD}


@pytest.fixture
def shop(empty: Target) -> Core:
    """A small database."""
    empty.execute(SHOP_SQL)
    return Core(empty, SHOP, PATIENT)


def out_of_patience(core: Core, work: Background) -> StepFailed:
    """What a run says that has waited for long enough: its next slice has another deadline."""
    core.pace = Pace(50, 0.1)
    with pytest.raises(StepFailed) as failure:
        work.finish()
    core.pace = PATIENT
    return failure.value


@pytest.mark.playbook
@pytest.mark.majors(16)
def test_phase_2_names_the_blocker_and_goes_on_when_it_ends(playbooks: Playbooks) -> None:
    target = playbooks.target
    ready(playbooks)
    with Reader(target, "public", "students") as reader:
        with blocker(target, "SELECT 'who stands here' FROM students LIMIT 1", **CASUAL) as (pid, _):
            running = playbooks.start("phase2")
            wait_until(lambda: "In front:" in running.stderr() or not running.alive(), "the blocker is named", LIMIT_S)
            reader.is_let_through(1)
            assert running.alive()
            assert any("students" in step["id"] for step in journaled(target)) is False
        run = running.wait().ok()
    said = " ".join(run.stderr.replace("[sandbox]", " ").split())  # lines are folded to the width of a terminal
    for word in (f"pid {pid}", "user app_web", "who stands here", "Move public.students", "idle in transaction"):
        assert word in said
    assert "retries" in run.stderr
    assert "longest stall of a reader" in said
    assert "Longest stall of a reader" in run.stdout
    assert reader.errors == []
    assert disagreements(target, SAMPLE_TARGETS) == []


@pytest.mark.playbook
@pytest.mark.majors(18)
def test_the_deadline_ends_the_run_and_a_second_one_completes_it(playbooks: Playbooks) -> None:
    target = playbooks.target
    ready(playbooks)
    before = len(journaled(target))
    with blocker(target, "SELECT 'who stands here' FROM students LIMIT 1", **CASUAL) as (pid, _):
        run = playbooks.run("phase2", multischema_deadline_s=1)
        run.refused("no lock within 1 s", f"pid {pid}", "user app_web", "who stands here", "multischema_deadline_s")
        assert "Nothing is half done" in run.stderr
        assert before < len(journaled(target))
        assert disagreements(target, SAMPLE_TARGETS) == []
    again = playbooks.run("phase2").ok()
    assert again.changed > 0
    assert disagreements(target, SAMPLE_TARGETS) == []


def test_a_blocker_on_the_sequence_alone_stalls_no_reader(shop: Core) -> None:
    """The run has the table by then: a reader that waits for it does not wait for whoever has the sequence."""
    before = state(shop.target)
    with Reader(shop.target, "public", "customers") as reader, blocker(shop.target, "SELECT nextval('customers_id_seq')") as (pid, _):
        work = Background(shop.apply)
        reader.is_let_through()
        failure = out_of_patience(shop, work)
    assert "customers_id_seq" in str(failure)
    assert f"pid {pid}" in str(failure)
    assert reader.errors == []
    assert disagreements(shop.target, SHOP_TARGETS) == []
    shop.apply()
    shop.roll_back()
    require_same(before, _with_one_use(state(shop.target), before))


def _with_one_use(now: Any, before: Any) -> Any:
    """The blocker's own nextval, which no transaction takes back, left out."""
    uses = {name: value for name, value in now.sequences.items() if value != before.sequences[name]}
    assert [value[0] for value in uses.values()] == ["customers_id_seq"]
    return type(now)(now.schema, now.rows, before.sequences, now.settings)


def test_a_blocker_that_leaves_is_only_waited_for(shop: Core) -> None:
    with blocker(shop.target, "UPDATE orders SET total = 0 WHERE id = 1") as (_, connection):
        work = Background(shop.apply)
        wait_for_an_attempt(shop.target)
        assert work.is_alive()
        connection.rollback()
        work.finish()
    assert shop.left() == []
    assert disagreements(shop.target, SHOP_TARGETS) == []


def test_the_way_back_gives_way_too(shop: Core) -> None:
    before = state(shop.target)
    shop.apply()
    with (
        Reader(shop.target, "public", "orders") as reader,
        blocker(shop.target, "SELECT 'who reads' FROM public.orders LIMIT 1") as (pid, _),
    ):
        work = Background(shop.roll_back)
        reader.is_let_through()
        failure = out_of_patience(shop, work)
        assert re.search(f"pid {pid}.*who reads", str(failure))
        assert disagreements(shop.target, SHOP_TARGETS) == []
    assert reader.errors == []
    shop.roll_back()
    require_same(before, state(shop.target))


def test_a_prepared_transaction_is_named_and_refused_at_once(shop: Core) -> None:
    shop.target.execute("BEGIN; UPDATE notes SET body = body; PREPARE TRANSACTION 'it''s mine'")
    try:
        with pytest.raises(StepFailed, match="it's mine") as failure:
            shop.apply()
        assert "ROLLBACK PREPARED 'it''s mine'" in failure.value.remedy
        assert disagreements(shop.target, SHOP_TARGETS) == []
    finally:
        shop.target.execute("ROLLBACK PREPARED 'it''s mine'")
    shop.apply()
    assert shop.left() == []


@pytest.mark.playbook
@pytest.mark.majors(15)
def test_preflight_refuses_a_prepared_transaction(playbooks: Playbooks) -> None:
    playbooks.target.execute("BEGIN; UPDATE plans SET seats = seats; PREPARE TRANSACTION 'left over'")
    try:
        playbooks.run("preflight").refused("'left over'", "ROLLBACK PREPARED")
    finally:
        playbooks.target.execute("ROLLBACK PREPARED 'left over'")


def test_an_application_that_locks_in_another_order_is_never_the_victim(shop: Core) -> None:
    """The run holds `orders` and wants its sequence, the application the other way round: the run gives way.

    Who meets whom is left to chance here, as in a real application; `test_blockers.py` makes them meet.
    """
    shop.target.execute(f"ALTER DATABASE {shop.target.name} SET deadlock_timeout = '30s'")  # no machine stands still for so long
    sequence = shop.target.value("SELECT 'orders_id_seq'::regclass::oid::text")  # by OID: where it stands will change
    errors: list[str] = []

    def application() -> None:
        with shop.target.session() as connection, connection.cursor() as cursor:
            for _ in range(8):
                try:
                    cursor.execute(f"BEGIN; SELECT nextval('{sequence}'::regclass)")
                    time.sleep(0.15)
                    cursor.execute("SELECT count(*) FROM public.orders; COMMIT")
                except psycopg2.Error as error:
                    errors.append(str(error))
                    cursor.execute("ROLLBACK")

    work = Background(application)
    shop.apply()
    work.finish()
    assert errors == []
    assert shop.left() == []
