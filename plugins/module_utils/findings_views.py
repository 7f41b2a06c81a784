"""Findings about the views that keep old names working."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Table
from ansible_collections.dbops.multischema.plugins.module_utils.compatibility_view import (
    SECURITY_INVOKER_SINCE,
    CompatibilityView,
)
from ansible_collections.dbops.multischema.plugins.module_utils.plan import AUTO, REFUSE, WARN, Finding
from ansible_collections.dbops.multischema.plugins.module_utils.privileges import defaults_for_new_tables, grantees
from ansible_collections.dbops.multischema.plugins.module_utils.situation import Situation, table_name
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name, qualified


def inheritance_parents(s: Situation) -> Iterator[Finding]:
    """``ONLY`` has no meaning on a view."""
    parents = {oid for table in s.catalog.tables if not table.is_partition for oid in table.parents}
    for group, table, target in s.moves:
        if group.view and table.kind == "r" and table.oid in parents:
            yield Finding(
                "inheritance_only",
                REFUSE,
                table_name(table),
                "Other tables inherit from it. Through a view, PostgreSQL ignores ONLY: DELETE FROM ONLY "
                f"{table_name(table)} would delete the children's rows too, without an error.",
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
        way_out = "L"
        if table.row_security:
            reason = f"{who} may see only some of its columns, and it has row security; no kind of view keeps both."
        elif table.kind == "f":
            reason = (
                f"{who} may see only some of its columns; a view for that would read the foreign server with {table.owner}'s user mapping."
            )
        elif not view.owner_has_all:
            reason = f"{who} may see only some of its columns; the view for that runs as {table.owner}, who has given up rights on it."
        elif not view.owned_by_table_owner:
            why, grant = _why_not_owned(s, table)
            reason = f"{who} may see only some of its columns; the view for that must belong to {table.owner}, but {why}."
            way_out = f"{grant}; or l"
        else:
            yield Finding(
                "column_privileges",
                AUTO,
                table_name(table),
                f"{who} may see only some of its columns: the view runs as {table.owner} and carries the same column privileges.",
            )
            continue
        yield Finding(
            "column_privileges",
            REFUSE,
            table_name(table),
            reason,
            f"{way_out}et {who} use {qualified(target, table.name)} from the start and give the rule compatibility_view: false, "
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
                table_name(table),
                f"It has row security, and PostgreSQL {s.catalog.server.major} has no security_invoker views: through the "
                "old name every role would see every row.",
                "Give its rule compatibility_view: false, or upgrade to PostgreSQL 15.",
            )


def view_owners(s: Situation) -> Iterator[Finding]:
    """Who cannot create in the source schema cannot own a view there."""
    for group, table, target in s.moves:
        if group.view and not CompatibilityView(s.catalog, table, target).owned_by_table_owner:
            why, way_out = _why_not_owned(s, table)
            yield Finding(
                "view_owner",
                WARN,
                table_name(table),
                f"The compatibility view will belong to {s.catalog.server.user}, because {why}; {table.owner} gets all "
                "privileges on it instead.",
                f"{way_out}, if it should be the owner's.",
            )


def _why_not_owned(s: Situation, table: Table) -> tuple[str, str]:
    """Why the view over a table cannot be given to the table's owner, and the SQL that allows it."""
    owner = s.catalog.role(table.owner)
    if owner is not None and owner.creates_in_source and not owner.mover_can_become:
        why = "its membership lacks SET" if owner.mover_belongs else "it is no member of that role"
        return f"{s.catalog.server.user} may not give it to {table.owner} ({why})", s.membership(table.owner)
    grant = f"GRANT CREATE ON SCHEMA {Name(table.schema).as_string()} TO {Name(table.owner).as_string()}"
    return f"{table.owner} may not create in {table.schema}", grant


def default_privileges_on_views(s: Situation) -> Iterator[Finding]:
    """Default privileges reach the view as well, and may give what the table had been denied."""
    leaked = defaults_for_new_tables(s.catalog, s.catalog.server.user, s.catalog.source_schema)
    for group, table, _ in s.moves:
        extra = leaked - grantees(table) - {table.owner}
        if group.view and extra:
            yield Finding(
                "default_privileges_on_view",
                AUTO,
                table_name(table),
                f"Default privileges would give {', '.join(sorted(extra))} rights on the view that they have not got on the "
                "table; they are taken back in the same transaction.",
            )


def grants_passed_on(s: Situation) -> Iterator[Finding]:
    """Privileges on the view all come from its owner, so a chain of grants does not hang together there."""
    for group, table, target in s.moves:
        if group.view and table.granted_by:
            who = ", ".join(table.granted_by)
            yield Finding(
                "grants_passed_on",
                WARN,
                table_name(table),
                f"{who} has passed privileges on it to others. The view has the same privileges, all granted by its owner: REVOKE … "
                f"CASCADE on the old name would not take back what {who} has passed on.",
                f"Revoke on {qualified(target, table.name)}, and on the view from each.",
            )


def partitions_by_name(s: Situation) -> Iterator[Finding]:
    """Partitions are often made by a job, by the parent's name, at midnight."""
    owners = {schema.name: schema.owner for schema in s.catalog.schemas}
    owners.update({t.name: t.owner or s.catalog.server.user for t in s.configuration.schemas if t.name not in owners})
    for group, table, target in s.moves:
        if not group.view or table.kind != "p" or table.is_partition:
            continue
        grant = ""
        if owners.get(target) != table.owner:
            grant = f" {table.owner} needs the right to create there: GRANT CREATE ON SCHEMA {Name(target).as_string()} TO "
            grant += f"{Name(table.owner).as_string()}."
        yield Finding(
            "partitions_by_old_name",
            WARN,
            table_name(table),
            f"By its old name no partition can be made, attached or detached: CREATE TABLE … PARTITION OF {table_name(table)} fails, "
            "because that is a view then. A job that does so fails when the next partition is due.",
            f"Let such jobs say {qualified(target, table.name)}, and make the next partitions before phase 2.{grant}",
        )


def no_columns(s: Situation) -> Iterator[Finding]:
    """PostgreSQL cannot insert into a view that has no columns."""
    for group, table, target in s.moves:
        if group.view and not table.columns:
            yield Finding(
                "no_columns",
                WARN,
                table_name(table),
                "It has no columns, and nothing can be inserted into a view without columns: by its old name it can only be read.",
                f"Use {qualified(target, table.name)} for INSERT.",
            )
