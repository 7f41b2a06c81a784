"""What the plan notices: one small function for each kind of finding.

A check takes the `Situation` and yields findings. To add one, write the function and list it in `CHECKS`.

Severities: ``refuse`` stops before anything is touched and says the way out; ``warn`` is reported; ``auto`` is something
that would go wrong with a bare ``ALTER TABLE`` and that the plan takes care of.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import RELATION_KINDS, Catalog, Table
from ansible_collections.dbops.multischema.plugins.module_utils.compatibility_view import (
    SECURITY_INVOKER_SINCE,
    CompatibilityView,
)
from ansible_collections.dbops.multischema.plugins.module_utils.configuration import JOURNAL_SCHEMA, Configuration
from ansible_collections.dbops.multischema.plugins.module_utils.move_step import publications_left
from ansible_collections.dbops.multischema.plugins.module_utils.placement import Group, Placed
from ansible_collections.dbops.multischema.plugins.module_utils.plan import AUTO, REFUSE, WARN, Finding
from ansible_collections.dbops.multischema.plugins.module_utils.privileges import defaults_for_new_tables, grantees
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name, qualified

LARGE_TREE = 100
MEMBER_MS = 3  # measured: moving one partition and making its view, on two busy cores


@dataclass(frozen=True)
class Situation:
    """Everything that a check may look at."""

    catalog: Catalog
    configuration: Configuration
    placed: Placed

    @cached_property
    def moves(self) -> list[tuple[Group, Table, str]]:
        """Every table that moves, with its group and target schema."""
        return [(g, table, g.schema) for g in self.placed.moving for table in g.members if g.schema is not None]

    @cached_property
    def targets(self) -> frozenset[str]:
        """Schemas that receive something."""
        return frozenset(target for _, _, target in self.moves)


def _name(table: Table) -> str:
    return qualified(table.schema, table.name)


def collisions(s: Situation) -> Iterator[Finding]:
    """Tables, views, indexes and sequences share one namespace; types another; statistics a third."""
    relations = {(r.schema, r.name): r.kind for r in s.catalog.relations}
    types = {(t.schema, t.name): t.kind for t in s.catalog.types}
    statistics = {(st.schema, st.name) for st in s.catalog.statistics}
    for _, table, target in s.moves:
        goes = [("table", table.name)]
        goes += [("index", index.name) for index in table.indexes]
        goes += [("sequence", sequence.name) for sequence in table.sequences]
        for what, name in goes:
            if (target, name) in relations:
                there = RELATION_KINDS.get(relations[(target, name)], "relation")
                yield _collision(table, f"{what} {name}", target, f"a {there} of that name")
        for name in filter(None, (table.row_type, table.array_type)):
            if (target, name) in types and (target, name) not in relations:
                yield _collision(table, f"row type {name}", target, "a type of that name")
        for stats in table.statistics:
            if stats.schema == table.schema and (target, stats.name) in statistics:
                yield _collision(table, f"statistics {stats.name}", target, "a statistics object of that name")


def _collision(table: Table, what: str, target: str, there: str) -> Finding:
    return Finding(
        "collision",
        REFUSE,
        _name(table),
        f"Its {what} cannot go to {target}: {there} is already there.",
        f"Rename or remove the one in {Name(target).as_string()}, or place {table.name} elsewhere.",
    )


def rights_to_move(s: Situation) -> Iterator[Finding]:
    """Only a table's owner, or a role with the owner's rights, may move it."""
    server = s.catalog.server
    if server.superuser:
        return
    for _, table, _ in s.moves:
        owner = s.catalog.role(table.owner)
        if table.owner != server.user and (owner is None or not owner.mover_is_member):
            yield Finding(
                "not_owner",
                REFUSE,
                _name(table),
                f"It belongs to {table.owner}; {server.user} has not got that role's rights, so PostgreSQL would refuse.",
                f"GRANT {Name(table.owner).as_string()} TO {Name(server.user).as_string()}, or connect as a role that has it.",
            )


def rights_in_schemas(s: Situation) -> Iterator[Finding]:
    """CREATE is needed in the targets to move, and in the source for the views and for the way back."""
    server = s.catalog.server
    if server.superuser or not s.moves:
        return
    user = Name(server.user).as_string()
    source = s.catalog.source_schema
    if source not in server.create_on_schemas:
        yield Finding(
            "undo_impossible",
            REFUSE,
            source,
            f"{server.user} may not create in {source}: the tables could leave, but no view could take their names, and "
            "the rollback could not bring them back.",
            f"GRANT CREATE ON SCHEMA {Name(source).as_string()} TO {user} for the time of the migration.",
        )
    for target in sorted(s.targets):
        if s.catalog.schema(target) is not None and target not in server.create_on_schemas:
            yield Finding(
                "target_not_writable",
                REFUSE,
                target,
                f"{server.user} may not create in {target}, so nothing can be moved there.",
                f"GRANT CREATE ON SCHEMA {Name(target).as_string()} TO {user}.",
            )
    missing = [name for name in s.configuration.target_names if s.catalog.schema(name) is None]
    if missing and not server.create_on_database:
        yield Finding(
            "schemas_not_creatable",
            REFUSE,
            server.database,
            f"{server.user} may not create schemas in this database, and {', '.join(missing)} are not there yet.",
            f"GRANT CREATE ON DATABASE {Name(server.database).as_string()} TO {user}.",
        )


def schema_owners(s: Situation) -> Iterator[Finding]:
    """The owner that was asked for must exist, and one of an existing schema is left alone."""
    for target in s.configuration.schemas:
        there = s.catalog.schema(target.name)
        if target.owner and there is None and s.catalog.role(target.owner) is None:
            yield Finding(
                "unknown_owner",
                REFUSE,
                target.name,
                f"multischema_schemas gives it to the role {target.owner}, which does not exist on this server.",
                "Create the role, or correct the name.",
            )
        if target.owner and there is not None and there.owner != target.owner:
            yield Finding(
                "schema_owner_differs",
                WARN,
                target.name,
                f"The schema is already there and belongs to {there.owner}, not to {target.owner}; it is left as it is.",
                f"ALTER SCHEMA {Name(target.name).as_string()} OWNER TO {Name(target.owner).as_string()}, if that was meant.",
            )


def application_roles(s: Situation) -> Iterator[Finding]:
    """A role that is named must exist."""
    for name in s.configuration.application_roles:
        if s.catalog.role(name) is None:
            yield Finding(
                "unknown_role",
                REFUSE,
                name,
                "multischema_application_roles names a role that does not exist on this server.",
                "Create the role, or correct the name.",
            )


def inheritance_parents(s: Situation) -> Iterator[Finding]:
    """``ONLY`` has no meaning on a view."""
    parents = {oid for table in s.catalog.tables if not table.is_partition for oid in table.parents}
    for group, table, target in s.moves:
        if group.view and table.kind == "r" and table.oid in parents:
            yield Finding(
                "inheritance_only",
                REFUSE,
                _name(table),
                "Other tables inherit from it. Through a view, PostgreSQL ignores ONLY: DELETE FROM ONLY "
                f"{_name(table)} would delete the children's rows too, without an error.",
                "Make sure that no statement says ONLY on the old name and accept the finding inheritance_only, or give its rule "
                f"compatibility_view: false and let clients use {qualified(target, table.name)} from the start.",
                acceptable=True,
            )


def column_privileges(s: Situation) -> Iterator[Finding]:
    """An invoker's view reads every column; roles with column privileges need another kind of view."""
    for group, table, target in s.moves:
        if not group.view or not table.column_grants:
            continue
        who = ", ".join(sorted({grant.grantee for grant in table.column_grants}))
        view = CompatibilityView(s.catalog, table, target)
        if table.row_security:
            reason = f"{who} may see only some of its columns, and it has row security; no kind of view keeps both."
        elif not view.owned_by_table_owner:
            reason = f"{who} may see only some of its columns; the view for that must belong to {table.owner}."
        else:
            yield Finding(
                "column_privileges",
                AUTO,
                _name(table),
                f"{who} may see only some of its columns: the view runs as {table.owner} and carries the same column privileges.",
            )
            continue
        yield Finding(
            "column_privileges",
            REFUSE,
            _name(table),
            reason,
            f"Let {who} use {qualified(target, table.name)} from the start and give the rule compatibility_view: false, "
            "or accept the finding column_privileges: those roles then lose the old name.",
            acceptable=True,
        )


