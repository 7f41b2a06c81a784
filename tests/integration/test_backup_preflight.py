"""What preflight says of the checklist's backup: one of this database that was proved, or why each that there is does not count."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.backup_files import read_backup, write_manifest
from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import BY_RESTORE
from ansible_collections.dbops.multischema.plugins.module_utils.backup_verification import verify
from tests.integration import backups
from tests.integration.playbooks import HOST, Playbooks

WAIVED = {"required": True, "waived": "nothing of that is what this test is about"}
CHECKLIST = {"backup": {"required": True}, "replica": WAIVED, "maintenance_window": WAIVED, "team_notified": WAIVED}


@pytest.mark.playbook
@pytest.mark.majors(18)
def test_phase_1_accepts_a_proved_backup_and_preflight_says_why_others_do_not_count(playbooks: Playbooks) -> None:
    shelf = playbooks.artifacts / "backups" / "sandbox" / HOST
    taken = backups.take(playbooks.target, shelf)
    older = shelf / f"20290101T000000Z-shop-{taken.name[-4:]}"
    shutil.copytree(taken, older)
    write_manifest(older, replace(read_backup(taken), name=older.name, ended_at="2029-01-01T00:00:00Z"))
    words = ("checklist, backup", f"{taken.name}: nobody has restored it", f"{older.name}: it is from the future", "playbooks/backup.yml")
    playbooks.run("preflight", multischema_checklist=CHECKLIST).refused(*words)
    verify(taken, BY_RESTORE, backups.trial(playbooks.target.server))
    found = playbooks.run("phase1", multischema_checklist=CHECKLIST).ok()
    assert f"ok   checklist, backup: {taken.name}" in found.report


@pytest.mark.playbook
@pytest.mark.majors(18)
@pytest.mark.no_role("who connects makes no difference to where backups are looked for")
def test_a_backup_that_is_not_required_is_looked_for_and_only_missed(playbooks: Playbooks) -> None:
    found = playbooks.run("preflight", multischema_checklist={**CHECKLIST, "backup": {"required": False}}).ok()
    assert "WARN checklist, backup: no backup of this database" in " ".join(found.report.split())
    assert "there is none in" in found.report
