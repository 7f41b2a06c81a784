"""Control-node side of fingerprint: save or compare."""

from __future__ import annotations

from typing import Any, ClassVar

from ansible_collections.dbops.multischema.plugins.module_utils.checks import report
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError
from ansible_collections.dbops.multischema.plugins.module_utils.fingerprint import Fingerprint, compare
from ansible_collections.dbops.multischema.plugins.module_utils.module_options import ARTIFACTS, Spec
from ansible_collections.dbops.multischema.plugins.module_utils.plain import unpack
from ansible_collections.dbops.multischema.plugins.module_utils.verification import verify_content
from ansible_collections.dbops.multischema.plugins.plugin_utils.artifact import read_json, write_json
from ansible_collections.dbops.multischema.plugins.plugin_utils.database_action import DatabaseAction, shown


class ActionModule(DatabaseAction):
    """The file is on the control node."""

    OPTIONS: ClassVar[Spec] = {
        **ARTIFACTS,
        "state": {"type": "str", "choices": ["saved", "compared"], "default": "saved"},
        "path": {"type": "path", "default": "fingerprint.json"},
        "content": {"type": "bool", "default": True},
    }

    def work(self) -> dict[str, Any]:
        """Read the digests, then save or compare them."""
        path = self.artifacts() / self.options["path"]
        before = self._saved(path) if self.options["state"] == "compared" else None
        result = self.module("fingerprint", {**self.configuration_options(), "content": self.options["content"]})
        found = Fingerprint.from_dict(unpack(result["fingerprint"]))
        rows = sum(table.rows for table in found.tables)
        figures: dict[str, Any] = {"tables": len(found.tables), "rows": rows}
        if before is None:
            changed = self._differs(path, found)
            if changed and not self._task.check_mode:
                write_json(path, found.to_dict())
            line = f"{len(found.tables)} tables with {rows:,} rows and {len(found.sequences)} sequences: {shown(path)}"
            return {**figures, "changed": changed, "report": [line]}
        differences = list(compare(before, found))
        check = verify_content(differences, len(found.tables), rows)
        return {**figures, "changed": False, "differences": differences, "report": report([check])}

    def _differs(self, path: Any, found: Fingerprint) -> bool:
        try:
            return self._saved(path) != found
        except ConfigurationError:
            return True

    def _saved(self, path: Any) -> Fingerprint:
        remedy = "Save one with state: saved while nothing has been moved."
        data = read_json(path, "fingerprint", remedy)
        try:
            return Fingerprint.from_dict(data)
        except (KeyError, TypeError) as error:
            raise ConfigurationError(f"{path} is not a fingerprint.", "It was edited or is another file.", remedy) from error
