"""Findings about logical replication."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.dbops.multischema.plugins.module_utils.configuration import JOURNAL_SCHEMA
from ansible_collections.dbops.multischema.plugins.module_utils.move_step import publications_left
from ansible_collections.dbops.multischema.plugins.module_utils.plan import AUTO, REFUSE, WARN, Finding
from ansible_collections.dbops.multischema.plugins.module_utils.situation import Situation, table_name
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name


def publications(s: Situation) -> Iterator[Finding]:
    """Publishing a schema means that a table leaves or joins a publication by moving, without an error."""
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
            able = s.may_act_as(publication.owner)
            yield Finding(
                "publication_leaves",
                AUTO if able else REFUSE,
                table_name(table),
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
        hit = sorted(table_name(moving[oid]) for oid in publication.tables if oid in moving)
        hit += sorted(table_name(t) for t in moving.values() if publication in publications_left(s.catalog, t))
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


def filters(s: Situation) -> Iterator[Finding]:
    """While a publication publishes the whole schema, a table's own filter in it has no effect; outside it has."""
    for publication in s.catalog.publications:
        for _, table, _ in s.moves:
            if table.oid in publication.filtered and table.schema in publication.schemas:
                yield Finding(
                    "publication_filter",
                    REFUSE,
                    table_name(table),
                    f"Publication {publication.name} has a row filter or column list for it that has no effect now, because the whole "
                    f"schema {table.schema} is published. Once it has moved, rows or columns would be left out without a word.",
                    f"ALTER PUBLICATION {Name(publication.name).as_string()} DROP TABLE {table_name(table)}, then ADD TABLE it as "
                    "it should be; or accept the finding publication_filter.",
                    acceptable=True,
                )
