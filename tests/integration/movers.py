"""Who runs the migration: a superuser, or an ordinary role with exactly the rights that the README lists."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from psycopg2 import sql

from tests.integration.databases import TEMPLATE, Login, Target, new_database
from tests.integration.placements import OWNED_STATISTICS

PASSWORD = "not a superuser's"

# As in the README, "Rights of the migrating role"; the names in braces are given as identifiers.
RIGHTS = {
    "login": "GRANT CONNECT ON DATABASE {database} TO {mover}",
    "membership": "GRANT {owners} TO {mover}",
    "database": "GRANT CREATE ON DATABASE {database} TO {mover}",
    "source": "GRANT CREATE, USAGE ON SCHEMA {source} TO {mover}",
    "views": "GRANT CREATE ON SCHEMA {source} TO {owners}",
    "monitor": "GRANT pg_monitor TO {mover}",
}
IN_EACH_DATABASE = ("login", "database", "source", "views")  # the others are of the whole server


def right(name: str, target: Target, mover: str, owners: Iterable[str], source: str = "public") -> sql.Composed:
    """The statement that gives one of the rights."""
    return sql.SQL(RIGHTS[name]).format(
        database=sql.Identifier(target.name),
        mover=sql.Identifier(mover),
        owners=sql.SQL(", ").join(map(sql.Identifier, owners)),
        source=sql.Identifier(source),
    )


def ordinary(target: Target, owners: Iterable[str], source: str = "public", rights: Iterable[str] = RIGHTS) -> Target:
    """The same database, to be migrated by a new role that has these rights and no others; `dismiss` removes it."""
    login = Login(f"mover_{target.name}", PASSWORD)
    target.server.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(login.user), sql.Literal(login.password)))
    for name in rights:
        target.execute(right(name, target, login.user, owners, source))
    return replace(target, mover=login)


OF_THE_SAMPLE = ("app_owner", "analytics_owner")


def of_the_sample(target: Target) -> Target:
    """The sample database, migrated by an ordinary role; what a test makes in it is the application's."""
    target.execute(*OWNED_STATISTICS)
    return replace(ordinary(target, OF_THE_SAMPLE), owner=OF_THE_SAMPLE[0])


def twin_of_the_sample(target: Target) -> Target:
    """Another sample database with the same roles and rights, in which the superuser works."""
    fresh = new_database(target.server, TEMPLATE)
    if target.mover is not None:
        fresh.execute(*OWNED_STATISTICS, *(right(name, fresh, target.mover.user, OF_THE_SAMPLE) for name in IN_EACH_DATABASE))
    return fresh


def of_an_empty(target: Target) -> Target:
    """An empty database, whose tests make everything as a role without a password that the mover is a member of."""
    owner = _owner_of(target)
    target.server.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(owner)))
    found = replace(ordinary(target, (owner,)), owner=owner)
    _let_work(target, found)
    return found


def joined(target: Target, *owners: str, source: str = "public") -> None:
    """Let the mover of an ordinary run move what belongs to these roles as well, and whoever makes a test's objects give it to them."""
    if target.mover is None:
        return
    superuser = replace(target, owner=None)
    fully = sql.SQL(" WITH INHERIT TRUE, SET TRUE" if target.server.major >= 16 else "")  # whatever less has been granted before
    for member in (target.mover.user, target.owner):
        if member is not None:
            superuser.execute(right("membership", target, member, owners) + fully)
    superuser.execute(right("views", target, target.mover.user, owners, source), right("source", target, target.mover.user, owners, source))


def twin(target: Target, template: str | None = None) -> Target:
    """Another database with the same roles and rights: empty, or a copy that has those in it already."""
    fresh = new_database(target.server, template)
    if target.mover is None or target.owner is None:
        return fresh
    for name in IN_EACH_DATABASE if template is None else ("login", "database"):
        fresh.execute(right(name, fresh, target.mover.user, (target.owner,)))
    _let_work(fresh, target)
    return replace(fresh, mover=target.mover, owner=target.owner)


def _owner_of(target: Target) -> str:
    return f"owner_{target.name}"


def _let_work(target: Target, like: Target) -> None:
    """Let the owner make what a test needs."""
    assert like.owner is not None
    target.execute(right("database", target, like.owner, ()), right("source", target, like.owner, ()))


def dismiss(target: Target) -> None:
    """Drop the roles, once the database is gone."""
    for name in (target.mover.user if target.mover else None, target.owner):
        if name is not None and name in (f"mover_{target.name}", _owner_of(target)):
            target.server.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))
