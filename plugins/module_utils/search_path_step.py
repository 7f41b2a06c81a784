"""The kind of step that ends phase 2: new sessions of the application find the moved tables by their bare names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_paths import PathSetting
from ansible_collections.dbops.multischema.plugins.module_utils.plan import PHASE_TABLES, Step
from ansible_collections.dbops.multischema.plugins.module_utils.search_path import comes_back, parse, pieces, shown, stored
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name, Piece, Text, fragment, statement

OUR_OWN_PATH = "pg_catalog"  # what a session of ours works with, see `postgres.Database`


def _whose(role: str | None, database: str) -> Piece:
    if role is None:
        return fragment("ALTER DATABASE {}", Name(database))
    return fragment("ALTER ROLE {} IN DATABASE {}", Name(role), Name(database))


def set_statement(role: str | None, database: str, items: Sequence[str]) -> str:
    """Set the path of new sessions, of a role in this database or of the database."""
    return statement("{} SET search_path = {}", _whose(role, database), pieces(items))


def restore_statements(role: str | None, database: str, former: str | None) -> tuple[str, ...]:
    """Bring the former entry back, to the byte; without one, remove ours."""
    whose = _whose(role, database)
    if former is None:
        return (statement("{} RESET search_path", whose),)
    if comes_back(former):
        return (set_statement(role, database, parse(former)),)
    # A text that PostgreSQL would write otherwise got there by FROM CURRENT, and that is how it gets there again.
    local = "SELECT pg_catalog.set_config('search_path', {}, true)"
    return (
        statement(local, Text(former)),
        statement("{} SET search_path FROM CURRENT", whose),
        statement(local, Text(OUR_OWN_PATH)),
    )


def same_path(one: str | None, other: Sequence[str]) -> bool:
    """Whether a stored text is this path, however it is written."""
    try:
        return one is not None and parse(one) == tuple(other)
    except ValueError:
        return False


class SetSearchPath:
    """Put the target schemas on the path of a role in this database, or of the database."""

    kind = "search_path"

    @staticmethod
    def build(catalog: Catalog, role: str | None, items: Sequence[str]) -> Step:
        """The step for one role, or for the database where ``role`` is None.

        :param items: the new path.
        """
        database, former = catalog.server.database, stored(catalog, role, True)
        return Step(
            id=f"{SetSearchPath.kind}:{'database' if role is None else f'role:{role}'}",
            phase=PHASE_TABLES,
            kind=SetSearchPath.kind,
            title=f"Let new sessions of {'the database' if role is None else role} look into {shown(items)}",
            do=(set_statement(role, database, items),),
            undo=restore_statements(role, database, former),
            detail={"role": role, "former": former, "path": list(items), "server": catalog.server.search_path},
        )

    @staticmethod
    def rewind(catalog: Catalog, steps: Sequence[Step]) -> Catalog:
        """The catalog with the former entries; one that someone has changed since is left, so that it is noticed."""
        settings: dict[tuple[str | None, bool], PathSetting] = {(s.role, s.in_database): s for s in catalog.search_paths}
        server = catalog.server
        for step in steps:
            role, former = step.detail["role"], step.detail["former"]
            if not same_path(stored(catalog, role, True), step.detail["path"]):
                continue
            del settings[(role, True)]
            if former is not None:
                settings[(role, True)] = PathSetting(role, True, former)
            if server.search_path is None:  # hidden by what the step has set, where that is the connected role's own
                server = replace(server, search_path=step.detail["server"])
        ordered = sorted(settings.values(), key=lambda s: (s.role or "", s.in_database))
        return replace(catalog, server=server, search_paths=tuple(ordered))
