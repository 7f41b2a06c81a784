"""Observe what decides which object a bare name means; part of the snapshot that `catalog_reader.py` takes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils import path_queries as q
from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Server
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_paths import (
    ExtensionUse,
    PathSetting,
    PathUser,
    PinnedRoutine,
    SharedName,
)
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.search_path import USER, parse

ADMIN_NEEDED_SINCE = 160000


def server_path(database: Database) -> str | None:
    """The path that the server's configuration gives, or None where one of the connected role, its database or its client hides it."""
    setting, built_in, hidden = database.rows(q.SESSION_PATH)[0]
    asked_for = f"{database.settings.parameters.get('options', '')} {os.environ.get('PGOPTIONS', '')}"
    if not hidden and "search_path" not in asked_for:
        return str(setting)
    if database.value(q.MAY_READ_FILES):
        return str(database.value(q.FILE_PATH) or built_in)
    return None


def _schemas_of(texts: Iterable[str | None]) -> set[str]:
    found: set[str] = set()
    for text in texts:
        try:
            found.update(parse(text) if text is not None else ())
        except ValueError:
            continue
    return found


def read_paths(database: Database, server: Server, scope: Mapping[str, Any], roles: Iterable[str]) -> dict[str, Any]:
    """The fields of a `Catalog` that are about paths, and ``server``: those of a `Server`.

    :param scope: source and target schemas, as for every query.
    :param roles: that the configuration names.
    """
    settings = tuple(PathSetting(*row) for row in database.rows(q.PATH_SETTINGS))
    of_server = server_path(database)
    names = sorted({*roles, server.user, *(s.role for s in settings if s.role is not None and s.in_database)})
    schemas = {*scope["scope"], *roles, *_schemas_of([of_server, *(s.value for s in settings)])} - {USER, ""}
    admin = q.HAS_ADMIN if server.version_num >= ADMIN_NEEDED_SINCE else "true"
    parameters = {**scope, "schemas": sorted(schemas), "users": names}
    users = database.rows(q.PATH_USERS.format(admin=admin), parameters)
    return {
        "server": {"search_path": of_server, "owns_database": bool(database.value(q.OWNS_DATABASE))},
        "search_paths": settings,
        "path_users": tuple(PathUser(*row[:3], *(tuple(part) for part in row[3:])) for row in users),
        "shared_names": tuple(SharedName(*row) for row in database.rows(q.SHARED_NAMES, parameters)),
        "extension_uses": tuple(ExtensionUse(row[0], row[1], tuple(row[2])) for row in database.rows(q.EXTENSION_USES, parameters)),
        "pinned_routines": tuple(PinnedRoutine(*row) for row in database.rows(q.PINNED_ROUTINES)),
    }
