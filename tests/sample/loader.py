"""Load the sample database: the SQL files of ``sql/`` in the order of their numbers, in one transaction."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from psycopg2 import sql
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from tests.sample.sizes import SIZES

SQL_DIR = Path(__file__).parent / "sql"
OWNER_ROLES = ("app_owner", "analytics_owner")
LOGIN_ROLES = ("app_web", "app_worker", "reporting")
DEFAULT_PASSWORD = "sample"

_USER_SCHEMAS = """
    SELECT nspname FROM pg_namespace
    WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema' ORDER BY nspname
"""
_USER_RELATIONS = """
    SELECT count(*) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
"""


class SampleExists(RuntimeError):
    """The database holds something already, and replacing it was not asked for."""


@dataclass(frozen=True)
class SampleSummary:
    """What was loaded: tables that are not partitions, rows in all of them, and seconds taken."""

    tables: int
    rows: int
    seconds: float


def load(
    connection: Connection,
    size: str | Mapping[str, int] = "full",
    *,
    password: str = DEFAULT_PASSWORD,
    replace: bool = False,
) -> SampleSummary:
    """Create the sample database in the database that ``connection`` is connected to.

    Args:
        connection: a superuser's connection without an open transaction.
        size: ``full`` (over a million rows) or ``small`` (a few thousand), or counts as ``sizes.scaled`` makes them.
        password: what ``app_web``, ``app_worker`` and ``reporting`` log in with, from now on in the whole cluster.
        replace: drop every schema and publication of the database first.

    Raises:
        SampleExists: the database is not empty and ``replace`` is false.
    """
    counts = SIZES[size] if isinstance(size, str) else size
    started = time.monotonic()
    with connection, connection.cursor() as cursor:
        cursor.execute(_USER_RELATIONS)
        if _scalar(cursor) and not replace:
            raise SampleExists("the database is not empty: have its contents replaced (--replace), or take another one")
        _create_roles(cursor, password)
    with connection, connection.cursor() as cursor:
        if replace:
            _drop_everything(cursor)
        cursor.execute("SET LOCAL timezone = 'UTC'; SET LOCAL maintenance_work_mem = '256MB'; SET LOCAL work_mem = '64MB'")
        for file in sorted(SQL_DIR.glob("*.sql")):
            cursor.execute(_fill_in(file.read_text(), counts))
        set_role_defaults(cursor)
    with connection, connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        tables, rows = _count(cursor)
    return SampleSummary(tables, rows, time.monotonic() - started)


def _fill_in(text: str, counts: Mapping[str, int]) -> str:
    """Put numbers for ``:name``; casts (``::type``) and times of day are left alone."""
    names = "|".join(counts)
    return re.sub(rf"(?<!:):({names})\b", lambda match: str(counts[match[1]]), text)


def _create_roles(cursor: Cursor, password: str) -> None:
    """Create the roles that are missing. Roles belong to the cluster, so other databases may have made them."""
    # Two loads at once, in two databases, would both find a role missing; advisory locks end at the database's border.
    cursor.execute("LOCK TABLE pg_authid IN SHARE ROW EXCLUSIVE MODE")
    for role in (*OWNER_ROLES, *LOGIN_ROLES):
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
        if cursor.fetchone() is None:
            cursor.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
    for role in LOGIN_ROLES:
        cursor.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(password)))


def _drop_everything(cursor: Cursor) -> None:
    cursor.execute("SELECT pubname FROM pg_publication ORDER BY pubname")
    for (name,) in cursor.fetchall():
        cursor.execute(sql.SQL("DROP PUBLICATION {}").format(sql.Identifier(name)))
    cursor.execute(_USER_SCHEMAS)
    for (name,) in cursor.fetchall():
        cursor.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))
    cursor.execute(
        "CREATE SCHEMA public AUTHORIZATION pg_database_owner; GRANT USAGE ON SCHEMA public TO PUBLIC;"
        " COMMENT ON SCHEMA public IS 'standard public schema'"
    )


def set_role_defaults(cursor: Cursor) -> None:
    """Give a role a setting of its own in this database: a migration that sets others must not lose it.

    It belongs to the database and not to what is in it, so a copy of the database has to be given it anew.
    """
    cursor.execute("SELECT current_database()")
    database = sql.Identifier(str(_scalar(cursor)))
    cursor.execute(sql.SQL("ALTER ROLE app_worker IN DATABASE {} SET work_mem = '32MB'").format(database))
    cursor.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO app_web, app_worker, reporting").format(database))


def _count(cursor: Cursor) -> tuple[int, int]:
    """Return the number of tables in ``public`` (members of a tree count as one) and of their rows."""
    cursor.execute(
        "SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')"
        " AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid) ORDER BY 1"
    )
    names = [str(name) for (name,) in cursor.fetchall()]
    counts = [sql.SQL("(SELECT count(*) FROM public.{})").format(sql.Identifier(name)) for name in names]
    cursor.execute(sql.SQL("SELECT {}").format(sql.SQL(" + ").join(counts)))
    return len(names), int(str(_scalar(cursor)))


def _scalar(cursor: Cursor) -> object:
    row = cursor.fetchone()
    assert row is not None
    return row[0]
