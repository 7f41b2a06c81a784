"""Work in a process of its own: asked about, stopped, abandoned, killed."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils import background
from ansible_collections.dbops.multischema.plugins.module_utils.background import Progress, State, Stopped, forget, is_running, poll, start
from ansible_collections.dbops.multischema.plugins.module_utils.errors import MultischemaError

LONG_S = 60.0  # reached only when something is wrong


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another process does."""
    end = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def endless(progress: Progress, directory: Path) -> dict[str, Any]:
    """Goes on until it is told to stop, and then cleans up."""
    (directory / "begun").write_text(str(os.getpid()))
    try:
        while True:
            progress.check()
            time.sleep(0.01)
    finally:
        (directory / "cleaned").touch()


def test_work_goes_on_when_its_caller_has_gone_and_its_result_is_asked_for(tmp_path: Path) -> None:
    def work(progress: Progress) -> dict[str, Any]:
        progress.say(tables=3, bytes=10)
        until((tmp_path / "go on").exists)
        return {"parent": os.getppid(), "session": os.getsid(0)}

    start(tmp_path / "job", work)
    until(lambda: bool(poll(tmp_path / "job", 0.0).figures))
    assert poll(tmp_path / "job", 0.0).figures == {"tables": 3, "bytes": 10}
    (tmp_path / "go on").touch()
    state = poll(tmp_path / "job", LONG_S)
    assert not state.running
    assert state.result is not None
    assert state.result["parent"] != os.getpid()
    assert state.result["session"] != os.getsid(0)
    forget(tmp_path / "job")
    assert not (tmp_path / "job").exists()


