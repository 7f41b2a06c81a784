"""What a case is, and the pieces that cases are built of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import (
    Catalog,
    ColumnDefault,
    EventTrigger,
    Extension,
    Publication,
    Role,
)
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_routines import Routine
from ansible_collections.dbops.multischema.plugins.module_utils.configuration import Configuration
from tests.unit import builders as b
from tests.unit.builders import OWNER, catalog, configuration, everything, grant, mover, oid, schema, table

WITHOUT_VIEWS = configuration(compatibility_views=False)
STAYS = configuration({"tenant": "nothing_*"}, unplaced="keep")
TENANT = schema("tenant")


def publication(**values: Any) -> Publication:
    return Publication("cdc", **{"owner": "postgres", "all_tables": False, **values})


class Case:
    """A finding with a database that has it and similar ones that have not."""

    def __init__(
        self,
        finding: str,
        severity: str,
        obj: str,
        bad: Catalog,
        *good: Catalog,
        wanted: Configuration | None = None,
        says: str = "",
        **facts: Any,
    ) -> None:
        self.finding, self.severity, self.object = finding, severity, obj
        self.bad, self.good, self.wanted, self.says, self.facts = bad, good, wanted, says, facts


SERIAL = table("orders", sequences=(b.sequence("orders_id_seq"),))


def routine(source: str = "", row_types: tuple[int, ...] = (), **facts: Any) -> Routine:
    return Routine(oid("next_number"), "public", "next_number", "public.next_number()", source, row_types, **facts)


def audited(source: str, enabled: bool = True) -> Catalog:
    """A database with an event trigger."""
    log = Routine(oid("log"), "public", "log", "public.log()", source, returns="event_trigger")
    return two(event_triggers=(EventTrigger("audit", "ddl_command_end", "public.log", enabled, log.oid),), routines=(log,))


def two(*extra: Any, **values: Any) -> Catalog:
    return catalog(table("orders"), *extra, schemas=[TENANT], **values)


ORDERS = table("orders")
STX = table("orders", statistics=(b.statistics("orders_stx"),))
GRANTED = table("orders", column_grants=grant("web", column="id"), acl=everything(OWNER))
SECURED = table("orders", row_security=True)
MEMBER = Role(OWNER, mover_is_member=True, creates_in_source=True)
NO_MEMBER = Role(OWNER, mover_is_member=False, creates_in_source=True)
KEEPS_VIEW = Role(OWNER, mover_is_member=True, creates_in_source=False)
LEAK = (b.default_privileges("postgres", "public", *grant("web")),)
STRANGER = Role("boss", mover_is_member=False, mover_can_become=False)
STATISTICS_OF_BOSS = replace(b.statistics("orders_stx"), owner="boss")
MOVER = mover(create_on_schemas=("public", "tenant"), use_on_schemas=("public", "tenant"))

STATEMENTS = Extension("pg_stat_statements", "public", "1.10")
PLAIN = ColumnDefault("state", "'new'::text")
TAKES_NUMBERS = ColumnDefault("number", "", True, (oid("orders_id_seq"),))
