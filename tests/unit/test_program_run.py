"""Programs that run beside us: each ends when it should, with whatever it has started."""

from __future__ import annotations

import os
import subprocess

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.program_run import CannotStart, Program, wait


def shell(script: str, *, stdin: object = subprocess.DEVNULL, stdout: object = subprocess.DEVNULL) -> Program:
    return Program(["/bin/sh", "-c", script], os.environ, stdin=stdin, stdout=stdout)  # type: ignore[arg-type]


def codes_of(first: str, second: str) -> tuple[int, int]:
    """How the two have ended, the first writing to the second."""
    with shell(first, stdout=subprocess.PIPE) as writer, shell(second, stdin=writer.process.stdout) as reader:
        assert writer.process.stdout is not None
        writer.process.stdout.close()
        wait((writer, reader), lambda: None)
        return writer.code, reader.code


def test_whoever_writes_to_a_program_that_has_failed_is_ended() -> None:
    assert codes_of("exec sleep 3600", "exit 3") == (-15, 3)


def test_whoever_reads_from_a_program_that_has_failed_ends_by_itself() -> None:
    assert codes_of("echo x; exit 3", "cat; sleep 0.5") == (3, 0)


def test_at_the_end_of_the_block_no_worker_of_it_is_left() -> None:
    with shell("sleep 3600 & echo started >&2; wait") as program:
        while not program.said:
            assert program.running
    assert program.process.stderr is not None
    assert program.process.stderr.closed, "the worker had it open"


def test_who_waits_may_give_up() -> None:
    def check() -> None:
        raise KeyError("no more")

    with pytest.raises(KeyError), shell("exec sleep 3600") as program:
        wait((program,), check)
    assert program.code == -15


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(CannotStart, match="/nowhere/at/all cannot be started: No such file or directory"):
        Program(["/nowhere/at/all"], {})
