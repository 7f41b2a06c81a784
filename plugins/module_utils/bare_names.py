"""Which object a bare name means, before and after (pure)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from ansible_collections.dbops.multischema.plugins.module_utils.catalog_paths import SharedName

MOVING = ("relation", "type")  # what a migration moves; a row type has the OID of its relation here
CHOSEN_AMONG_ALL = ("routine", "operator")  # by their arguments, and not only by their name
Groups = Mapping[tuple[str, str], Sequence[SharedName]]


def grouped(names: Sequence[SharedName]) -> dict[tuple[str, str], list[SharedName]]:
    """By kind and name."""
    found: dict[tuple[str, str], list[SharedName]] = {}
    for name in names:
        found.setdefault((name.kind, name.name), []).append(name)
    return found


def names_before(names: Sequence[SharedName], moved: Collection[int], source: str, views: Collection[int]) -> tuple[SharedName, ...]:
    """Shared names as if what has moved were in the source schema again, and without our views.

    :param moved: OIDs of relations and types that have moved; ``views``: of the views that have taken their names.
    """
    of_class = [name for name in names if name.kind not in MOVING or name.oid not in views]
    back = [replace(n, schema=source) if n.kind in MOVING and n.oid in moved else n for n in of_class]
    schemas: dict[tuple[str, str], set[str]] = {}
    for name in back:
        schemas.setdefault((name.kind, name.name), set()).add(name.schema)
    kept = (name for name in back if len(schemas[(name.kind, name.name)]) > 1)
    return tuple(sorted(kept, key=lambda n: (n.kind, n.name, n.schema, n.oid)))


def changed_meanings(
    groups: Groups, before: Sequence[str], after: Sequence[str], destination: Mapping[int, str]
) -> Iterator[tuple[SharedName, SharedName]]:
    """Bare names that mean something else once tables have moved and the path is another one.

    :param before: schemas that are looked into now, in order.
    :param after: schemas that will be.
    :param destination: where relations and types go, by OID; what does not move is not in it. A compatibility view counts as its table.
    :returns: pairs (what it meant, what it will mean). A name that meant nothing is not among them.
    """
    rank_before = {schema: n for n, schema in reversed(list(enumerate(before)))}
    rank_after = {schema: n for n, schema in reversed(list(enumerate(after)))}
    for (kind, _), group in groups.items():
        there = [(rank_before[n.schema], n) for n in group if n.schema in rank_before]
        moves = destination if kind in MOVING else {}
        later = [(moves.get(n.oid, n.schema), n) for n in group]
        then = [(rank_after[schema], n) for schema, n in later if schema in rank_after]
        if kind in CHOSEN_AMONG_ALL:
            yield from _chosen(there, then)
        elif there and then:
            was, becomes = _first(there), _first(then)
            if was.oid != becomes.oid:
                yield was, becomes


def _first(ranked: Sequence[tuple[int, SharedName]]) -> SharedName:
    return min(ranked, key=lambda item: (item[0], item[1].oid))[1]


def _chosen(there: Sequence[tuple[int, SharedName]], then: Sequence[tuple[int, SharedName]]) -> Iterator[tuple[SharedName, SharedName]]:
    """A call is settled among all routines of the path that take so many arguments, and an expression among all operators of that name;
    of equal ones the first schema's is taken."""
    was = {name.label: name for _, name in sorted(there, key=lambda item: -item[0])}
    becomes = {name.label: name for _, name in sorted(then, key=lambda item: -item[0])}
    for label, name in becomes.items():
        if label in was:
            if was[label].oid != name.oid:
                yield was[label], name
            continue
        rival = next((other for other in was.values() if name.least <= other.most and other.least <= name.most), None)
        if rival is not None:
            yield rival, name
