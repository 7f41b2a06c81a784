"""Findings about logical replication: who follows the database, and whom it follows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Publication, Table
from ansible_collections.dbops.multischema.plugins.module_utils.configuration import JOURNAL_SCHEMA
from ansible_collections.dbops.multischema.plugins.module_utils.move_step import publications_left, publishable, published_by
from ansible_collections.dbops.multischema.plugins.module_utils.plan import AUTO, REFUSE, WARN, Finding
from ansible_collections.dbops.multischema.plugins.module_utils.situation import Situation, table_name
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name

SHOWN = 5
PGOUTPUT = "pgoutput"  # the plugin of subscriptions, and of some other readers


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def leaving(s: Situation) -> Iterator[Finding]:
    """Publishing a schema means that a table leaves the publication by moving, without an error."""
    for _, table, target in s.moves:
        for publication in publications_left(s.catalog, table, target):
            able = s.may_act_as(publication.owner)
            yield Finding(
                "publication_leaves",
                AUTO if able else REFUSE,
                table_name(table),
                f"Publication {publication.name} publishes it only as part of schema {table.schema} and would lose it "
                "silently; " + ("it is added by name in the same transaction." if able else "it must be added by name."),
                "" if able else f"Connect as {publication.owner} or a superuser, who may change the publication.",
            )


def _joins(publication: Publication, table: Table) -> bool:
    """Whether publishing the target schema publishes more of the table than is published of it now."""
    if publication.all_tables or table.schema in publication.schemas or not publishable(table):
        return False
    return table.oid not in publication.tables or table.oid in publication.filtered


def joining(s: Situation) -> Iterator[Finding]:
    """A published target schema means that a table joins by moving, whatever rows and columns another entry leaves out."""
    for publication in s.catalog.publications:
        for target in sorted(s.targets.intersection(publication.schemas)):
            join = [table for _, table, where in s.moves if where == target and _joins(publication, table)]
            if not join:
                continue
            hidden = sorted(table_name(t) for t in join if any(t.oid in other.filtered for other in s.catalog.publications))
            helpless = sorted(table_name(t) for t in join if publication.identified and not t.replica_identity and t.kind != "p")
            more = f" The row filter or column list that {_some(hidden)} has now would have no effect there." if hidden else ""
            if helpless:
                more += f" UPDATE and DELETE of {_some(helpless)} would begin to fail: no replica identity."
            yield Finding(
                "publication_joins",
                REFUSE,
                publication.name,
                f"The publication publishes schema {target}: {_some(sorted(map(table_name, join)))} would join it by moving there, with "
                f"all columns and rows.{more}",
                f"ALTER PUBLICATION {Name(publication.name).as_string()} DROP TABLES IN SCHEMA {Name(target).as_string()}, and "
                "add the tables that should be published one by one.",
            )


def filters(s: Situation) -> Iterator[Finding]:
    """While a publication publishes the whole schema, a table's own filter in it has no effect; outside it has."""
    for publication in s.catalog.publications:
        for _, table, target in s.moves:
            if table.oid in publication.filtered and table.schema in publication.schemas and target not in publication.schemas:
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


def all_tables(s: Situation) -> Iterator[Finding]:
    """The journal is written in the same transactions, and FOR ALL TABLES leaves nothing out."""
    readers = [slot.name for slot in s.catalog.slots]
    for publication in s.catalog.publications:
        if publication.all_tables and s.moves:
            reason = f"It publishes FOR ALL TABLES, so it also publishes the journal ({JOURNAL_SCHEMA})"
            if not readers:
                yield Finding(
                    "publication_all_tables", WARN, publication.name, f"{reason}. No logical slot is there, so nobody reads it now."
                )
                continue
            yield Finding(
                "publication_all_tables",
                REFUSE,
                publication.name,
                f"{reason}, and {_some(readers)} reads this database's changes. A subscriber that has not got the journal's tables stops "
                "with an error as soon as phase 1 begins, and holds back the server's WAL.",
                "Create the journal's empty tables on each subscriber first: subscriber.sql, beside the plan, begins with them; their rows "
                "are skipped there. Then accept the finding publication_all_tables.",
                acceptable=True,
            )


def subscribers(s: Situation) -> Iterator[Finding]:
    """Logical replication carries the names of schemas, so a subscriber looks for the table where it has gone."""
    for publication in s.catalog.publications if s.moves else ():
        published = published_by(publication, s.catalog)
        names = sorted(table_name(table) for _, table, _ in s.moves if table.oid in published)
        if not names:
            continue
        yield Finding(
            "subscribers",
            WARN,
            publication.name,
            f"It publishes tables that move: {_some(names)}. A subscriber applies changes under the new names and stops until it has "
            "the tables there; nothing is lost, but WAL is kept meanwhile.",
            "This database first; then run subscriber.sql, beside the plan, on each subscriber: it moves each table when its time has "
            "come. After a rollback run subscriber_rollback.sql. Never create the tables anew there: their changes would be skipped.",
        )


def slots(s: Situation) -> Iterator[Finding]:
    """Whoever decodes changes gets them under the new name, also those that came by the old one."""
    for slot in s.catalog.slots if s.moves else ():
        who = "a subscription, or a change-data-capture tool," if slot.plugin == PGOUTPUT else f"a reader of {slot.plugin}"
        yield Finding(
            "logical_slot",
            WARN,
            slot.name,
            f"Through this slot {who} reads changes. Those of a moved table carry its new schema, also where the statement used the old "
            f"name: what is filtered by {s.catalog.source_schema} goes quiet without an error.",
            "Let filters of topics and tables name both schemas before phase 2.",
        )


def subscriptions(s: Situation) -> Iterator[Finding]:
    """A view cannot be the target of replication."""
    moving = {table.oid: table for _, table, _ in s.moves}
    for subscription in s.catalog.subscriptions:
        hit = sorted(table_name(moving[oid]) for oid in subscription.tables if oid in moving)
        if hit:
            name = Name(subscription.name).as_string()
            yield Finding(
                "subscription_target",
                REFUSE,
                subscription.name,
                f"This database is a subscriber, and the subscription writes to {_some(hit)} by the name that the publisher sends. "
                "While that is the old one, it would find a view, which cannot be a target, and stop.",
                "Migrate the publisher first, with the same placement; its subscriber.sql moves the tables here as changes come. "
                "Or let nobody write to them there, until everything from before is applied here; then accept the finding "
                f"subscription_target and migrate this database under ALTER SUBSCRIPTION {name} DISABLE.",
                acceptable=True,
            )
