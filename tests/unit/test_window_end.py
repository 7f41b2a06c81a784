"""The end of the maintenance window in the middle of the work: no step begins, and the run says how to go on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError
from ansible_collections.dbops.multischema.plugins.module_utils.relocation_slice import StopSign
from ansible_collections.dbops.multischema.plugins.plugin_utils.window_end import WindowEnded, read_window_end
from tests.unit.test_slices import Clock, Host, clock, cut, outcome, steps

__all__ = ["clock"]


def test_a_sign_stops_when_the_window_ends_and_says_that_it_was_that() -> None:
    open_, ended = StopSign(60.0, 60.0), StopSign(60.0, 0.0)
    assert (open_(), open_.window_ended) == (False, False)
    assert (ended(), ended.window_ended, ended.interrupted) == (True, True, False)


def test_without_a_window_there_is_no_end() -> None:
    late = StopSign(0.0)
    assert (late(), late.window_ended) == (True, False)


def test_each_slice_is_told_how_long_steps_may_begin(clock: Clock) -> None:
    host = Host(clock)
    host.script = [{"outcomes": [outcome("s0")]}]
    work, _ = cut(host, steps(2))
    work.window_end = datetime.now(UTC) + timedelta(hours=1)
    work.run()
    first, second = (call["window_s"] for call in host.calls)
    assert 3500 < second <= first <= 3600


def test_a_window_that_is_over_is_never_a_negative_time(clock: Clock) -> None:
    host = Host(clock)
    work, _ = cut(host, steps(1))
    work.window_end = datetime.now(UTC) - timedelta(hours=1)
    work.run()
    assert host.calls[0]["window_s"] == 0.0


def test_nothing_more_is_called_once_the_window_has_ended(clock: Clock) -> None:
    host = Host(clock)
    host.script = [{"outcomes": [outcome("s0")], "window_ended": True}]
    work, _ = cut(host, steps(3))
    work.run()
    assert (work.window_ended, work.interrupted, len(host.calls), work.progress.done) == (True, False, 1, 1)


@pytest.mark.parametrize("text", ["2026-03-02T04:00:00+01:00", "2026-03-02 03:00:00Z", " 2026-03-02T03:00:00+00:00 "])
def test_the_end_is_read_with_its_zone(text: str) -> None:
    assert read_window_end(text) == datetime(2026, 3, 2, 3, tzinfo=UTC)


def test_no_end_is_none() -> None:
    assert read_window_end("") is None


@pytest.mark.parametrize("text", ["tomorrow", "2026-03-02T04:00:00"])
def test_an_end_that_cannot_be_known_exactly_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="with a zone"):
        read_window_end(text)


def test_it_says_what_is_done_and_both_ways_on() -> None:
    text = str(WindowEnded(3, 78, "2026-03-02T04:00:00+01:00"))
    for words in ("3 of 78 steps are done", "no other has begun", "run the same playbook again", "rollback.yml is not held"):
        assert words in text
