"""The connection of a swap is lost: what has become of it is found out and said, or it is said that nobody knows yet."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from typing import ClassVar

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils import database_swap
from ansible_collections.dbops.multischema.plugins.module_utils.connection import ConnectionSettings, parse_url
from ansible_collections.dbops.multischema.plugins.module_utils.database_swap import SwapUnknown, swap
from ansible_collections.dbops.multischema.plugins.module_utils.errors import MultischemaError
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.restoration import _dropped_on_error
from tests.integration.databases import Target, wait_until
from tests.integration.probes import Background, blocker
from tests.support.servers import Server

pytestmark = [pytest.mark.no_role("a restore makes databases and gives what is in them to its owners")]
BEFORE, AFTER = ["shop", "shop_restoring_0"], ["shop", "shop_before_restore_0"]
# Where a COMMIT waits for a standby that does not come, it is in the WAL, and nobody sees it yet.
WAITS_FOR_A_STANDBY = {"synchronous_standby_names": "nobody", "synchronous_commit": "local", "max_connections": "60"}


class Losable(Database):
    """Connections that can be cut, as a network does it: the server goes on with what it was told."""

    made: ClassVar[list[Losable]] = []

    def __enter__(self) -> Losable:
        super().__enter__()
        self.made.append(self)
        return self

    @property
    def pid(self) -> int:
        """Its backend."""
        return int(self._connection.info.backend_pid)

    def cut(self) -> None:
        """Nothing comes or goes any more."""
        with socket.socket(fileno=os.dup(self._connection.fileno())) as wire:
            wire.shutdown(socket.SHUT_RDWR)


class Swap:
    """A swap that is going on beside the test."""

    def __init__(self, settings: ConnectionSettings) -> None:
        self.oid = 0
        self._settings = settings
        self._thread = Background(self._work)

    def _work(self) -> None:
        self.oid = swap(self._settings, "shop", "shop_restoring_0", "shop_before_restore_0")

    @property
    def connection(self) -> Losable:
        """On which the names are swapped."""
        return Losable.made[0]

    def finish(self) -> None:
        """:raises MultischemaError: what the swap says."""
        self._thread.finish()


@pytest.fixture(params=[15, 18], ids=lambda major: f"pg{major}")
def maintenance(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    """The third database of a server that has a live one and a restored one."""
    Losable.made.clear()
    monkeypatch.setattr(database_swap, "Database", Losable)
    with Server(major=request.param, fsync=False, settings=WAITS_FOR_A_STANDBY) as server:
        server.create_database("shop")
        server.create_database("shop_restoring_0")
        yield Target(server, "postgres")


def in_its_commit(maintenance: Target) -> Swap:
    """A swap whose ``COMMIT`` waits for a standby."""
    parameters = {**parse_url(maintenance.superuser_url).parameters, "options": "-c synchronous_commit=on"}
    swapping = Swap(ConnectionSettings(parameters))
    wait_until(lambda: event(maintenance, swapping) == "SyncRep", "the COMMIT waits for a standby")
    assert names(maintenance) == BEFORE, "the swap can be seen already, so this test shows nothing"
    return swapping


def event(maintenance: Target, swapping: Swap) -> str | None:
    """What a swap waits for."""
    found = maintenance.rows("SELECT wait_event FROM pg_stat_activity WHERE pid = %s", (swapping.connection.pid if Losable.made else 0,))
    return found[0][0] if found else None


def names(maintenance: Target) -> list[str]:
    return [name for (name,) in maintenance.rows("SELECT datname::text FROM pg_database WHERE datname LIKE 'shop%' ORDER BY 1")]


def test_a_commit_whose_answer_does_not_come_is_not_taken_for_none(maintenance: Target) -> None:
    """Asked at once, the server still shows the old names."""
    restored = maintenance.value("SELECT oid FROM pg_database WHERE datname = 'shop_restoring_0'")
    swapping = in_its_commit(maintenance)
    swapping.connection.cut()
    swapping.finish()
    assert names(maintenance) == AFTER
    assert swapping.oid == restored == maintenance.value("SELECT oid FROM pg_database WHERE datname = 'shop'")


def test_what_was_lost_before_its_commit_is_not_done_and_said_so(maintenance: Target) -> None:
    with blocker(maintenance, "BEGIN; ALTER DATABASE shop_restoring_0 CONNECTION LIMIT 10"):
        swapping = Swap(parse_url(maintenance.superuser_url))
        wait_until(lambda: event(maintenance, swapping) in ("tuple", "transactionid", "object"), "the second name is waited for")
        swapping.connection.cut()
        with pytest.raises(MultischemaError, match="could not take the place of shop: ") as caught:
            swapping.finish()
        assert not isinstance(caught.value, SwapUnknown)
    assert names(maintenance) == BEFORE


def test_as_long_as_nobody_can_know_it_is_said_how_to_look(maintenance: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_swap, "LOST_WAIT_S", 0.5)
    swapping = in_its_commit(maintenance)
    backend = swapping.connection.pid
    os.kill(backend, signal.SIGSTOP)
    try:
        swapping.connection.cut()
        with pytest.raises(SwapUnknown) as caught:
            swapping.finish()
        assert names(maintenance) == BEFORE
    finally:
        os.kill(backend, signal.SIGCONT)
    said = str(caught.value)
    assert "cannot be seen yet" in said
    assert f"(pid {backend}) has not ended yet" in said
    assert "either shop is the restored database and shop_before_restore_0 the old one, or" in said
    wait_until(lambda: names(maintenance) == AFTER, "the session that was lost ends, and has committed")


def test_what_may_be_live_in_a_moment_is_not_dropped_nor_said_to_be_as_it_was(maintenance: Target) -> None:
    settings = parse_url(maintenance.superuser_url)
    with pytest.raises(SwapUnknown) as caught, _dropped_on_error("shop", "shop_restoring_0", settings):
        raise SwapUnknown("Nobody knows.")
    assert str(caught.value) == "Nobody knows."
    assert names(maintenance) == BEFORE
