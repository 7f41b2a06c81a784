"""The way back of one type (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_types import UserType
from ansible_collections.dbops.multischema.plugins.module_utils.plan import REFUSE, Finding, Step
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name, qualified
from ansible_collections.dbops.multischema.plugins.module_utils.type_step import aliases_of, undo_statements


def type_back(catalog: Catalog, step: Step) -> tuple[Step, list[Finding], list[str]]:
    """The step with an undo for what is there today, what forbids it, and what was dropped since."""
    source, target = str(step.detail["from"]), str(step.detail["to"])
    there = next((t for t in catalog.user_types if t.oid == step.detail["type"]), None)
    title = f"Undo: {step.title}"
    if there is None:  # its alias went with it: nobody can drop a type that a domain is made from
        return replace(step, undo=(), title=f"{title}; the type is gone"), [], [qualified(target, str(step.detail["name"]))]
    if there.schema == source:
        return replace(step, undo=(), title=f"{title}; it is back already"), [], []
    aliases = aliases_of(catalog, step)
    undo = undo_statements(there.kind, source, there.schema, there.name, aliases[0].name if aliases else None)
    return replace(step, title=title, undo=undo), list(_refusals(catalog, step, there, aliases)), []


def _refusals(catalog: Catalog, step: Step, there: UserType, aliases: Sequence[UserType]) -> Iterator[Finding]:
    source, target = str(step.detail["from"]), str(step.detail["to"])
    name = qualified(there.schema, there.name)
    if there.schema != target:
        yield Finding(
            "moved_on",
            REFUSE,
            name,
            f"The migration has put it into {Name(target).as_string()}; since then it was moved on, or the schema was renamed.",
            f"ALTER TYPE {name} SET SCHEMA {Name(target).as_string()}; then roll back.",
        )
    ours = {alias.oid for alias in aliases}
    for alias in aliases:
        for what in alias.dependents:
            yield Finding(
                "alias_has_dependents",
                REFUSE,
                what,
                f"It was made with {qualified(source, alias.name)}, the domain that stands in for {name} and that the rollback drops.",
                f"Let it use {name} (ALTER TABLE … ALTER COLUMN … TYPE {name}), or drop it; then roll back.",
            )
    types = [t for t in catalog.user_types if (t.schema, t.name) == (source, there.name) and t.oid not in ours]
    relations = [r for r in catalog.relations if (r.schema, r.name) == (source, there.name)]
    if types or relations:
        yield Finding(
            "name_taken",
            REFUSE,
            qualified(source, there.name),
            f"Something of that name was made in {source} since, so the {there.kind_text} that had it cannot come back.",
            "Rename or drop it.",
        )
