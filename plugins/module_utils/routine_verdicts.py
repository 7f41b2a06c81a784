"""What becomes of each routine: which uses of names fail or change, who calls it, and whether a search_path of its own repairs it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.dbops.multischema.plugins.module_utils import reading as r
from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog, Table
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_routines import Routine, Wiring
from ansible_collections.dbops.multischema.plugins.module_utils.globs import matches
from ansible_collections.dbops.multischema.plugins.module_utils.moved_names import MovedNames
from ansible_collections.dbops.multischema.plugins.module_utils.placement import Group
from ansible_collections.dbops.multischema.plugins.module_utils.reading import Reading, Readings
from ansible_collections.dbops.multischema.plugins.module_utils.routine_effects import Effect, Effects
from ansible_collections.dbops.multischema.plugins.module_utils.search_path import effective, parse
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import qualified
from ansible_collections.dbops.multischema.plugins.module_utils.type_placement import TypeMove

DEFAULT_PATH = ("$user", "public")  # of PostgreSQL itself
LAST = "pg_temp"


@dataclass(frozen=True)
class Verdict:
    """One routine.

    ``effects`` are what does not stay what it was, those that the chosen repair takes away excepted: these are ``repaired``.
    ``path`` is the search_path that repairs all that is named bare, empty where there is nothing to repair or ``obstacle`` says why it
    must not be done. ``chosen``: a person has listed the routine. ``callers`` say where it is called from.
    """

    routine: Routine
    reading: Reading
    effects: tuple[Effect, ...] = ()
    repaired: tuple[Effect, ...] = ()
    path: tuple[str, ...] = ()
    chosen: bool = False
    obstacle: str = ""
    callers: tuple[str, ...] = ()

    @property
    def repair(self) -> bool:
        """Whether the plan repairs it."""
        return self.chosen and bool(self.path) and bool(self.repaired)


@dataclass(frozen=True)
class Verdicts:
    """All of them, by OID of the routine; and what the judgement was made with."""

    routines: Mapping[int, Verdict]
    effects: Effects
    chosen: Mapping[str, int]  # entry of multischema_repair_routines → how many routines it names


def names_routine(pattern: str, routine: Routine) -> bool:
    """Whether an entry of ``multischema_repair_routines`` means the routine: by name, with schema, or by whole signature."""
    return any(matches(pattern, name) for name in (routine.name, f"{routine.schema}.{routine.name}", routine.signature))


def _present_path(catalog: Catalog, routine: Routine) -> tuple[str, ...]:
    """The routine's own path; where it has none, that of sessions in this database that have none either."""
    if routine.search_path is not None:
        return routine.search_path
    with contextlib.suppress(ValueError):
        return parse(effective(catalog, None) or "") or DEFAULT_PATH
    return DEFAULT_PATH


def _new_path(catalog: Catalog, routine: Routine, effects: Sequence[Effect], order: Sequence[str]) -> tuple[str, ...]:
    """The routine's path with the targets that it needs before the source schema; pg_temp last where it runs as its owner."""
    path = list(_present_path(catalog, routine))
    source = catalog.source_schema
    if source not in path:
        path.append(source)
    needed = {effect.moved.target for effect in effects}
    path = [schema for schema in path if schema not in needed]
    at = path.index(source)
    path[at:at] = [schema for schema in order if schema in needed]
    if routine.security_definer:
        path = [*(schema for schema in path if schema != LAST), LAST]
    return tuple(path)


def _obstacle(catalog: Catalog, routine: Routine, reading: Reading, path: Sequence[str], moving: Mapping[int, str]) -> str:
    """Why a search_path must not be set, or nothing."""
    if reading.noted(r.TRANSACTION):
        return "it commits or rolls back, which PostgreSQL forbids in a procedure with settings of its own"
    if reading.path is not None:
        return "it sets search_path by itself"
    source = catalog.source_schema
    new = set(path) - {source, *_present_path(catalog, routine)}
    bare = {reference.name for reference in reading.references if reference.schema is None}
    there = {(rel.schema, rel.name) for rel in catalog.relations if rel.oid not in moving and rel.name in bare}
    shadowed = sorted(name for schema, name in there if schema in new and (source, name) in there)
    called = {name for schema, name in reading.calls if schema is None}
    routines = {(other.schema, other.name) for other in catalog.routines if other.name in called}
    shadowed += sorted(name for schema, name in routines if schema in new and (source, name) in routines)
    if shadowed:
        return f"{', '.join(shadowed)} would be found in a target schema then, instead of in {source}"
    return ""


