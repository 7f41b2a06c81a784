"""By what a database of ours is known again: its comment, and what its name looks like."""

from __future__ import annotations

import re

from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name, Text, statement

_MARKED = """
SELECT d.datname FROM pg_catalog.pg_database d
  JOIN pg_catalog.pg_shdescription s ON s.objoid = d.oid AND s.classoid = 'pg_catalog.pg_database'::pg_catalog.regclass
 WHERE s.description = %s ORDER BY 1
"""


def marking(name: str, comment: str) -> str:
    """The statement by which it is known from now on."""
    return statement("COMMENT ON DATABASE {} IS {}", Name(name), Text(comment))


def marked(database: Database, comment: str, pattern: re.Pattern[str]) -> list[str]:
    """The databases of that server that have exactly this comment and such a name.

    One that somebody has given another name is somebody's, whatever its comment says.

    :param pattern: of the whole name.
    """
    return [name for (name,) in database.rows(_MARKED, (comment,)) if pattern.fullmatch(name)]
