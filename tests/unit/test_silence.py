"""After how long a silence a connection is given up, and what is said of the step that was under way."""

from __future__ import annotations

import re

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils import aftermath
from ansible_collections.dbops.multischema.plugins.module_utils.aftermath import add_what_became_of_it
from ansible_collections.dbops.multischema.plugins.module_utils.configuration import TargetSchema
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConnectionFailed, JournalError, MultischemaError, StepFailed
from ansible_collections.dbops.multischema.plugins.module_utils.plan import step_to_dict
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.schema_steps import CreateSchema
from ansible_collections.dbops.multischema.plugins.module_utils.silence import SILENCE_S, Silence
from ansible_collections.dbops.multischema.plugins.module_utils.troubles import trouble
from tests.unit.fake_database import FakeDatabase, refusal

STEP = CreateSchema.build(TargetSchema("tenant"))
ROW: tuple[object, ...] = (1, step_to_dict(STEP), "run-1", "2026-03-01", None, 1, {})


@pytest.mark.parametrize("given", [{}, {"tcp_user_timeout": "0"}, {"tcp_user_timeout": "soon"}, {"tcp_user_timeout": "-1"}])
def test_the_default_holds_where_nothing_else_is_said(given: dict[str, str]) -> None:
    assert Silence.of(given) == Silence(SILENCE_S * 1000)


@pytest.mark.parametrize("ms", [2000, 20_000, 90_000])
def test_all_probes_fit_into_the_silence_on_both_sides(ms: int) -> None:
    silence = Silence.of({"tcp_user_timeout": str(ms)})
    client = {name: int(value) for name, value in silence.client.items()}
    assert client["tcp_user_timeout"] == ms
    probing = client["keepalives_idle"] + client["keepalives_interval"] * client["keepalives_count"]
    assert probing * 1000 <= max(ms, 4000)
    server = dict(re.findall(r"SET (\w+) = (\d+)", silence.server(180000, on_linux=True)))
    assert server == {
        "tcp_user_timeout": str(ms),
        "tcp_keepalives_idle": str(client["keepalives_idle"]),
        "tcp_keepalives_interval": str(client["keepalives_interval"]),
        "tcp_keepalives_count": str(client["keepalives_count"]),
        "client_connection_check_interval": str(client["keepalives_idle"] * 1000),
    }


def test_a_transaction_that_holds_locks_is_given_up_long_before_the_connection_and_not_by_a_busy_machine() -> None:
    assert Silence().idle_ms == 5000
    assert Silence(1000).idle_ms == 2000


@pytest.mark.parametrize(
    ("sqlstate", "message", "words"),
    [
        ("08006", "server closed the connection unexpectedly", "can be reached"),
        ("53100", "could not extend file", "Make room"),
        ("53200", "out of shared memory", "max_locks_per_transaction"),
        ("25P03", "terminating connection due to idle-in-transaction timeout", "stood still"),
        ("57P03", "the database system is in recovery mode", "accepts connections"),
    ],
)
def test_a_trouble_of_the_server_says_what_helps(sqlstate: str, message: str, words: str) -> None:
    found = trouble(sqlstate, message)
    assert found is not None
    assert words in " ".join(found)
    assert "same playbook again" in found.remedy


def test_what_is_about_a_statement_is_left_to_the_servers_own_words() -> None:
    assert trouble("42P01", "relation does not exist") is None
    assert trouble("53200", "out of memory") is None


class Answering(FakeDatabase):
    """A server that answers again."""

    def __init__(self, *, done: bool, ours: bool = True, lost: int = 0) -> None:
        entries = [ROW] if done else []
        super().__init__({"to_regclass": [("there",)], "max(format)": [(1,)], "SELECT seq": entries, "SELECT count(*)": [(lost,)]})
        self.ours = ours

    def execute(self, statement: str, parameters: object = None) -> int:
        """As always; the lease is touched only where it is ours."""
        return super().execute(statement, parameters) if self.ours else 0


def told(database: Database, *, undoes: bool = False, error: MultischemaError | None = None) -> str:
    error = error or StepFailed(STEP.id, "It was lost.", "Because.", connection_lost=True)
    add_what_became_of_it(error, lambda: database, "run-1", undoes)
    return error.why


@pytest.mark.parametrize(
    ("done", "undoes", "said"),
    [(True, False, "the step is done"), (False, False, "the step is not done"), (False, True, "is undone"), (True, True, "is not undone")],
)
def test_the_journal_tells_what_has_become_of_the_step(done: bool, undoes: bool, said: str) -> None:
    database = Answering(done=done)
    assert told(database, undoes=undoes).endswith(f"The journal was asked again: the step {said.removeprefix('the step ')}.")
    assert [text for text in database.sent if text.startswith("DELETE FROM multischema_journal.lease")], "the lease is kept"


def test_what_is_not_a_step_says_nothing_of_one() -> None:
    assert told(Answering(done=True), error=JournalError("x")) == "What is left of the session has been ended."


def test_a_session_that_does_not_end_leaves_the_answer_to_the_next_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aftermath, "WAIT_S", 0.0)
    database = Answering(done=False, lost=1)
    assert "has not ended yet" in told(database)
    assert not [text for text in database.sent if "DELETE" in text], "the lease must stand while the session may still commit"


def test_another_run_that_has_taken_over_is_left_alone() -> None:
    database = Answering(done=True, ours=False)
    assert "Another run has taken over" in told(database)
    assert not [text for text in database.sent if "pg_terminate_backend" in text]


def test_a_server_that_does_not_answer_is_said_too() -> None:
    error = StepFailed(STEP.id, "It was lost.", "Because.", connection_lost=True)

    def connect() -> Database:
        raise ConnectionFailed("no")

    add_what_became_of_it(error, connect, "run-1", False)
    assert error.why.startswith("Because. Nobody answers there now")


def test_who_may_not_end_the_lost_session_waits_for_its_end() -> None:
    database = Answering(done=True)
    database.answers = {"pg_terminate_backend": refusal("42501"), **database.answers}
    assert "the step is done" in told(database)


@pytest.mark.parametrize(("version", "on_linux", "asked"), [(140000, True, True), (139999, True, False), (180000, False, False)])
def test_only_a_server_that_can_is_asked_to_look_for_its_client_in_a_statement(version: int, on_linux: bool, asked: bool) -> None:
    assert ("client_connection_check_interval" in Silence().server(version, on_linux=on_linux)) is asked
