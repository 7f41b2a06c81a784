"""Observe: read the catalog of one database into dataclasses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils import catalog_queries as q
from ansible_collections.dbops.multischema.plugins.module_utils.catalog import (
    Catalog,
    ColumnDefault,
    DefaultPrivileges,
    Dependent,
    EventTrigger,
    Extension,
    ForeignKey,
    Grant,
    Index,
    OwnedSequence,
    Publication,
    Relation,
    Role,
    Schema,
    SchemaObject,
    Server,
    Statistics,
    Table,
    TypeName,
    View,
)
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_followers import Slot, Subscription
from ansible_collections.dbops.multischema.plugins.module_utils.path_reader import read_paths
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.routine_reader import (
    read_aggregates,
    read_expressions,
    read_mentions,
    read_remote_tables,
    read_routines,
)
from ansible_collections.dbops.multischema.plugins.module_utils.type_reader import read_types

PUBLICATIONS_OF_SCHEMAS_SINCE = 150000
SET_OPTION_SINCE = 160000


def read_server(database: Database) -> Server:
    """Which server and database this is, and as whom we are connected."""
    row = database.rows(q.SERVER)[0]
    return Server(
        version_num=row[0],
        version=row[1],
        database=row[2],
        database_oid=row[3],
        system_identifier=database.value(q.SYSTEM_IDENTIFIER),
        user=row[4],
        superuser=row[5],
        create_on_database=row[6],
        role_called_public=row[7],
        settings=dict(database.rows(q.SETTINGS)),
    )


def _grants(items: Iterable[Iterable[Any]]) -> tuple[Grant, ...]:
    return tuple(Grant(*item) for item in items)


def _grouped(rows: Iterable[tuple[Any, ...]]) -> dict[int, list[tuple[Any, ...]]]:
    found: dict[int, list[tuple[Any, ...]]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(row[1:])
    return found


def _tables(database: Database, scope: Mapping[str, Any]) -> tuple[Table, ...]:
    indexes = _grouped(database.rows(q.INDEXES, scope))
    sequences = _grouped(database.rows(q.SEQUENCES, scope))
    statistics = _grouped(database.rows(q.STATISTICS, scope))
    defaults = _grouped(database.rows(q.DEFAULTS, scope))
    traits = dict(database.rows(q.TRAITS, scope))
    structure = _grouped(database.rows(q.STRUCTURE, scope))
    grants = _grouped(database.rows(q.TABLE_GRANTS, scope))
    grantors = dict(database.rows(q.FURTHER_GRANTORS, scope))
    tables = []
    for row in database.rows(q.TABLES, scope):
        oid = row[0]
        explicit = [Grant(*grant) for grant in grants.get(oid, ())]
        tables.append(
            Table(
                oid=oid,
                schema=row[1],
                name=row[2],
                kind=row[3],
                owner=row[4],
                persistence=row[5],
                is_partition=row[6],
                row_security=row[7],
                extension=row[8],
                rows_estimate=row[9],
                bytes_estimate=row[10],
                comment=row[11],
                row_type=row[12] or "",
                array_type=row[13] or "",
                columns=tuple(row[14] or ()),
                filled=tuple(row[15] or ()),
                parents=tuple(row[16] or ()),
                acl=tuple(g for g in explicit if g.column is None) if row[17] else None,
                replica_identity=row[18],
                column_grants=tuple(g for g in explicit if g.column is not None),
                granted_by=tuple(grantors.get(oid, ())),
                indexes=tuple(Index(*index) for index in indexes.get(oid, ())),
                sequences=tuple(OwnedSequence(*sequence) for sequence in sequences.get(oid, ())),
                statistics=tuple(Statistics(*s) for s in statistics.get(oid, ())),
                defaults=tuple(ColumnDefault(d[0], d[1], d[2], tuple(d[3])) for d in defaults.get(oid, ())),
                traits=tuple(traits.get(oid, ())),
                structure=dict(structure.get(oid, ())),
            )
        )
    return tuple(tables)


def _publications(database: Database, server: Server, scope: Mapping[str, Any]) -> tuple[Publication, ...]:
    new = server.version_num >= PUBLICATIONS_OF_SCHEMAS_SINCE
    filtered = "r.prqual IS NOT NULL OR r.prattrs IS NOT NULL" if new else "false"
    tables = _grouped(database.rows(q.PUBLICATION_TABLES.format(filtered=filtered), scope))
    schemas = _grouped(database.rows(q.PUBLICATION_SCHEMAS, scope)) if new else {}
    return tuple(
        Publication(
            name=name,
            owner=owner,
            all_tables=everything,
            schemas=tuple(row[0] for row in schemas.get(oid, ())),
            tables=tuple(row[0] for row in tables.get(oid, ())),
            filtered=tuple(row[0] for row in tables.get(oid, ()) if row[1]),
            identified=identified,
            via_root=via_root,
        )
        for oid, name, owner, everything, identified, via_root in database.rows(q.PUBLICATIONS)
    )


def _roles(database: Database, server: Server, wanted: Mapping[str, Any]) -> tuple[Role, ...]:
    # Since PostgreSQL 16 a membership may come without the right to become the role, and inheritance is a matter of each one.
    new = server.version_num >= SET_OPTION_SINCE
    inherited = "AND m.inherit_option" if new else "JOIN pg_catalog.pg_roles i ON i.oid = m.member AND i.rolinherit"
    rows = database.rows(q.ROLES.format(become="'SET'" if new else "'MEMBER'", inherited=inherited), wanted)
    return tuple(replace(Role(*row[:-1]), uses_source_for=tuple(row[-1])) for row in rows)


def _role_names(parts: Iterable[str | None], tables: Iterable[Table]) -> list[str]:
    names = set(filter(None, parts))
    for table in tables:
        names.add(table.owner)
        names.update(grant.grantee for grant in (*(table.acl or ()), *table.column_grants))
    return sorted(names - {"PUBLIC"})


def read_catalog(
    database: Database,
    source_schema: str,
    target_schemas: Iterable[str],
    further_roles: Iterable[str] = (),
) -> Catalog:
    """Observe everything that a plan depends on, in one consistent snapshot.

    :param database: a direct connection.
    :param source_schema: the schema that the tables leave; need not exist.
    :param target_schemas: where they go; need not exist.
    :param further_roles: roles that the plan speaks of, besides owners and grantees.
    :raises ServerRefused: when a catalog cannot be read.
    """
    scope = {"source": source_schema, "scope": sorted({source_schema, *target_schemas})}
    with database.snapshot():
        server = read_server(database)
        schema_rows = database.rows(q.SCHEMAS, scope)
        schemas = tuple(
            Schema(oid=row[0], name=row[1], owner=row[2], comment=row[3], objects=row[5], grants=_grants(row[6])) for row in schema_rows
        )
        tables = _tables(database, scope)
        defaults = tuple(
            DefaultPrivileges(role, schema, kind, _grants(grants))
            for role, schema, kind, grants in database.rows(q.DEFAULT_PRIVILEGES, scope)
        )
        publications = _publications(database, server, scope)
        user_types = read_types(database, scope)
        named = [*further_roles, server.user]
        named += [entry.role for entry in defaults] + [publication.owner for publication in publications]
        named += [schema.owner for schema in schemas]
        named += [found.owner for found in user_types]
        named += [grant.grantee for schema in schemas if schema.name == source_schema for grant in schema.grants]
        wanted = {**scope, "roles": _role_names(named, tables)}
        paths = read_paths(database, server, scope, further_roles)
        return Catalog(
            server=Server(
                **{
                    **vars(server),
                    **paths.pop("server"),
                    "create_on_schemas": tuple(row[1] for row in schema_rows if row[4]),
                    "use_on_schemas": tuple(row[1] for row in schema_rows if row[8]),
                    "public_uses_source": any(row[7] for row in schema_rows if row[1] == source_schema),
                }
            ),
            source_schema=source_schema,
            schemas=schemas,
            tables=tables,
            relations=tuple(Relation(*row) for row in database.rows(q.RELATIONS, scope)),
            namesakes=tuple(Relation(*row) for row in database.rows(q.NAMESAKES, scope)),
            types=tuple(TypeName(*row) for row in database.rows(q.TYPES, scope)),
            statistics=tuple(Statistics(*row[1:]) for row in database.rows(q.STATISTICS, scope)),
            routines=read_routines(database, server.version_num, scope),
            views=tuple(View(row[0], row[1], row[2], row[3], tuple(row[4]), row[5]) for row in database.rows(q.VIEWS, scope)),
            aggregates=read_aggregates(database),
            dependents=tuple(Dependent(*row) for row in database.rows(q.DEPENDENTS, scope)),
            contents=tuple(SchemaObject(*row) for row in database.rows(q.CONTENTS, scope)),
            foreign_keys=tuple(ForeignKey(*row) for row in database.rows(q.FOREIGN_KEYS, scope)),
            default_privileges=defaults,
            publications=publications,
            slots=tuple(Slot(*row) for row in database.rows(q.SLOTS)),
            subscriptions=tuple(replace(Subscription(*row[:3]), tables=tuple(row[3])) for row in database.rows(q.SUBSCRIPTIONS)),
            event_triggers=tuple(EventTrigger(*row) for row in database.rows(q.EVENT_TRIGGERS)),
            expressions=read_expressions(database, scope),
            mentions=read_mentions(database, scope),
            remote_tables=read_remote_tables(database, scope),
            roles=_roles(database, server, wanted),
            extensions=tuple(Extension(*row) for row in database.rows(q.EXTENSIONS)),
            user_types=user_types,
            **paths,
        )
