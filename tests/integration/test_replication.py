"""Whoever follows the database receives every row: a standby, and a subscriber that does only what the tool has printed."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.readiness import Question, standbys
from ansible_collections.dbops.multischema.plugins.plugin_utils.subscriber_script import BACK, THERE, subscriber_scripts
from tests.integration import movers
from tests.integration.core import Core
from tests.integration.databases import Target, new_database, wait_until
from tests.integration.evidence import contents, disagreements, require_same_schema, state
from tests.integration.placements import SAMPLE_TARGETS, SHOP, SHOP_SQL
from tests.integration.placements import sample as sample_values
from tests.integration.probes import Reader
from tests.sample.traffic import Traffic
from tests.support.servers import Server, ServerError

pytestmark = pytest.mark.majors(15, 18)
SUBSCRIPTION = "feed"
PUBLICATIONS = {
    "by-name": "CREATE PUBLICATION shop FOR TABLE customers, orders, visits",
    "by-root": "CREATE PUBLICATION shop FOR TABLE customers, orders, visits WITH (publish_via_partition_root = true)",
    "by-schema": "CREATE PUBLICATION shop FOR TABLES IN SCHEMA public",
    "all-tables": "CREATE PUBLICATION shop FOR ALL TABLES",
}
# One transaction touches several tables, by their old names, in more than one order.
WRITES = (
    "INSERT INTO public.customers (name) VALUES ('written');"
    "INSERT INTO public.orders (customer, total) SELECT max(id), 1 FROM public.customers;"
    "INSERT INTO public.visits VALUES ('2026-03-03', 'a')",
    "INSERT INTO public.visits VALUES ('2025-03-03', 'b');UPDATE public.customers SET region = 'north' WHERE id % 3 = 0 AND region IS NULL",
    "DELETE FROM public.orders WHERE id = (SELECT min(id) FROM public.orders); INSERT INTO public.customers (name) VALUES ('alone')",
)


class Writer:
    """Writes by the old names, one transaction after the other, until the end of the ``with`` block."""

    def __init__(self, target: Target) -> None:
        self.target, self.transactions = target, 0
        self._stop = threading.Event()
        self._failed: list[BaseException] = []
        self._thread = threading.Thread(target=self._write, daemon=True)

    def _write(self) -> None:
        try:
            with self.target.session() as connection, connection.cursor() as cursor:
                while not self._stop.wait(0.01):
                    cursor.execute(f"BEGIN; {WRITES[self.transactions % len(WRITES)]}; COMMIT")
                    self.transactions += 1
        except BaseException as error:
            self._failed.append(error)

    def some_more(self) -> None:
        """Wait until some more transactions are through."""
        wanted = self.transactions + 2 * len(WRITES)
        wait_until(lambda: self.transactions >= wanted or bool(self._failed), "the application writes")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive()
        assert not self._failed, self._failed


@pytest.fixture(scope="module")
def other_servers() -> Iterator[dict[int, Server]]:
    """Servers besides those that all tests share, by version."""
    started: dict[int, Server] = {}
    yield started
    for one in started.values():
        one.remove()


@pytest.fixture
def subscriber_server(server: Server, other_servers: dict[int, Server]) -> Server:
    """Another server of the same version, which tries again soon after a worker has stopped."""
    if server.major not in other_servers:
        other = Server(major=server.major, fsync=False, settings={"wal_retrieve_retry_interval": "100ms"})
        other_servers[server.major] = other.start()
    return other_servers[server.major]


@pytest.fixture(params=PUBLICATIONS)
def followed(request: pytest.FixtureRequest, empty: Target, subscriber_server: Server) -> Iterator[tuple[str, Core, Target]]:
    """A database that publishes, and one that has subscribed to it and has every row."""
    empty.execute(SHOP_SQL, PUBLICATIONS[request.param])
    subscriber = new_database(subscriber_server)
    if empty.mover is not None:
        subscriber = movers.of_an_empty(subscriber)
    subscriber.execute(SHOP_SQL, "TRUNCATE customers, orders, visits, notes")
    subscriber.execute(f"CREATE SUBSCRIPTION {SUBSCRIPTION} CONNECTION '{empty.superuser_url}' PUBLICATION shop")
    yield request.param, Core(empty, SHOP | {"accept": []}), subscriber
    subscriber.execute(f"DROP SUBSCRIPTION {SUBSCRIPTION}")
    subscriber.drop()
    movers.dismiss(subscriber)


def _lsn(target: Target) -> str:
    return str(target.value("SELECT pg_current_wal_lsn()"))


def _by_name(target: Target, published: tuple[str, ...]) -> dict[str, tuple[int, str]]:
    return {name: (rows, digest) for name, rows, digest in contents(target).values() if name.startswith(published)}


def _require_equal(publisher: Target, subscriber: Target, published: tuple[str, ...]) -> None:
    lsn = _lsn(publisher)
    reached = "SELECT count(*) FROM pg_stat_replication WHERE application_name = %s AND replay_lsn >= %s::pg_lsn"
    wait_until(lambda: publisher.value(reached, (SUBSCRIPTION, lsn)) == 1, "the subscriber has applied everything")
    ready = "SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel"
    wait_until(lambda: bool(subscriber.value(ready)), "every table is synchronized")
    assert _by_name(subscriber, published) == _by_name(publisher, published)


def test_a_subscriber_receives_every_row_there_and_back(followed: tuple[str, Core, Target]) -> None:
    kind, core, subscriber = followed
    publisher = core.target
    published = ("customers", "orders", "visits") + (("notes",) if kind in ("by-schema", "all-tables") else ())
    _require_equal(publisher, subscriber, published)
    before, there = state(publisher).schema, state(subscriber).schema
    if kind == "all-tables":
        refused = core.plan().refusals
        assert [(finding.id, finding.object) for finding in refused] == [("publication_all_tables", "shop")]
        accepted = {"finding": "publication_all_tables", "object": "shop", "reason": "subscriber.sql makes the journal's tables"}
        core = Core(publisher, SHOP | {"accept": [accepted]})
    if kind == "by-schema" and publisher.mover is not None:
        assert {finding.id for finding in core.plan().refusals} == {"publication_leaves"}, "it belongs to a superuser"
        return
    here = Core(subscriber, SHOP).plan()
    assert [(finding.id, finding.object) for finding in here.refusals] == [("subscription_target", SUBSCRIPTION)]
    plan = core.plan()
    assert {f.object for f in plan.findings if f.id == "subscribers"} == {"shop"}
    assert {f.object for f in plan.findings if f.id == "logical_slot"} == {SUBSCRIPTION}
    scripts = subscriber_scripts(plan)
    with Writer(publisher) as writer:
        writer.some_more()
        core.apply()
        writer.some_more()
        said = subscriber.server.run_script(subscriber.name, scripts[THERE], subscription=SUBSCRIPTION, lsn=_lsn(publisher))
        assert "ALTER TABLE public.customers SET SCHEMA sales" in said
        writer.some_more()
    publisher.execute("INSERT INTO past.notes VALUES ('by the new name')")
    _require_equal(publisher, subscriber, published)
    known = subscriber.rows("SELECT srrelid FROM pg_subscription_rel ORDER BY 1")
    if kind != "all-tables":
        subscriber.execute(f"ALTER SUBSCRIPTION {SUBSCRIPTION} REFRESH PUBLICATION WITH (copy_data = false)")
        assert subscriber.rows("SELECT srrelid FROM pg_subscription_rel ORDER BY 1") == known, "a refresh has changed something"
    with Writer(publisher) as writer:
        writer.some_more()
        core.roll_back()
        writer.some_more()
        subscriber.server.run_script(subscriber.name, scripts[BACK], subscription=SUBSCRIPTION, lsn=_lsn(publisher))
        writer.some_more()
    _require_equal(publisher, subscriber, published)
    require_same_schema(before, state(publisher).schema)
    subscriber.execute(*re.findall(r"^--   (\S.*)$", scripts[BACK], re.MULTILINE))
    require_same_schema(there, state(subscriber).schema)


def test_a_standby_receives_every_row_there_and_back(sample: Target) -> None:
    try:
        server = sample.server.standby(settings=sample.server.settings).start()
    except ServerError as error:
        pytest.skip(reason=f"no standby can be made here: {error}")
    try:
        standby = Target(server, sample.name)
        core = Core(sample, sample_values())
        streams = "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'walreceiver' AND state = 'streaming'"
        wait_until(lambda: sample.value(streams) == 1, "the standby streams")  # it lets others in before it does
        with core.connect() as database:
            assert [check.status for check in standbys(Question(database, 50, (), 0))] == ["warn"]
        with Traffic(sample.superuser_url, workers=2, pause_s=0.01) as traffic, Reader(standby, "public", "students") as reader:
            core.apply()
            assert disagreements(sample, SAMPLE_TARGETS) == []
            _require_same_rows(sample, standby, traffic)
            core.roll_back()
        assert traffic.report.errors == []
        assert reader.errors == []
        _require_same_rows(sample, standby, None)
        require_same_schema(sample.server.dump_schema(sample.name), server.dump_schema(sample.name))
    finally:
        server.remove()


def _require_same_rows(primary: Target, standby: Target, traffic: Traffic | None) -> None:
    """What stands on the primary is on the standby, once it has come so far; under traffic only that it is there."""
    lsn = _lsn(primary)
    wait_until(lambda: bool(standby.value("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", (lsn,))), "the standby has replayed it")
    if traffic is None:
        assert contents(standby, unlogged=False) == contents(primary, unlogged=False)
    else:
        assert disagreements(standby, SAMPLE_TARGETS) == []
