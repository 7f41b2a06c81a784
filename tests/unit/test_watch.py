"""What ends long work: its own error comes out, whatever the cancelled work says."""

from __future__ import annotations

import threading

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.watch import Watch

LONG_S = 60.0  # reached only when something is wrong


class Unwanted(Exception):
    """Nobody wants the work any more."""


def unwanted() -> None:
    raise Unwanted


def test_what_has_ended_the_work_is_raised_and_not_what_the_cancelled_work_says() -> None:
    cancelled = threading.Event()

    def work() -> None:
        with Watch(unwanted) as watch, watch.over(cancelled.set):
            assert cancelled.wait(LONG_S)
            raise ValueError("canceling statement due to user request")

    with pytest.raises(Unwanted):
        work()


def test_work_that_is_through_although_nobody_wants_it_has_not_failed() -> None:
    cancelled = threading.Event()
    with Watch(unwanted) as watch, watch.over(cancelled.set):
        assert cancelled.wait(LONG_S)


def test_what_is_not_waited_for_any_more_is_not_cancelled() -> None:
    over, later, is_over = threading.Event(), threading.Event(), threading.Event()

    def unwanted_once_it_is_over() -> None:
        if is_over.is_set():
            raise Unwanted

    with Watch(unwanted_once_it_is_over) as watch:
        with watch.over(over.set):
            pass
        is_over.set()
        with watch.over(later.set):
            assert later.wait(LONG_S)
    assert not over.is_set()
