"""Catalogs, configurations and plans in a line each. An object's OID follows from its name, so tests need no numbers."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import (
    Catalog,
    DefaultPrivileges,
    Grant,
    Index,
    OwnedSequence,
    Relation,
    Role,
    Schema,
    Server,
    Statistics,
    Table,
    View,
)
from ansible_collections.dbops.multischema.plugins.module_utils.configuration import Configuration, read_configuration
from ansible_collections.dbops.multischema.plugins.module_utils.journal import Entry
from ansible_collections.dbops.multischema.plugins.module_utils.placement import place
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Finding, Plan, Step
from ansible_collections.dbops.multischema.plugins.plugin_utils.planning import plan_now

OWNER = "app_owner"


def oid(name: str) -> int:
    """The OID that these builders give to what has this name."""
    return 20000 + zlib.crc32(name.encode())


def server(major: int = 16, *, superuser: bool = True, user: str = "postgres", **changes: Any) -> Server:
    """A server; an ordinary role needs ``superuser=False`` and may create in ``create_on_schemas``."""
    base = Server(major * 10000 + 4, f"{major}.4", "shop", 16384, "7300000000000000001", user, superuser, create_on_schemas=("public",))
    return replace(base, **changes)


def mover(major: int = 16, **changes: Any) -> Server:
    """The same, connected as an ordinary role."""
    return server(major, superuser=False, user="migrator", **changes)


def grant(grantee: str, *privileges: str, grantable: bool = False, column: str | None = None) -> tuple[Grant, ...]:
    """Privileges for one role; SELECT if none is named."""
    return tuple(Grant(grantee, privilege, grantable, column) for privilege in privileges or ("SELECT",))


def everything(owner: str, major: int = 16) -> tuple[Grant, ...]:
    """What an owner has on a table, written out."""
    words = ["DELETE", "INSERT", "REFERENCES", "SELECT", "TRIGGER", "TRUNCATE", "UPDATE"] + (["MAINTAIN"] if major >= 17 else [])
    return grant(owner, *words)


def table(name: str, kind: str = "r", *, schema: str = "public", parents: Iterable[str] = (), **values: Any) -> Table:
    """A table with a primary key."""
    defaults: dict[str, Any] = {
        "oid": oid(name),
        "owner": OWNER,
        "columns": ("id", "name"),
        "row_type": name,
        "array_type": f"_{name}",
        "indexes": () if kind == "f" else (index(f"{name}_pkey"),),
        "structure": {"columns": "c1", "constraints": "k1"},
        "parents": tuple(oid(parent) for parent in parents),
    }
    return Table(**{**defaults, "schema": schema, "name": name, "kind": kind, **values})


def partition(name: str, parent: str, kind: str = "r", **values: Any) -> Table:
    """A partition of ``parent``."""
    return table(name, kind, parents=[parent], is_partition=True, **values)


def index(name: str) -> Index:
    """An index."""
    return Index(oid(name), name)


def sequence(name: str, column: str = "id", identity: bool = False) -> OwnedSequence:
    """A sequence that a column owns."""
    return OwnedSequence(oid(name), name, column, identity)


def statistics(name: str, schema: str = "public") -> Statistics:
    """An extended statistics object."""
    return Statistics(oid(name), schema, name)


def relation(name: str, kind: str = "r", schema: str = "public") -> Relation:
    """Something in ``pg_class``."""
    return Relation(oid(f"{schema}.{name}"), schema, name, kind)


def view(name: str, *reads: str, schema: str = "public", kind: str = "v") -> View:
    """A view over tables."""
    return View(oid(name), schema, name, kind, tuple(oid(item) for item in reads), f"definition of {name}")


def schema(name: str, owner: str = "postgres", *grants: Grant) -> Schema:
    """A schema that is there."""
    return Schema(oid(name), name, owner, grants)


def default_privileges(role: str, in_schema: str | None, *grants: Grant, kind: str = "r") -> DefaultPrivileges:
    """An entry of ``pg_default_acl``."""
    return DefaultPrivileges(role, in_schema, kind, grants)


def catalog(*tables: Table, views: Iterable[View] = (), relations: Iterable[Relation] = (), **values: Any) -> Catalog:
    """A catalog. Schemas, the roles that tables name, and what tables bring into ``pg_class`` are filled in."""
    found = values.pop("server", None) or server()
    source = values.pop("source_schema", "public")
    given = {role.name: role for role in values.pop("roles", ())}
    names = {t.owner for t in tables} | {g.grantee for t in tables for g in (*(t.acl or ()), *t.column_grants)} | {found.user}
    roles = {name: Role(name, superuser=name == found.user and found.superuser) for name in sorted(names - {"PUBLIC"})}
    in_class = [Relation(t.oid, t.schema, t.name, t.kind) for t in tables]
    in_class += [Relation(i.oid, t.schema, i.name, "i") for t in tables for i in t.indexes]
    in_class += [Relation(s.oid, t.schema, s.name, "S") for t in tables for s in t.sequences]
    in_class += [Relation(v.oid, v.schema, v.name, v.kind) for v in views]
    return Catalog(
        server=found,
        source_schema=source,
        schemas=(schema(source), *values.pop("schemas", ())),
        tables=tables,
        relations=(*in_class, *relations),
        statistics=tuple(s for t in tables for s in t.statistics) + tuple(values.pop("statistics", ())),
        views=tuple(views),
        roles=tuple({**roles, **given}.values()),
        **values,
    )


def configuration(rules: Mapping[str, Any] | None = None, **values: Any) -> Configuration:
    """A configuration whose rules are ``{schema: name, glob or list}``, in that order; ``tenant: "*"`` by default."""
    rules = {"tenant": "*"} if rules is None else rules
    defaults: dict[str, Any] = {
        "schemas": [{"name": name} for name in rules],
        "placement": [{"schema": name, "tables": tables} for name, tables in rules.items()],
    }
    return read_configuration({**defaults, **values})


def placed(seen: Catalog, wanted: Configuration | None = None) -> dict[str, str | None]:
    """Where every table goes: name → schema, None where it stays."""
    groups = place(seen, wanted or configuration()).groups
    return {member.name: group.schema for group in groups for member in group.members}


def plan(seen: Catalog, wanted: Configuration | None = None, **values: Any) -> Plan:
    """A plan as the planner makes it."""
    return plan_now(seen, (), wanted or configuration(), **values)


def found(seen: Catalog, wanted: Configuration | None = None) -> tuple[Finding, ...]:
    """Everything that the plan notices."""
    return plan(seen, wanted).findings


def named(findings: Iterable[Finding], finding_id: str) -> list[Finding]:
    """The findings of one kind."""
    return [finding for finding in findings if finding.id == finding_id]


def one(findings: Iterable[Finding], finding_id: str) -> Finding:
    """The only finding of that kind."""
    chosen = named(findings, finding_id)
    assert len(chosen) == 1, f"{finding_id}: {chosen}"
    return chosen[0]


def step_named(steps: Iterable[Step], step_id: str) -> Step:
    """The step of that id."""
    return next(step for step in steps if step.id == step_id)


def journaled(steps: Iterable[Step], identity: Mapping[str, Any] | None = None) -> list[Entry]:
    """Journal entries of these steps, in effect."""
    return [Entry(n, step, "run-1", "2026-01-05", None, 1, identity or {}) for n, step in enumerate(steps, 1)]