def _calls(catalog: Catalog, readings: Readings) -> dict[int, set[int]]:
    """Routine → routines that it calls, by OID where the catalog knows, by name where only the text does."""
    by_name: dict[str, list[Routine]] = {}
    for routine in catalog.routines:
        by_name.setdefault(routine.name, []).append(routine)
    calls: dict[int, set[int]] = {}
    for oid, reading in readings.routines.items():
        for schema, name in reading.calls:
            calls.setdefault(oid, set()).update(o.oid for o in by_name.get(name, ()) if schema in (None, o.schema))
    for routine in catalog.routines:
        for wiring in routine.wiring:
            if wiring.routine:
                calls.setdefault(wiring.routine, set()).add(routine.oid)
    return calls


class _Callers:
    """Who calls what, as far as the catalog and the texts say."""

    def __init__(self, catalog: Catalog, readings: Readings) -> None:
        self._tables, self._routines = catalog.by_oid(), {routine.oid: routine for routine in catalog.routines}
        self._found: dict[int, list[str]] = {}
        for routine in catalog.routines:
            wired = [self.describe(wiring) for wiring in routine.wiring if not wiring.routine]
            if wired:
                self._found[routine.oid] = wired
        self._spread(_calls(catalog, readings))

    def _spread(self, calls: Mapping[int, set[int]]) -> None:
        """Who is called by what is wired in is wired in too."""
        waiting = sorted(self._found)
        while waiting:
            caller = waiting.pop()
            for called in sorted(calls.get(caller, ())):
                if called not in self._found:
                    self._found[called] = [f"{self._routines[caller].signature} ({self._found[caller][0]})"]
                    waiting.append(called)

    def describe(self, wiring: Wiring) -> str:
        """As a person says it, with the name that the table has in the plan."""
        table = self._tables.get(wiring.relation)
        if wiring.kind in ("view", "materialized view", "rule"):
            return f"{wiring.kind} {qualified(wiring.schema, wiring.relation_name)}"
        if table is not None:
            return f"{wiring.kind} {wiring.name} of {qualified(table.schema, table.name)}"
        return f"{wiring.kind} {wiring.name}" + (f" of {qualified(wiring.schema, wiring.relation_name)}" if wiring.schema else "")

    def of(self, oid: int) -> tuple[str, ...]:
        """Who calls a routine."""
        return tuple(self._found.get(oid, ()))


def judge(
    catalog: Catalog,
    moves: Sequence[tuple[Group, Table, str]],
    types: Sequence[TypeMove],
    readings: Readings,
    repair: Iterable[str],
) -> Verdicts:
    """Judge every routine that has a text.

    :param repair: entries of ``multischema_repair_routines``.
    """
    rows: dict[str, set[int]] = {}
    for routine in catalog.routines:
        for oid in routine.row_types:
            rows.setdefault(routine.name, set()).add(oid)
    names = MovedNames(catalog, moves, types)
    effects = Effects(names, catalog.server.version_num, {name: frozenset(oids) for name, oids in rows.items()})
    moving = {table.oid: target for _, table, target in moves}
    order = list(dict.fromkeys([*(target for _, _, target in moves), *(move.schema for move in types)]))
    callers = _Callers(catalog, readings)
    patterns = tuple(repair)
    found: dict[int, Verdict] = {}
    for routine in catalog.routines:
        reading = readings.routines.get(routine.oid)
        if reading is None:
            continue
        now = tuple(effects.of(reading, routine.search_path, routine.result_table))
        bare = [effect for effect in now if effect.reference.schema is None]
        path = _new_path(catalog, routine, bare, order) if bare else ()
        obstacle = _obstacle(catalog, routine, reading, path, moving) if path else ""
        chosen = any(names_routine(pattern, routine) for pattern in patterns)
        left = tuple(effects.of(reading, path, routine.result_table)) if chosen and path and not obstacle else now
        found[routine.oid] = Verdict(
            routine,
            reading,
            left,
            tuple(effect for effect in now if effect not in left),
            () if obstacle else path,
            chosen,
            obstacle,
            callers.of(routine.oid),
        )
    counts = {pattern: sum(1 for routine in catalog.routines if names_routine(pattern, routine)) for pattern in patterns}
    return Verdicts(found, effects, counts)
