"""The catalog of the source schema as plain data.

These classes hold what was observed, and nothing that was decided. Objects are told apart by OID, never by name, because
a name is what a migration changes. `catalog_reader.py` fills them from a server; tests build them by hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from ansible_collections.dbops.multischema.plugins.module_utils.catalog_followers import Slot, Subscription
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_paths import (
    ExtensionUse,
    PathSetting,
    PathUser,
    PinnedRoutine,
    SharedName,
)
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_routines import (
    Expression,
    Mention,
    RemoteTable,
    Routine,
)
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_types import UserType

T = TypeVar("T")

TABLE_KINDS = {"r": "table", "p": "partitioned table", "f": "foreign table"}
RELATION_KINDS = {
    **TABLE_KINDS,
    "v": "view",
    "m": "materialized view",
    "i": "index",
    "I": "partitioned index",
    "S": "sequence",
    "c": "composite type",
    "t": "TOAST table",
}


# What a table may have that decides what a view in its place can do.
PRIMARY_KEY = "primary_key"
NAMED_KEY = "named_key"  # a primary key, unique or exclusion constraint
TRAITS = (PRIMARY_KEY, NAMED_KEY)


@dataclass(frozen=True)
class Grant:
    """One privilege of an ACL (``aclexplode``). ``grantee`` is ``PUBLIC`` for everyone."""

    grantee: str
    privilege: str
    grantable: bool = False
    column: str | None = None


@dataclass(frozen=True)
class OwnedSequence:
    """A sequence that moves with its table because a column owns it."""

    oid: int
    name: str
    column: str
    identity: bool = False


@dataclass(frozen=True)
class Index:
    """An index: it moves with its table and takes a name in the target schema."""

    oid: int
    name: str


@dataclass(frozen=True)
class Statistics:
    """An extended statistics object (``CREATE STATISTICS``): it does not follow its table by itself."""

    oid: int
    schema: str
    name: str
    owner: str = ""


@dataclass(frozen=True)
class ColumnDefault:
    """The default of a column that is neither generated nor an identity.

    ``expression`` is its text, empty where that would change when something else moves: a sequence, or a type, that it names.
    ``sequences`` are the OIDs of those it takes numbers from.
    """

    column: str
    expression: str = ""
    nullable: bool = True
    sequences: tuple[int, ...] = ()


@dataclass(frozen=True)
class Table:
    """A relation with rows of its own or of its partitions: relkind ``r``, ``p`` or ``f``.

    ``structure`` maps a part (columns, constraints, indexes, triggers, policies, rules, options) to an MD5 of what the
    catalog stores for it, in a form that a move does not change: two observations differ exactly where someone
    altered the table. ``traits`` are those of :data:`TRAITS` that it has.
    """

    oid: int
    schema: str
    name: str
    kind: str
    owner: str
    persistence: str = "p"
    parents: tuple[int, ...] = ()
    is_partition: bool = False
    row_security: bool = False
    replica_identity: bool = True  # whether UPDATE and DELETE of it can be published
    extension: str | None = None
    columns: tuple[str, ...] = ()
    filled: tuple[str, ...] = ()  # columns with a default, an identity or an expression
    acl: tuple[Grant, ...] | None = None
    column_grants: tuple[Grant, ...] = ()
    granted_by: tuple[str, ...] = ()  # who, besides the owner, has passed privileges on
    indexes: tuple[Index, ...] = ()
    sequences: tuple[OwnedSequence, ...] = ()
    statistics: tuple[Statistics, ...] = ()
    defaults: tuple[ColumnDefault, ...] = ()
    traits: tuple[str, ...] = ()
    row_type: str = ""
    array_type: str = ""
    bytes_estimate: int = 0
    rows_estimate: int = -1
    comment: str | None = None
    structure: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind_text(self) -> str:
        """The kind as a person says it."""
        return "partition" if self.is_partition and self.kind == "r" else TABLE_KINDS[self.kind]


@dataclass(frozen=True)
class Relation:
    """Anything with a name in ``pg_class`` in the source or a target schema: what a moved table may collide with."""

    oid: int
    schema: str
    name: str
    kind: str


@dataclass(frozen=True)
class TypeName:
    """A name in ``pg_type`` in a target schema, or a type of its own in the source schema."""

    oid: int
    schema: str
    name: str
    kind: str  # pg_type.typtype


@dataclass(frozen=True)
class View:
    """A view or materialized view that reads tables; it follows them by OID.

    ``plain``: it is one of ours that was changed by hand, and shows its table's columns, all of them in order, and nothing else.
    """

    oid: int
    schema: str
    name: str
    kind: str
    reads: tuple[int, ...]
    definition: str
    plain: bool = False


@dataclass(frozen=True)
class Dependent:
    """Something that was built on a view of the source schema, or on its row type: dropping the view would drop it."""

    view: int
    description: str


@dataclass(frozen=True)
class SchemaObject:
    """Something that stands in a target schema for itself, of whatever kind; the server describes it."""

    schema: str
    oid: int
    description: str


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key, for the drawing and for the owners that its checks run as."""

    name: str
    child: int
    parent: int


@dataclass(frozen=True)
class Schema:
    """A namespace. ``grants`` are explicit privileges, empty where the ACL is the built-in default."""

    oid: int
    name: str
    owner: str
    grants: tuple[Grant, ...] = ()
    comment: str | None = None
    objects: int = 0


