"""The way back of one search_path (pure)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog
from ansible_collections.dbops.multischema.plugins.module_utils.plan import REFUSE, Finding, Step
from ansible_collections.dbops.multischema.plugins.module_utils.search_path import shown, stored
from ansible_collections.dbops.multischema.plugins.module_utils.search_path_step import same_path


def path_back(catalog: Catalog, step: Step, accepted: frozenset[tuple[str, str]]) -> tuple[Step, list[Finding]]:
    """The former path, unless somebody has set another one since."""
    role, there = step.detail["role"], stored(catalog, step.detail["role"], True)
    whose = role if role is not None else f"database {catalog.server.database}"
    gone = role is not None and catalog.path_user(role) is None
    if gone or (there == step.detail["former"] and not same_path(there, step.detail["path"])):
        return replace(step, undo=(), title=f"Undo: {step.title}; " + ("the role is gone" if gone else "it is as it was already")), []
    if not same_path(there, step.detail["path"]):
        if ("search_path_changed", whose) in accepted:
            return replace(step, undo=(), title=f"Leave the search_path of {whose}, which others have set"), []
        former = step.detail["former"] if step.detail["former"] is not None else "(none of its own)"
        return step, [
            Finding(
                "search_path_changed",
                REFUSE,
                whose,
                f"The migration has set its search_path to {shown(step.detail['path'])}, and somebody has changed it since: "
                f"{there if there is not None else '(none of its own)'}. It was {former}.",
                f"{'; '.join(step.do)}, and roll back; or accept the finding search_path_changed for {whose}: theirs stays.",
                acceptable=True,
            )
        ]
    return replace(step, title=f"Undo: {step.title}"), list(_path_rights(catalog, role, whose))


def _path_rights(catalog: Catalog, role: str | None, whose: str) -> Iterator[Finding]:
    user = catalog.path_user(role) if role is not None else None
    if not (user.may_configure if user is not None else catalog.server.owns_database):
        yield Finding(
            "undo_impossible",
            REFUSE,
            whose,
            f"{catalog.server.user} may not set its search_path (any more), so the former one cannot come back.",
            "Connect as the role that has set it, or as a superuser.",
        )
