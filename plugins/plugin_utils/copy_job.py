"""Long work on a copy, which goes on between short calls of the module: ask how far it is, and say so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.dbops.multischema.plugins.plugin_utils.database_action import DatabaseAction

MIB = 1 << 20


def copying(action: DatabaseAction, options: Mapping[str, Any], connection: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Run the module ``rehearsal_copy`` until its work has ended.

    :param connection: where to connect; the task's connection by default.
    :returns: the result.
    :raises ModuleFailed: with the module's result.
    """
    result = action.module("rehearsal_copy", options, connection)
    while result.get("running"):
        text = _shown(result["figures"])
        if text:
            action.say(text)
        result = action.module("rehearsal_copy", {**options, "job": result["job"]}, connection)
    return result


def _shown(figures: Mapping[str, Any]) -> str:
    """How far it is, in words; empty as long as it has said nothing."""
    if "bytes" in figures:
        return f"  {figures['bytes'] // MIB:,} of about {figures['of'] // MIB:,} MiB copied"
    if "loading" in figures:
        return f"  table {figures['loading']} of {figures['tables']} is restored"
    if "tables" in figures:
        return f"  {figures['tables']} of {figures['of']} tables read"
    return ""
