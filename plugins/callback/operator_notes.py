"""Say how to go on and how to go back, when it is needed most."""

from __future__ import annotations

import atexit
import os
import shlex
import sys
from pathlib import Path
from typing import Any

from ansible import constants as C
from ansible import context
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: operator_notes
type: notification
short_description: Says how to go on and how to go back when a migration is interrupted or fails
version_added: 0.1.0
description:
  - Prints to standard error, so that nothing disturbs what other callbacks print to standard output.
  - At the start of a playbook of this collection that changes a database it says that stopping is safe at any time.
  - When such a run is interrupted or fails, a few lines say how the database stands, how to go on and how to go back.
  - Of the command line it repeats inventory, limit and playbook, and no other option, which might hold a secret.
requirements:
  - Enable it in C(ansible.cfg), with C(callbacks_enabled = dbops.multischema.operator_notes).
"""

RELOCATION = "dbops.multischema.relocation"
OWN_PLAYBOOKS = Path(__file__).resolve().parents[2] / "playbooks"
COLLECTION = "dbops.multischema."
WRITING = frozenset({"site", "phase1_schema_creation", "phase2_table_migration", "rollback"})
ROLLBACK = "rollback"


def _stem(playbook: str) -> str:
    """The bare name of a playbook that was given as a path or as a fully qualified name."""
    return playbook.removeprefix(COLLECTION) if playbook.startswith(COLLECTION) else Path(playbook).stem


def _is_own(playbook: str) -> bool:
    return playbook.startswith(COLLECTION) or Path(playbook).resolve().parent == OWN_PLAYBOOKS


def _short(path: str) -> str:
    """A path as one types it from where one stands, unless that is longer."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(path) else path


def _rollback_for(playbook: str) -> str:
    if playbook.startswith(COLLECTION):
        return COLLECTION + ROLLBACK
    if _is_own(playbook):
        return str(Path(playbook).with_name(f"{ROLLBACK}.yml"))
    return _short(str(OWN_PLAYBOOKS / f"{ROLLBACK}.yml"))


def _as_typed(file_name: str) -> str:
    """The playbook as the command line names it, which is what a person can repeat."""
    for argument in context.CLIARGS.get("args") or ():
        if argument.startswith(COLLECTION):
            if _stem(argument) == Path(file_name).stem:
                return str(argument)
        elif Path(argument).resolve() == Path(file_name).resolve():
            return str(argument)
    return _short(file_name)


def _command(playbook: str) -> str:
    """A command line that says where and what, and holds no secret."""
    words = ["ansible-playbook"]
    for source in context.CLIARGS.get("inventory") or ():
        words += ["-i", source if "," in source else _short(source)]
    if context.CLIARGS.get("subset"):
        words += ["--limit", context.CLIARGS["subset"]]
    return shlex.join([*words, playbook])


def _others() -> str:
    """A reminder of the options that are not repeated here."""
    told = {"-i", "--inventory", "--inventory-file", "-l", "--limit"}
    options = [word.split("=")[0] for word in sys.argv[1:] if word.startswith("-")]
    return "  (and your other options)" if set(options) - told else ""


class CallbackModule(CallbackBase):
    """What Ansible calls. It only listens."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "dbops.multischema.operator_notes"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._main_process = os.getpid()
        self._playbook = ""
        self._running = False
        self._begun: set[tuple[str, str]] = set()  # (host, task) that work, or have worked, on a database
        # Ctrl-C ends ansible-playbook without its callbacks' last events.
        atexit.register(self._at_exit)

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """A playbook begins: say what the person may rely on."""
        self._playbook = _as_typed(str(playbook._file_name))
        self._running = True
        self._begun.clear()
        if not self._writes():
            return
        self._say("Stopping is safe at any time (Ctrl-C): the same command goes on where it stopped.")
        if _stem(self._playbook) != ROLLBACK:
            self._say(f"The way back: {_command(_rollback_for(self._playbook))}")

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """Work on a database begins, unless the task turns out to be skipped."""
        if task.resolved_action == RELOCATION and not task.check_mode:
            self._begun.add((host.name, task._uuid))

    def v2_runner_on_skipped(self, result: Any) -> None:
        """It was skipped."""
        self._begun.discard((result.host.name, result.task._uuid))

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """The regular end."""
        self._running = False
        hosts = sorted({*stats.failures, *stats.dark})
        if hosts:
            self._explain(f"Stopped on {', '.join(hosts)}.")

    def _at_exit(self) -> None:
        if self._running and os.getpid() == self._main_process:
            self._running = False
            self._explain("Interrupted.")
            if self._begun:
                self._say("  A step that is still under way ends by itself within seconds; until then a new run waits or is refused.")

    def _writes(self) -> bool:
        """Whether this playbook is one of ours that change a database, and may do so now."""
        return _is_own(self._playbook) and _stem(self._playbook) in WRITING and not context.CLIARGS.get("check")

    def _explain(self, what: str) -> None:
        if not self._begun:
            if self._writes():
                self._say(f"{what} Nothing was changed by this run.")
                self._say("  Go on    remove the cause, then run the same command again")
            return
        self._say(f"{what} Nothing is half done: each step and its row in the journal are one transaction.")
        self._say(f"  Go on    {_command(self._playbook)}{_others()}")
        if _stem(self._playbook) != ROLLBACK:
            self._say(f"  Go back  {_command(_rollback_for(self._playbook))}{_others()}")

    def _say(self, text: str) -> None:
        self._display.display(text, color=C.COLOR_HIGHLIGHT, stderr=True)