def row_security(s: Situation) -> Iterator[Finding]:
    """Before PostgreSQL 15 a view runs as its owner, and the caller's policies do not apply."""
    if s.catalog.server.version_num >= SECURITY_INVOKER_SINCE:
        return
    for group, table, _ in s.moves:
        if group.view and table.row_security:
            yield Finding(
                "row_security",
                REFUSE,
                _name(table),
                f"It has row security, and PostgreSQL {s.catalog.server.major} has no security_invoker views: through the "
                "old name every role would see every row.",
                "Give its rule compatibility_view: false, or upgrade to PostgreSQL 15.",
            )


def view_owners(s: Situation) -> Iterator[Finding]:
    """Who cannot create in the source schema cannot own a view there."""
    for group, table, target in s.moves:
        if group.view and not CompatibilityView(s.catalog, table, target).owned_by_table_owner:
            yield Finding(
                "view_owner",
                WARN,
                _name(table),
                f"The compatibility view will belong to {s.catalog.server.user}, because {table.owner} may not create in "
                f"{table.schema}; {table.owner} gets all privileges on it instead.",
            )


def default_privileges_on_views(s: Situation) -> Iterator[Finding]:
    """Default privileges reach the view as well, and may give what the table had been denied."""
    leaked = defaults_for_new_tables(s.catalog, s.catalog.server.user, s.catalog.source_schema)
    for group, table, _ in s.moves:
        extra = leaked - grantees(table) - {table.owner}
        if group.view and extra:
            yield Finding(
                "default_privileges_on_view",
                AUTO,
                _name(table),
                f"Default privileges would give {', '.join(sorted(extra))} rights on the view that they have not got on the "
                "table; they are taken back in the same transaction.",
            )


