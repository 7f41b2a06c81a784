"""When a slice ends: its time is up, someone asked for it, or its parent is gone."""

from __future__ import annotations

import os
import signal

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.relocation_slice import StopSign


def test_it_stops_when_its_time_is_up_and_that_is_no_interruption() -> None:
    assert StopSign(60.0)() is False
    late = StopSign(0.0)
    assert late() is True
    assert late.interrupted is False


def test_it_stops_when_its_parent_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    sign = StopSign(60.0)
    assert not sign()
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert sign()
    assert sign.interrupted


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_stops_when_someone_asks_and_nothing_is_thrown(number: signal.Signals) -> None:
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    sign = StopSign(60.0)
    try:
        sign.watch()
        os.kill(os.getpid(), number)
        assert sign()
        assert sign.interrupted
    finally:
        for n, handler in before.items():
            signal.signal(n, handler)
