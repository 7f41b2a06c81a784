"""The scripts for subscribers: the statements, their order, and what no name may do to them."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Publication
from ansible_collections.dbops.multischema.plugins.plugin_utils.subscriber_script import BACK, THERE, subscriber_scripts
from tests.unit import builders as b
from tests.unit.builders import catalog, configuration, oid, plan, table


def publication(**values: Any) -> Publication:
    return Publication("cdc", **{"owner": "postgres", "all_tables": False, **values})


def scripts(*names: str, published: Publication, **values: Any) -> dict[str, str]:
    return subscriber_scripts(plan(catalog(*(table(name) for name in names), publications=(published,), **values)))


def test_where_nothing_that_moves_is_published_there_is_no_script() -> None:
    assert scripts("orders", published=publication(tables=(oid("another"),))) == {}


def test_only_what_is_published_moves_in_the_order_of_the_publisher_and_back_in_the_other() -> None:
    found = scripts("a", "b", "c", published=publication(tables=(oid("a"), oid("c"))))
    there = [line.strip() for line in found[THERE].splitlines() if "SET SCHEMA" in line]
    assert there == [
        "(''00001'', ''public'', ''a'', ''ALTER TABLE public.a SET SCHEMA tenant''),",
        "(''00003'', ''public'', ''c'', ''ALTER TABLE public.c SET SCHEMA tenant'')",
    ]
    back = {line.strip()[3:8]: line for line in found[BACK].splitlines() if "SET SCHEMA" in line}
    assert "tenant.c SET SCHEMA public" in back["00001"]
    assert "tenant.a SET SCHEMA public" in back["00003"]
    assert "CREATE SCHEMA IF NOT EXISTS tenant;" in found[THERE]
    assert found[BACK].splitlines()[-3:] == [
        "--   ALTER SCHEMA tenant RENAME TO multischema_gone_tenant;",
        "--   SELECT pg_sleep(1);",
        "--   DROP SCHEMA multischema_gone_tenant;",
    ]


def test_a_table_moves_once_the_worker_is_off_the_list_and_its_process_has_gone_which_counts_its_error_in_between() -> None:
    """Otherwise that error is taken for a new one, and the next table moves too early: the worker never gets past it."""
    script = scripts("a", published=publication(tables=(oid("a"),)))[THERE]
    marks = (
        "%I DISABLE",
        "w.subid = known AND w.pid IS NOT NULL) LOOP",
        "pg_stat_activity",
        "EXECUTE one.statement",
        "errors := (",
        "%I ENABLE",
    )
    order = [script.rindex(mark) for mark in marks]
    assert order == sorted(order)
    assert "SELECT '''' UNION SELECT m.step" in script, "the first turn moves nothing, and counts what there was before"


def test_partitions_of_a_published_table_go_in_the_same_step() -> None:
    tree = (table("visits", "p"), b.partition("visits_1", "visits"))
    found = subscriber_scripts(plan(catalog(*tree, publications=(publication(tables=(oid("visits"),)),))))
    assert found[THERE].count("''00001''") == 2


def test_the_journal_s_tables_are_made_only_where_all_tables_are_published() -> None:
    assert "multischema_journal" not in scripts("a", published=publication(tables=(oid("a"),)))[THERE]
    everything = scripts("a", published=publication(all_tables=True))
    assert "CREATE TABLE IF NOT EXISTS multischema_journal.step" in everything[THERE]
    assert "--   DROP SCHEMA multischema_journal CASCADE;" in everything[BACK]


@pytest.mark.parametrize("end", ["\n", "\r", "\n\n"])
def test_no_name_of_a_schema_ends_the_comment_of_what_may_be_dropped(end: str) -> None:
    hostile = f"tenant;{end}DROP TABLE x;"
    seen = catalog(table("a"), publications=(publication(tables=(oid("a"),)),))
    script = subscriber_scripts(plan(seen, configuration({hostile: "*"})))[BACK]
    tail = script[script.index("-- When nothing of others") :]
    assert "multischema_gone_tenant" in tail
    assert [line for line in tail.splitlines() if not line.startswith("--")] == []


def test_no_name_ends_the_string_or_the_comment() -> None:
    hostile = "a'; DROP TABLE x; --\nSELECT 1"
    found = scripts(hostile, published=Publication(hostile, "postgres", False, tables=(oid(hostile),)))
    for script in found.values():
        comments = [line for line in script.splitlines() if "DROP TABLE" in line and line.startswith("--")]
        assert all("SELECT 1" in line for line in comments), "a name has broken out of a comment"
        assert 2 * "''" + "; DROP TABLE x" in script, "its quote is doubled once as a literal and once inside the block"
