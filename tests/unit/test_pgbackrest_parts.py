"""What pgbackrest says is read as it is, and until when is recovered is a certain point."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.backup_physical_preflight import require_same_cluster
from ansible_collections.dbops.multischema.plugins.module_utils.content import Content, SequenceContent, TableContent, compare_content
from ansible_collections.dbops.multischema.plugins.module_utils.database_identity import DatabaseIdentity
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError
from ansible_collections.dbops.multischema.plugins.module_utils.pgbackrest import Stanza, StanzaRefused, words
from ansible_collections.dbops.multischema.plugins.module_utils.physical_content import Peculiarities, as_recovered
from ansible_collections.dbops.multischema.plugins.module_utils.recovered_server import percent_of
from ansible_collections.dbops.multischema.plugins.module_utils.recovery_target import asked_target, recorded_target
from ansible_collections.dbops.multischema.plugins.module_utils.stanza import NotInfo, parse_info, stanza_names, unsound

NOW = datetime(2030, 1, 5, 12, tzinfo=timezone.utc)
LABEL = "20300105-030000F"
# As pgbackrest 2.45 writes it.
BACKUP = {
    "archive": {"start": "000000010000000000000002", "stop": "000000010000000000000003"},
    "backrest": {"format": 5, "version": "2.45"},
    "database": {"id": 1, "repo-key": 1},
    "error": False,
    "info": {"delta": 22992653, "repository": {"delta": 4523593, "size": 4523593}, "size": 22992653},
    "label": LABEL,
    "lsn": {"start": "0/2000028", "stop": "0/3000050"},
    "prior": None,
    "reference": None,
    "timestamp": {"start": 1893812400, "stop": 1893812460},
    "type": "full",
}
INFO: dict[str, Any] = {
    "archive": [],
    "backup": [BACKUP],
    "cipher": "none",
    "db": [{"id": 1, "repo-key": 1, "system-id": 7712414408476502362, "version": "15"}],
    "name": "shop",
    "repo": [{"cipher": "none", "key": 1, "status": {"code": 0, "message": "ok"}}],
    "status": {"code": 0, "lock": {"backup": {"held": False}}, "message": "ok"},
}
REPORT = """stanza: shop
status: {whole}
  archiveId: 15-1, total WAL checked: 3, total valid WAL: 3
    missing: 0, checksum invalid: {wal}, size invalid: 0, other: 0
  backup: 20300105-030000F, status: {status}, total files checked: 965, total valid files: 964
    missing: 0, checksum invalid: {here}, size invalid: 0, other: 0
  backup: 20300104-030000F, status: invalid, total files checked: 965, total valid files: 960
    missing: 2, checksum invalid: 3, size invalid: 0, other: 0
