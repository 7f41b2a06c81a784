"""Findings about search paths: who finds the moved tables by their bare names, and what else a bare name may come to mean."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.dbops.multischema.plugins.module_utils.bare_names import changed_meanings, grouped
from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Table
from ansible_collections.dbops.multischema.plugins.module_utils.path_changes import (
    BY_DATABASE,
    BY_ROLES,
    CHANGED,
    NO_LOGIN,
    UNKNOWN,
    WITHOUT_SOURCE,
    Look,
    PathChange,
    application,
    looks,
    overriding,
)
from ansible_collections.dbops.multischema.plugins.module_utils.plan import AUTO, REFUSE, WARN, Finding
from ansible_collections.dbops.multischema.plugins.module_utils.search_path import effective, parse, shown, stored
from ansible_collections.dbops.multischema.plugins.module_utils.search_path_step import restore_statements, set_statement
from ansible_collections.dbops.multischema.plugins.module_utils.situation import Situation
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name


def _whose(s: Situation, change: PathChange) -> str:
    return change.role if change.role is not None else f"database {s.catalog.server.database}"


def paths_set(s: Situation) -> Iterator[Finding]:
    """A path that changes: by a step, or by somebody who may."""
    for change in s.path_changes:
        if change.outcome != CHANGED:
            continue
        change_text = f"from {shown(change.former)} to {shown(change.items)}"
        if change.able:
            yield Finding(
                "search_path",
                AUTO,
                _whose(s, change),
                f"The search_path of its new sessions goes {change_text}, so that bare names reach the tables themselves and not "
                "their views. Sessions that are open keep the old path until they connect again, and a path that a client sets for "
                "itself goes before it.",
            )
        else:
            yield Finding(
                "search_path_by_hand",
                WARN,
                _whose(s, change),
                f"The search_path of its new sessions should go {change_text}, and {s.catalog.server.user} may not set it. Without it "
                "bare names reach the views, which do less than tables.",
                f"{_who_may(s, change)}, after phase 2: {set_statement(change.role, s.catalog.server.database, change.items)}; and "
                f"before a rollback: {_way_back(s, change)}.",
            )


def _who_may(s: Situation, change: PathChange) -> str:
    if change.role is None:
        return "As the owner of the database"
    if s.catalog.server.major >= 16:
        return f"As a superuser, or as a role with CREATEROLE and ADMIN OPTION on {change.role}"
    return "As a superuser, or as a role with CREATEROLE"


def _way_back(s: Situation, change: PathChange) -> str:
    return "; ".join(restore_statements(change.role, s.catalog.server.database, stored(s.catalog, change.role, True)))


def paths_left(s: Situation) -> Iterator[Finding]:
    """A path that stays as it is: the source schema is not on it, it cannot be seen, or nobody's session would get it."""
    for change in s.path_changes:
        if change.outcome == WITHOUT_SOURCE:
            yield Finding(
                "search_path_left",
                WARN,
                _whose(s, change),
                f"Its search_path, {shown(change.former)}, does not hold {s.catalog.source_schema}: bare names have not reached these "
                "tables by it, so it is left alone.",
                "Nothing, where it names tables with their schema. Where it sets a path for itself, put the target schemas there.",
            )
        elif change.outcome == NO_LOGIN:
            yield Finding(
                "search_path_no_login",
                WARN,
                _whose(s, change),
                "It cannot log in, and a session gets the settings of the role that logs in, not of those that it is a member of: a path "
                "of this role would reach nobody, so none is set.",
                "List the roles that log in in multischema_application_roles; or set multischema_search_path: database.",
            )
        elif change.outcome == UNKNOWN:
            yield Finding(
                "search_path_unknown",
                WARN,
                _whose(s, change),
                f"Its search_path comes from the server's configuration, which {s.catalog.server.user} cannot see, because it has a path "
                "of its own. So it is left alone.",
                f"ALTER ROLE {Name(s.catalog.server.user).as_string()} RESET search_path, or connect as another role; or set the path by "
                "hand after phase 2.",
            )


def paths_overridden(s: Situation) -> Iterator[Finding]:
    """A path of the role's own goes before that of the database."""
    if s.configuration.search_path != BY_DATABASE or not s.path_changes:
        return
    for user in application(s.catalog, s.configuration):
        own = overriding(s.catalog, user)
        if own is not None:
            yield Finding(
                "search_path_overridden",
                REFUSE,
                user.name,
                f"multischema_search_path is database, and {user.name} has a path of its own, {own}, which goes before the database's: "
                "its sessions would not notice the change.",
                f"Set multischema_search_path: {BY_ROLES}; or ALTER ROLE {Name(user.name).as_string()} RESET search_path (and the same "
                f"IN DATABASE {Name(s.catalog.server.database).as_string()}), if it is not needed.",
                acceptable=True,
            )


