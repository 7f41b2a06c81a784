"""Run molecule's scenarios, side by side, and count: ``python -m tests.lab.scenarios [NAME …]``.

Molecule calls a verify that finds no test a success. Here a scenario has passed only when each of its verifies has run
tests that passed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.lab.hosts import Lab
from tests.lab.machine import LabError, obstacle, write_shim
from tests.lab.record import VARIABLE, read_record
from tests.lab.topology import RELEASES, ROOT, STATE

LIMIT_S = 1800.0  # for one scenario; reached only when something is wrong
LINES_OF_LOG = 60
# What takes longest must not begin last, when the other worker has nothing left to do.
LONGEST = ("rollback", "ssh", "full_migration", "table_migration")
# What disturbs others on the same hosts runs when they have ended.
ALONE = ("network_cut", "backup_faults")


@dataclass(frozen=True)
class Scenario:
    """One directory with a ``molecule.yml``."""

    directory: Path

    @property
    def name(self) -> str:
        """As molecule calls it."""
        return self.directory.name

    @property
    def base(self) -> Path:
        """What it shares with the others; molecule by itself looks for that only in a git checkout."""
        return self.directory.parents[1] / ".config" / "molecule" / "config.yml"

    def verifies(self) -> int:
        """How many times its sequence looks whether all is well."""
        merged: list[str] = []
        for file in (self.base, self.directory / "molecule.yml"):
            found = yaml.safe_load(file.read_text()) if file.exists() else None
            merged = ((found or {}).get("scenario") or {}).get("test_sequence", merged)
        return sum(step.split()[0] == "verify" for step in merged)


@dataclass(frozen=True)
class Outcome:
    """How a scenario went.

    :param problem: why it has not passed; empty where it has.
    :param tests: how many tests passed in it.
    """

    name: str
    seconds: float
    tests: int
    problem: str
    log: Path


def scenarios(root: Path = ROOT) -> list[Scenario]:
    """All there are; the longest first."""
    found = [Scenario(file.parent) for file in sorted((root / "molecule").glob("*/molecule.yml"))]
    return sorted(found, key=lambda scenario: LONGEST.index(scenario.name) if scenario.name in LONGEST else len(LONGEST))


def judge(scenario: Scenario, exit_status: int, passed: Sequence[Sequence[str]]) -> str:
    """Return what is wrong with a scenario that has ended; empty where nothing is.

    :param passed: for each verify that came to its end, the tests that passed in it.
    """
    if exit_status:
        return f"molecule ended with exit status {exit_status}"
    wanted, ran = scenario.verifies(), sum(bool(tests) for tests in passed)
    if wanted == 0:
        return "it verifies nothing"
    if ran < wanted:
        return f"no test ran in {wanted - ran} of its {wanted} verifies"
    return ""


def run(scenario: Scenario, state: Path = STATE) -> Outcome:
    """Run one scenario to its end; what it says goes into a file."""
    log, record = state / "logs" / f"{scenario.name}.log", state / "logs" / f"{scenario.name}.tests"
    log.parent.mkdir(parents=True, exist_ok=True)
    for old in (record, *log.parent.glob(f"{scenario.name}-*.log")):
        old.unlink(missing_ok=True)
    # A directory of its own, so that scenarios side by side don't share molecule's notes; and none of an earlier run's:
    # it would believe that everything is prepared.
    notes = state / "molecule" / scenario.name
    shutil.rmtree(notes, ignore_errors=True)
    binaries = Path(sys.executable).parent
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MOLECULE_", "PG"))} | {
        "ANSIBLE_NOCOLOR": "1",
        "NO_COLOR": "1",
        "LC_ALL": "C.UTF-8",
        "MOLECULE_EPHEMERAL_DIRECTORY": str(notes),
        "PATH": os.pathsep.join([str(write_shim()), str(binaries), os.environ["PATH"]]),
        VARIABLE: str(record),
    }
    started = time.monotonic()
    command = [
        str(binaries / "molecule"),
        "--base-config",
        str(scenario.base),
        "test",
        "--destroy",
        "never",
        "--scenario-name",
        scenario.name,
    ]
    with log.open("wb") as output:
        try:
            status = subprocess.run(
                command,
                cwd=scenario.directory.parents[1],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=LIMIT_S,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            status = 124
    passed = read_record(record)
    return Outcome(scenario.name, time.monotonic() - started, sum(map(len, passed)), judge(scenario, status, passed), log)


def main() -> int:
    """Run them and say how it went; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.scenarios", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="scenarios; all by default")
    parser.add_argument("--workers", type=int, default=2, help="how many side by side (default: %(default)s)")
    parser.add_argument("--down", action="store_true", help="take the lab down afterwards")
    options = parser.parse_args()
    why = obstacle()
    if why is not None:
        print(f"lab: no scenario ran, all {len(scenarios())} skipped: {why}")
        return 0
    wanted = [scenario for scenario in scenarios() if not options.names or scenario.name in options.names]
    unknown = sorted(set(options.names) - {scenario.name for scenario in wanted})
    if unknown:
        print(f"There is no scenario {', '.join(unknown)} below molecule/.", file=sys.stderr)
        return 2
    try:
        return _run_all(wanted, options.workers)
    except LabError as error:
        print(f"The lab: {error}", file=sys.stderr)
        return 1
    finally:
        if options.down:
            Lab().down()


def _run_all(wanted: Sequence[Scenario], workers: int) -> int:
    started = time.monotonic()
    Lab().up(lambda text: print(f"lab: {text}", flush=True))
    outcomes = []
    for together, some in ((workers, [s for s in wanted if s.name not in ALONE]), (1, [s for s in wanted if s.name in ALONE])):
        with ThreadPoolExecutor(max_workers=together) as pool:
            for running in as_completed([pool.submit(run, scenario) for scenario in some]):
                outcomes.append(running.result())
                print(_line(outcomes[-1]), flush=True)
    bad = [outcome for outcome in outcomes if outcome.problem]
    for outcome in bad:
        lines = outcome.log.read_text(errors="replace").splitlines()
        print(f"\n=== {outcome.name}: {outcome.problem}. The end of {outcome.log}:", *lines[-LINES_OF_LOG:], sep="\n")
    tests = sum(outcome.tests for outcome in outcomes)
    releases = " and ".join(release.name for release in RELEASES)
    print(
        f"lab: {len(outcomes)} scenarios with {tests} tests ran on {releases} in {time.monotonic() - started:.0f} s, "
        f"{len(bad)} failed, none skipped"
    )
    print(f"scenarios: {len(outcomes) - len(bad)} passed, {len(bad)} failed")
    return 1 if bad else 0


def _line(outcome: Outcome) -> str:
    result = f"FAILED: {outcome.problem}" if outcome.problem else "passed"
    return f"lab: {outcome.name:20}{outcome.seconds:6.0f} s {outcome.tests:4} tests  {result}"


if __name__ == "__main__":
    sys.exit(main())
