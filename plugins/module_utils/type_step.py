"""The kind of step that moves a type of somebody's own, and leaves an alias where one can stand in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ansible_collections.dbops.multischema.plugins.module_utils.bare_names import names_before
from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_routines import Routine
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_types import UserType
from ansible_collections.dbops.multischema.plugins.module_utils.plan import PHASE_TABLES, Step
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.privileges import grant_option
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name, keyword, qualified, role, statement

ALIASED = ("d", "c", "r")  # kinds that a domain can stand in for; operators of enums take no domain

_PLACE = """
SELECT n.nspname, t.typname FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE t.oid = %s
"""


def move_statement(kind: str, origin: str, name: str, target: str) -> str:
    """``ALTER TYPE`` or ``ALTER DOMAIN``: each refuses the other's."""
    return statement("ALTER {} {} SET SCHEMA {}", keyword("DOMAIN" if kind == "d" else "TYPE"), Name(origin, name), Name(target))


def _alias(catalog: Catalog, found: UserType, target: str) -> Iterator[str]:
    alias = Name(found.schema, found.name)
    yield statement("CREATE DOMAIN {} AS {}", alias, Name(target, found.name))
    if found.owner != catalog.server.user:
        yield statement("ALTER DOMAIN {} OWNER TO {}", alias, Name(found.owner))
    if found.usage is not None:
        yield statement("REVOKE ALL ON TYPE {} FROM PUBLIC", alias)
        for name in found.usage:
            if name != found.owner:
                yield statement("GRANT USAGE ON TYPE {} TO {} {}", alias, role(name), grant_option(name in found.usage_grantable))


def undo_statements(kind: str, source: str, target: str, name: str, alias: str | None) -> tuple[str, ...]:
    """The way back of one type, as planned or as it is found when the day has come."""
    drop = (statement("DROP DOMAIN {}", Name(source, alias)),) if alias is not None else ()
    return (*drop, move_statement(kind, target, name, source))


class MoveType:
    """Move one enum, domain, composite or range type."""

    kind = "move_type"

    @staticmethod
    def build(catalog: Catalog, found: UserType, target: str) -> Step:
        """The step for one type that leaves the source schema."""
        name = qualified(found.schema, found.name)
        aliased = found.kind in ALIASED
        return Step(
            id=f"{MoveType.kind}:{name}",
            phase=PHASE_TABLES,
            kind=MoveType.kind,
            title=f"Move {found.kind_text} {name} to {Name(target).as_string()}",
            do=(
                move_statement(found.kind, found.schema, found.name, target),
                *(_alias(catalog, found, target) if aliased else ()),
            ),
            undo=undo_statements(found.kind, found.schema, target, found.name, found.name if aliased else None),
            detail={
                "from": found.schema,
                "to": target,
                "type": found.oid,
                "relation": found.relation,
                "name": found.name,
                "kind": found.kind,
                "alias": aliased,
            },
        )

    @staticmethod
    def problems(database: Database, step: Step, undo: bool) -> list[str]:
        """Whether the type that was planned is the one that has moved; told by its OID."""
        if undo and not step.undo:
            return []
        schema = str(step.detail["from" if undo else "to"])
        rows = database.rows(_PLACE, (step.detail["type"],))
        if not rows:
            return [f"{step.detail['name']} (OID {step.detail['type']}) is not there any more"]
        place = qualified(*rows[0])
        return [] if rows[0][0] == schema else [f"{place} (OID {step.detail['type']}) is not in {schema}: another one was moved"]

    @staticmethod
    def rewind(catalog: Catalog, steps: Sequence[Step]) -> Catalog:
        """The catalog as if these types still stood in the source schema, without their aliases."""
        moved = {step.detail["type"] for step in steps}
        relations = {step.detail["relation"] for step in steps} - {0}
        aliases = {found.oid for step in steps for found in aliases_of(catalog, step)}
        names = {(t.schema, name) for t in catalog.user_types if t.oid in moved for name in (t.name, t.array_type)}
        source = catalog.source_schema

        def taking(routine: Routine) -> Routine:
            arguments = tuple(replace(a, schema=source) if (a.schema, a.type) in names else a for a in routine.arguments)
            return replace(routine, arguments=arguments) if arguments != routine.arguments else routine

        return replace(
            catalog,
            user_types=tuple(replace(t, schema=source) if t.oid in moved else t for t in catalog.user_types if t.oid not in aliases),
            types=tuple(t for t in catalog.types if (t.schema, t.name) not in names),
            routines=tuple(taking(routine) for routine in catalog.routines),
            relations=tuple(replace(r, schema=source) if r.oid in relations else r for r in catalog.relations),
            shared_names=names_before(catalog.shared_names, moved | relations, source, aliases),
        )


def aliases_of(catalog: Catalog, step: Step) -> list[UserType]:
    """The domain in the source schema that stands in for the step's type, if it is there."""
    return [
        found
        for found in catalog.user_types
        if step.detail["alias"]
        and found.schema == catalog.source_schema
        and found.kind == "d"
        and found.base == step.detail["type"]
        and found.name == step.detail["name"]
    ]
