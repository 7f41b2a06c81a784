"""The callback says how to go on and how to go back, and repeats nothing that may be a secret."""

from __future__ import annotations

import atexit
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from ansible import context
from ansible.module_utils.common.collections import ImmutableDict

from ansible_collections.dbops.multischema.plugins.callback import operator_notes
from tests.unit.repository import ROOT

PHASE2 = str(ROOT / "playbooks" / "phase2_table_migration.yml")
SECRET = "multischema_login_password=s3cr3t"


class Run:
    """A run of ansible-playbook as the callback sees it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, playbook: str, **arguments: Any) -> None:
        self.said: list[str] = []
        given = {"args": (playbook,), "inventory": ("inventory/staging",), "subset": None, "check": False, **arguments}
        monkeypatch.setattr(context, "CLIARGS", ImmutableDict(given))
        monkeypatch.setattr(sys, "argv", ["ansible-playbook", "-i", "inventory/staging", "-e", SECRET, playbook])
        monkeypatch.setattr(atexit, "register", lambda function: setattr(self, "at_exit", function))
        monkeypatch.chdir(ROOT)
        self.at_exit: Any = None
        self.callback = operator_notes.CallbackModule()
        self.callback._display = SimpleNamespace(display=lambda text, **_: self.said.append(text))
        path = playbook if playbook.startswith("/") else str(ROOT / "playbooks" / f"{playbook.rsplit('.', maxsplit=1)[-1]}.yml")
        self.callback.v2_playbook_on_start(SimpleNamespace(_file_name=path))

    def work(self, check: bool = False, skipped: bool = False) -> None:
        host = SimpleNamespace(name="db1")
        task = SimpleNamespace(resolved_action="dbops.multischema.relocation", check_mode=check, _uuid="1")
        self.callback.v2_runner_on_start(host, task)
        if skipped:
            self.callback.v2_runner_on_skipped(SimpleNamespace(host=host, task=task))

    def end(self, **failed: Any) -> str:
        self.said.clear()
        self.callback.v2_playbook_on_stats(SimpleNamespace(**{"failures": {}, "dark": {}, **failed}))
        return "\n".join(self.said)

    def interrupt(self) -> str:
        self.said.clear()
        self.at_exit()
        return "\n".join(self.said)


def test_at_the_start_it_says_that_stopping_is_safe_and_how_to_go_back(monkeypatch: pytest.MonkeyPatch) -> None:
    said = Run(monkeypatch, PHASE2).said
    assert "Stopping is safe at any time" in said[0]
    assert said[1] == f"The way back: ansible-playbook -i inventory/staging {ROOT}/playbooks/rollback.yml"


def test_of_an_installed_playbook_it_names_the_installed_way_back(monkeypatch: pytest.MonkeyPatch) -> None:
    said = Run(monkeypatch, "dbops.multischema.phase2_table_migration").said
    assert said[1] == "The way back: ansible-playbook -i inventory/staging dbops.multischema.rollback"


@pytest.mark.parametrize("name", ["plan", "verify", "preflight"])
def test_where_nothing_is_changed_it_says_nothing(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    run = Run(monkeypatch, str(ROOT / "playbooks" / f"{name}.yml"))
    assert run.said == []
    assert run.end(failures={"db1": 1}) == ""


def test_in_check_mode_and_for_other_playbooks_it_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Run(monkeypatch, PHASE2, check=True).said == []
    assert Run(monkeypatch, "/srv/mine.yml").said == []


def test_the_way_back_needs_no_way_back(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, str(ROOT / "playbooks" / "rollback.yml"))
    run.work()
    assert "Go back" not in run.interrupt()
    assert len(run.said) > 1


def test_a_good_end_needs_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, PHASE2)
    run.work()
    assert run.end() == ""
    assert run.interrupt() == ""


def test_after_a_failure_it_says_how_to_go_on_and_how_to_go_back(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, PHASE2, subset="db1")
    run.work()
    text = run.end(failures={"db1": 1}, dark={"db2": 1})
    assert "Stopped on db1, db2." in text
    assert f"Go on    ansible-playbook -i inventory/staging --limit db1 {PHASE2}" in text
    assert f"Go back  ansible-playbook -i inventory/staging --limit db1 {ROOT}/playbooks/rollback.yml" in text


def test_after_an_interruption_too(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, PHASE2)
    run.work()
    text = run.interrupt()
    assert "Interrupted. Nothing is half done" in text
    assert "Go back" in text
    assert run.interrupt() == "", "it is said once"


@pytest.mark.parametrize("begun", [{}, {"check": True}, {"skipped": True}])
def test_before_any_work_it_says_that_nothing_was_changed(monkeypatch: pytest.MonkeyPatch, begun: dict[str, bool]) -> None:
    run = Run(monkeypatch, PHASE2)
    if begun:
        run.work(**begun)
    assert "Nothing was changed by this run." in run.end(failures={"db1": 1})


def test_it_never_repeats_what_may_be_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, PHASE2)
    run.work()
    text = "\n".join(run.said) + run.end(failures={"db1": 1})
    assert "s3cr3t" not in text
    assert "other options" in text


def test_what_a_shell_would_misread_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, PHASE2, subset="db1:&live; rm -rf /")
    assert "--limit 'db1:&live; rm -rf /'" in run.said[1]
