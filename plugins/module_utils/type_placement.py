"""Rules → which types move, and where to (pure). Types stay unless a rule names them."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_types import UserType
from ansible_collections.dbops.multischema.plugins.module_utils.configuration import Configuration
from ansible_collections.dbops.multischema.plugins.module_utils.globs import is_glob, matches
from ansible_collections.dbops.multischema.plugins.module_utils.plan import REFUSE, Finding
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import qualified


@dataclass(frozen=True)
class TypeMove:
    """A type that leaves the source schema."""

    found: UserType
    schema: str


def source_types(catalog: Catalog) -> list[UserType]:
    """Types of people's own in the source schema, by name."""
    return sorted((t for t in catalog.user_types if t.schema == catalog.source_schema), key=lambda t: t.name)


def place_types(catalog: Catalog, configuration: Configuration) -> list[TypeMove]:
    """Every type that a rule names; the first rule that matches wins."""
    moves = []
    for found in source_types(catalog):
        schema = next((rule.schema for rule in configuration.placement if any(matches(p, found.name) for p in rule.types)), None)
        if schema is not None and found.extension is None:
            moves.append(TypeMove(found, schema))
    return moves


def check_type_rules(catalog: Catalog, configuration: Configuration) -> Iterator[Finding]:
    """A pattern that names no type is a typo; one that names a type of an extension cannot be followed."""
    types = source_types(catalog)
    names = [found.name for found in types]
    for number, rule in enumerate(configuration.placement):
        for pattern in rule.types:
            hits = [found for found in types if matches(pattern, found.name)]
            if not hits:
                close = difflib.get_close_matches(pattern, names, n=3)
                yield Finding(
                    "rule_matches_nothing",
                    REFUSE,
                    f"multischema_placement[{number}].types: {pattern}",
                    f"No enum, domain, composite or range type of {configuration.source_schema} matches {pattern!r}.",
                    (f"Did you mean {', '.join(repr(name) for name in close)}?" if close else "Remove it, or correct the name.")
                    + " Row types go with their tables.",
                )
            for found in hits:
                if found.extension is not None and not is_glob(pattern):
                    yield Finding(
                        "extension_member",
                        REFUSE,
                        qualified(found.schema, found.name),
                        f"The type belongs to the extension {found.extension}, which PostgreSQL could no longer upgrade or move.",
                        f"Take {found.name} out of the types of multischema_placement.",
                    )
