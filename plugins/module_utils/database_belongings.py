"""What hangs on a database besides what is in it: owner, settings, privileges, comment. A dump of its content has none of that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.search_path import parse, pieces
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import (
    Name,
    Piece,
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
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
)
_DATABASE = """
SELECT d.oid::bigint, r.rolname, t.spcname, d.datconnlimit, d.datallowconn, pg_catalog.shobj_description(d.oid, 'pg_database'),
       d.datacl IS NOT NULL
  FROM pg_catalog.pg_database d JOIN pg_catalog.pg_roles r ON r.oid = d.datdba JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace
 WHERE d.datname = %s
"""
_SETTINGS = """
SELECT COALESCE(r.rolname, ''), s.setconfig
  FROM pg_catalog.pg_db_role_setting s LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole WHERE s.setdatabase = %s ORDER BY 1
"""
_GRANTS = """
SELECT COALESCE(r.rolname, 'PUBLIC'), a.privilege_type, a.is_grantable
  FROM pg_catalog.pg_database d, pg_catalog.aclexplode(d.datacl) a LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
 WHERE d.oid = %s ORDER BY 1, 2
"""


@dataclass(frozen=True)
class Belongings:
    """Of one database.

    :param settings: role (empty for all of them), name, value.
    :param grants: grantee (``PUBLIC`` for all), privilege, whether it may be granted on; None where nobody has ever granted or revoked.
    """

    oid: int
    owner: str
    tablespace: str
    connection_limit: int
    connections_allowed: bool
    comment: str | None
    settings: tuple[tuple[str, str, str], ...]
    grants: tuple[tuple[str, str, bool], ...] | None


def read_belongings(database: Database, name: str) -> Belongings | None:
    """Of a database of the server that we are connected to; None where there is no such database."""
    rows = database.rows(_DATABASE, (name,))
    if not rows:
        return None
    oid, owner, tablespace, limit, allowed, comment, granted = rows[0]
    settings = [(who, *item.split("=", 1)) for who, items in database.rows(_SETTINGS, (oid,)) for item in items]
    grants = tuple((str(who), str(what), bool(on)) for who, what, on in database.rows(_GRANTS, (oid,))) if granted else None
    return Belongings(oid, owner, tablespace, limit, allowed, comment, tuple((s[0], s[1], s[2]) for s in settings), grants)


def giving(name: str, belongings: Belongings) -> Iterator[str]:
    """The statements that give another database, of the same owner, the same settings, privileges and comment."""
    there = Name(name)
    for who, setting, value in belongings.settings:
        target = fragment("ROLE {} IN DATABASE {}", Name(who), there) if who else fragment("DATABASE {}", there)
        yield statement("ALTER {} SET {} TO {}", target, Name(*setting.split(".")), _value(setting, value))
    if belongings.grants is not None:
        yield statement("REVOKE ALL ON DATABASE {} FROM PUBLIC, {}", there, Name(belongings.owner))
        for who, privilege, on in belongings.grants:
            option = fragment(" WITH GRANT OPTION") if on else nothing()
            yield statement("GRANT {} ON DATABASE {} TO {}{}", keyword(privilege), there, role(who), option)
    if belongings.comment is not None:
        yield statement("COMMENT ON DATABASE {} IS {}", there, Text(belongings.comment))
    if belongings.connection_limit != -1:
        yield statement("ALTER DATABASE {} CONNECTION LIMIT {}", there, fragment(str(int(belongings.connection_limit))))


def _value(setting: str, value: str) -> Piece:
    if setting == "search_path":
        return pieces(parse(value))
    if setting in _LISTS:
        return comma(Text(item) for item in parse(value))
    return Text(value)
