"""Nobody vouches for what is not proved, not complete, or was not run by what lies here."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError, JournalError, PlanRefused
from ansible_collections.dbops.multischema.plugins.plugin_utils import voucher
from ansible_collections.dbops.multischema.plugins.plugin_utils.code_files import COLLECTION_ROOT, read_code
from ansible_collections.dbops.multischema.plugins.plugin_utils.components import run_label
from ansible_collections.dbops.multischema.plugins.plugin_utils.ssh_signature import SignatureRefused
from tests.support.ssh_keys import SIGNER, make_key
from tests.unit.builders import catalog, configuration, plan, table
from tests.unit.repository import ROOT
from tests.unit.test_promotion import RECEIPT

PASSED = {"name": "tables", "status": "pass", "detail": "all there"}
PLACED: dict[str, Any] = {"schemas": [{"name": "a"}], "placement": [{"schema": "a", "tables": "*"}]}


# --- the signer ---


def test_a_key_is_needed(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="multischema_signing_key is not set"):
        voucher.read_signer(None, SIGNER)
    with pytest.raises(SignatureRefused, match="There is no key at"):
        voucher.read_signer(str(tmp_path / "missing"), SIGNER)


def test_the_signer_is_who_is_named_or_whom_the_key_names(tmp_path: Path) -> None:
    key = make_key(tmp_path / "key")
    assert voucher.read_signer(str(key), None) == voucher.Signer(key, SIGNER)
    assert voucher.read_signer(str(key), "operator").principal == "operator"
    nameless = make_key(tmp_path / "nameless", comment="")
    for principal in (None, "two words", "a*"):
        with pytest.raises(ConfigurationError, match="Nobody can tell whose the key"):
            voucher.read_signer(str(nameless), principal)


# --- what has to be so ---


def test_the_environment_has_a_name() -> None:
    voucher.require_environment("staging")
    with pytest.raises(ConfigurationError, match="multischema_environment is not set"):
        voucher.require_environment("default")


def test_the_verification_has_passed() -> None:
    voucher.require_passed([PASSED, {**PASSED, "status": "warn"}])
    with pytest.raises(JournalError, match="Nothing was verified"):
        voucher.require_passed([])
    with pytest.raises(JournalError, match="has not passed: identity"):
        voucher.require_passed([PASSED, {**PASSED, "name": "identity", "status": "fail"}])


def test_the_migration_is_complete_and_nobody_is_at_work() -> None:
    steps = plan(catalog(table("t")), configuration(**PLACED)).steps
    voucher.require_complete(None, [], steps)
    voucher.require_complete({"live": False}, [], steps)
    with pytest.raises(PlanRefused, match=r"not complete.*not done"):
        voucher.require_complete(None, steps[:1], steps[1:])
    with pytest.raises(PlanRefused, match="nothing has been done here"):
        voucher.require_complete(None, [], [])
    with pytest.raises(JournalError, match="operator@control, pid 7"):
        voucher.require_complete({"live": True, "holder": "operator@control, pid 7", "run": "r"}, [], steps)


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("0.1.0+cccc.bbbb", "here by other code than the present"),
        ("0.1.0+aaaa.eeee", r"here for other decisions \(.*\) than the present"),
        ("0.0.9+aaaa.bbbb", "here by other code than the present"),
        ("0.1.0", "by other code and for other decisions"),
    ],
)
def test_what_was_run_is_what_lies_here(version: str, words: str) -> None:
    label = "0.1.0+aaaa.bbbb"
    done = {"id": "r1", "door": "phase1", "steps": 3, "version": label}
    voucher.require_same_code([done, {**done, "id": "rolled back", "steps": 0, "version": version}], label)
    with pytest.raises(PlanRefused, match=words) as caught:
        voucher.require_same_code([done, {**done, "id": "r2", "door": "phase2", "version": version}], label)
    assert "r2 (phase2, 3 steps)" in str(caught.value)
    assert "r1 " not in str(caught.value)


# --- what it says ---

RUN = {"id": "r1", "door": "phase1", "steps": 3, "retries": 0, "seconds": 0.5, "longest_stall_ms": None, "longest_stall_on": None}
HISTORY = {
    "runs": [
        RUN,
        {**RUN, "id": "r2", "door": "phase2", "retries": 2, "seconds": 4.25, "longest_stall_ms": 31.0, "longest_stall_on": "public.t"},
        {**RUN, "id": "undone", "steps": 0, "longest_stall_ms": 900.0},
    ],
    "accepted": [
        {"finding": "promotion_override", "object": "receipt of development", "reason": "why"},
        {"finding": "inheritance_only", "object": "public.t", "reason": "because"},
    ],
}


def test_figures_are_those_of_what_is_in_effect() -> None:
    done = plan(catalog(table("t"), table("u")), configuration(**PLACED)).steps
    found = voucher.results(done, HISTORY, [PASSED])
    assert (found["tables_moved"], found["retries"], found["seconds"]) == (2, 2, 4.75)
    assert (found["longest_stall_ms"], found["longest_stall_on"]) == (31.0, "public.t")
    assert [run["id"] for run in found["runs"]] == ["r1", "r2"]
    assert [item["finding"] for item in found["accepted"]] == ["inheritance_only"]
    assert voucher.results(done, {"runs": [RUN], "accepted": []}, [PASSED])["longest_stall_ms"] is None
    assert voucher.overrides("staging", HISTORY) == ({"environment": "staging", "instead_of": "receipt of development", "reason": "why"},)


def test_the_report_fits_the_terminal_and_says_what_was_overridden() -> None:
    done = plan(catalog(table("t")), configuration(**PLACED)).steps
    receipt = replace(RECEIPT, results=voucher.results(done, HISTORY, [PASSED]), overrides=voucher.overrides("staging", HISTORY))
    lines = voucher.report_lines(receipt, "artifacts/staging/shop_staging/receipts/20260310T090000Z-a1b2.json")
    assert max(map(len, lines)) <= 92
    assert "1 table moved in 4.75 s, 2 retries; a reader waited 31 ms at worst, on public.t; 1 check" in " ".join(lines)
    assert "went on without a receipt of development: why" in " ".join(lines)


# --- the code ---


def test_the_code_is_every_file_that_ansible_may_load(tmp_path: Path) -> None:
    for name in ("playbooks/a.yml", "playbooks/group_vars/all.yml", "roles/r/tasks/main.yml", "plugins/x.py", "meta/runtime.yml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    before = read_code(tmp_path)
    assert len(before) == 5
    for name in ("plugins/__pycache__/x.pyc", "plugins/.x.py.swp", "plugins/x.py~", "README.md", "tests/t.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("left behind")
    assert read_code(tmp_path) == before
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    (outside / "y.py").write_text("y")
    (tmp_path / "plugins" / "linked").symlink_to(outside)
    (outside / "round").symlink_to(tmp_path / "plugins")
    assert read_code(tmp_path).keys() - before.keys() == {"plugins/linked/y.py"}
    (tmp_path / "roles/r/tasks/main.yml").write_text("changed")
    assert read_code(tmp_path)["roles/r/tasks/main.yml"] != before["roles/r/tasks/main.yml"]


def test_the_code_of_the_checkout_is_found_from_the_plugins_themselves() -> None:
    assert COLLECTION_ROOT == ROOT
    assert {"playbooks/promote.yml", "plugins/plugin_utils/voucher.py", "roles/migration_gate/tasks/main.yml"} <= read_code().keys()


def test_the_code_is_the_same_in_a_checkout_and_installed(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    environment |= {"LC_ALL": "C.UTF-8", "ANSIBLE_HOME": str(tmp_path / "home")}

    def galaxy(*arguments: str) -> None:
        # Not in the checkout: it counts as installed already.
        command = [str(Path(sys.executable).with_name("ansible-galaxy")), "collection", *arguments]
        subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, timeout=120, check=True)

    galaxy("build", str(ROOT), "--output-path", str(tmp_path))
    (archive,) = tmp_path.glob("*.tar.gz")
    galaxy("install", str(archive), "--collections-path", str(tmp_path), "--no-deps", "--offline")
    installed = tmp_path / "ansible_collections" / "dbops" / "multischema"
    assert (installed / "MANIFEST.json").exists()
    assert read_code(installed) == read_code()


def test_a_run_is_labelled_with_its_code_and_its_decisions() -> None:
    one, other = (run_label(configuration(**PLACED, unplaced=word)) for word in ("keep", "refuse"))
    assert one.split(".")[:-1] == other.split(".")[:-1]
    assert one != other
    assert one.startswith(run_label(None) + ".")
