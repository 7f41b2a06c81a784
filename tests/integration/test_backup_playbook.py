"""The playbook that takes backups, as an operator runs it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.database_mark import marking
from ansible_collections.dbops.multischema.plugins.module_utils.scratch_database import PREFIX
from tests.integration.databases import Target
from tests.integration.playbooks import HOST, Playbooks
from tests.integration.taking import modes

pytestmark = [pytest.mark.playbook, pytest.mark.majors(18)]


def everything_in(directory: Path) -> dict[str, str]:
    """Every file, by its path, with a digest of its content."""
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.rglob("*") if path.is_file()}


def test_check_mode_says_what_would_be_done_and_a_run_does_it(playbooks: Playbooks) -> None:
    tools: dict[str, Any] = {"backup_tools_directory": str(playbooks.target.server.bin_dir), "backup_room_percent": 1}
    place = playbooks.artifacts / "backups" / "sandbox" / HOST
    checked = playbooks.run("backup", check=True, **tools).ok()
    assert not playbooks.artifacts.exists()
    assert str(place) in " ".join(checked.report.split())
    run = playbooks.run("backup", **tools).ok()
    assert run.changed == 2  # taken, and proved
    (directory,) = [path for path in place.iterdir() if not path.name.startswith(".")]
    assert directory.name in run.report
    assert modes(directory) == {"d700", "f600"}
    manifest = json.loads((directory / "manifest.json").read_text())
    assert manifest["verdict"]["passed"]
    taken = next(result for name, result in run.tasks if name.endswith("Take a backup"))
    assert taken["size"] == sum(file["size"] for file in manifest["files"])
    assert taken["directory"] == str(directory)
    assert manifest["database"]["name"] == playbooks.target.name
    assert f"[{HOST}]" in run.stderr or "dump:" not in run.stderr
    if playbooks.target.mover is not None:
        assert "without their passwords" in run.report
        assert "PASSWORD" not in (directory / "globals.sql").read_text()
        assert playbooks.target.mover.password not in run.output


def test_on_a_named_server_what_an_earlier_trial_has_left_is_dropped_and_told(playbooks: Playbooks) -> None:
    target, password = playbooks.target, "not-for-the-log"
    others = Target(target.server, "postgres")
    left = f"{PREFIX}0a1b2c3d4e5f"
    target.server.create_database(left)
    others.execute(
        marking(left, "dbops.multischema: a trial that has not ended, locked from postgres"),
        "DROP ROLE IF EXISTS prover",
        f"CREATE ROLE prover SUPERUSER LOGIN PASSWORD '{password}'",
    )
    url = f"postgresql://prover:{password}@{target.server.host}:{target.server.port}/postgres"
    tools: dict[str, Any] = {"backup_tools_directory": str(target.server.bin_dir), "backup_room_percent": 1}
    run = playbooks.run("backup", backup_scratch_url=url, **tools).ok()
    said = " ".join(run.report.split())
    assert "a database of its own at" in said
    assert f"What an earlier trial had left was dropped: the database {left}." in said
    assert password not in run.output
    assert others.rows("SELECT datname FROM pg_database WHERE datname LIKE 'multischema_scratch_%'") == []
    others.execute("DROP ROLE prover")
