"""The rehearsal as an operator runs it: the playbook, its receipt, and preflight that asks for it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.integration.databases import Target
from tests.integration.evidence import require_same, state
from tests.integration.placements import SHOP, SHOP_SQL
from tests.integration.playbooks import HOST, Playbooks
from tests.integration.rehearsals import copies

pytestmark = [
    pytest.mark.playbook,
    pytest.mark.majors(18),
    pytest.mark.superuser_only("an ordinary role rehearses in test_rehearsal.py"),
]


def of_the_shop(target: Target, directory: Path) -> Playbooks:
    """The playbooks on the small database, in production."""
    target.execute(SHOP_SQL)
    values = {
        **{f"multischema_{name}": value for name, value in SHOP.items()},
        "multischema_accept": [],
        "multischema_application_roles": [],
        "multischema_environment": "production",
    }
    return Playbooks(directory / "user", target, values)


def test_it_is_tried_on_what_the_backup_restores(empty: Target, tmp_path: Path) -> None:
    playbooks = of_the_shop(empty, tmp_path)
    given: dict[str, Any] = {"rehearsal_source": "backup", "backup_tools_directory": str(empty.server.bin_dir)}
    playbooks.run("rehearse", check=True, **given).refused("No backup of this database", "there is none in", "rehearsal_source: copy")
    playbooks.run("backup", **given).ok()
    (name,) = [path.name for path in (playbooks.artifacts / "backups" / "production" / HOST).iterdir() if not path.name.startswith(".")]
    looked = " ".join(playbooks.run("rehearse", check=True, **given).ok().report.split())
    assert re.search(rf"on a copy beside the live database, restored from the backup {name}, \d+ min old; it would take up to", looked)
    before = state(empty)
    rehearsed = " ".join(playbooks.run("rehearse", **given).ok().report.split())
    assert f"That copy was restored from the backup {name}, which was" in rehearsed
    require_same(before, state(empty))
    assert copies(empty) == []
    receipt = json.loads((playbooks.artifacts / "production" / HOST / "rehearsal.json").read_text())
    manifest = json.loads((playbooks.artifacts / "backups" / "production" / HOST / name / "manifest.json").read_text())
    assert receipt["copy"]["backup"]["digest"] == manifest["digest"]


def test_production_waits_for_a_rehearsal_and_compares_with_it(empty: Target, tmp_path: Path) -> None:
    playbooks = of_the_shop(empty, tmp_path)
    before = state(empty)
    playbooks.run("preflight").refused("rehearsal: missing", "required in this environment", "playbooks/rehearse.yml")
    looked = playbooks.run("rehearse", check=True).ok()
    assert "would be rehearsed there and back" in looked.report
    receipt = playbooks.artifacts / "production" / HOST / "rehearsal.json"
    assert not receipt.exists()
    rehearsed = playbooks.run("rehearse").ok()
    require_same(before, state(empty))
    assert copies(empty) == []
    assert receipt.stat().st_mode & 0o777 == 0o600
    assert json.loads(receipt.read_text())["statement"] in " ".join(rehearsed.report.split())
    moved = playbooks.run("site").ok()
    assert "rehearsal: 7 steps there and back on a copy (5 tables with 103 rows)" in " ".join(moved.report.split())
    assert "Against the rehearsal: 4 steps, " in moved.report
