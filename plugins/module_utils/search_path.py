"""The text of a ``search_path``, its order of precedence, and what it has to become (pure).

The format is that of ``SplitIdentifierString`` in PostgreSQL's source: names separated by commas, folded to lower case unless
quoted. https://www.postgresql.org/docs/current/ddl-schemas.html#DDL-SCHEMAS-PATH tells what the names mean.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog
from ansible_collections.dbops.multischema.plugins.module_utils.configuration import Configuration
from ansible_collections.dbops.multischema.plugins.module_utils.keywords import KEYWORDS
from ansible_collections.dbops.multischema.plugins.module_utils.placement import Placed
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name, Piece, Text, comma

USER = "$user"  # stands for the schema that is called like the role
_ITEM = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^\s,"]+))\s*(,|\Z)')
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*\Z")


def _fold(text: str) -> str:
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in text)


def parse(text: str) -> tuple[str, ...]:
    """The schemas of a path as PostgreSQL reads it.

    :raises ValueError: where PostgreSQL would not accept it.
    """
    items: list[str] = []
    position = 0
    while text.strip():
        found = _ITEM.match(text, position)
        if found is None:
            raise ValueError(text)
        quoted, bare = found.group(1), found.group(2)
        items.append(quoted.replace('""', '"') if quoted is not None else _fold(bare))
        position = found.end()
        if not found.group(3):
            break
    return tuple(items)


def pieces(items: Iterable[str]) -> Piece:
    """A path as the right side of ``SET search_path =``."""
    return comma(Name(item) if item else Text("") for item in items)


def shown(items: Iterable[str]) -> str:
    """A path as a person reads it."""
    return ", ".join(Name(item).as_string() if item else '""' for item in items) or "(empty)"


def comes_back(text: str) -> bool:
    """Whether ``SET search_path = …`` with the same names would be stored as this very text.

    PostgreSQL quotes the names that need it and joins them by a comma and a space; which key words need it differs between versions.
    """
    try:
        items = parse(text)
    except ValueError:
        return False
    if any(item in KEYWORDS for item in items) or not items:
        return False
    return text == ", ".join(item if _PLAIN.match(item) else '"' + item.replace('"', '""') + '"' for item in items)


def stored(catalog: Catalog, role: str | None, in_database: bool) -> str | None:
    """One entry of ``pg_db_role_setting``, or None."""
    return next((s.value for s in catalog.search_paths if (s.role, s.in_database) == (role, in_database)), None)


def effective(catalog: Catalog, role: str | None) -> str | None:
    """The path of new sessions in this database: of a role, or of those that have none of their own.

    :returns: its text; None where it comes from the server's configuration and that cannot be seen.
    """
    places = ([(role, True), (role, False)] if role is not None else []) + [(None, True), (None, False)]
    for place in places:
        found = stored(catalog, *place)
        if found is not None:
            return found
    return catalog.server.search_path


def receiving(configuration: Configuration, placed: Placed) -> tuple[str, ...]:
    """Schemas that tables or types move to: the one that most of them move to first, equal ones in the order of the configuration.

    ``CREATE TABLE IF NOT EXISTS`` looks only into the first schema of a path, so that should be the one with the most tables;
    partitions do not count.
    """
    counts = Counter(group.schema for group in placed.moving for table in group.members if not table.is_partition)
    used = {*counts, *(move.schema for move in placed.types)}
    return tuple(sorted((name for name in configuration.target_names if name in used), key=lambda name: -counts[name]))


def spelled_out(items: Sequence[str], role: str | None) -> tuple[str, ...]:
    """The path with the role's own schema in place of ``"$user"``."""
    return tuple(role if item == USER and role is not None else item for item in items)


def with_targets(items: Sequence[str], source: str, targets: Sequence[str], role: str | None) -> tuple[str, ...] | None:
    """The path with the targets before the source schema, and everything else as it was.

    :returns: None where the source schema is not on it, so that its tables were never found that way.
    """
    names = spelled_out(items, role)
    if source not in names:
        return None
    place = names.index(source)
    missing = [target for target in targets if target not in names[:place]]
    rest = [item for item, name in zip(items[place:], names[place:]) if name not in missing]
    return (*items[:place], *missing, *rest)
