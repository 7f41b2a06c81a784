"""The registry of step kinds. To add a kind, write its class and list it here, in the order in which kinds run."""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog
from ansible_collections.dbops.multischema.plugins.module_utils.move_step import MoveTables
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Step
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.routine_step import RoutinePath
from ansible_collections.dbops.multischema.plugins.module_utils.schema_steps import (
    CopyDefaultPrivileges,
    CreateSchema,
    GrantUsage,
)
from ansible_collections.dbops.multischema.plugins.module_utils.search_path_step import SetSearchPath
from ansible_collections.dbops.multischema.plugins.module_utils.type_step import MoveType

KINDS = {kind.kind: kind for kind in (CreateSchema, GrantUsage, CopyDefaultPrivileges, MoveTables, MoveType, RoutinePath, SetSearchPath)}


def rewind(catalog: Catalog, done: Iterable[Step]) -> Catalog:
    """The catalog as it would be had these steps not been done.

    :param catalog: what a server shows now.
    :param done: the journaled steps that are not undone.
    """
    by_kind: dict[str, list[Step]] = {}
    for step in done:
        by_kind.setdefault(step.kind, []).append(step)
    for name, kind in reversed(KINDS.items()):
        if name in by_kind:
            catalog = kind.rewind(catalog, by_kind[name])
    return catalog


def problems_of_kind(database: Database, step: Step, undo: bool) -> list[str]:
    """What a kind of step finds wrong after its work, in the same transaction, where it has something of its own to look at.

    :param undo: whether the step was undone.
    """
    look = getattr(KINDS.get(step.kind), "problems", None)
    return list(look(database, step, undo)) if look is not None else []
