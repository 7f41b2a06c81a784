"""What hangs on a database besides what is in it: owner, settings, privileges, comment. A dump of its content has none of that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ansible_collections.dbops.multischema.plugins.module_utils.errors import MultischemaError
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.search_path import parse
from ansible_collections.dbops.multischema.plugins.module_utils.search_path_step import restore_statements
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import (
    Name,
    Text,
    comma,
    fragment,
    keyword,
    nothing,
    role,
    statement,
)

# Settings that are lists of names: each is quoted by itself (variable_is_guc_list_quote in pg_dump's dumputils.c).
_LISTS = (
    "local_preload_libraries",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
)
_DATABASE = """
SELECT d.oid::bigint, r.rolname, t.spcname, d.datconnlimit, d.datallowconn, pg_catalog.shobj_description(d.oid, 'pg_database')
  FROM pg_catalog.pg_database d JOIN pg_catalog.pg_roles r ON r.oid = d.datdba JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace
 WHERE d.datname = COALESCE(%s, pg_catalog.current_database())
"""
_SETTINGS = """
SELECT COALESCE(r.rolname, ''), s.setconfig
  FROM pg_catalog.pg_db_role_setting s LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole WHERE s.setdatabase = %s ORDER BY 1
"""
_GRANTS = """
SELECT COALESCE(r.rolname, 'PUBLIC'), a.privilege_type, a.is_grantable
  FROM pg_catalog.pg_database d CROSS JOIN LATERAL pg_catalog.aclexplode(COALESCE(d.datacl, pg_catalog.acldefault('d', d.datdba))) a
  LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
 WHERE d.oid = %s ORDER BY 1, 2
"""


@dataclass(frozen=True)
class Belongings:
    """Of one database.

    :param settings: role (empty for all of them), name, value.
    :param grants: grantee (``PUBLIC`` for all), privilege, whether it may be granted on.
    """

    oid: int
    owner: str
    tablespace: str
    connection_limit: int
    connections_allowed: bool
    comment: str | None
    settings: tuple[tuple[str, str, str], ...]
    grants: tuple[tuple[str, str, bool], ...]


def read_belongings(database: Database, name: str | None = None) -> Belongings:
    """Of a database of the server that we are connected to; by default of the connected one.

    :raises MultischemaError: when there is no such database.
    """
    rows = database.rows(_DATABASE, (name,))
    if not rows:
        raise MultischemaError(f"There is no database {name} on this server.", "", "Look which there are: psql --list.")
    oid, owner, tablespace, limit, allowed, comment = rows[0]
    settings = tuple((who, *_split(item)) for who, items in database.rows(_SETTINGS, (oid,)) for item in items)
    grants = tuple((str(who), str(what), bool(on)) for who, what, on in database.rows(_GRANTS, (oid,)))
    return Belongings(oid, owner, tablespace, limit, allowed, comment, settings, grants)


def _split(item: str) -> tuple[str, str]:
    setting, _, value = item.partition("=")
    return setting, value


def giving(name: str, belongings: Belongings) -> Iterator[str]:
    """The statements that give another database, of the same owner, the same settings, privileges and comment; for one transaction."""
    there = Name(name)
    for who, setting, value in belongings.settings:
        yield from setting_statements(name, who, setting, value)
    yield statement("REVOKE ALL ON DATABASE {} FROM PUBLIC, {}", there, Name(belongings.owner))
    for who, privilege, on in belongings.grants:
        option = fragment(" WITH GRANT OPTION") if on else nothing()
        yield statement("GRANT {} ON DATABASE {} TO {}{}", keyword(privilege), there, role(who), option)
    if belongings.comment is not None:
        yield statement("COMMENT ON DATABASE {} IS {}", there, Text(belongings.comment))
    if belongings.connection_limit != -1:
        yield statement("ALTER DATABASE {} CONNECTION LIMIT {}", there, fragment(str(int(belongings.connection_limit))))


def setting_statements(name: str, who: str, setting: str, value: str) -> tuple[str, ...]:
    """What gives a database, or a role in it, one setting; for one transaction.

    :param who: the role; empty for all of them.
    """
    if setting == "search_path":
        return restore_statements(who or None, name, value)
    target = fragment("ROLE {} IN DATABASE {}", Name(who), Name(name)) if who else fragment("DATABASE {}", Name(name))
    words = setting.split(".")  # a parameter of an extension: its parts are names of their own
    given = comma(Text(item) for item in parse(value)) if setting in _LISTS else Text(value)
    return (statement("ALTER {} SET {} TO {}", target, Name(*words), given),)
