"""The kind of step that gives a routine a search_path of its own, so that it finds what has moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_routines import Argument, Routine
from ansible_collections.dbops.multischema.plugins.module_utils.plan import PHASE_TABLES, Step
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name, Piece, Text, comma, fragment, statement

_INPUT = ("i", "b", "v")  # parameters by which a routine is told from others of its name


@dataclass(frozen=True)
class Destinations:
    """Where tables and types go, by OID; what stays is not listed."""

    tables: Mapping[int, str]
    types: Mapping[int, str]


def _type(catalog: Catalog, argument: Argument, going: Destinations) -> Name:
    """A parameter's type by the name that it has once everything has moved."""
    if argument.table:
        schema = going.tables.get(argument.table) or catalog.by_oid()[argument.table].schema
    elif argument.user_type:
        here = next(found.schema for found in catalog.user_types if found.oid == argument.user_type)
        schema = going.types.get(argument.user_type, here)
    else:
        schema = argument.schema
    return Name(schema, argument.type)


def _routine_name(catalog: Catalog, routine: Routine, going: Destinations) -> Piece:
    """A routine as ``ALTER ROUTINE`` takes it."""
    types = comma(_type(catalog, argument, going) for argument in routine.arguments if argument.mode in _INPUT)
    return fragment("{}({})", Name(routine.schema, routine.name), types)


def _set(name: Piece, path: Sequence[str]) -> str:
    # Each name as a constant: pg_dump writes it like this, and an empty path has no other form.
    return statement("ALTER ROUTINE {} SET search_path TO {}", name, comma(Text(schema) for schema in path))


class RoutinePath:
    """Set the search_path of one routine, after the tables have moved."""

    kind = "routine_path"

    @staticmethod
    def build(catalog: Catalog, routine: Routine, path: Sequence[str], going: Destinations) -> Step:
        """The step for one routine.

        :param path: what it is to be.
        """
        name = _routine_name(catalog, routine, going)
        former = routine.search_path
        return Step(
            id=f"routine_path:{routine.signature}",
            phase=PHASE_TABLES,
            kind=RoutinePath.kind,
            title=f"Let {routine.signature} look in {', '.join(path)}",
            do=(_set(name, path),),
            undo=(statement("ALTER ROUTINE {} RESET search_path", name) if former is None else _set(name, former or ("",)),),
            detail={"routine": routine.oid, "former": None if former is None else list(former), "path": list(path)},
        )

    @staticmethod
    def as_found(catalog: Catalog, step: Step) -> Step:
        """The step as it can be undone today: a routine that was dropped, or given another path since, is left alone."""
        there = next((routine for routine in catalog.routines if routine.oid == step.detail["routine"]), None)
        if there is None:
            return replace(step, undo=(), title=f"Undo: {step.title}; the routine is gone already")
        if there.search_path is None or list(there.search_path) != step.detail["path"]:
            return replace(step, undo=(), title=f"Undo: {step.title}; it has another search_path since, which stays")
        return replace(step, title=f"Undo: {step.title}")

    @staticmethod
    def rewind(catalog: Catalog, steps: Sequence[Step]) -> Catalog:
        """The catalog as if the routines had their former search_path."""
        former = {step.detail["routine"]: step.detail["former"] for step in steps}

        def without(routine: Routine) -> Routine:
            if routine.oid not in former:
                return routine
            before = former[routine.oid]
            return replace(routine, search_path=None if before is None else tuple(before))

        return replace(catalog, routines=tuple(without(routine) for routine in catalog.routines))