def statistics_objects(s: Situation) -> Iterator[Finding]:
    """Extended statistics do not follow their table."""
    for _, table, target in s.moves:
        names = [stats.name for stats in table.statistics if stats.schema == table.schema]
        if names:
            yield Finding(
                "statistics",
                AUTO,
                _name(table),
                f"Its extended statistics {', '.join(names)} would stay behind; they go to {target} in the same transaction.",
            )


def publications(s: Situation) -> Iterator[Finding]:
    """Publishing a schema means that a table leaves or joins a publication by moving, without an error."""
    server = s.catalog.server
    for publication in s.catalog.publications:
        for target in sorted(s.targets.intersection(publication.schemas)):
            yield Finding(
                "publication_joins",
                REFUSE,
                publication.name,
                f"The publication publishes schema {target}: every table that moves there joins it, with all columns and rows.",
                f"ALTER PUBLICATION {Name(publication.name).as_string()} DROP TABLES IN SCHEMA {Name(target).as_string()}, and "
                "add the tables that should be published one by one.",
            )
    for _, table, _ in s.moves:
        for publication in publications_left(s.catalog, table):
            owner = s.catalog.role(publication.owner)
            able = server.superuser or server.user == publication.owner or (owner is not None and owner.mover_is_member)
            yield Finding(
                "publication_leaves",
                AUTO if able else REFUSE,
                _name(table),
                f"Publication {publication.name} publishes it only as part of schema {table.schema} and would lose it "
                "silently; " + ("it is added by name in the same transaction." if able else "it must be added by name."),
                "" if able else f"Connect as {publication.owner} or a superuser, who may change the publication.",
            )


def subscribers(s: Situation) -> Iterator[Finding]:
    """Logical replication carries the names of schemas, so a subscriber looks for the table where it has gone."""
    moving = {table.oid: table for _, table, _ in s.moves}
    for publication in s.catalog.publications:
        if publication.all_tables and moving:
            yield Finding(
                "publication_all_tables",
                REFUSE,
                publication.name,
                f"It publishes FOR ALL TABLES, so it would also publish the journal ({JOURNAL_SCHEMA}) and every table under its new "
                "name; a subscriber that has not got those stops with an error and holds back the server's WAL.",
                "Stop the subscriptions (ALTER SUBSCRIPTION … DISABLE), or prepare the same schemas there; then accept the finding "
                "publication_all_tables.",
                acceptable=True,
            )
        hit = sorted(_name(moving[oid]) for oid in publication.tables if oid in moving)
        hit += sorted(_name(t) for t in moving.values() if publication in publications_left(s.catalog, t))
        if hit and not publication.all_tables:
            yield Finding(
                "subscribers",
                WARN,
                publication.name,
                f"It publishes tables that move: {', '.join(hit[:5])}{', …' if len(hit) > 5 else ''}. A subscriber applies "
                "changes under the new names and stops until it has the tables there; nothing is lost, but WAL is kept meanwhile.",
                "On each subscriber, once it has stopped or caught up: CREATE SCHEMA and ALTER TABLE … SET SCHEMA as in plan.sql. Change "
                "topic and table filters of change-data-capture tools.",
            )


def event_triggers(s: Situation) -> Iterator[Finding]:
    """Event triggers run inside our transactions."""
    for trigger in s.catalog.event_triggers:
        if trigger.enabled and s.moves:
            yield Finding(
                "event_trigger",
                WARN,
                trigger.name,
                f"Event trigger on {trigger.event}: {trigger.function}() runs inside every step, and can slow it down or veto it.",
                f"Read the function; ALTER EVENT TRIGGER {Name(trigger.name).as_string()} DISABLE for the window, if it may.",
            )


def large_trees(s: Situation) -> Iterator[Finding]:
    """A tree moves in one transaction, so all of it is locked until the last member has moved."""
    for group in s.placed.moving:
        if len(group.members) > LARGE_TREE:
            yield Finding(
                "large_tree",
                WARN,
                _name(group.root),
                f"It moves with {len(group.members) - 1} members in one transaction; expect it to be locked for about "
                f"{len(group.members) * MEMBER_MS / 1000:.1f} s.",
                "Move it in a quiet minute, or rehearse on a copy to see how long it takes there.",
            )


def dumps_by_name(s: Situation) -> Iterator[Finding]:
    """The most dangerous silent one: a backup that succeeds and holds nothing."""
    if s.moves:
        source = s.catalog.source_schema
        yield Finding(
            "dump_by_name",
            WARN,
            source,
            f"A backup job that names schemas or tables (pg_dump -n {source}, pg_dump -t {source}.x) will go on to succeed and "
            "hold no rows of what has moved.",
            f"Dump the whole database, or add -n {' -n '.join(sorted(s.targets))} to such jobs before phase 2.",
        )


CHECKS = (
    dumps_by_name,
    large_trees,
    collisions,
    rights_to_move,
    rights_in_schemas,
    schema_owners,
    application_roles,
    inheritance_parents,
    column_privileges,
    row_security,
    view_owners,
    default_privileges_on_views,
    statistics_objects,
    publications,
    subscribers,
    event_triggers,
)
