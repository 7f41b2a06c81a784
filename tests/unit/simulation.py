"""What PostgreSQL does to its catalog when it runs the SQL of a plan, as far as a plan's SQL goes.

It reads the statements themselves, not what the steps say about them. A statement that it does not know, or that PostgreSQL
would refuse, fails the test.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import (
    Catalog,
    DefaultPrivileges,
    Grant,
    Relation,
    Schema,
    TypeName,
    View,
)
from ansible_collections.dbops.multischema.plugins.module_utils.retired_schemas import retired_name
from tests.unit.builders import oid

IDENT = r'"(?:[^"]|"")+"|[a-z_][a-z0-9_$]*'
NAME = rf"(?:{IDENT})"
OBJECTS = {"TABLES": "r", "SEQUENCES": "S", "ROUTINES": "f", "TYPES": "T"}


def _bare(text: str) -> str:
    return text[1:-1].replace('""', '"') if text.startswith('"') else text


def _names(text: str) -> list[str]:
    return [_bare(part) for part in re.findall(IDENT, text)]


def _roles(text: str) -> list[str]:
    return [part if part == "PUBLIC" else _bare(part) for part in re.findall(rf"PUBLIC|{IDENT}", text)]


class Simulation:
    """A catalog that statements change."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    def run(self, statements: Iterable[str]) -> Catalog:
        """Run statements in order. :returns: the catalog after them."""
        for statement in statements:
            for pattern, work in self._known():
                match = re.fullmatch(pattern, statement, re.DOTALL)
                if match:
                    work(*match.groups())
                    break
            else:
                raise AssertionError(f"the simulation does not know: {statement}")
        return self.catalog

    def _known(self) -> list[tuple[str, Callable[..., None]]]:
        pair = rf"({NAME})\.({NAME})"
        word = r"[A-Z]+(?: \(.*\))?"
        return [
            (rf"CREATE SCHEMA ({NAME})(?: AUTHORIZATION ({NAME}))?", self._create_schema),
            (rf"COMMENT ON SCHEMA ({NAME}) IS '((?:[^']|'')*)'", self._comment),
            (rf"ALTER SCHEMA ({NAME}) RENAME TO ({NAME})", self._retire_schema),
            (rf"(GRANT|REVOKE) USAGE ON SCHEMA ({NAME}) (?:TO|FROM) (.*)", self._usage),
            (
                rf"ALTER DEFAULT PRIVILEGES FOR ROLE ({NAME}) IN SCHEMA ({NAME}) (GRANT|REVOKE) (.+) ON ([A-Z]+) "
                r"(?:TO|FROM) (.+?)( WITH GRANT OPTION)?",
                self._defaults,
            ),
            (r"LOCK TABLE (.*) IN ACCESS EXCLUSIVE MODE", self._lock),
            (rf"ALTER TABLE {pair} SET SCHEMA ({NAME})", self._move),
            (rf"ALTER STATISTICS {pair} SET SCHEMA ({NAME})", self._move_statistics),
            (rf"ALTER PUBLICATION ({NAME}) (ADD|DROP) TABLE ONLY {pair}", self._publish),
            (rf"CREATE VIEW {pair} (?:WITH \(.*?\) )?AS SELECT \* FROM {pair}", self._create_view),
            (rf"ALTER VIEW {pair} OWNER TO {NAME}", self._require_view),
            (rf"(?:GRANT|REVOKE) {word}(?:, {word})* ON {pair} (?:TO|FROM) .*", self._require_view),
            (r"DROP VIEW (.*)", self._drop_views),
        ]

    def _relation(self, schema: str, name: str) -> Relation | None:
        return next((r for r in self.catalog.relations if (r.schema, r.name) == (schema, name)), None)

    def _create_schema(self, name: str, owner: str | None) -> None:
        name = _bare(name)
        assert self.catalog.schema(name) is None, name
        made = Schema(oid(name), name, _bare(owner) if owner else self.catalog.server.user)
        self.catalog = replace(self.catalog, schemas=(*self.catalog.schemas, made))

    def _comment(self, name: str, _text: str) -> None:
        assert self.catalog.schema(_bare(name)) is not None, name

    def _retire_schema(self, name: str, to: str) -> None:
        """Out of sight: the catalog holds the schemas that the configuration names."""
        name = _bare(name)
        assert _bare(to) == retired_name(name), to
        assert not [r for r in self.catalog.relations if r.schema == name], "it is not empty"
        self.catalog = replace(
            self.catalog,
            schemas=tuple(s for s in self.catalog.schemas if s.name != name),
            default_privileges=tuple(d for d in self.catalog.default_privileges if d.schema != name),
        )

    def _usage(self, verb: str, name: str, grantees: str) -> None:
        name, who = _bare(name), _roles(grantees)
        assert self.catalog.schema(name) is not None, name

        def changed(schema: Schema) -> Schema:
            if schema.name != name:
                return schema
            kept = tuple(g for g in schema.grants if not (g.privilege == "USAGE" and g.grantee in who))
            added = tuple(Grant(role, "USAGE") for role in who) if verb == "GRANT" else ()
            return replace(schema, grants=kept + added)

        self.catalog = replace(self.catalog, schemas=tuple(changed(s) for s in self.catalog.schemas))

    def _defaults(self, *parts: str | None) -> None:
        role, schema, verb, words, objects, grantee, option = (part or "" for part in parts)
        key = (_bare(role), _bare(schema), OBJECTS[objects])
        (who,) = _roles(grantee)
        privileges = words.split(", ")
        assert self.catalog.schema(key[1]) is not None, key
        there = {(d.role, d.schema, d.object_type): d.grants for d in self.catalog.default_privileges}
        left = tuple(g for g in there.get(key, ()) if not (g.grantee == who and g.privilege in privileges))
        if verb == "GRANT":
            left += tuple(Grant(who, privilege, bool(option)) for privilege in privileges)
        there[key] = left
        # An entry that says nothing any more is removed by the server.
        self.catalog = replace(
            self.catalog, default_privileges=tuple(DefaultPrivileges(*k, grants) for k, grants in there.items() if grants)
        )

    def _lock(self, names: str) -> None:
        parts = _names(names)
        for schema, name in zip(parts[::2], parts[1::2], strict=True):
            there = self._relation(schema, name)
            assert there is not None, f"{schema}.{name} does not exist"
            assert there.kind in ("r", "p"), f"{schema}.{name} cannot be locked"

    def _move(self, schema: str, name: str, to: str) -> None:
        schema, name, to = _bare(schema), _bare(name), _bare(to)
        table = next((t for t in self.catalog.tables if (t.schema, t.name) == (schema, name)), None)
        assert table is not None, f"{schema}.{name} does not exist"
        assert self.catalog.schema(to) is not None, f"schema {to} does not exist"
        goes = {table.oid, *(i.oid for i in table.indexes), *(s.oid for s in table.sequences)}
        names = {r.name for r in self.catalog.relations if r.oid in goes}
        taken = [r.name for r in self.catalog.relations if r.schema == to and r.name in names]
        assert not taken, f"{taken} already exist in {to}"
        types = tuple(t for t in self.catalog.types if t.oid not in (table.oid + 1, table.oid + 2))
        if to != self.catalog.source_schema:
            types += (TypeName(table.oid + 1, to, table.row_type, "c"), TypeName(table.oid + 2, to, table.array_type, "b"))
        self.catalog = replace(
            self.catalog,
            tables=tuple(replace(t, schema=to) if t.oid == table.oid else t for t in self.catalog.tables),
            relations=tuple(replace(r, schema=to) if r.oid in goes else r for r in self.catalog.relations),
            types=types,
        )

    def _move_statistics(self, schema: str, name: str, to: str) -> None:
        found = [s for s in self.catalog.statistics if (s.schema, s.name) == (_bare(schema), _bare(name))]
        assert len(found) == 1, f"statistics {schema}.{name}"
        moved = {found[0].oid}

        self.catalog = replace(
            self.catalog,
            statistics=tuple(replace(s, schema=_bare(to)) if s.oid in moved else s for s in self.catalog.statistics),
            tables=tuple(
                replace(t, statistics=tuple(replace(s, schema=_bare(to)) if s.oid in moved else s for s in t.statistics))
                for t in self.catalog.tables
            ),
        )

    def _publish(self, name: str, verb: str, schema: str, table: str) -> None:
        there = self._relation(_bare(schema), _bare(table))
        assert there is not None, f"{schema}.{table} does not exist"
        publication = next(p for p in self.catalog.publications if p.name == _bare(name))
        assert (there.oid in publication.tables) == (verb == "DROP"), f"{name} and {table}"
        tables = tuple(t for t in publication.tables if t != there.oid) + ((there.oid,) if verb == "ADD" else ())
        self.catalog = replace(
            self.catalog,
            publications=tuple(replace(p, tables=tables) if p is publication else p for p in self.catalog.publications),
        )

    def _create_view(self, schema: str, name: str, table_schema: str, table_name: str) -> None:
        schema, name = _bare(schema), _bare(name)
        assert self._relation(schema, name) is None, f"{schema}.{name} already exists"
        table = self._relation(_bare(table_schema), _bare(table_name))
        assert table is not None, f"{table_schema}.{table_name} does not exist"
        number = oid(f"view {name}")
        self.catalog = replace(
            self.catalog,
            relations=(*self.catalog.relations, Relation(number, schema, name, "v")),
            views=(*self.catalog.views, View(number, schema, name, "v", (table.oid,), f"reads {table.oid}")),
        )

    def _require_view(self, schema: str, name: str) -> None:
        self._view(_bare(schema), _bare(name))

    def _view(self, schema: str, name: str) -> Relation:
        there = self._relation(schema, name)
        assert there is not None, f"{schema}.{name} does not exist"
        assert there.kind == "v", f"{schema}.{name} is not a view"
        return there

    def _drop_views(self, names: str) -> None:
        parts = _names(names)
        for schema, name in zip(parts[::2], parts[1::2], strict=True):
            self._drop_view(schema, name)

    def _drop_view(self, schema: str, name: str) -> None:
        there = self._view(schema, name)
        assert not [v for v in self.catalog.views if there.oid in v.reads], f"other views read {name}"
        self.catalog = replace(
            self.catalog,
            relations=tuple(r for r in self.catalog.relations if r is not there),
            views=tuple(v for v in self.catalog.views if v.oid != there.oid),
        )


def run(catalog: Catalog, *statements: str) -> Catalog:
    """The catalog after these statements."""
    return Simulation(catalog).run(statements)
