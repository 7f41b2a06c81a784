"""The inventories that come with the collection: what ansible-inventory makes of them, and that a promotion can pass through them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.dbops.multischema.plugins.filter.variable_problems import PLACEHOLDER, variable_problems
from ansible_collections.dbops.multischema.plugins.module_utils.configuration import Configuration, read_configuration
from ansible_collections.dbops.multischema.plugins.module_utils.module_door import CONFIGURATION
from tests.unit.repository import ENVIRONMENTS, ROOT, specification

OPTIONS = specification("migration_gate")["main"]["options"]
GROUPS = {"databases", "replicas", "poolers", "monitors", "applications"}
LADDER = ("development", "staging", "production")
SECRET = re.compile(r"password|passwd|secret|token|_url$|private", re.IGNORECASE)
environments = pytest.mark.parametrize("environment", ENVIRONMENTS)


@cache
def listed(environment: str) -> dict[str, Any]:
    """What ``ansible-inventory --list`` says, without a word of warning."""
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-inventory"), "-i", f"inventory/{environment}", "--list"],
        cwd=ROOT,
        env={**os.environ, "LC_ALL": "C.UTF-8", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def hosts(environment: str, group: str) -> list[str]:
    return list(listed(environment).get(group, {}).get("hosts", []))


def variables(environment: str) -> dict[str, Any]:
    """Those of its first database."""
    return dict(listed(environment)["_meta"]["hostvars"][hosts(environment, "databases")[0]])


def configuration(environment: str) -> Configuration:
    """What a plan would be made from."""
    seen = variables(environment)
    return read_configuration({name: seen[f"multischema_{name}"] for name in CONFIGURATION if f"multischema_{name}" in seen})


@environments
def test_it_has_its_groups_and_a_database(environment: str) -> None:
    assert set(listed(environment)["all"]["children"]) - {"ungrouped"} == GROUPS
    assert hosts(environment, "databases")
    every = [host for group in GROUPS for host in hosts(environment, group)]
    assert len(every) == len(set(every)) == len(listed(environment)["_meta"]["hostvars"]), "no file but hosts.yml makes hosts"
    assert [host for host in every if environment not in host] == [], "a host's name says where it is"


@environments
def test_its_variables_are_known_and_of_the_right_type(environment: str) -> None:
    seen = {name: value for name, value in variables(environment).items() if name.startswith("multischema_")}
    assert seen["multischema_environment"] == environment
    assert set(seen) <= set(OPTIONS)
    assert variable_problems({name: value for name, value in seen.items() if "{{" not in str(value)}, OPTIONS) == []


def test_real_environments_have_what_real_ones_have() -> None:
    assert [len(hosts("production", group)) > 0 for group in sorted(GROUPS)] == [True] * 5
    assert [len(hosts("staging", group)) > 0 for group in sorted(GROUPS)] == [True] * 5
    assert variables("production")["multischema_maintenance_window"]
    assert len({str(variables(environment).get("multischema_login_host")) for environment in LADDER}) > 1


# --- promotion ---


def test_promotion_leads_up_the_ladder_and_never_in_a_circle() -> None:
    before = {environment: variables(environment).get("multischema_promotes_from") for environment in ENVIRONMENTS}
    assert before == {"development": None, "production": "staging", "sandbox": None, "staging": "development"}
    for environment in ENVIRONMENTS:
        seen, at = {environment}, before[environment]
        while at:
            assert at in ENVIRONMENTS
            assert at not in seen, f"{environment} would have to wait for itself"
            seen.add(at)
            at = before[at]


@pytest.mark.parametrize("environment", LADDER[1:])
def test_the_database_before_is_found_by_its_name(environment: str) -> None:
    before = variables(environment)["multischema_promotes_from"]
    for host in hosts(environment, "databases"):
        assert host.replace(environment, before) in hosts(before, "databases")


def test_what_is_decided_is_the_same_on_every_rung() -> None:
    decided = {environment: configuration(environment) for environment in LADDER}
    assert decided["development"] == decided["staging"] == decided["production"]
    for environment in LADDER:
        link = ROOT / "inventory" / environment / "group_vars" / "all" / "10_decisions.yml"
        assert link.is_symlink()
        assert link.resolve(strict=True) == ROOT / "group_vars" / "decisions.yml"


@environments
def test_whose_word_counts_is_written_where_it_is_looked_for(environment: str) -> None:
    path = ROOT / "inventory" / environment / "allowed_signers.txt"
    assert path.exists() is bool(variables(environment).get("multischema_promotes_from"))
    if path.exists():
        lines = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
        assert lines == [], "nobody is believed until you say so"


# --- secrets ---


def _leaves(value: Any, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _leaves(part, f"{where}.{key}")
    elif isinstance(value, list):
        for part in value:
            yield from _leaves(part, where)
    else:
        yield where, str(value)


@environments
def test_no_secret_is_written_down(environment: str) -> None:
    for path in sorted((ROOT / "inventory" / environment).rglob("*.yml")):
        text = path.read_text()
        if text.startswith("$ANSIBLE_VAULT"):
            continue
        for where, value in _leaves(yaml.safe_load(text), ""):
            assert "PRIVATE KEY" not in value
            assert not re.search(r"://[^/\s:]+:[^@\s{]+@", value) or "USER:PASSWORD" in value, f"{path}: {where}"
            if SECRET.search(where.rsplit(".", 1)[-1]) and value != "None":
                assert "{{" in value or value == PLACEHOLDER, f"{path}: {where}"


def test_example_secrets_are_refused_until_they_are_replaced() -> None:
    vault = yaml.safe_load((ROOT / "inventory/production/group_vars/all/60_vault.yml").read_text())
    assert set(vault.values()) == {PLACEHOLDER}
    used = "".join(str(value) for value in variables("production").values())
    assert [name for name in vault if name not in used] == []
    (problem,) = variable_problems({"multischema_login_password": vault["vault_shop_migrator_password"]}, OPTIONS)
    assert problem == "multischema_login_password is still REPLACE_ME: write your own (docs/environments.md)."
    assert "ansible-vault create" in (ROOT / "docs/environments.md").read_text()
