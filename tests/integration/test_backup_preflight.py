"""What preflight says of the checklist's backup: one of this database that was proved, or why each that there is does not count."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.backup_files import read_backup, write_manifest
from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import BY_RESTORE
from ansible_collections.dbops.multischema.plugins.module_utils.backup_verification import verify
from tests.integration import backups
from tests.integration.evidence import journaled, require_same, state
from tests.integration.playbooks import HOST, Playbooks

A_MINUTE = "For a database of this size reckon with a minute or so."
WAIVED = {"required": True, "waived": "nothing of that is what this test is about"}
CHECKLIST = {"backup": {"required": True}, "replica": WAIVED, "maintenance_window": WAIVED, "team_notified": WAIVED}


@pytest.mark.playbook
@pytest.mark.majors(18)
def test_phase_1_accepts_a_proved_backup_and_preflight_says_why_others_do_not_count(playbooks: Playbooks) -> None:
    shelf = playbooks.artifacts / "backups" / "sandbox" / HOST
    taken = backups.take(playbooks.target, shelf)
    older = shelf / f"29990101T000000Z-shop-{taken.name[-4:]}"
    shutil.copytree(taken, older)
    write_manifest(older, replace(read_backup(taken), name=older.name, ended_at="2999-01-01T00:00:00Z"))
    words = ("checklist, backup", f"{taken.name}: nobody has restored it", f"{older.name}: it is from the future", "playbooks/backup.yml")
    playbooks.run("preflight", multischema_checklist=CHECKLIST).refused(*words)
    verify(taken, BY_RESTORE, backups.trial(playbooks.target.server))
    found = playbooks.run("phase1", multischema_checklist=CHECKLIST).ok()
    assert f"ok   checklist, backup: {taken.name}" in found.report


@pytest.mark.playbook
@pytest.mark.majors(18)
@pytest.mark.superuser_only("an ordinary role takes and proves backups in test_backup_playbook.py")
def test_phase_1_takes_and_proves_a_backup_that_is_demanded_and_missing_and_not_a_second_one(playbooks: Playbooks) -> None:
    shelf = playbooks.artifacts / "backups" / "sandbox" / HOST
    given: dict[str, Any] = {"multischema_checklist": CHECKLIST, "backup_tools_directory": str(playbooks.target.server.bin_dir)}
    playbooks.run("phase1", backup_before_phase1=False, **given).refused("checklist, backup", "there is none in")
    before = state(playbooks.target)
    checked = " ".join(playbooks.run("site", check=True, **given).ok().report.split())
    assert "WARN checklist, backup: no backup of this database" in checked
    assert "Phase 1 takes one and proves it, before it changes anything." in checked
    assert "and there is no backup of this database that was proved and is younger than 24 h" in checked
    assert "So one would be taken first, and proved by restoring it into a scratch database" in checked
    assert f"would be written to {shelf}" in checked
    assert A_MINUTE in checked
    assert not shelf.exists()
    require_same(before, state(playbooks.target))
    run = playbooks.run("phase1", **given).ok()
    (taken,) = [path.name for path in shelf.iterdir() if not path.name.startswith(".")]
    said = " ".join(run.report.split())
    assert "So one is taken first, and proved by restoring it into a scratch database" in said
    assert said.index(f"would be written to {shelf}") < said.index(A_MINUTE) < said.index(f"Backup {taken} of database")
    assert read_backup(shelf / taken).proved
    assert f"ok checklist, backup: {taken}" in said
    assert {entry["phase"] for entry in journaled(playbooks.target)} == {1}
    assert run.changed == 3, "taken, proved, and the schemas made; what was only looked at is no change"
    again = playbooks.run("phase1", **given).ok()
    assert again.changed == 0
    assert f"The backup that counts: {taken}" in " ".join(again.report.split())
    assert [path.name for path in shelf.iterdir() if not path.name.startswith(".")] == [taken]


@pytest.mark.playbook
@pytest.mark.majors(18)
@pytest.mark.no_role("who connects makes no difference to where backups are looked for")
def test_a_backup_that_is_not_required_is_looked_for_and_only_missed(playbooks: Playbooks) -> None:
    found = playbooks.run("preflight", multischema_checklist={**CHECKLIST, "backup": {"required": False}}).ok()
    assert "WARN checklist, backup: no backup of this database" in " ".join(found.report.split())
    assert "there is none in" in found.report
