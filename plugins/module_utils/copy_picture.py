"""Everything of a copy that a migration there and back has to leave as it was, read by name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.client_tools import ClientTools
from ansible_collections.dbops.multischema.plugins.module_utils.configuration import JOURNAL_SCHEMA
from ansible_collections.dbops.multischema.plugins.module_utils.connection import ConnectionSettings
from ansible_collections.dbops.multischema.plugins.module_utils.content import Content, compare_content
from ansible_collections.dbops.multischema.plugins.module_utils.copy_reader import read_copy
from ansible_collections.dbops.multischema.plugins.module_utils.copying import Watcher
from ansible_collections.dbops.multischema.plugins.module_utils.database_belongings import read_belongings
from ansible_collections.dbops.multischema.plugins.module_utils.move_step import MoveTables
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Step
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.schema_digest import schema_lines
from ansible_collections.dbops.multischema.plugins.module_utils.schema_text import lasting
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import qualified
from ansible_collections.dbops.multischema.plugins.module_utils.watch import Watch

SHOWN_LINES = 12

# Tables with columns that write the names of other objects; after a move the same value is another text.
_NAMING = """
SELECT DISTINCT n.nspname, c.relname FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
 WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
   AND COALESCE(NULLIF(t.typelem, 0), NULLIF(t.typbasetype, 0), t.oid) IN ('regclass'::regtype, 'regtype'::regtype, 'regproc'::regtype,
       'regprocedure'::regtype, 'regoper'::regtype, 'regoperator'::regtype, 'regcollation'::regtype)
"""


@dataclass(frozen=True)
class Picture:
    """A database at one moment, the journal's tables apart.

    :param schema: ``pg_dump --schema-only``; empty where it was not read.
    :param settings: of the database and of roles in it: whose, which, value.
    :param naming: tables whose rows hold names of other objects.
    """

    content: Content
    schema: str
    settings: tuple[tuple[str, str, str], ...]
    naming: tuple[tuple[str, str], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {"content": self.content.to_dict(), "schema": self.schema, "settings": self.settings, "naming": self.naming}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Picture:
        """The inverse of :meth:`to_dict`."""
        pairs = [tuple(tuple(item) for item in data[key]) for key in ("settings", "naming")]
        return cls(Content.from_dict(data["content"]), data["schema"], *pairs)


def take_picture(settings: ConnectionSettings, tools: ClientTools, with_schema: bool, watcher: Watcher) -> Picture:
    """Read every row once, and the schema where it is wanted.

    :param watcher: is told ``tables`` and ``of``.
    """
    with Database(settings, "rehearsal") as database, Watch(watcher.check) as watch, watch.over(database.cancel):
        content = read_copy(database, lambda tables, of: watcher.say(tables=tables, of=of), without=JOURNAL_SCHEMA)
        configured = read_belongings(database).settings
        naming = tuple((schema, name) for schema, name in database.rows(_NAMING))
    return Picture(content, _schema(settings, tools) if with_schema else "", configured, naming)


def _schema(settings: ConnectionSettings, tools: ClientTools) -> str:
    # In UTF-8, because people read what differs; a database that says nothing of its encoding may hold anything.
    options = ["--encoding=UTF8", "--no-subscriptions", f"--exclude-schema={JOURNAL_SCHEMA}"]
    return b"".join(lasting(schema_lines(tools, settings, options))).decode(errors="backslashreplace")


def after_the_move(before: Picture, steps: Iterable[Step]) -> Picture:
    """What is to be found once the tables have moved: the same content, under the new names."""
    places: dict[tuple[str, str], str] = {}
    for step in steps:
        if step.kind == MoveTables.kind:
            names = [member.name for member in step.members if member.kind in ("r", "S")]
            places.update(((str(step.detail["from"]), name), str(step.detail["to"])) for name in names)
    content = before.content

    def placed(item: Any) -> Any:
        return replace(item, schema=places.get((item.schema, item.name), item.schema))

    moved = replace(content, tables=tuple(map(placed, content.tables)), sequences=tuple(map(placed, content.sequences)))
    naming = tuple((places.get((schema, name), schema), name) for schema, name in before.naming)
    return replace(before, content=moved, naming=naming)


def moved_differences(expected: Picture, found: Picture) -> Iterator[str]:
    """What is not as expected after the move. Of tables that hold names of other objects only the rows are counted."""
    naming = set(expected.naming)
    known = {(table.schema, table.name): table.digest for table in expected.content.tables}

    def compared(content: Content) -> Content:
        tables = (replace(t, digest=known.get((t.schema, t.name))) if (t.schema, t.name) in naming else t for t in content.tables)
        return replace(content, tables=tuple(tables))

    return compare_content(expected.content, compared(found.content))


def differences(before: Picture, after: Picture) -> Iterator[str]:
    """What the way there and back has not restored, in words."""
    yield from compare_content(before.content, after.content)
    was, now = set(before.settings), set(after.settings)
    for who, setting, value in sorted(was ^ now):
        yield f"{setting} of {who or 'the database'}: {value} {'is gone' if (who, setting, value) in was else 'is new'}"
    if before.schema != after.schema:
        lines = difflib.unified_diff(before.schema.splitlines(), after.schema.splitlines(), "before", "after", lineterm="", n=0)
        changed = [line for line in lines if line[1:].strip() and not line.startswith(("--", "+--", "+++", "@@"))]
        yield f"the schema differs in {len(changed)} lines: " + " | ".join(changed[:SHOWN_LINES])


def named_tables(picture: Picture) -> list[str]:
    """Tables whose rows were only counted after the move."""
    return [qualified(schema, name) for schema, name in picture.naming]
