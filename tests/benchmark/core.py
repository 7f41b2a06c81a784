"""The core at work, in a process of its own so that its memory can be measured: ``python -m tests.benchmark.core``.

Reads what to do as JSON from standard input (a password has no place in a list of processes) and writes what it took.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_reader import read_catalog
from ansible_collections.dbops.multischema.plugins.module_utils.configuration import Configuration, read_configuration
from ansible_collections.dbops.multischema.plugins.module_utils.connection import parse_url
from ansible_collections.dbops.multischema.plugins.module_utils.plain import to_plain
from ansible_collections.dbops.multischema.plugins.module_utils.plan import PHASE_SCHEMAS, PHASE_TABLES, Plan, Step, plan_to_dict
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.relocation import Pace
from ansible_collections.dbops.multischema.plugins.module_utils.relocation_slice import Slice, StopSign, run_slice
from ansible_collections.dbops.multischema.plugins.plugin_utils.lease_holder import this_process
from ansible_collections.dbops.multischema.plugins.plugin_utils.planning import plan_now
from ansible_collections.dbops.multischema.plugins.plugin_utils.progress import Progress
from ansible_collections.dbops.multischema.plugins.plugin_utils.slices import Slices
from tests.benchmark import ROOT
from tests.benchmark.database import configuration
from tests.support.servers import Server


@dataclass(frozen=True)
class CoreRun:
    """What a run took.

    :param observe_s: reading the catalog, and ``plan_s``, deciding, and ``save_s``, making the plan file's content.
    :param move_s: phase 2 alone: steps in slices as in the playbook, without Ansible between them.
    :param peak_mb: most memory that the process has had, in megabytes.
    :param attempts: of the step that was tried most often.
    """

    observe_s: float
    plan_s: float
    save_s: float
    move_s: float
    peak_mb: float
    attempts: int


def run(server: Server, database: str, tables: int, *, views: bool, workers: int = 1, move: bool = True) -> CoreRun:
    """Plan and, unless told otherwise, move; in a process of its own."""
    url = f"postgresql://{server.user}:{server.password}@/{database}?host={server.socket_dir}&port={server.port}"
    order = {"url": url, "tables": tables, "views": views, "workers": workers, "move": move}
    result = subprocess.run(
        [sys.executable, "-m", "tests.benchmark.core"], input=json.dumps(order), capture_output=True, text=True, check=False, cwd=ROOT
    )
    if result.returncode:
        raise RuntimeError(f"the core has failed:\n{result.stderr}")
    return CoreRun(**json.loads(result.stdout))


class _Work:
    def __init__(self, order: Mapping[str, Any]) -> None:
        self.settings = parse_url(order["url"])
        self.workers = int(order["workers"])
        self.attempts = 0

    def connect(self) -> Database:
        return Database(self.settings, "bench")

    def observe(self, wanted: Configuration) -> Catalog:
        with self.connect() as database:
            return read_catalog(database, wanted.source_schema, [*wanted.target_names], wanted.named_roles)

    def _call(self, work: Mapping[str, Any]) -> dict[str, Any]:
        result = run_slice(self.connect, Slice(**work), Pace(), self.workers, StopSign(work["seconds"]))
        self.attempts = max([self.attempts, *(outcome["attempts"] for outcome in result["outcomes"])])
        return result

    def do(self, plan: Plan, steps: tuple[Step, ...], door: str) -> float:
        items = [to_plain(step) for step in steps]
        common = {
            "run": f"bench-{os.urandom(4).hex()}",
            "door": door,
            "plan_digest": plan.digest,
            "operator": this_process(),
            "version": "0",
            "accepted": [],
        }
        work = Slices(self._call, common, items, Progress(lambda _line: None, len(items), "done"), lambda _line: None)
        started = time.monotonic()
        work.run()
        return time.monotonic() - started


def main() -> None:
    """Do what standard input asks for."""
    order = json.load(sys.stdin)
    work, wanted = _Work(order), read_configuration(configuration(order["tables"], order["views"]))
    started = time.monotonic()
    catalog = work.observe(wanted)
    observed = time.monotonic()
    plan = plan_now(catalog, (), wanted)
    planned = time.monotonic()
    if plan.refusals:
        raise SystemExit(f"the plan is refused: {plan.refusals[0]}")
    json.dumps(plan_to_dict(plan))
    saved = time.monotonic()
    moving = 0.0
    if order["move"]:
        work.do(plan, plan.of_phase(PHASE_SCHEMAS), "phase1")
        moving = work.do(plan, plan.of_phase(PHASE_TABLES), "phase2")
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10  # bytes there, kilobytes elsewhere
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    took = CoreRun(observed - started, planned - observed, saved - planned, moving, peak, work.attempts)
    print(json.dumps(vars(took)))


if __name__ == "__main__":
    main()