"""


def info(**changes: Any) -> str:
    return json.dumps([{**INFO, **changes}])


def test_a_stanza_is_read() -> None:
    found = parse_info(info(), "shop", 1)
    label = found.find(LABEL)
    assert label is not None
    assert (label.kind, label.stop_lsn, label.ended_at, label.size, label.stored) == (
        "full",
        "0/3000050",
        "2030-01-05T03:01:00Z",
        22992653,
        4523593,
    )
    assert found.cluster is not None
    assert (found.cluster.system_identifier, found.cluster.version) == ("7712414408476502362", "15")
    assert not found.missing
    assert found.find("20300105-040000F") is None
    assert stanza_names(info()) == ["shop"]


def test_what_is_in_another_repository_is_not_in_this_one() -> None:
    second = {"cipher": "none", "key": 2, "status": {"code": 2, "message": "no valid backups"}}
    found = parse_info(info(repo=[*INFO["repo"], second]), "shop", 2)
    assert (found.labels, found.code, found.missing) == ((), 2, False)
    with pytest.raises(NotInfo, match="has no repository 3; it has 1"):
        parse_info(info(), "shop", 3)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", info(backup=[{}]), info(name="other")])
def test_what_is_no_answer_is_not_taken_for_one(text: str) -> None:
    with pytest.raises(NotInfo):
        parse_info(text, "shop", 1)


@pytest.mark.parametrize(
    ("changes", "here", "reason"),
    [
        ({}, DatabaseIdentity("7712414408476502362", 5, "shop"), ""),
        ({}, DatabaseIdentity("1", 5, "shop"), "that of another cluster .system identifier 7712414408476502362.; this server's is 1"),
        ({}, DatabaseIdentity("", 5, "shop"), "cannot be seen whether"),
        ({"db": [{**INFO["db"][0], "version": "14"}]}, DatabaseIdentity("7712414408476502362", 5, "shop"), "is of PostgreSQL 14"),
        (
            {"db": [INFO["db"][0], {**INFO["db"][0], "id": 2, "system-id": 9}]},
            DatabaseIdentity("7712414408476502362", 5, "x"),
            "another cluster",
        ),
        (
            {"repo": [{"key": 1, "status": {"code": 5, "message": "database mismatch across repos"}}]},
            DatabaseIdentity("7712414408476502362", 5, "shop"),
            "not in order: database mismatch",
        ),
    ],
)
def test_a_stanza_has_to_be_in_order_and_this_cluster_s(changes: dict[str, Any], here: DatabaseIdentity, reason: str) -> None:
    found = parse_info(info(**changes), "shop", 1)
    if not reason:
        require_same_cluster(Stanza("shop"), found, here, 150018)
        return
    with pytest.raises(StanzaRefused, match=reason):
        require_same_cluster(Stanza("shop"), found, here, 150018)


@pytest.mark.parametrize(
    ("given", "problems"),
    [
        ({"status": "valid", "here": 0, "wal": 0, "whole": "error"}, []),
        ({"status": "invalid", "here": 1, "wal": 0, "whole": "error"}, [f"backup: {LABEL}: of its files 1 checksum invalid"]),
        ({"status": "valid", "here": 0, "wal": 2, "whole": "error"}, ["archiveId: 15-1: of its files 2 checksum invalid"]),
        (
            {"status": "in-progress", "here": 0, "wal": 0, "whole": "ok"},
            [f"pgbackrest verify says of backup: {LABEL}: status: in-progress"],
        ),
    ],
)
def test_of_a_verification_what_is_about_this_backup_and_the_wal_counts(given: dict[str, Any], problems: list[str]) -> None:
    assert unsound(REPORT.format(**given), LABEL) == problems


def test_a_backup_that_was_not_verified_is_not_sound() -> None:
    assert unsound("stanza: shop\nstatus: ok\n", LABEL) == [f"pgbackrest verify says of backup: {LABEL}: nothing"]


def test_of_its_words_the_trouble_is_said() -> None:
    said = [
        "INFO: backup command begin",
        "ERROR: [082]: WAL segment was not archived",
        "       HINT: check the archive_command",
        "DETAIL: x",
    ]
    assert words(said) == "[082]: WAL segment was not archived (hint) check the archive_command"
    assert words(["something else"]) == "something else"


@pytest.mark.parametrize(
    ("line", "percent"),
    [
        ("DETAIL: backup file /var/lib/a, b/base/1/1417 (0B, 99.50%) checksum ab", 99.5),
        ("P01 DETAIL: restore file /data/PG_VERSION (3B, 100.00%)", 100.0),
        ("INFO: full backup size = 21.9MB, file total = 965", None),
        ("", None),
    ],
)
def test_how_far_it_is_stands_in_its_lines(line: str, percent: float | None) -> None:
    assert percent_of(line) == percent


@pytest.mark.parametrize(
    ("given", "settings"),
    [
        ({"time": "2030-01-05 12:00:00+01:00"}, ("recovery_target_time", "2030-01-05 11:00:00.000000+0000")),
        ({"time": "2030-01-05T11:00Z"}, ("recovery_target_time", "2030-01-05 11:00:00.000000+0000")),
        ({"time": " 2030-01-05 06:30:00.25 -0430 "}, ("recovery_target_time", "2030-01-05 11:00:00.250000+0000")),
        ({"time": "2030-01-05 11:00:00+00"}, ("recovery_target_time", "2030-01-05 11:00:00.000000+0000")),
        ({"lsn": "1A/2B3C4D58"}, ("recovery_target_lsn", "1A/2B3C4D58")),
        ({"name": "before the release"}, ("recovery_target_name", "before the release")),
    ],
)
def test_a_point_is_understood(given: dict[str, str], settings: tuple[str, str]) -> None:
    target = asked_target({f"target_{kind}": value for kind, value in given.items()}, NOW)
    assert target is not None
    assert target.settings[settings[0]] == settings[1]
    assert target.settings["recovery_target_action"] == "promote"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"time": "2030-01-05 11:00:00"}, "without a time zone(.|\n)*2030-01-05 11:00:00[+]00:00"),
        ({"time": "2030-01-05 13:00:00+00:00"}, "in the future"),
        ({"time": "yesterday"}, "no time"),
        ({"time": "2030-02-30 13:00:00+00:00"}, "no time"),
        ({"time": "2030-01-05 11:00:00+00:00", "name": "x"}, "target_time and backup_restore_target_name are set"),
        ({"lsn": "0xFF"}, "1A/2B3C4D58"),
    ],
)
def test_what_is_no_certain_point_is_refused_with_what_to_write(given: dict[str, str], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        asked_target({f"target_{kind}": value for kind, value in given.items()}, NOW)


def test_none_is_none() -> None:
    assert asked_target({"target_time": "", "target_lsn": None}, NOW) is None


def test_recovery_goes_forward_only() -> None:
    ended = datetime(2030, 1, 5, 3, 1, tzinfo=timezone.utc)
    for given, reached in (
        ({"target_time": "2030-01-05 03:01:00+00:00"}, True),
        ({"target_time": "2030-01-05 03:00:59+00:00"}, False),
        ({"target_lsn": "0/3000050"}, True),
        ({"target_lsn": "0/300004F"}, False),
        ({"target_lsn": "1/0"}, True),
        ({"target_name": "x"}, True),
    ):
        target = asked_target(given, NOW)
        assert target is not None
        assert target.reached_after("0/3000050", ended) is reached, given


def test_the_recorded_place_is_recovered_to_and_what_stands_at_it_is_left_out() -> None:
    assert recorded_target("0/416F508", 3).settings == {
        "recovery_target_lsn": "0/416F508",
        "recovery_target_inclusive": "off",
        "recovery_target_timeline": "3",
        "recovery_target_action": "promote",
    }


def test_of_what_was_recorded_a_copy_has_no_unlogged_rows_and_sequences_may_be_ahead() -> None:
    def content(rows: int, digest: str | None, at: int | None) -> Content:
        return Content((TableContent("s", "baskets", rows, digest),), (SequenceContent("s", "ids", at, at),))

    found = Peculiarities(frozenset({("s", "baskets"), ("s", "temporary_ids")}), {("s", "ids"): 33, ("s", "temporary_ids"): 33})
    recorded = as_recovered(content(7, "99", 12), found, [SequenceContent("s", "ids", 10, 10)])
    assert list(compare_content(recorded, content(0, None, 45))) == []
    assert list(compare_content(recorded, content(0, None, 10))) == []
    assert len(list(compare_content(recorded, content(0, None, 46)))) == 1
    assert len(list(compare_content(recorded, content(0, None, 9)))) == 1
    assert len(list(compare_content(recorded, content(7, "99", 12)))) == 1
