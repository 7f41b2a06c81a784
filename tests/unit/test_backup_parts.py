"""The parts of a backup that decide something: which go, how they are called, what is refused, what is said."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.backup_files import write_manifest
from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import BY_CHECKSUM, BY_RESTORE, Manifest, Verdict
from ansible_collections.dbops.multischema.plugins.module_utils.backup_place import Place, new_name, publish, slug
from ansible_collections.dbops.multischema.plugins.module_utils.backup_preflight import Request, size_text
from ansible_collections.dbops.multischema.plugins.module_utils.backup_retention import to_be_removed
from ansible_collections.dbops.multischema.plugins.module_utils.content import Content
from ansible_collections.dbops.multischema.plugins.module_utils.database_identity import DatabaseIdentity
from ansible_collections.dbops.multischema.plugins.module_utils.dump_programs import Heard
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError, MultischemaError
from ansible_collections.dbops.multischema.plugins.module_utils.pgbackrest import Stanza
from ansible_collections.dbops.multischema.plugins.module_utils.sealed_document import TIME
from ansible_collections.dbops.multischema.plugins.plugin_utils.backup_report import expected_lines, progress_line, taken_lines

NOW = datetime(2030, 1, 31, 12, tzinfo=timezone.utc)
SHOP = DatabaseIdentity("7000000000000000001", 16385, "shop")
RESTORED, TRIED_IN_VAIN = (
    Verdict(BY_RESTORE, "2030-01-01T00:00:00Z", passed=True),
    Verdict(BY_RESTORE, "2030-01-01T00:00:00Z", passed=False),
)
CHECKED = Verdict(BY_CHECKSUM, "2030-01-01T00:00:00Z", passed=True)


def backup(days_ago: float, verdict: Verdict | None = None, database: DatabaseIdentity = SHOP) -> Manifest:
    """A backup that was complete some days ago; its name says when."""
    ended = (NOW - timedelta(days=days_ago)).strftime(TIME)
    stamp = ended.replace("-", "").replace(":", "")
    return Manifest(
        f"{stamp}-{slug(database.name)}-0000",
        "pg_dump",
        "directory",
        database,
        "18.4",
        180004,
        {},
        "",
        ended,
        ended,
        {},
        "none",
        (),
        (),
        Content(),
        verdict,
    )


def going(backups: Sequence[Manifest], count: int = 0, days: float = 0.0) -> list[int]:
    """Which of them go, by their place in the list."""
    removed = {item.name for item in to_be_removed(backups, SHOP, NOW, count, days)}
    return [number for number, item in enumerate(backups) if item.name in removed]


# --- retention ---


def test_the_newest_few_stay() -> None:
    backups = [backup(days) for days in (5, 1, 4, 2, 3)]
    assert going(backups, count=2) == [0, 2, 4]
    assert [item.ended for item in to_be_removed(backups, SHOP, NOW, 2, 0)] == sorted(backups[n].ended for n in (0, 2, 4))


def test_old_ones_go_and_the_newest_stays_however_old_it_is() -> None:
    assert going([backup(10), backup(8), backup(6)], days=7) == [0, 1]
    assert going([backup(30), backup(20)], days=7) == [0]


def test_there_is_no_limit_where_none_is_set() -> None:
    assert going([backup(days) for days in range(1, 400)]) == []


def test_both_limits_count() -> None:
    backups = [backup(days) for days in (1, 2, 3, 20)]
    assert going(backups, count=2, days=10) == [2, 3]
    assert going(backups, count=10, days=10) == [3]


@pytest.mark.parametrize("count", [1, 2])
def test_the_newest_proved_one_stays_and_older_proved_ones_go(count: int) -> None:
    backups = [backup(1), backup(2, CHECKED), backup(3, TRIED_IN_VAIN), backup(4, RESTORED), backup(5, RESTORED)]
    assert going(backups, count=count, days=0.5) == [1, 2, 4]


def test_backups_of_other_databases_are_not_counted_and_not_removed() -> None:
    others = [replace(SHOP, oid=2), replace(SHOP, system_identifier="8"), DatabaseIdentity("8", 2, "shop")]
    backups = [backup(9, database=other) for other in others] + [backup(1), backup(2)]
    assert going(backups, count=1, days=5) == [4]
    renamed = [backup(3, database=replace(SHOP, name="was")), backup(1)]
    assert going(renamed, count=1) == [0]


# --- names and places ---


@pytest.mark.parametrize(
    ("name", "written"), [("shop", "shop"), ("Größe 1/ä", "Gr__e_1__"), ("a-b_c", "a-b_c"), ("..", "__"), ("x\n", "x_")]
)
def test_a_name_can_be_a_file_s_name_anywhere(name: str, written: str) -> None:
    assert slug(name) == written
    stamp, middle, digits = new_name(name)[:16], new_name(name)[17:-5], new_name(name)[-4:]
    assert datetime.strptime(stamp, "%Y%m%dT%H%M%SZ")
    assert middle == written
    assert int(digits, 16) >= 0


def test_what_killed_runs_have_left_is_told_from_all_else_and_removed_by_the_next(tmp_path: Path) -> None:
    place = Place(tmp_path, "shop")
    name, other = new_name("shop"), new_name("shop2")
    for path in (
        place.partial(name),
        place.job(name),
        place.partial(other),
        place.final(name),
        tmp_path / ".partial",
        tmp_path / ".x.partial",
    ):
        path.mkdir()
    left = {place.partial(other), place.final(name), tmp_path / ".partial", tmp_path / ".x.partial"}
    assert set(place.abandoned()) == {place.partial(name), place.job(name)}
    with place.locked():
        assert {path for path in tmp_path.iterdir() if path.is_dir()} == left, "whoever writes next removes it, and nothing else"


def test_one_backup_of_a_database_is_written_at_a_time(tmp_path: Path) -> None:
    place = Place(tmp_path / "a" / "b", "shop")
    place.require_nobody_writing()
    assert not (tmp_path / "a").exists()
    with place.locked():
        with pytest.raises(MultischemaError, match="being written"), place.locked():
            pass
        with pytest.raises(MultischemaError, match="being written"):
            place.require_nobody_writing()
        with Place(tmp_path / "a" / "b", "other").locked():
            pass
    place.require_nobody_writing()
    assert {oct(path.stat().st_mode & 0o777) for path in (tmp_path / "a", tmp_path / "a" / "b")} == {"0o700"}


def test_a_program_that_still_writes_keeps_the_lock(tmp_path: Path) -> None:
    place = Place(tmp_path, "shop")
    read, write = os.pipe()
    with place.locked() as lock:
        child = os.fork()
        if child == 0:
            os.close(write)
            os.read(read, 1)
            os._exit(lock < 0)
    os.close(read)
    with pytest.raises(MultischemaError, match="being written"):
        place.require_nobody_writing()
    os.close(write)
    os.waitpid(child, 0)
    place.require_nobody_writing()


def test_what_is_not_a_whole_backup_is_never_listed_and_so_never_removed(tmp_path: Path) -> None:
    place = Place(tmp_path, "shop")
    for days in (1, 2, 3):
        directory = tmp_path / backup(days).name
        directory.mkdir(mode=0o700)
        write_manifest(directory, backup(days))
    edited = tmp_path / backup(2).name / "manifest.json"
    edited.write_text(edited.read_text().replace("18.4", "18.5"))
    (tmp_path / backup(4).name).mkdir(mode=0o700)
    assert [manifest.name for _, manifest in place.backups()] == [backup(3).name, backup(1).name]


def test_a_backup_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    place = Place(tmp_path, "shop")
    partial = place.partial("x")
    (partial / "dump").mkdir(parents=True)
    (partial / "dump" / "toc.dat").write_text("x")
    publish(partial, place.final("x"))
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    place.remove(place.final("x"))
    assert list(tmp_path.iterdir()) == []


# --- what is asked for ---

OPTIONS: dict[str, Any] = {
    "folder": "/srv/backups/staging/shop",
    "engine": "pg_dump",
    "stanza": "",
    "pgbackrest_config": None,
    "pgbackrest_repo": 1,
    "pgbackrest_type": "incr",
    "pgbackrest_program": None,
    "format": "directory",
    "compression": "",
    "jobs": 2,
    "age_recipients": [],
    "tools_directory": None,
    "lock_wait_s": 60.0,
    "room_percent": 100,
    "keep_count": 7,
    "keep_days": 0.0,
}


def test_the_options_are_a_request() -> None:
    assert Request.from_options(OPTIONS) == Request("/srv/backups/staging/shop", stanza=Stanza(""))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"age_recipients": ["age1x"]}, "directory format cannot be encrypted"),
        ({"format": "plain", "compression": "gzip:6"}, "psql reads"),
        ({"jobs": 0}, "backup_jobs is 0."),
        ({"keep_count": -1}, "backup_keep_count is -1."),
        ({"keep_days": -0.5}, "backup_keep_days is -0.5."),
        ({"keep_days": float("nan")}, "backup_keep_days is nan."),
        ({"room_percent": -1}, "backup_room_percent is -1."),
        ({"lock_wait_s": 0.0}, "backup_lock_wait_s is 0."),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        Request.from_options({**OPTIONS, **given})
    assert caught.value.remedy


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ConfigurationError, match=r"backup_jobs is 0.*backup_keep_count is -1"):
        Request.from_options({**OPTIONS, "jobs": 0, "keep_count": -1})


# --- what is said ---


def test_pg_dump_s_words_are_counted_and_its_complaints_kept() -> None:
    heard = Heard()
    lines = {
        "pg_dump: reading extensions": True,
        'pg_dump: dumping contents of table "public.orders"': True,
        'pg_dump: dumping contents of table "public.items"': True,
        "pg_dump: warning: subscriptions not dumped because current user is not a superuser": False,
        "pg_dump: error: query failed: ERROR:  permission denied for table x": False,
        "pg_dump: detail: Query was: LOCK TABLE public.x": False,
        "what a library says": False,
    }
    assert {line: heard.line(line) for line in lines} == lines
    assert heard.tables == 2
    assert heard.warnings == ["subscriptions not dumped because current user is not a superuser"]


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (2_340_000_000, "2.3 GB"), (5e15, "5000.0 TB")]
)
def test_sizes_are_for_people(size: float, text: str) -> None:
    assert size_text(size) == text


TAKEN: dict[str, Any] = {
    "engine": "pg_dump",
    "name": "20300131T120000Z-shop-1a2b",
    "directory": "/srv/backups/staging/shop_staging/20300131T120000Z-shop-1a2b",
    "database": "shop",
    "format": "custom",
    "compression": "zstd:3",
    "encrypted": True,
    "tables": 58,
    "rows": 1_300_000,
    "size": 34_100_000,
    "seconds": 5.25,
    "server": "18.4",
    "pg_dump": "18.4",
    "role_passwords": False,
    "warnings_of_pg_dump": ["there are circular foreign-key constraints on this table"],
    "removed": ["20300124T120000Z-shop-0001", "20300125T120000Z-shop-0002"],
    "not_removed": ["20300126T120000Z-shop-0003: Permission denied"],
}


def test_the_report_says_what_was_taken_and_what_is_not_in_it() -> None:
    lines = taken_lines(TAKEN)
    text = " ".join(" ".join(lines).split())
    for words in (
        "58 tables, 1,300,000 rows, 34.1 MB in 5.2 s",
        "encrypted",
        TAKEN["directory"],
        "Next comes the proof, before which no preflight accepts it",
        "without their passwords",
        "circular",
        "20300124T120000Z-shop-0001, 20300125T120000Z-shop-0002",
        "Permission denied",
    ):
        assert words in text
    assert max(map(len, lines)) <= 100
    quiet = taken_lines({**TAKEN, "role_passwords": True, "warnings_of_pg_dump": [], "removed": [], "not_removed": [], "encrypted": False})
    assert not any(word in " ".join(quiet) for word in ("passwords", "warns", "emoved", "encrypted"))


def test_check_mode_says_where_it_would_go_and_what_would_be_removed() -> None:
    found = {
        "engine": "pg_dump",
        "directory": "/srv/b",
        "tables": 1,
        "compression": "none",
        "estimate": 10**9,
        "free": 5 * 10**9,
        "role_passwords": True,
    }
    assert " ".join(expected_lines({**found, "removed": ["a", "b"]})) == (
        "A backup of 1 table would be written to /srv/b, uncompressed; the tables take 1.0 GB on the   server, 5.0 GB are free."
        "   These would be removed after it: a, b"
    )


@pytest.mark.parametrize(
    ("figures", "line"),
    [
        ({}, "the backup begins, 3 s"),
        (
            {"doing": "dumping", "tables": 58, "dumped": 60, "read": 4, "bytes": 1_234_567},
            "dump: 58 of 58 tables begun, 1.2 MB written; digests: 4 of 58; 3 s",
        ),
        (
            {"doing": "summing up", "tables": 58, "dumped": 58, "read": 58, "bytes": 10**9},
            "everything is dumped; checksums of 1.0 GB are taken, 3 s",
        ),
    ],
)
def test_progress_says_how_far_it_is(figures: dict[str, Any], line: str) -> None:
    assert progress_line(figures, 3.4) == line
