"""Findings about routines, which name tables and sequences in their text, where no catalog links them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ansible_collections.dbops.multischema.plugins.module_utils.plan import WARN, Finding
from ansible_collections.dbops.multischema.plugins.module_utils.situation import Situation, table_name
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name

_WORD = re.compile(r"\w+")


def _path(s: Situation, target: str) -> str:
    return f"ALTER ROUTINE … SET search_path = {Name(target).as_string()}, {Name(s.catalog.source_schema).as_string()}"


def sequences_named(s: Situation) -> Iterator[Finding]:
    """An owned sequence moves with its table, and no view can stand in for a sequence."""
    owners = {seq.name: (table, target) for _, table, target in s.moves for seq in table.sequences if not seq.identity}
    for routine in s.catalog.routines:
        for name in sorted(owners.keys() & set(_WORD.findall(routine.source))):
            table, target = owners[name]
            yield Finding(
                "sequence_named",
                WARN,
                routine.signature,
                f"Its text names the sequence {name}, which moves to {target} with {table_name(table)}. Where that is meant, it fails "
                "from then on: no view can stand in for a sequence.",
                f"Write {Name(target, name).as_string()} in it, or, where it is named without a schema, {_path(s, target)}.",
            )


def row_types(s: Situation) -> Iterator[Finding]:
    """A function of a table's row cannot be called with a row of the view, which has a type of its own."""
    moving = {table.oid: (group, table, target) for group, table, target in s.moves}
    for routine in s.catalog.routines:
        for oid in routine.row_types:
            if oid not in moving or not moving[oid][0].view:
                continue
            _, table, target = moving[oid]
            yield Finding(
                "row_type_argument",
                WARN,
                routine.signature,
                f"It takes rows of {table_name(table)}. Statements that hand it a row of the old name fail, because that is a view then, "
                "with a row type of its own; calls with the table itself go on.",
                f"Look for {routine.name}( in the application and in other routines, and let those use "
                f"{Name(target, table.name).as_string()} ({_path(s, target)}).",
            )
