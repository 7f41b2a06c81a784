"""The databases that are measured on: many small tables, each with what an application's table usually has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.connection import ConnectionSettings, parse_url
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from tests.support.servers import Server

OWNER, WRITER, READER = "bench_owner", "bench_writer", "bench_reader"
TARGETS = ("tenant_a", "tenant_b")
BATCH = 500  # statements in one transaction while tables are made

_ROLES = f"""
DO $$ BEGIN
  CREATE ROLE {OWNER}; CREATE ROLE {WRITER}; CREATE ROLE {READER};
EXCEPTION WHEN duplicate_object THEN NULL; END $$
"""

# Half of them name a table, as functions of applications do.
_FUNCTION = """
CREATE FUNCTION public.routine_{n}(wanted int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE found bigint; BEGIN
  SELECT count(*) INTO found FROM public.t{table:05} t WHERE t.id > wanted;
  IF found > 10 THEN PERFORM set_config('bench.found', found::text, true); END IF;
  RETURN found;
END $$
"""


def table_names(count: int) -> Iterator[tuple[str, str]]:
    """Table and the schema it goes to."""
    for number in range(count):
        yield f"t{number:05}", TARGETS[number % len(TARGETS)]


def _table(name: str) -> str:
    return (
        f"CREATE TABLE public.{name} (id serial PRIMARY KEY, body text, at timestamptz DEFAULT now()); "
        f"ALTER TABLE public.{name} OWNER TO {OWNER}; "
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON public.{name} TO {WRITER}; GRANT SELECT ON public.{name} TO {READER}"
    )


def make_template(server: Server, tables: int, functions: int = 0) -> str:
    """A database with so many tables (table, serial, primary key, toast, grants to two roles); made once.

    :returns: its name, to be the template of others.
    """
    name = f"bench_{tables}_{functions}"
    server.execute(_ROLES)
    server.create_database(name)
    connection = server.connect(name)
    try:
        with connection.cursor() as cursor:
            pieces = [_table(table) for table, _ in table_names(tables)]
            pieces += [_FUNCTION.format(n=number, table=number % max(tables, 1)) for number in range(functions)]
            for start in range(0, len(pieces), BATCH):
                cursor.execute("; ".join(pieces[start : start + BATCH]))
                connection.commit()
            connection.autocommit = True
            cursor.execute("VACUUM ANALYZE")
    finally:
        connection.close()
    return name


def settings(server: Server, database: str) -> ConnectionSettings:
    """How both the core and the scripts connect: over the Unix socket."""
    return parse_url(f"postgresql://{server.user}:{server.password}@/{database}?host={server.socket_dir}&port={server.port}")


def connect(server: Server, database: str) -> Database:
    """A connection of the core's own kind."""
    return Database(settings(server, database), "bench")


def configuration(tables: int, views: bool) -> dict[str, Any]:
    """What the core is asked for: every table goes to one of two schemas."""
    return {
        "schemas": [{"name": name, "owner": OWNER} for name in TARGETS],
        "placement": [{"schema": target, "tables": [name for name, to in table_names(tables) if to == target]} for target in TARGETS],
        "compatibility_views": views,
        "application_roles": [WRITER, READER],
    }
