"""Whose path changes, and to what (pure)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_paths import PathUser
from ansible_collections.dbops.multischema.plugins.module_utils.configuration import Configuration
from ansible_collections.dbops.multischema.plugins.module_utils.placement import Placed
from ansible_collections.dbops.multischema.plugins.module_utils.search_path import (
    effective,
    parse,
    receiving,
    spelled_out,
    stored,
    with_targets,
)

BY_ROLES = "roles"
BY_DATABASE = "database"
CHANGED = "changed"
ENOUGH = "enough"  # the targets are on it already
WITHOUT_SOURCE = "without source"
UNKNOWN = "unknown"
NO_LOGIN = "no login"


@dataclass(frozen=True)
class PathChange:
    """What becomes of one path.

    :param role: whose; None for the database's.
    :param outcome: one of the constants above.
    :param former: the path as it is, ``items`` as it has to be.
    :param able: whether the connected role may set it.
    """

    role: str | None
    outcome: str
    former: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    able: bool = True


def _change(catalog: Catalog, targets: tuple[str, ...], role: str | None, able: bool) -> PathChange:
    known = catalog.role(role) if role is not None else None
    if known is not None and not known.can_login:
        return PathChange(role, NO_LOGIN, able=able)
    text = effective(catalog, role)
    try:
        former = parse(text) if text is not None else None
    except ValueError:
        former = None
    if former is None:
        return PathChange(role, UNKNOWN, able=able)
    items = with_targets(former, catalog.source_schema, targets, role)
    if items is None:
        return PathChange(role, WITHOUT_SOURCE, former, former, able)
    return PathChange(role, ENOUGH if items == former else CHANGED, former, items, able)


def application(catalog: Catalog, configuration: Configuration) -> list[PathUser]:
    """The application's roles, as far as they exist."""
    return [user for user in catalog.path_users if user.name in configuration.application_roles]


def overriding(catalog: Catalog, user: PathUser) -> str | None:
    """A path of the role's own, which wins over that of the database."""
    own = stored(catalog, user.name, True)
    return own if own is not None else stored(catalog, user.name, False)


def path_changes(catalog: Catalog, configuration: Configuration, placed: Placed) -> tuple[PathChange, ...]:
    """Decide about every path that ``multischema_search_path`` speaks of; nothing where no table moves."""
    targets = receiving(configuration, placed)
    if not targets:
        return ()
    if configuration.search_path == BY_ROLES:
        return tuple(_change(catalog, targets, user.name, user.may_configure) for user in application(catalog, configuration))
    if configuration.search_path == BY_DATABASE:
        return (_change(catalog, targets, None, catalog.server.owns_database),)
    return ()


@dataclass(frozen=True)
class Look:
    """Where new sessions of one role look for bare names, before and after: schemas that are there and that it may use."""

    user: PathUser
    before: tuple[str, ...]
    after: tuple[str, ...]


def looks(catalog: Catalog, configuration: Configuration, placed: Placed, changes: tuple[PathChange, ...]) -> Iterator[Look]:
    """What the changed paths mean for each role of the application."""
    by_role = {change.role: change for change in changes if change.outcome == CHANGED}
    targets = frozenset(receiving(configuration, placed))
    for user in application(catalog, configuration):
        change = by_role.get(user.name) or (by_role.get(None) if overriding(catalog, user) is None else None)
        if change is None:
            continue
        before = [name for name in spelled_out(change.former, user.name) if _usable(catalog, configuration, user, name)]
        after = [name for name in spelled_out(change.items, user.name) if name in targets or _usable(catalog, configuration, user, name)]
        yield Look(user, tuple(before), tuple(after))


def _usable(catalog: Catalog, configuration: Configuration, user: PathUser, schema: str) -> bool:
    """A schema that is missing or may not be used is passed over. What phase 1 makes or opens counts by what was there before."""
    if schema in configuration.target_names:
        return catalog.schema(schema) is not None
    return user.superuser or schema in user.uses
