"""A small shop whose roles log in, to see which paths they get."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

from ansible_collections.dbops.multischema.plugins.module_utils.plan import Finding, Plan
from tests.integration.core import Core
from tests.integration.databases import Target

PASSWORD = "sample"
OWN_ROLES = pytest.mark.own_roles("roles with this or that right to set the paths of others connect")
ODD = 'Odd "x", y'  # a schema whose name hurts in a list
SHOP_SQL = """
CREATE TABLE orders (id serial PRIMARY KEY, total int);
CREATE TABLE "Items" (id int PRIMARY KEY);
CREATE TABLE plans (id int PRIMARY KEY);
CREATE TABLE django_migrations (id serial PRIMARY KEY, app text);
INSERT INTO orders (total) VALUES (1), (2);
INSERT INTO django_migrations (app) VALUES ('shop');
"""
_ALL_SETTINGS = "SELECT setdatabase, setrole, setconfig::text FROM pg_db_role_setting ORDER BY 1, 2"
IN_DATABASE = """
SELECT c FROM pg_db_role_setting s, unnest(s.setconfig) c JOIN pg_roles r ON r.rolname = %s
 WHERE s.setrole = r.oid AND s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) AND c LIKE 'search_path=%%'
"""


@dataclass
class Shop:
    """A database with a few tables, and roles that log in."""

    target: Target
    suffix: str = field(default_factory=lambda: uuid.uuid4().hex[:6])
    roles: list[str] = field(default_factory=list)

    def role(self, name: str, options: str = "", *settings: str) -> str:
        """Make a role that may use the tables. ``{}`` in a setting is the role; ``{d}`` the database."""
        role = f"{name}_{self.suffix}"
        self.target.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} " + options).format(sql.Identifier(role), sql.Literal(PASSWORD)),
            sql.SQL("GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO {}").format(sql.Identifier(role)),
            sql.SQL("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {}").format(sql.Identifier(role)),
        )
        self.roles.append(role)
        self._let_the_mover_set_paths(role)
        for setting in settings:
            self.target.execute(sql.SQL(setting).format(sql.Identifier(role), d=sql.Identifier(self.target.name)))
        return role

    def _let_the_mover_set_paths(self, role: str) -> None:
        """In a run as an ordinary role: with what the README's table says that it needs for this."""
        if self.target.mover is None:
            return
        mover = self.target.mover.user
        only = " WITH ADMIN TRUE, INHERIT FALSE, SET FALSE" if self.target.server.major >= 16 else ""
        self.target.execute(f"ALTER ROLE {mover} CREATEROLE", f"GRANT {role} TO {mover}{only}")

    def values(self, *roles: str, **more: Any) -> dict[str, Any]:
        """A configuration for these roles of the application."""
        base: dict[str, Any] = {
            "schemas": [{"name": "sales"}, {"name": ODD}],
            "placement": [{"schema": ODD, "tables": ["plans"]}, {"schema": "sales", "tables": ["orders", "Items"]}],
            "application_roles": list(roles),
            "unplaced": "keep",
        }
        return base | more

    def core(self, *roles: str, **more: Any) -> Core:
        """The core on it."""
        return Core(self.target, self.values(*roles, **more))

    def session(self, role: str, **options: Any) -> Any:
        """A new connection of a role."""
        return self.target.session(user=role, password=PASSWORD, **options)

    def asks(self, role: str, query: str, **options: Any) -> Any:
        """The answer that a new session of a role gets."""
        with self.session(role, **options) as connection:
            return ask(connection, query)

    def settings(self) -> list[tuple[Any, ...]]:
        """Everybody's, of all databases."""
        return self.target.rows(_ALL_SETTINGS)


def ask(connection: Connection, query: str) -> Any:
    """The first column of the first row."""
    with connection.cursor() as cursor:
        cursor.execute(query)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def named(plan: Plan, finding: str) -> list[Finding]:
    """The findings of one kind."""
    return [found for found in plan.findings if found.id == finding]


@contextlib.contextmanager
def opened(target: Target) -> Iterator[Shop]:
    """The shop in a database of its own; the database and the roles go at the end."""
    target.execute(SHOP_SQL)
    made = Shop(target)
    yield made
    target.drop()
    for role in made.roles:
        target.server.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
