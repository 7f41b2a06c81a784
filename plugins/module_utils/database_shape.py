"""How a database is made: encoding and locale, so that a copy sorts, compares and writes text as the original does; and its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name, Piece, Text, fragment, keyword, nothing, statement

# As a row of JSON, because the names and the number of the columns differ between versions (manual, 53.15 pg_database).
_SHAPE = """
SELECT pg_catalog.to_jsonb(d), pg_catalog.pg_encoding_to_char(d.encoding),
       (SELECT r.rolname FROM pg_catalog.pg_roles r WHERE r.oid = 10), pg_catalog.pg_database_size(d.oid)
  FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()
"""
NAME_BYTES = 63  # of any name in PostgreSQL, NAMEDATALEN - 1
_DEFAULT_TABLESPACE = "pg_default"
LIBC, ICU, BUILTIN = "c", "i", "b"  # datlocprovider
IN_MANIFEST = "shape"  # its key among the manifest's extra values


@dataclass(frozen=True)
class DatabaseShape:
    """What ``CREATE DATABASE`` has to be told.

    :param provider: of the locale: `LIBC`, `ICU` or `BUILTIN`.
    :param locale: of ICU or of the builtin provider; ``rules`` of ICU.
    :param first_role: the server's first superuser, who has made everything that nobody else has.
    :param size: of the database on disk, in bytes.
    """

    encoding: str = "UTF8"
    provider: str = LIBC
    collate: str = "C"
    ctype: str = "C"
    locale: str | None = None
    rules: str | None = None
    first_role: str = "postgres"
    size: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def read_shape(database: Database) -> DatabaseShape:
    """Of the connected database."""
    row, encoding, first_role, size = database.rows(_SHAPE)[0]
    return DatabaseShape(
        encoding=encoding,
        provider=row.get("datlocprovider") or LIBC,
        collate=row["datcollate"],
        ctype=row["datctype"],
        locale=row.get("datlocale") or row.get("daticulocale"),
        rules=row.get("daticurules"),
        first_role=first_role,
        size=int(size),
    )


def recorded_shape(extra: Mapping[str, Any]) -> DatabaseShape:
    """As a manifest holds it; the commonest one where it does not."""
    return DatabaseShape(**extra[IN_MANIFEST]) if IN_MANIFEST in extra else DatabaseShape()


def creation(name: str, shape: DatabaseShape, owner: str | None = None, tablespace: str | None = None) -> str:
    """The statement that makes an empty database of this shape.

    :param owner: somebody else than the role that makes it.
    :param tablespace: where it goes; ``pg_default`` is template0's own, which an ordinary role may take, but not name.
    """
    providers: dict[str, Piece] = {
        LIBC: nothing(),
        ICU: fragment(" LOCALE_PROVIDER icu ICU_LOCALE {}", Text(shape.locale or "")),
        BUILTIN: fragment(" LOCALE_PROVIDER builtin BUILTIN_LOCALE {}", Text(shape.locale or "")),
    }
    return statement(
        "CREATE DATABASE {} WITH TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}{}{}{}{}",
        Name(name),
        Text(shape.encoding),
        Text(shape.collate),
        Text(shape.ctype),
        providers[shape.provider],
        fragment(" ICU_RULES {}", Text(shape.rules)) if shape.rules else nothing(),
        fragment(" {} {}", keyword("OWNER"), Name(owner)) if owner else nothing(),
        fragment(" {} {}", keyword("TABLESPACE"), Name(tablespace)) if tablespace and tablespace != _DEFAULT_TABLESPACE else nothing(),
    )


def removal(name: str) -> str:
    """The statement that drops a database with whoever is in it, where it is there."""
    return statement("DROP DATABASE IF EXISTS {} WITH (FORCE)", Name(name))


def beside(name: str, ending: str) -> str:
    """A name of our own for a database that belongs to another one, cut where it would be too long."""
    room = NAME_BYTES - len(ending.encode())
    return name.encode()[:room].decode(errors="ignore") + ending
