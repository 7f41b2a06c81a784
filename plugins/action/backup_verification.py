"""Control-node side of backup_verification: begin, ask again and again, show how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ansible_collections.dbops.multischema.plugins.module_utils.checks import wrap
from ansible_collections.dbops.multischema.plugins.module_utils.errors import BackupRefused
from ansible_collections.dbops.multischema.plugins.module_utils.module_options import BACKUP_PROVED, Spec
from ansible_collections.dbops.multischema.plugins.plugin_utils.backup_folder import for_module
from ansible_collections.dbops.multischema.plugins.plugin_utils.database_action import DatabaseAction
from ansible_collections.dbops.multischema.plugins.plugin_utils.restore_progress import restore_progress

SLICE_S = 4.0


class ActionModule(DatabaseAction):
    """The work goes on by itself on the host; each call of the module asks for it."""

    CONFIGURED = False
    OPTIONS: ClassVar[Spec] = BACKUP_PROVED

    def work(self) -> dict[str, Any]:
        """Verify.

        :raises BackupRefused: when the backup is not what was recorded.
        """
        options = {**for_module(self), "seconds": SLICE_S}
        url = self._templar.template(self._vars.get("backup_scratch_url"))  # from there, so that no task has a password in its arguments
        if url and "scratch_url" not in options:
            options["scratch_url"] = str(url)
        result = self.module("backup_verification", options)
        if self._task.check_mode:
            would = "would be restored and compared" if result["changed"] else "was proved before"
            return {"changed": result["changed"], "name": result["name"], "report": [f"{result['name']}: its files are whole; it {would}."]}
        while result.get("running"):
            self.say(restore_progress(result["figures"]))
            result = self.module("backup_verification", {**options, "job": result["job"]})
        verdict = result["verdict"]
        if not verdict["passed"]:
            raise _refused(result)
        return {key: result[key] for key in ("changed", "name", "verdict")} | {"report": _report(result)}


def _refused(result: Mapping[str, Any]) -> BackupRefused:
    differences = [f"  {difference}" for difference in result["verdict"]["differences"]]
    return BackupRefused(
        "\n".join([f"The backup {result['name']} was tried and is refused:", *differences, *result.get("notes", [])]),
        "What is restored from it is not what the database held. That stands in its manifest now, and no preflight accepts it.",
        "Keep it until you have a better one, take a new backup (playbooks/backup.yml), and find out what has happened to this one.",
    )


def _report(result: Mapping[str, Any]) -> list[str]:
    verdict = result["verdict"]
    if verdict["method"] == "checksum":
        lines = [f"{result['name']}: every file is what was written. It was not restored, so no preflight accepts it."]
    elif result["changed"]:
        lines = [
            f"{result['name']}: restored into {verdict['where']} in {verdict['seconds']:.1f} s; everything that was recorded is in it.",
            f"It is proved, and counts before a migration. To go back to it:\n  playbooks/restore.yml -e backup_name={result['name']}",
        ]
    else:
        lines = [f"{result['name']}: was proved on {verdict['at']}, and its files are still what was written."]
    return [part for line in [*lines, *result.get("notes", [])] for part in wrap(line)]
