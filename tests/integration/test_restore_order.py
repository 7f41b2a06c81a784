"""A backup that is whole is restored by several connections, whatever depends on what in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import BY_RESTORE
from ansible_collections.dbops.multischema.plugins.module_utils.backup_verification import verify
from tests.integration import backups
from tests.integration.databases import Target

PARTITIONS = (
    "CREATE TABLE people (id int PRIMARY KEY, name text)",
    "CREATE TABLE visits (id int, at date, person int REFERENCES people, PRIMARY KEY (id, at)) PARTITION BY RANGE (at)",
    "CREATE TABLE visits_1 PARTITION OF visits FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
    "CREATE TABLE visits_2 PARTITION OF visits FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')",
    "CREATE TABLE notes (id int, visit int, at date, FOREIGN KEY (visit, at) REFERENCES visits)",
    "INSERT INTO people SELECT n, 'p' FROM generate_series(1, 20000) n",
    "INSERT INTO visits SELECT n, date '2026-01-01' + n % 700, n FROM generate_series(1, 20000) n",
    "INSERT INTO notes SELECT id, id, at FROM visits",
)
# A view whose columns depend on a primary key comes behind it, and its index behind the view.
DEPENDING = (
    "CREATE TABLE things (id int PRIMARY KEY, name text)",
    "INSERT INTO things SELECT n, 'x' FROM generate_series(1, 100) n",
    "CREATE MATERIALIZED VIEW totals AS SELECT id, name, count(*) AS n FROM things GROUP BY id",
    "CREATE UNIQUE INDEX totals_id ON totals (id)",
    "CREATE FUNCTION watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'",
    "CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION watch()",
    "COMMENT ON EVENT TRIGGER watch IS 'somebody watches'",
)


@pytest.mark.superuser_only("only a superuser makes event triggers; a backup is restored as one")
@pytest.mark.majors(15, 18)
@pytest.mark.parametrize("statements", [DEPENDING, PARTITIONS, PARTITIONS + DEPENDING], ids=["depending", "partitions", "both"])
def test_a_whole_backup_is_restored_side_by_side(empty: Target, tmp_path: Path, statements: tuple[str, ...]) -> None:
    empty.execute(*statements)
    manifest, _ = verify(backups.take(empty, tmp_path), BY_RESTORE, backups.trial(empty.server, jobs=4))
    assert manifest.proved, manifest.verdict
