"""A receipt lets the next environment go on exactly where it is believed, fresh, and about the same thing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.database_identity import DatabaseIdentity
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError, MultischemaError
from ansible_collections.dbops.multischema.plugins.plugin_utils import ssh_signature as ssh
from ansible_collections.dbops.multischema.plugins.plugin_utils.components import Components
from ansible_collections.dbops.multischema.plugins.plugin_utils.promotion import (
    Demand,
    PromotionRefused,
    find_receipt,
    host_before,
    require_inventory,
    require_other_environment,
)
from ansible_collections.dbops.multischema.plugins.plugin_utils.promotion_override import override_reason
from ansible_collections.dbops.multischema.plugins.plugin_utils.receipt import (
    NotAReceipt,
    Receipt,
    file_name,
    parse_receipt,
    signature_of,
)
from tests.support.ssh_keys import SIGNER, allow, make_key

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
DECISIONS = {"keep": [], "placement": [{"schema": "sales", "tables": ["orders", "order_*"]}], "unplaced": "refuse"}
COMPONENTS = Components(
    code={"playbooks/site.yml": "1" * 64, "plugins/action/x.py": "2" * 64, "roles/a/tasks/main.yml": "3" * 64},
    decisions=DECISIONS,
    versions={"collection": "0.1.0", "ansible_core": "2.19.4", "postgresql": "17", "psycopg2": "2.9.10"},
)
RECEIPT = Receipt(
    environment="staging",
    host="shop_staging",
    made_at=NOW - timedelta(hours=3),
    made_by={"principal": SIGNER, "user": "operator", "machine": "control"},
    database=DatabaseIdentity("7300000000000000001", 16384, "shop"),
    server="17.4",
    components=COMPONENTS,
    results={"tables_moved": 57, "longest_stall_ms": 31.5, "runs": [{"id": "r1"}, {"id": "r2"}]},
)


@dataclass
class Desk:
    """Where receipts are looked for, and what is demanded of them."""

    directory: Path
    key: Path
    demand: Demand

    def put(self, receipt: Receipt, key: Path | None = None, **options: Any) -> Path:
        """Sign a receipt and lay it there."""
        self.directory.mkdir(exist_ok=True)
        tail = f"{len(list(self.directory.iterdir())):04}"
        path = self.directory / file_name(receipt.made_at, tail)
        path.write_bytes(receipt.to_bytes())
        signature_of(path).write_text(ssh.sign(receipt.to_bytes(), key or self.key, **options))
        return path

    def refused(self, kind: str, *words: str, **changes: Any) -> PromotionRefused:
        """What is said where no receipt counts."""
        with pytest.raises(PromotionRefused) as caught:
            find_receipt(replace(self.demand, **changes))
        said = str(caught.value)
        assert caught.value.kind == kind, said
        assert [word for word in words if word not in said] == [], said
        assert caught.value.remedy
        return caught.value


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    key, signers = make_key(tmp_path / "key"), tmp_path / "allowed_signers.txt"
    allow(signers, key)
    demand = Demand(
        environment="staging",
        host="shop_staging",
        here="production/shop_production",
        directory=tmp_path / "receipts",
        signers=signers,
        components=COMPONENTS,
        database=DatabaseIdentity("7400000000000000002", 16385, "shop"),
        copied=False,
        runs=frozenset(),
        max_age=timedelta(hours=168),
        now=NOW,
    )
    return Desk(tmp_path / "receipts", key, demand)


# --- what counts ---


def test_a_receipt_of_the_same_thing_counts(desk: Desk) -> None:
    desk.put(RECEIPT)
    assert find_receipt(desk.demand) == RECEIPT


def test_a_receipt_is_text_that_a_person_can_read_and_comes_back_as_it_was() -> None:
    data = RECEIPT.to_bytes()
    assert parse_receipt(data) == RECEIPT
    assert json.loads(data)["made_at"] == "2026-03-10T09:00:00Z"
    assert json.loads(data)["digest"] == COMPONENTS.digests
    assert len(data.splitlines()) > 30


def test_the_newest_that_counts_is_taken_and_nothing_is_said_of_the_others(desk: Desk) -> None:
    old = desk.put(replace(RECEIPT, made_at=NOW - timedelta(days=30)))
    good = replace(RECEIPT, made_at=NOW - timedelta(hours=5))
    desk.put(good)
    desk.put(replace(RECEIPT, made_at=NOW - timedelta(hours=1), host="another"))
    (desk.directory / "README.json").write_text("{}")
    assert find_receipt(desk.demand) == good
    old.unlink()
    assert find_receipt(desk.demand) == good


def test_where_none_counts_the_newest_is_explained_and_the_others_are_named(desk: Desk) -> None:
    for day in range(8, 15):
        desk.put(replace(RECEIPT, made_at=NOW - timedelta(days=day)))
    desk.put(replace(RECEIPT, host="another"))
    said = str(desk.refused("host", "is of another", "too old", "and 3 more"))
    assert said.index("is of another") < said.index("too old")


def test_bug_fixes_of_ansible_core_and_psycopg2_may_differ(desk: Desk) -> None:
    versions = {**COMPONENTS.versions, "ansible_core": "2.19.9", "psycopg2": "2.9.5"}
    desk.put(replace(RECEIPT, components=replace(COMPONENTS, versions=versions)))
    assert find_receipt(desk.demand)


# --- refusals ---


def test_no_receipt(desk: Desk) -> None:
    words = ("There is no receipt of staging for shop_staging", "inventory/staging playbooks/promote.yml", "promotes_from_host")
    desk.refused("missing", *words)
    desk.directory.mkdir()
    desk.refused("missing", "There is no receipt of staging")


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace('"tables_moved": 57', '"tables_moved": 58'),
        lambda text: text.replace('"shop_staging"', '"shop_production"'),
        lambda text: text + "\n",
        lambda text: text[:2],
        lambda text: text[:0],
    ],
)
def test_an_edited_receipt(desk: Desk, edit: Callable[[str], str]) -> None:
    path = desk.put(RECEIPT)
    path.write_text(edit(path.read_text()))
    desk.refused("edited", f"{path} was edited", "promote.yml")


def test_a_receipt_without_its_signature_or_with_that_of_another(desk: Desk) -> None:
    path = desk.put(RECEIPT)
    other = desk.put(replace(RECEIPT, made_at=NOW - timedelta(hours=9)))
    shutil.copy(signature_of(other), signature_of(path))
    other.unlink()
    desk.refused("edited", "belongs to another one")
    signature_of(path).unlink()
    desk.refused("unsigned", f"{path.name}.sig is not beside it")


def test_a_signature_for_another_purpose(desk: Desk) -> None:
    desk.put(RECEIPT, namespace="git")
    desk.refused("namespace", "another purpose", "dbops.multischema.promotion")


@pytest.mark.parametrize("data", [b"[]", b"{}", b'{"kind": "dbops.multischema.promotion", "format": 2}', b"[" * 100000])
def test_something_signed_that_is_no_receipt(desk: Desk, data: bytes) -> None:
    with pytest.raises(NotAReceipt):
        parse_receipt(data)
    path = desk.put(RECEIPT)
    path.write_bytes(data)
    signature_of(path).write_text(ssh.sign(data, desk.key))
    desk.refused("malformed", "is signed, and is not a receipt")


def test_a_receipt_whose_digests_are_not_those_of_its_content(desk: Desk) -> None:
    document = json.loads(RECEIPT.to_bytes())
    document["decisions"]["unplaced"] = "keep"
    path = desk.put(RECEIPT)
    data = (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
    path.write_bytes(data)
    signature_of(path).write_text(ssh.sign(data, desk.key))
    desk.refused("malformed", "its digests are not those of its content")


def test_a_principal_that_would_be_a_pattern_or_an_option(desk: Desk) -> None:
    for principal in ("*@example.com", "a b", ""):
        desk.put(replace(RECEIPT, made_by={**RECEIPT.made_by, "principal": principal}))
        desk.refused("malformed", "no name that could have signed")
    desk.put(replace(RECEIPT, made_at=NOW, made_by={**RECEIPT.made_by, "principal": "-Overify-time=20200101"}))
    desk.refused("other_signer", "is that of " + SIGNER)


def test_an_unknown_signer(desk: Desk, tmp_path: Path) -> None:
    desk.put(RECEIPT, key=make_key(tmp_path / "stranger"))
    line = f'{SIGNER} namespaces="dbops.multischema.promotion"'
    desk.refused("unknown_signer", "a key that is not known here", "writes a line into", line)


def test_a_signer_in_the_name_of_somebody_else(desk: Desk, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other")
    allow(desk.demand.signers, other, "other@example.com")
    desk.put(RECEIPT, key=other)
    desk.refused("other_signer", f"says that {SIGNER} has signed it, and the key is that of other@example.com")


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ('namespaces="git"', "not_permitted", "may not sign receipts"),
        ('valid-before="20200101"', "expired", "not valid now"),
    ],
)
def test_a_signer_who_may_not_sign_this_or_not_any_more(desk: Desk, options: str, kind: str, words: str) -> None:
    desk.put(RECEIPT)
    desk.demand.signers.unlink()
    desk.refused("no_signers", "multischema_allowed_signers", f'{SIGNER} namespaces="dbops.multischema.promotion"')
    allow(desk.demand.signers, desk.key, options=options)
    desk.refused(kind, words)


def test_no_ssh_keygen(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.put(RECEIPT)
    monkeypatch.setenv("PATH", str(tmp_path))
    desk.refused("ssh-keygen", "ssh-keygen is not installed", "openssh-client")


def test_the_wrong_environment(desk: Desk) -> None:
    desk.put(replace(RECEIPT, environment="development"))
    desk.refused("environment", "is of development, and one of staging is demanded")


def test_another_database_s_receipt(desk: Desk) -> None:
    desk.put(replace(RECEIPT, host="crm_staging"))
    desk.refused("host", "is of crm_staging, and one of shop_staging is demanded", "--limit shop_staging")


def test_a_receipt_of_this_very_database(desk: Desk) -> None:
    desk.put(replace(RECEIPT, database=replace(desk.demand.database, name="renamed_since")))
    desk.refused("same_database", "of this very database", "physical copy", "multischema_promotes_from_copy: true")
    assert find_receipt(replace(desk.demand, copied=True))
    desk.refused("same_database", "run r1 is in its journal", copied=True, runs=frozenset({"r0", "r1"}))


@pytest.mark.parametrize("identity", [("7400000000000000002", 16384), ("7300000000000000001", 16385)])
def test_another_database_of_the_same_server_is_another_one(desk: Desk, identity: tuple[str, int]) -> None:
    desk.put(replace(RECEIPT, database=DatabaseIdentity(*identity, "shop")))
    assert find_receipt(desk.demand)


def test_a_receipt_that_is_too_old_unless_the_migration_has_begun(desk: Desk) -> None:
    desk.put(replace(RECEIPT, made_at=NOW - timedelta(hours=169)))
    desk.refused("old", "too old", "169 h ago, and 168 h are allowed", "multischema_promotion_max_age_h")
    assert find_receipt(replace(desk.demand, max_age=None))
    assert find_receipt(replace(desk.demand, max_age=timedelta(hours=169)))


def test_a_receipt_from_the_future(desk: Desk) -> None:
    desk.put(replace(RECEIPT, made_at=NOW + timedelta(minutes=4)))
    assert find_receipt(desk.demand)
    desk.put(replace(RECEIPT, made_at=NOW + timedelta(minutes=6)))
    assert find_receipt(desk.demand).made_at == NOW + timedelta(minutes=4)
    desk.refused("future", "from the future", "clock", now=NOW - timedelta(days=1))
    desk.refused("future", "from the future", now=NOW - timedelta(days=1), max_age=None)


def test_changed_placement_names_the_setting(desk: Desk) -> None:
    desk.put(RECEIPT)
    decisions = {**DECISIONS, "placement": [{"schema": "sales", "tables": ["orders"]}], "keep": ["audit"]}
    said = desk.refused(
        "decisions",
        'multischema_placement[0].tables[1]: "order_*" there, nothing here',
        'multischema_keep[0]: nothing there, "audit" here',
        components=replace(COMPONENTS, decisions=decisions),
    )
    assert "unplaced" not in str(said)


def test_changed_code_names_the_files(desk: Desk) -> None:
    desk.put(RECEIPT)
    code = {"playbooks/site.yml": "9" * 64, "plugins/action/x.py": "2" * 64, "plugins/action/y.py": "4" * 64}
    said = str(
        desk.refused(
            "code",
            "playbooks/site.yml is another one",
            "plugins/action/y.py is new here",
            "roles/a/tasks/main.yml was there and is missing here",
            components=replace(COMPONENTS, code=code),
        )
    )
    assert "plugins/action/x.py" not in said


@pytest.mark.parametrize(
    ("name", "version", "words"),
    [
        ("postgresql", "18", 'postgresql: "17" there, "18" here'),
        ("collection", "0.1.1", 'collection: "0.1.0" there, "0.1.1" here'),
        ("ansible_core", "2.20.0", 'ansible_core: "2.19" there, "2.20" here'),
        ("psycopg2", "2.10.1", 'psycopg2: "2.9" there, "2.10" here'),
    ],
)
def test_changed_versions(desk: Desk, name: str, version: str, words: str) -> None:
    desk.put(RECEIPT)
    versions = {**COMPONENTS.versions, name: version}
    desk.refused("versions", words, components=replace(COMPONENTS, versions=versions))


def test_everything_that_differs_is_said_at_once_and_not_without_end(desk: Desk) -> None:
    desk.put(RECEIPT)
    changed = Components(
        {f"roles/r{n}.yml": "1" for n in range(40)}, {**DECISIONS, "unplaced": "keep"}, {**COMPONENTS.versions, "postgresql": "18"}
    )
    said = str(desk.refused("decisions", "code:", "versions:", "and 37 more", components=changed))
    assert len(said.splitlines()) < 25


# --- what is demanded ---


def test_the_host_before_is_called_alike_with_the_other_environment_in_its_name() -> None:
    assert host_before("shop_production", "production", "staging") == "shop_staging"
    assert host_before("production-db.shop", "production", "staging") == "staging-db.shop"
    assert host_before("shop", "production", "staging") == "shop"


def test_an_environment_does_not_vouch_for_itself() -> None:
    require_other_environment("production", "staging")
    with pytest.raises(ConfigurationError, match="cannot vouch for itself"):
        require_other_environment("staging", "staging")


@pytest.mark.parametrize("name", ["promotes_from", "promotes_from_host", "promotes_from_copy", "promotion_max_age_h", "allowed_signers"])
def test_what_is_demanded_is_for_the_inventory_to_say(name: str) -> None:
    require_inventory({"multischema_promotion_override": {"reason": "…"}, "multischema_signing_key": "k", name: ""})
    with pytest.raises(ConfigurationError, match=f"multischema_{name} may not be given with -e"):
        require_inventory({f"multischema_{name}": ""})


# --- overrides ---


@pytest.mark.parametrize("value", [None, "", {}])
def test_without_an_override_there_is_no_reason(value: Any) -> None:
    assert override_reason(value) is None


def test_a_reason_is_one_line() -> None:
    assert override_reason({"reason": " INC-4711: orders are\n lost since noon "}) == "INC-4711: orders are lost since noon"


@pytest.mark.parametrize(
    "reason", [None, "", " ", "x", "urgent", "because because because because", "........................", "it is urgent now", 4711]
)
def test_a_reason_that_says_nothing_is_refused(reason: Any) -> None:
    with pytest.raises(ConfigurationError, match="no reason that could be understood later") as caught:
        override_reason({"reason": reason})
    assert "multischema_promotion_override:" in caught.value.remedy


def test_a_refusal_is_an_error_that_people_know() -> None:
    assert issubclass(PromotionRefused, MultischemaError)
