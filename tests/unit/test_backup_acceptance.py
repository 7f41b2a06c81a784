"""Which backup counts before a migration, and why another one does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.backup_acceptance import Demand, Found, Judgement, as_check, hours, judge
from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import BY_CHECKSUM, BY_RESTORE, PG_DUMP, Manifest, Verdict
from ansible_collections.dbops.multischema.plugins.module_utils.content import Content
from ansible_collections.dbops.multischema.plugins.module_utils.database_identity import DatabaseIdentity

SHOP = DatabaseIdentity("7000", 16384, "shop")
NOW = datetime(2030, 1, 5, 12, 0, tzinfo=UTC)
DEMAND = Demand(SHOP, NOW, timedelta(hours=24))
PROVED = Manifest(
    name="20300105T030000Z-shop-5e1d",
    engine=PG_DUMP,
    dump_format="directory",
    database=SHOP,
    server="PostgreSQL 18.4",
    server_version_num=180004,
    tools={},
    snapshot="",
    began_at="2030-01-05T02:55:00Z",
    ended_at="2030-01-05T03:00:00Z",
    made_by={},
    compression="none",
    recipients=(),
    files=(),
    content=Content(),
    verdict=Verdict(BY_RESTORE, "2030-01-05T03:10:00Z", passed=True),
)
MANY = Verdict(BY_RESTORE, "2030-01-05T03:10:00Z", passed=False, differences=("public.a is missing (3 rows)", "b", "c"))


def refusal(problem: str = "", demand: Demand = DEMAND, **changes: object) -> str:
    return judge(Found("x", replace(PROVED, **changes), problem), demand).refusal  # type: ignore[arg-type]


def test_a_proved_young_backup_of_this_database_counts() -> None:
    assert judge(Found("x", PROVED), DEMAND).accepted


def test_it_counts_under_a_new_name_of_the_database() -> None:
    assert refusal(database=replace(SHOP, name="shop_2029")) == ""


@pytest.mark.parametrize(
    ("database", "words"),
    [
        (DatabaseIdentity("7000", 5, "other"), "other (OID 5); this one is shop (OID 16384)"),
        (DatabaseIdentity("7000", 5, "shop"), "shop (OID 5); this one is shop (OID 16384)"),
        (DatabaseIdentity("8000", 16384, "shop"), "of another server (system identifier 8000)"),
        (DatabaseIdentity("", 16384, "other"), "it is of another database, other"),
    ],
)
def test_one_of_another_database_does_not_count(database: DatabaseIdentity, words: str) -> None:
    assert words in refusal(database=database)


def test_where_the_server_may_not_be_asked_oid_and_name_decide() -> None:
    assert refusal(database=replace(SHOP, system_identifier="")) == ""
    assert refusal(demand=replace(DEMAND, database=replace(SHOP, system_identifier=""))) == ""


def test_age_counts_from_its_end() -> None:
    assert refusal(ended_at="2030-01-04T12:00:00Z") == ""
    assert refusal(ended_at="2030-01-04T11:00:00Z") == "it is 25 h old, and may be 24 h"
    assert refusal(ended_at="2030-01-05T12:04:00Z") == "", "clocks may be a little apart"
    assert "from the future (2030-01-05T12:06:00Z)" in refusal(ended_at="2030-01-05T12:06:00Z")


def test_what_was_not_restored_does_not_count() -> None:
    assert "nobody has restored it" in refusal(verdict=None)
    assert "only its checksums" in refusal(verdict=Verdict(BY_CHECKSUM, "2030-01-05T03:10:00Z", passed=True))
    assert refusal(verdict=MANY) == "it was tried and failed: public.a is missing (3 rows), and 2 more"


def test_what_is_wrong_with_its_files_comes_first() -> None:
    assert refusal("globals.sql is missing", verdict=None) == "globals.sql is missing"
    assert judge(Found("x", None, "it was edited"), DEMAND).refusal == "it was edited"


def test_the_check_says_which_one_counts() -> None:
    check = as_check([Judgement(PROVED.name, "")], PROVED, DEMAND, "/backups")
    assert (check.status, check.detail) == (
        "pass",
        "20300105T030000Z-shop-5e1d (9 h old) was restored on 2030-01-05T03:10:00Z, and everything was in it",
    )


def test_the_check_says_of_each_why_it_does_not_count_and_what_to_do() -> None:
    check = as_check([Judgement(f"b{n}", f"reason {n}") for n in range(7)], None, DEMAND, "/backups")
    assert check.status == "fail"
    assert check.detail.splitlines()[1:] == ["b1: reason 1", "b2: reason 2", "b3: reason 3", "b4: reason 4", "and 2 older ones"]
    assert check.detail.endswith("and 2 older ones")
    assert "playbooks/backup.yml" in check.remedy
    assert "there is none in /backups" in as_check([], None, DEMAND, "/backups").detail


@pytest.mark.parametrize(("minutes", "text"), [(-3, "0 min"), (0, "0 min"), (59, "59 min"), (119, "119 min"), (120, "2 h"), (1500, "25 h")])
def test_ages_are_for_people(minutes: int, text: str) -> None:
    assert hours(timedelta(minutes=minutes)) == text