def _looks(s: Situation) -> list[Look]:
    return list(looks(s.catalog, s.configuration, s.placed, s.path_changes))


def ambiguous_names(s: Situation) -> Iterator[Finding]:
    """A target that holds objects already may have one that is found in place of another from now on."""
    groups = grouped(s.catalog.shared_names)
    destination = {oid: target for _, table, target in s.moves for oid in _oids(table)}
    destination.update({oid: move.schema for move in s.placed.types for oid in (move.found.oid, move.found.relation) if oid})
    found: dict[tuple[str, str], tuple[str, list[str]]] = {}
    for look in _looks(s) if groups else ():
        for was, becomes in changed_meanings(groups, look.before, look.after, destination):
            new = f"{Name(destination.get(becomes.oid, becomes.schema)).as_string()}.{becomes.label}"
            old = f"{Name(destination.get(was.oid, was.schema)).as_string()}.{was.label}"
            key = (new, old)
            of = found.setdefault(key, (becomes.kind, []))[1]
            if look.user.name not in of:
                of.append(look.user.name)
    for (new, old), (what, roles) in sorted(found.items()):
        yield Finding(
            "search_path_ambiguous",
            REFUSE,
            new,
            f"On the new search_path of {', '.join(roles)} this {what} comes first where {old} was meant by the bare name; nothing "
            "would fail, and another one would answer.",
            f"Rename one of them, or say that it is meant: accept the finding search_path_ambiguous for {new}; "
            "multischema_search_path: unchanged leaves all paths as they are.",
            acceptable=True,
        )


def _oids(table: Table) -> list[int]:
    return [table.oid, *(index.oid for index in table.indexes), *(sequence.oid for sequence in table.sequences)]


def creation_schemas(s: Situation) -> Iterator[Finding]:
    """CREATE without a schema goes to the first schema of the path, and asks no other whether the name is there."""
    owners = {schema.name: schema.owner or s.catalog.server.user for schema in s.configuration.schemas}
    for look in _looks(s):
        first, former = next(iter(look.after), None), next(iter(look.before), None)
        if first is None or first == former:
            continue
        user = look.user
        owns = owners.get(first) in (user.name, *user.acts_for)
        creates = owns if s.catalog.schema(first) is None else first in user.creates
        name = Name(first).as_string()
        if user.superuser or creates:
            yield Finding(
                "search_path_creates",
                WARN,
                user.name,
                f"What it creates without naming a schema goes to {name} from now on, which is first on its new search_path. "
                "CREATE TABLE IF NOT EXISTS looks into that schema only: it makes an empty table beside one of the same name in another "
                "schema, and the empty one is found first.",
                "Stop migrations of the application for the window; let them name the schema, or give the role that runs them a path that "
                "begins with the schema that is meant.",
            )
        elif former in user.creates:
            yield Finding(
                "search_path_creates",
                WARN,
                user.name,
                f"What it creates without naming a schema went to {former}; from now on {name} is first on its path, where it may not "
                "create: that fails.",
                f"Let it name the schema; or GRANT CREATE ON SCHEMA {name} TO {Name(user.name).as_string()}, if new tables belong "
                "there; or set multischema_search_path: unchanged.",
            )


def extensions_lost(s: Situation) -> Iterator[Finding]:
    """Without the extension's schema its operators are not found, and PostgreSQL may take those of a base type without a word."""
    moving = {table.oid: target for _, table, target in s.moves}
    for use in s.catalog.extension_uses:
        targets = {moving[oid] for oid in use.tables if oid in moving}
        if not targets:
            continue
        lost = [(f"role {user.name}", effective(s.catalog, user.name)) for user in s.catalog.path_users]
        lost += [(f"routine {routine.label}", routine.value) for routine in s.catalog.pinned_routines]
        for whose, text in lost:
            path = _parsed(text)
            if path is None or use.schema in path or not targets.intersection(path):
                continue
            whole = Name(use.schema).as_string()
            yield Finding(
                "search_path_loses_extension",
                WARN,
                f"{whose}: {use.extension}",
                f"Its search_path, {shown(path)}, reaches tables with columns of the extension {use.extension}, and not {whole}, where the "
                "operators of that extension are. They are not found then, or those of text answer in their place: a citext column "
                "compares with regard to case, without an error.",
                f"Add {whole} to the end of that path.",
            )


def _parsed(text: str | None) -> tuple[str, ...] | None:
    try:
        return parse(text) if text is not None else None
    except ValueError:
        return None
