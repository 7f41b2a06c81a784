"""Findings about types of people's own: enums, domains, composite types and ranges."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.dbops.multischema.plugins.module_utils.catalog_types import UserType
from ansible_collections.dbops.multischema.plugins.module_utils.plan import AUTO, REFUSE, Finding
from ansible_collections.dbops.multischema.plugins.module_utils.situation import Situation
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name, qualified
from ansible_collections.dbops.multischema.plugins.module_utils.type_placement import TypeMove, source_types

SHOWN = 20


def _name(found: UserType) -> str:
    return qualified(found.schema, found.name)


def types_stay(s: Situation) -> Iterator[Finding]:
    """What the columns of moved tables are made of, and no rule moves."""
    moved = {table.oid for _, table, _ in s.moves}
    leaving = {move.found.oid for move in s.placed.types}
    names = [t.name for t in source_types(s.catalog) if t.extension is None and t.oid not in leaving and moved.intersection(t.tables)]
    if names:
        source = s.catalog.source_schema
        listed = ", ".join(Name(name).as_string() for name in names[:SHOWN]) + (
            f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        )
        yield Finding(
            "types_stay",
            AUTO,
            source,
            f"Types that moved tables use stay in {source}: {listed}. Their columns go on working, and so do casts to "
            f"{Name(source).as_string()}.x; a cast by the bare name needs {source} on the search_path.",
            "A client that is pointed at one schema only (Prisma's ?schema=) looks for its enums there: place them by types in a rule.",
        )


def types_move(s: Situation) -> Iterator[Finding]:
    """What clients that name a type notice when it moves."""
    for move in s.placed.types:
        found = move.found
        if found.kind == "e":
            yield _enum(move)
            continue
        troubles = list(_troubles(found))
        new = qualified(move.schema, found.name)
        if troubles:
            yield Finding(
                "type_moves",
                REFUSE,
                _name(found),
                f"The {found.kind_text} goes to {Name(move.schema).as_string()}, and a domain of the same name stands in for it. That does "
                f"not serve everywhere: {'; '.join(troubles)}.",
                f"Let clients and routines name {new} there, or leave the type where it is. Once that is settled, accept the finding "
                f"type_moves for {_name(found)}.",
                acceptable=True,
            )
        else:
            yield Finding(
                "type_alias",
                AUTO,
                _name(found),
                f"The {found.kind_text} goes to {Name(move.schema).as_string()}, and a domain of the same name stands in for it: casts, "
                "parameters, comparisons and arguments by the old name go on working."
                + (f" What does not is {_name(found)}%ROWTYPE and CREATE TABLE … OF." if found.kind == "c" else "")
                + (" Its constructor functions and its multirange type stay." if found.kind == "r" else ""),
            )


def _enum(move: TypeMove) -> Finding:
    found = move.found
    return Finding(
        "type_moves",
        REFUSE,
        _name(found),
        f"The enum goes to {Name(move.schema).as_string()}, and nothing can stand in for an enum: its operators do not take a domain over "
        f"it. Whoever names the old type fails, as Prisma does with CAST($1 AS {_always_quoted(found)}), and so do bare names in sessions "
        "that have the old search_path.",
        f"Leave it where it is; or change such clients in the same moment (Prisma: @@schema({_double(move.schema)}) on the enum) and "
        f"accept the finding type_moves for {_name(found)}.",
        acceptable=True,
    )


def _double(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _always_quoted(found: UserType) -> str:
    return f"{_double(found.schema)}.{_double(found.name)}"


def _troubles(found: UserType) -> Iterator[str]:
    """Where a domain over the type is no type of its own; measured on 15 and 18."""
    if found.arrays:
        yield f"{len(found.arrays)} table(s) have columns of {_name(found)}[], which cannot be compared with an array of the old name"
    if found.overloaded:
        yield (
            f"{', '.join(found.overloaded)} exist(s) with this domain and with other types as argument, and a call with a value of the old "
            "name may choose another one than before, without an error"
        )


def type_collisions(s: Situation) -> Iterator[Finding]:
    """A type shares its namespace with row types, and a composite type that of tables too."""
    types = {(t.schema, t.name) for t in s.catalog.types}
    relations = {(relation.schema, relation.name) for relation in s.catalog.relations}
    for move in s.placed.types:
        found = move.found
        taken = (move.schema, found.name) in types or (bool(found.relation) and (move.schema, found.name) in relations)
        if taken:
            yield Finding(
                "collision",
                REFUSE,
                _name(found),
                f"This {found.kind_text} cannot go to {move.schema}: a type of that name is already there.",
                f"Rename or remove the one in {Name(move.schema).as_string()}, or take {found.name} out of the rule.",
            )


def rights_on_types(s: Situation) -> Iterator[Finding]:
    """Only an owner, or a role with the owner's rights, may move a type."""
    for move in s.placed.types:
        found, user = move.found, s.catalog.server.user
        if not s.may_act_as(found.owner):
            yield Finding(
                "not_owner",
                REFUSE,
                _name(found),
                f"The {found.kind_text} belongs to {found.owner}; {user} has not got that role's rights, so PostgreSQL would refuse.",
                f"GRANT {Name(found.owner).as_string()} TO {Name(user).as_string()}, or connect as a role that has it.",
            )
