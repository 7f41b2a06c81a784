"""A rehearsal on what a backup restores, where that is the database as it is now; else it says why not, and what is done instead."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import BY_RESTORE, CUSTOM, PLAIN
from ansible_collections.dbops.multischema.plugins.module_utils.backup_verification import verify
from ansible_collections.dbops.multischema.plugins.module_utils.rehearsal import AUTO, BACKUP, COPY, SCRATCH, Rehearsal, parse_rehearsal
from ansible_collections.dbops.multischema.plugins.module_utils.rehearsal_judgement import RehearsalDemand
from ansible_collections.dbops.multischema.plugins.module_utils.rehearsal_timing import rehearsal_lines
from ansible_collections.dbops.multischema.plugins.plugin_utils.rehearsal_receipt import check_rehearsal
from ansible_collections.dbops.multischema.plugins.plugin_utils.rehearsing import RehearsalFailed
from tests.integration import backups
from tests.integration.core import Core
from tests.integration.databases import Target
from tests.integration.evidence import require_same, state
from tests.integration.placements import SHOP_SQL, shop
from tests.integration.rehearsals import allow_copies, copies, rehearsing

pytestmark = pytest.mark.majors(18)
LATER = "ALTER TABLE orders ADD COLUMN note text"


@pytest.fixture
def core(empty: Target) -> Core:
    """The small database."""
    empty.execute(SHOP_SQL)
    allow_copies(empty)
    return Core(empty, shop(empty.owner))


def proved(core: Core, shelf: Path, dump_format: str = CUSTOM) -> str:
    """A backup that counts. :returns: its name."""
    directory = backups.take(core.target, shelf, dump_format)
    verify(directory, BY_RESTORE, backups.trial(core.target.server))
    return directory.name


def rehearsed(core: Core, shelf: Path, source: str) -> Rehearsal:
    """A rehearsal that passes, and leaves the live database alone."""
    before = state(core.target)
    found = rehearsing(core, shelf=shelf, source=source).run()
    require_same(before, state(core.target))
    assert copies(core.target) == []
    return found


@pytest.mark.parametrize(("source", "dump_format"), [(BACKUP, CUSTOM), (AUTO, PLAIN)])
def test_the_newest_backup_that_counts_is_rehearsed_on_and_the_receipt_names_it(
    source: str, dump_format: str, core: Core, tmp_path: Path
) -> None:
    name = proved(core, tmp_path / "shelf", dump_format)
    core.target.execute("INSERT INTO notes SELECT FROM generate_series(1, 5)")  # rows may be others by now
    found = rehearsed(core, tmp_path / "shelf", source)
    assert found.copy.backup is not None
    assert (found.copy.origin, found.copy.backup.name) == (SCRATCH, name)
    assert found.copy.backup.age.endswith(" min")
    assert f'"digest": "{found.copy.backup.digest}"' in (tmp_path / "shelf" / name / "manifest.json").read_text()
    assert found.copy.rows == 103, "as many as there were then"
    lines = " ".join(rehearsal_lines(found, "here", "dropped"))
    assert f"restored from the backup {name}, which was {found.copy.backup.age} old (digest {found.copy.backup.digest[:16]}…)" in lines
    receipt = tmp_path / "rehearsal.json"
    receipt.write_bytes(found.to_bytes())
    assert parse_rehearsal(receipt.read_bytes()) == found
    catalog, _ = core.observe()
    demand = RehearsalDemand(True, "", timedelta(hours=1), False, datetime.now(UTC))
    assert check_rehearsal(receipt, catalog, [], core.configuration, demand).status == "pass"


def test_what_has_changed_since_the_backup_is_named_and_a_dump_is_taken_where_that_may_be(core: Core, tmp_path: Path) -> None:
    name = proved(core, tmp_path / "shelf")
    core.target.execute(LATER, "CREATE TABLE later (id int)", "DROP TABLE notes")
    placement = [{**rule, "tables": [table for table in rule["tables"] if table != "notes"]} for rule in core.values["placement"]]
    core.values = {**core.values, "unplaced": "keep", "placement": [rule for rule in placement if rule["tables"]]}
    with pytest.raises(RehearsalFailed) as caught:
        rehearsing(core, shelf=tmp_path / "shelf", source=BACKUP).run()
    said = str(caught.value)
    for words in (
        f"The database has changed since the backup {name} was taken",
        "public.orders was another one",
        "public.later is not in it",
        "public.notes is gone from the database",
        "Take a new backup (playbooks/backup.yml)",
        "rehearsal_source: copy",
    ):
        assert words in said
    assert copies(core.target) == []
    found = rehearsed(core, tmp_path / "shelf", AUTO)
    assert found.copy.backup is None
    assert f"The copy was made of the live database: The database has changed since the backup {name}" in found.notes[0]


def test_a_backup_that_was_taken_in_mid_migration_is_none_to_rehearse_on(core: Core, tmp_path: Path) -> None:
    core.apply()
    proved(core, tmp_path / "shelf")
    core.roll_back()
    with pytest.raises(RehearsalFailed, match=r"a migration had begun when it was taken \(7 steps done\)"):
        rehearsing(core, shelf=tmp_path / "shelf", source=BACKUP).run()
    assert copies(core.target) == []


def test_where_no_backup_counts_it_is_said_why(core: Core, tmp_path: Path) -> None:
    backups.take(core.target, tmp_path / "shelf", CUSTOM)
    with pytest.raises(RehearsalFailed, match=r"(?s)Nobody has restored it.*rehearsal_source: copy"):
        rehearsing(core, shelf=tmp_path / "shelf", source=BACKUP).run()
    assert "Nobody has restored it" in rehearsed(core, tmp_path / "shelf", AUTO).notes[0]


def test_a_dump_is_taken_where_that_is_wanted_whatever_backup_there_is(core: Core, tmp_path: Path) -> None:
    proved(core, tmp_path / "shelf")
    found = rehearsed(core, tmp_path / "shelf", COPY)
    assert (found.copy.backup, found.notes) == (None, ())
