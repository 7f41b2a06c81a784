"""backup.yml takes a backup and proves it; restore.yml says what it would do, asks, does it, and says how to go back.

Both with the server's own programs, which are not in ``PATH``: a superuser may ask where they are.
"""

from __future__ import annotations

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.backup_files import read_backup
from tests.integration.databases import Target
from tests.integration.playbooks import HOST, Playbooks

pytestmark = [
    pytest.mark.playbook,
    pytest.mark.majors(18),
    pytest.mark.superuser_only("a restore makes a database and gives what is in it away"),
]


def test_a_backup_is_taken_and_proved_and_a_restore_shows_what_it_would_do_asks_and_does_it(playbooks: Playbooks) -> None:
    target = playbooks.target
    others = Target(target.server, "postgres")
    proved = playbooks.run("backup").ok()
    (taken,) = (playbooks.artifacts / "backups" / "sandbox" / HOST).glob("2*")
    assert f"{taken.name}: restored into a throwaway server on" in proved.report
    assert read_backup(taken).proved
    before = target.value("SELECT count(*) FROM public.students")
    target.execute("CREATE TABLE public.since (a int)")

    looked = playbooks.run("restore", check=True).ok()
    assert looked.changed == 1
    assert f"{taken.name} takes the place of the database {target.name}" in looked.report
    assert "What was written since then is in the old database only" in looked.report
    playbooks.run("restore", multischema_confirm=False).refused("Nobody has said yes", "multischema_confirm=true")
    assert target.value("SELECT to_regclass('public.since') IS NOT NULL"), "neither has changed anything"

    restored = playbooks.run("restore", multischema_confirm=True).ok()
    assert target.value("SELECT to_regclass('public.since') IS NULL")
    assert target.value("SELECT count(*) FROM public.students") == before
    ((kept,),) = others.rows("SELECT datname FROM pg_database WHERE datname LIKE %s", (f"{target.name}_before_restore_%",))
    assert f'DROP DATABASE "{kept}"' in " ".join(restored.report.split())
    others.execute(f'DROP DATABASE "{kept}"')
