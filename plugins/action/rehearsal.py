"""Control-node side of rehearsal: the stage that it happens on, and the receipt."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from ansible_collections.dbops.multischema.plugins.module_utils.backup_acceptance import hours
from ansible_collections.dbops.multischema.plugins.module_utils.checks import Check, count_of, passed, report, wrap
from ansible_collections.dbops.multischema.plugins.module_utils.connection import options_for, parse_url, read_connection
from ansible_collections.dbops.multischema.plugins.module_utils.copy_picture import Picture
from ansible_collections.dbops.multischema.plugins.module_utils.copying import CopyFailed
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError, MultischemaError
from ansible_collections.dbops.multischema.plugins.module_utils.module_door import CONNECTION
from ansible_collections.dbops.multischema.plugins.module_utils.module_options import ARTIFACTS, COPYING, PACE, Spec
from ansible_collections.dbops.multischema.plugins.module_utils.plain import unpack
from ansible_collections.dbops.multischema.plugins.module_utils.rehearsal import (
    AUTO,
    BACKUP,
    COPY,
    FILE,
    GIVEN,
    SCRATCH,
    RestoredBackup,
)
from ansible_collections.dbops.multischema.plugins.module_utils.rehearsal_judgement import read_demand
from ansible_collections.dbops.multischema.plugins.module_utils.rehearsal_timing import rehearsal_lines
from ansible_collections.dbops.multischema.plugins.module_utils.sealed_document import moment
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name
from ansible_collections.dbops.multischema.plugins.plugin_utils.artifact import write_text
from ansible_collections.dbops.multischema.plugins.plugin_utils.backup_folder import backup_folder
from ansible_collections.dbops.multischema.plugins.plugin_utils.components import run_label
from ansible_collections.dbops.multischema.plugins.plugin_utils.copy_job import copying
from ansible_collections.dbops.multischema.plugins.plugin_utils.database_action import DatabaseAction, ModuleFailed, shown
from ansible_collections.dbops.multischema.plugins.plugin_utils.rehearsal_receipt import check_rehearsal
from ansible_collections.dbops.multischema.plugins.plugin_utils.rehearsal_source import no_backup
from ansible_collections.dbops.multischema.plugins.plugin_utils.rehearsing import Rehearsing, Request, Seen


class ActionModule(DatabaseAction):
    """Rehearses, by the modules of the real run."""

    OPTIONS: ClassVar[Spec] = {
        **ARTIFACTS,
        **PACE,
        **COPYING,
        "state": {"type": "str", "choices": ["rehearsed", "judged", "cleaned"], "default": "rehearsed"},
        "copy_url": {"type": "str", "no_log": True},
        "again": {"type": "bool", "default": False},
        "keep_copy": {"type": "bool", "default": False},
        "max_age_h": {"type": "float", "default": 168.0},
        "source": {"type": "str", "choices": [AUTO, COPY, BACKUP], "default": AUTO},
        "backup_directory": {"type": "path"},
        "backup_max_age_h": {"type": "float", "default": 24.0},
        "age_identity": {"type": "path", "default": ""},
        "jobs": {"type": "int", "default": 2},
    }

    def work(self) -> dict[str, Any]:
        """Rehearse, judge, or clean up."""
        stage = _Stage(self)
        if stage.origin == GIVEN:
            _require_url(self.options["copy_url"])
        if self.options["state"] == "cleaned":
            return self._clean(stage)
        check = self._judge()
        if self.options["state"] == "judged":
            return {"changed": False, "passed": passed([check]), "checks": [check.to_dict()], "report": report([check])}
        if passed([check]) and not self.options["again"]:
            lines = wrap(f"Nothing to do: {check.detail}. To do it again: -e rehearsal_again=true")
            return {"changed": False, "report": lines, "receipt": str(self._path)}
        rehearsing = self._rehearsing(stage)
        if self._task.check_mode:
            return self._look(rehearsing, stage)
        if stage.origin == SCRATCH:
            self._say_what_is_left(stage)
        found = rehearsing.run()
        write_text(self._path, found.to_bytes().decode())
        lines = rehearsal_lines(found, shown(self._path), rehearsing.fate)
        return {"changed": True, "report": lines, "receipt": str(self._path), "plan_digest": found.plan_digest}

    @property
    def _path(self) -> Path:
        return self.artifacts() / FILE

    def _rehearsing(self, stage: _Stage) -> Rehearsing:
        configuration = self.configuration()
        request = Request(
            configuration=configuration,
            environment=self.environment,
            host=self.host,
            version=run_label(configuration),
            made_by={"user": getpass.getuser(), "machine": socket.gethostname()},
            # No standby is waited for: what a copy costs it is not what the migration costs it.
            pace={**{name: self.options[name] for name in PACE}, "max_replay_lag_s": 0.0},
            keep=self.options["keep_copy"],
            source=self.options["source"],
        )
        return Rehearsing(stage, request, self.say)

    def _look(self, rehearsing: Rehearsing, stage: _Stage) -> dict[str, Any]:
        """What a real run would do."""
        plan = rehearsing.plan()
        if stage.origin == GIVEN:
            where = f"on the copy that is given, {stage.where()}"
        else:
            found = stage.find()
            if found["problem"]:
                raise CopyFailed(found["problem"])
            takes = f"it would take up to {found['needed']} and be dropped at the end"
            where = f"on a copy beside the live database, {self._of_what(stage)}; {takes}"
        line = f"{count_of(len(plan.steps), 'step')} would be rehearsed there and back {where}."
        then = f"{shown(self._path)} would be written."
        return {"changed": True, "report": wrap(line) + wrap(then), "receipt": "", "plan_digest": plan.digest}

    def _of_what(self, stage: _Stage) -> str:
        """:raises NotFromABackup: where it has to be a backup, and there is none."""
        if self.options["source"] == COPY:
            return "dumped from it"
        found = stage.backup()
        if isinstance(found, RestoredBackup):
            otherwise = "" if self.options["source"] == BACKUP else ", unless the database has changed since"
            return f"restored from the backup {found.name}, {found.age} old{otherwise}"
        if self.options["source"] == BACKUP:
            raise no_backup(found)
        return f"dumped from it ({found})"

    def _judge(self) -> Check:
        """Does the receipt count that is there?"""
        configuration = self.configuration()
        seen = self.observe(configuration)
        demand = read_demand(None, True, self.options["max_age_h"], bool(seen.entries), datetime.now(UTC).replace(microsecond=0))
        return check_rehearsal(self._path, seen.catalog, seen.done, configuration, demand)

    def _say_what_is_left(self, stage: _Stage) -> None:
        for name in stage.find()["copies"]:
            self.say(f"An earlier rehearsal has left its copy: DROP DATABASE {Name(name).as_string()} WITH (FORCE), when nobody needs it.")

    def _clean(self, stage: _Stage) -> dict[str, Any]:
        names = stage.find()["copies"]
        for name in names:
            self.module("rehearsal_copy", {"state": "dropped", "name": name})
        verb = "would be dropped" if self._task.check_mode else "dropped"
        lines = [f"{name}: {verb}" for name in names] or ["No rehearsal has left a copy of this database."]
        return {"changed": bool(names), "report": lines}


def _require_url(url: str) -> None:
    """:raises ConfigurationError: in the words of the variable that it comes from."""
    try:
        parse_url(url)
    except ConfigurationError as error:
        found, remedy = (text.replace("multischema_database_url", "rehearsal_database_url") for text in (error.found, error.remedy))
        raise ConfigurationError(found, error.why, remedy) from None  # the cause could quote a piece of a password


class _Stage:
    """The database of the task, and its copy, reached by modules on the host."""

    def __init__(self, action: ActionModule) -> None:
        self._action = action
        self._options = action.options
        self._name = ""
        self._folder = ""  # where the backup is

    @property
    def origin(self) -> str:
        """Whose the copy is."""
        return GIVEN if self._options.get("copy_url") else SCRATCH

    @property
    def _connection(self) -> dict[str, Any]:
        """To the copy."""
        if self.origin == GIVEN:
            return {"database_url": self._options["copy_url"]}
        return options_for({key: self._options.get(key) for key in CONNECTION}, self._name)

    def observe_live(self) -> Seen:
        """Read the live database."""
        seen = self._action.observe(self._action.configuration())
        return Seen(seen.catalog, seen.entries, seen.journal)

    def observe_copy(self) -> Seen:
        """Read the copy."""
        seen = self._action.observe(self._action.configuration(), connection=self._connection)
        return Seen(seen.catalog, seen.entries, seen.journal)

    def find(self) -> dict[str, Any]:
        """Which copies there are, and whether another one could be made."""
        return self._action.module("rehearsal_copy", {"state": "found", **{name: self._options[name] for name in COPYING}})

    def backup(self) -> RestoredBackup | str:
        """The newest backup that preflight would accept."""
        try:
            folder = backup_folder(self._action, self._options.get("backup_directory"))
            found = self._action.module("backup_info", {"folder": folder, "max_age_h": self._options["backup_max_age_h"]})
        except MultischemaError as error:
            return f"no backup can be looked for: {error.found}"
        except ModuleFailed as error:
            return f"no backup can be looked for: {error}"
        if not found["accepted"]:
            return str(found["check"]["detail"])
        ended = next(item["ended_at"] for item in found["backups"] if item["name"] == found["accepted"])
        age = hours(datetime.now(UTC) - moment(ended))
        self._folder = folder
        return RestoredBackup(found["accepted"], found["digest"], ended, age)

    def make(self, backup: str = "") -> Mapping[str, Any]:
        """Make the copy."""
        options = {"state": "made", **{name: self._options[name] for name in COPYING}}
        if backup:
            options |= {"backup": backup, "folder": self._folder, **{name: self._options[name] for name in ("jobs", "age_identity")}}
        made = copying(self._action, options)
        self._name = made["name"]
        return made

    def drop(self) -> None:
        """Drop the copy."""
        self._action.module("rehearsal_copy", {"state": "dropped", "name": self._name})

    def where(self) -> str:
        """Where it is."""
        return read_connection(self._connection).label

    def picture(self, with_schema: bool) -> Picture:
        """Read all that it holds."""
        options = {"state": "read", "with_schema": with_schema, "tools_directory": self._options["tools_directory"]}
        return Picture.from_dict(unpack(copying(self._action, options, self._connection)["picture"]))

    def work(self, slice_: Mapping[str, Any]) -> dict[str, Any]:
        """Do a slice of steps on it."""
        pace = {name: self._options[name] for name in PACE}
        return self._action.module("relocation", {**pace, "max_replay_lag_s": 0, "slice": dict(slice_)}, self._connection)

    def evidence(self, wanted: Mapping[str, Any]) -> Mapping[str, Any]:
        """Read what a verification needs of it."""
        options = {**self._action.configuration_options(), "phase": "tables", **wanted}
        found: dict[str, Any] = unpack(self._action.module("verification_info", options, self._connection)["evidence"])
        return found
