"""Backups by the core, in a process of its own so that its memory can be measured: ``python -m tests.benchmark.backup_core``.

Reads what to do as JSON from standard input (a password has no place in a list of processes) and writes how long it took.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.background import Progress
from ansible_collections.dbops.multischema.plugins.module_utils.backup import take
from ansible_collections.dbops.multischema.plugins.module_utils.backup_place import new_name
from ansible_collections.dbops.multischema.plugins.module_utils.backup_preflight import Request
from ansible_collections.dbops.multischema.plugins.module_utils.backup_trial import run_restoration, run_trial
from ansible_collections.dbops.multischema.plugins.module_utils.client_tools import DUMPING, find_tools
from ansible_collections.dbops.multischema.plugins.module_utils.connection import ConnectionSettings, parse_url
from ansible_collections.dbops.multischema.plugins.module_utils.content_reader import ContentReader
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.schema_digest import schema_digest
from tests.benchmark import ROOT
from tests.benchmark.footprint import Footprint
from tests.support.servers import Server

BACKUP, VERIFICATION, RESTORATION, ROWS, SCHEMA = "backup", "verification", "restoration", "rows", "schema"
PATIENCE_S = 3600.0  # nobody asks how far it is


@dataclass(frozen=True)
class Took:
    """:param seconds: of the work alone; ``peak_mb`` of the process and what it has started, None where that cannot be measured."""

    seconds: float
    peak_mb: float | None


def run(work: str, server: Server, database: str, folder: Path, **options: Any) -> Took:
    """Do one thing, in a process of its own."""
    url = f"postgresql://{server.user}:{server.password}@/{database}?host={server.socket_dir}&port={server.port}"
    order = {"work": work, "url": url, "folder": str(folder), "tools_directory": str(server.bin_dir), "major": server.major, **options}
    command = [sys.executable, "-m", "tests.benchmark.backup_core"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        with Footprint(process.pid) as footprint:
            answer, errors = process.communicate(json.dumps(order))
        if process.returncode:
            raise RuntimeError(f"the core has failed at: {work}\n{errors}")
    return Took(float(json.loads(answer)), footprint.peak_mb)


def _backup(order: Mapping[str, Any], settings: ConnectionSettings, progress: Progress) -> None:
    request = Request(
        directory=order["folder"],
        compression=order["compression"],
        jobs=order["jobs"],
        tools_directory=order["tools_directory"],
        keep_count=1,
    )
    take(new_name(settings.parameters["dbname"]), request, settings, progress)


def _verification(order: Mapping[str, Any], settings: ConnectionSettings, progress: Progress) -> None:
    options = {**order, "method": "restore", "again": True, "scratch_directory": str(Path(order["folder"]).parent)}
    result = run_trial(_newest(order), options, settings, progress)
    if not result["verdict"]["passed"]:
        raise SystemExit(f"the backup is refused: {result['verdict']}")


def _restoration(order: Mapping[str, Any], settings: ConnectionSettings, progress: Progress) -> None:
    run_restoration(_newest(order), {**order, "maintenance_db": "postgres", "foreign": False}, settings, progress)


def _newest(order: Mapping[str, Any]) -> Path:
    return max(path for path in Path(order["folder"]).glob("2*") if path.is_dir())


def _rows(_order: Mapping[str, Any], settings: ConnectionSettings, _progress: Progress) -> None:
    with Database(settings, "bench") as database, database.snapshot():
        snapshot = str(database.value("SELECT pg_catalog.pg_export_snapshot()"))
        with ContentReader(lambda: Database(settings, "bench"), snapshot, lambda: "") as reader:
            reader.result()


def _schema(order: Mapping[str, Any], settings: ConnectionSettings, _progress: Progress) -> None:
    schema_digest(find_tools(order["major"] * 10000, DUMPING, order["tools_directory"]), settings)


WORK = {BACKUP: _backup, VERIFICATION: _verification, RESTORATION: _restoration, ROWS: _rows, SCHEMA: _schema}


def main() -> None:
    """Do what standard input asks for."""
    order = json.load(sys.stdin)
    settings = parse_url(order["url"])
    with tempfile.TemporaryDirectory() as job:
        progress = Progress(Path(job), PATIENCE_S)
        started = time.monotonic()
        WORK[order["work"]](order, settings, progress)
        seconds = time.monotonic() - started
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