@dataclass(frozen=True)
class DefaultPrivileges:
    """An entry of ``pg_default_acl``: what ``ALTER DEFAULT PRIVILEGES`` has left. ``schema`` is None when global."""

    role: str
    schema: str | None
    object_type: str  # r relations, S sequences, f routines, T types, n schemas, L large objects
    grants: tuple[Grant, ...]


@dataclass(frozen=True)
class Publication:
    """A publication and what it publishes of our schemas.

    ``filtered`` are tables with a row filter or a column list in it; ``identified`` tells that it publishes UPDATE or DELETE,
    for which every published table needs a replica identity; ``via_root`` that partitions are published under their root's name.
    """

    name: str
    owner: str
    all_tables: bool
    schemas: tuple[str, ...] = ()
    tables: tuple[int, ...] = ()
    filtered: tuple[int, ...] = ()
    identified: bool = True
    via_root: bool = False


@dataclass(frozen=True)
class EventTrigger:
    """An event trigger: its function, the routine of that OID, runs inside the transactions of a migration."""

    name: str
    event: str
    function: str
    enabled: bool
    routine: int = 0


@dataclass(frozen=True)
class Extension:
    """An extension that is installed in the database, and the schema of its objects."""

    name: str
    schema: str
    version: str = ""


@dataclass(frozen=True)
class Role:
    """A role that owns or is granted something here.

    ``mover_belongs``: the connected role is a member of it, in whatever way. ``mover_is_member``: it has its rights without
    SET ROLE (INHERIT). ``mover_can_become``: it may also give objects to it (SET).
    ``uses_source`` and ``creates_in_source``: what it may do in
    the source schema, by whatever way it got the right. ``uses_source_for`` is only filled for roles that own the source
    schema or are granted USAGE on it: other roles whose rights are combined with this one's in some third role.
    """

    name: str
    can_login: bool = True
    superuser: bool = False
    mover_is_member: bool = True
    mover_can_become: bool = True
    uses_source: bool = True
    creates_in_source: bool = False
    mover_belongs: bool = False
    uses_source_for: tuple[str, ...] = ()


@dataclass(frozen=True)
class Server:
    """Which server and database this is, and as whom we are connected."""

    version_num: int
    version: str
    database: str
    database_oid: int
    system_identifier: str
    user: str
    superuser: bool
    settings: Mapping[str, str] = field(default_factory=dict)
    create_on_database: bool = True
    create_on_schemas: tuple[str, ...] = ()
    use_on_schemas: tuple[str, ...] = ()
    public_uses_source: bool = True
    role_called_public: bool = False
    search_path: str | None = '"$user", public'  # of the server's own configuration; None where it cannot be seen
    owns_database: bool = True

    @property
    def major(self) -> int:
        """Major version, for example 16."""
        return self.version_num // 10000


@dataclass(frozen=True)
class Catalog:
    """One observation of a database."""

    server: Server
    source_schema: str
    schemas: tuple[Schema, ...] = ()
    tables: tuple[Table, ...] = ()
    relations: tuple[Relation, ...] = ()
    namesakes: tuple[Relation, ...] = ()  # what has the name of one of these, in any other schema
    types: tuple[TypeName, ...] = ()
    statistics: tuple[Statistics, ...] = ()
    routines: tuple[Routine, ...] = ()
    aggregates: tuple[str, ...] = ()  # names of aggregate functions that are not PostgreSQL's own
    views: tuple[View, ...] = ()
    dependents: tuple[Dependent, ...] = ()
    contents: tuple[SchemaObject, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    default_privileges: tuple[DefaultPrivileges, ...] = ()
    publications: tuple[Publication, ...] = ()
    slots: tuple[Slot, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()
    event_triggers: tuple[EventTrigger, ...] = ()
    expressions: tuple[Expression, ...] = ()
    mentions: tuple[Mention, ...] = ()
    remote_tables: tuple[RemoteTable, ...] = ()
    roles: tuple[Role, ...] = ()
    extensions: tuple[Extension, ...] = ()
    user_types: tuple[UserType, ...] = ()
    search_paths: tuple[PathSetting, ...] = ()
    path_users: tuple[PathUser, ...] = ()
    shared_names: tuple[SharedName, ...] = ()
    extension_uses: tuple[ExtensionUse, ...] = ()
    pinned_routines: tuple[PinnedRoutine, ...] = ()

    def schema(self, name: str) -> Schema | None:
        """The schema of that name, or None."""
        return next((schema for schema in self.schemas if schema.name == name), None)

    @property
    def source_tables(self) -> tuple[Table, ...]:
        """Tables that stand in the source schema, by name."""
        return tuple(sorted((t for t in self.tables if t.schema == self.source_schema), key=lambda t: t.name))

    def role(self, name: str) -> Role | None:
        """The role of that name, or None where it does not exist (``PUBLIC`` never does)."""
        return next((role for role in self.roles if role.name == name), None)

    def path_user(self, name: str) -> PathUser | None:
        """What is known of a role's paths, or None."""
        return next((user for user in self.path_users if user.name == name), None)

    def by_oid(self) -> dict[int, Table]:
        """Tables by OID."""
        return {table.oid: table for table in self.tables}


def changed_parts(before: Table, after: Table) -> Iterator[str]:
    """Which parts of a table differ between two observations, as words for a message."""
    for name in ("name", "schema", "owner", "kind", "parents", "row_security", "extension", "acl", "column_grants"):
        if getattr(before, name) != getattr(after, name):
            yield name.replace("_", " ")
    for part in sorted({*before.structure, *after.structure}):
        if before.structure.get(part) != after.structure.get(part):
            yield part