def test_the_caller_s_streams_are_not_kept_open(tmp_path: Path) -> None:
    """Who reads a module's output waits until nobody has it open any more."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(write, 1)
        os.close(write)
        os.close(read)
        start(tmp_path / "job", lambda progress: endless(progress, tmp_path))
        os._exit(0)
    os.close(write)
    assert os.read(read, 1) == b""
    os.close(read)
    os.waitpid(child, 0)
    assert is_running(tmp_path / "job")
    assert background.stop(tmp_path / "job")


def test_an_error_reaches_the_one_who_asks(tmp_path: Path) -> None:
    def work(_: Progress) -> dict[str, Any]:
        error = MultischemaError("This was found.", "For this reason.", "Write that.")
        error.result = {"name": "x"}
        raise error

    start(tmp_path / "job", work)
    with pytest.raises(MultischemaError) as caught:
        poll(tmp_path / "job", LONG_S)
    assert (caught.value.found, caught.value.why, caught.value.remedy) == ("This was found.", "For this reason.", "Write that.")
    assert caught.value.result == {"name": "x"}


def test_a_mistake_of_ours_comes_with_its_traceback(tmp_path: Path) -> None:
    def work(_: Progress) -> dict[str, Any]:
        return {"x": 1 // 0}

    start(tmp_path / "job", work)
    with pytest.raises(RuntimeError, match=r"ZeroDivisionError(.|\n)*1 // 0"):
        poll(tmp_path / "job", LONG_S)


def test_it_stops_and_cleans_up_when_nobody_asks(tmp_path: Path) -> None:
    start(tmp_path / "job", lambda progress: endless(progress, tmp_path), patience_s=0.2)
    until(lambda: not is_running(tmp_path / "job"))
    assert (tmp_path / "cleaned").exists()
    with pytest.raises(Stopped, match="Nobody has asked"):
        poll(tmp_path / "job", 0.0)


def test_it_goes_on_as_long_as_somebody_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    asked = tmp_path / "asked"
    asked.touch()
    progress = Progress(tmp_path, patience_s=60.0)
    for question in range(1, 4):
        now += 59.0
        os.utime(asked, ns=(question, question))  # the clock of the machine may be anything
        progress.check()
        now += 59.0
        progress.check()
    now += 2.0
    with pytest.raises(Stopped, match="Nobody has asked for 61 s"):
        progress.check()


def test_figures_that_cannot_be_written_do_not_end_the_work_but_a_result_must_be(tmp_path: Path) -> None:
    progress = Progress(tmp_path / "nowhere")
    progress.say(tables=3)
    with pytest.raises(OSError, match="nowhere"):
        progress.end(result={})


def test_it_stops_when_it_is_told_to(tmp_path: Path) -> None:
    start(tmp_path / "job", lambda progress: endless(progress, tmp_path))
    assert background.stop(tmp_path / "job")
    assert (tmp_path / "cleaned").exists()
    with pytest.raises(Stopped, match="told to stop"):
        poll(tmp_path / "job", 0.0)


def test_ctrl_c_on_the_one_who_asks_stops_it(tmp_path: Path) -> None:
    start(tmp_path / "job", lambda progress: endless(progress, tmp_path))
    asked = tmp_path / "job" / "asked"
    os.utime(asked, ns=(1, 1))

    def interrupt() -> None:
        until(lambda: asked.stat().st_mtime_ns != 1)  # a question: by now a signal ends it, and not the tests
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(Stopped):
        poll(tmp_path / "job", LONG_S)
    thread.join()
    assert (tmp_path / "cleaned").exists()
    assert not is_running(tmp_path / "job")


def test_the_end_of_whoever_has_begun_to_ask_stops_it(tmp_path: Path) -> None:
    """As after kill -9 of ansible-playbook: the module that waits has another parent from then on."""
    start(tmp_path / "job", lambda progress: endless(progress, tmp_path))
    asked = tmp_path / "job" / "asked"
    os.utime(asked, ns=(1, 1))
    parent = os.fork()
    if parent == 0:
        if os.fork() == 0:
            with contextlib.suppress(Stopped):
                poll(tmp_path / "job", LONG_S)
            os._exit(0)
        until(lambda: asked.stat().st_mtime_ns != 1)
        os._exit(0)
    os.waitpid(parent, 0)
    until(lambda: not is_running(tmp_path / "job"))
    with pytest.raises(Stopped, match="told to stop"):
        poll(tmp_path / "job", 0.0)


def test_a_terminal_that_is_closed_does_not_end_it(tmp_path: Path) -> None:
    start(tmp_path / "job", lambda progress: endless(progress, tmp_path))
    begun = tmp_path / "begun"
    until(lambda: begun.exists() and bool(begun.read_text()))
    for number in (signal.SIGHUP, signal.SIGINT):
        os.kill(int(begun.read_text()), number)
    assert background.stop(tmp_path / "job")
    assert (tmp_path / "cleaned").exists(), "it was ended by the signal"
    with pytest.raises(Stopped, match="told to stop"):
        poll(tmp_path / "job", 0.0)


def test_a_killed_one_is_told_from_one_that_works(tmp_path: Path) -> None:
    start(tmp_path / "job", lambda progress: endless(progress, tmp_path))
    begun = tmp_path / "begun"
    until(lambda: begun.exists() and bool(begun.read_text()))
    assert poll(tmp_path / "job", 0.0) == State(True, {}, None, 0.0)
    os.kill(int(begun.read_text()), signal.SIGKILL)
    with pytest.raises(MultischemaError, match="gone, and has left no result"):
        poll(tmp_path / "job", LONG_S)


def test_a_second_one_in_the_same_place_is_refused(tmp_path: Path) -> None:
    start(tmp_path / "job", lambda progress: endless(progress, tmp_path))
    with pytest.raises(MultischemaError, match="already"):
        start(tmp_path / "job", lambda progress: endless(progress, tmp_path))
    forget(tmp_path / "job")
    assert is_running(tmp_path / "job")
    assert background.stop(tmp_path / "job")


def test_what_an_earlier_job_has_left_there_is_not_this_one_s_answer(tmp_path: Path) -> None:
    def work(progress: Progress) -> dict[str, Any]:
        until((tmp_path / "go on").exists)
        progress.check()
        return {"second": True}

    start(tmp_path / "job", lambda _: {"first": True})
    assert poll(tmp_path / "job", LONG_S).result == {"first": True}
    background.stop(tmp_path / "job")
    start(tmp_path / "job", work)
    assert poll(tmp_path / "job", 0.0) == State(True)
    (tmp_path / "go on").touch()
    assert poll(tmp_path / "job", LONG_S).result == {"second": True}


def test_others_can_read_nothing_of_it(tmp_path: Path) -> None:
    start(tmp_path / "job", lambda _: {"x": 1})
    poll(tmp_path / "job", LONG_S)
    job = tmp_path / "job"
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in (job, *job.iterdir())} == {
        "job": "0o700",
        "lock": "0o600",
        "asked": "0o600",
        "state.json": "0o600",
    }
