"""Playbooks and inventories: they load, say how they are used, and take no shortcuts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.vars.manager import VariableManager

from ansible_collections.dbops.multischema.plugins.filter.variable_problems import variable_problems
from tests.unit.repository import (
    COLLECTION,
    ENVIRONMENTS,
    PLAYBOOKS,
    ROLES,
    ROOT,
    all_tasks,
    load,
    module_of,
    playbook_tasks,
    specification,
)

# The playbooks that are public (house.md) and there already; others come with later issues.
PUBLIC = {"site", "preflight", "plan", "rehearse", "phase1_schema_creation", "phase2_table_migration", "verify", "promote", "rollback"} | {
    "restore",
    "backup",
}
GROUPS = {"databases", "replicas", "poolers", "monitors", "applications"}
NAMES = [path.name for path in PLAYBOOKS]


def test_the_public_playbooks_are_there() -> None:
    assert {path.stem for path in PLAYBOOKS} >= PUBLIC


def test_every_playbook_passes_the_syntax_check() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "--syntax-check", "-i", "localhost,", *PLAYBOOKS],
        cwd=ROOT,
        env={**os.environ, "LC_ALL": "C.UTF-8", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "ERROR" not in done.stderr
    assert [line.split()[-1] for line in done.stdout.splitlines() if line.startswith("playbook:")] == [str(path) for path in PLAYBOOKS]


@pytest.mark.parametrize("path", PLAYBOOKS, ids=NAMES)
def test_a_playbook_ends_with_a_usage_comment(path: Path) -> None:
    last = path.read_text(encoding="utf-8").rstrip().split("\n\n")[-1].splitlines()
    assert all(line.startswith("#") for line in last)
    assert re.fullmatch(rf"# ansible-playbook -i inventory/\w+ playbooks/{path.name}( .*)?", last[0])
    for environment, name in re.findall(r"-i inventory/(\w+) playbooks/(\w+\.yml)", path.read_text(encoding="utf-8")):
        assert environment in ENVIRONMENTS
        assert name in NAMES


@pytest.mark.parametrize("path", PLAYBOOKS, ids=NAMES)
def test_plays_are_numbered_through(path: Path) -> None:
    plays = [play for play in load(path) if "hosts" in play]
    numbers = [re.match(r"\((\d+)/(\d+)\) ", play["name"]) for play in plays]
    assert [match and (int(match[1]), int(match[2])) for match in numbers] == [(n, len(plays)) for n in range(1, len(plays) + 1)]
    for play in plays:
        assert play["hosts"] in GROUPS
        assert "any_errors_fatal" in play, "say what an error on one host means for the others"


@pytest.mark.parametrize("path", PLAYBOOKS, ids=NAMES)
def test_every_phase_begins_at_the_gate(path: Path) -> None:
    plays = [play for play in load(path) if "hosts" in play]
    if plays:
        first = plays[0]["tasks"][0]
        assert first["ansible.builtin.import_role"]["name"] == f"{COLLECTION}.migration_gate"


def test_site_imports_the_phases_in_order() -> None:
    names = [item["ansible.builtin.import_playbook"] for item in load(ROOT / "playbooks" / "site.yml")]
    assert names == ["preflight.yml", "plan.yml", "phase1_schema_creation.yml", "phase2_table_migration.yml", "verify.yml"]


# --- shortcuts ---


@pytest.mark.parametrize(("where", "task"), all_tasks(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_task_has_a_name_and_takes_no_shortcut(where: str, task: dict[str, Any]) -> None:
    assert task.get("name"), where
    assert "ignore_errors" not in task, "an error that may be ignored is no error: say when with failed_when"
    assert module_of(task).split(".")[-1] not in ("shell", "command", "raw", "script"), where


def test_no_play_ignores_errors() -> None:
    for path in PLAYBOOKS:
        assert not [play for play in load(path) if "ignore_errors" in play], path
    texts = [path for path in (ROOT / "roles").rglob("*.yml") if "ignore_errors" in path.read_text(encoding="utf-8")]
    assert texts == []


def test_task_files_stay_short() -> None:
    long = [path for role in ROLES for path in (ROOT / "roles" / role / "tasks").glob("*.yml") if len(path.read_text().splitlines()) > 200]
    assert long == []


def test_tasks_that_are_handed_a_connection_do_not_log_it() -> None:
    for where, task in all_tasks():
        if "_connection" in str(task.get("module_defaults", "")):
            assert task.get("no_log") == "{{ multischema_no_log | default(true) }}", where


def test_only_the_rollback_asks_before_it_starts() -> None:
    asking = {
        path.stem for path in PLAYBOOKS for _, task in playbook_tasks(path) if (task.get("vars") or {}).get("migration_gate_destructive")
    }
    assert asking == {"rollback"}


# --- inventories ---


@cache
def inventory(environment: str) -> tuple[InventoryManager, VariableManager]:
    loader = DataLoader()
    loader.set_basedir(str(ROOT / "playbooks"))
    found = InventoryManager(loader=loader, sources=[str(ROOT / "inventory" / environment)])
    return found, VariableManager(loader=loader, inventory=found)


def host_variables(environment: str) -> dict[str, Any]:
    """What the files of the environment set for its database, before any template is evaluated."""
    found, variables = inventory(environment)
    (host,) = found.get_hosts("databases")
    return {k: v for k, v in variables.get_vars(host=host, include_hostvars=False).items() if k.startswith("multischema_")}


def test_there_are_four_environments() -> None:
    assert ENVIRONMENTS == ["development", "production", "sandbox", "staging"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_inventory_loads_with_its_groups(environment: str) -> None:
    found, _ = inventory(environment)
    assert set(found.get_groups_dict()) >= GROUPS
    assert host_variables(environment)["multischema_environment"] == environment


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_inventory_shares_the_common_variables_by_a_link(environment: str) -> None:
    folder = ROOT / "inventory" / environment / "group_vars" / "all"
    link = folder / "00_common.yml"
    assert link.is_symlink(), "a copy would go its own way"
    assert not os.path.isabs(os.readlink(link))
    assert link.resolve(strict=True) == ROOT / "group_vars" / "all.yml"
    assert (folder / f"50_{environment}.yml").exists()


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_comes_before_what_all_share(environment: str) -> None:
    common = load(ROOT / "group_vars" / "all.yml")
    own = load(ROOT / "inventory" / environment / "group_vars" / "all" / f"50_{environment}.yml")
    seen = host_variables(environment)
    for name, value in {**common, **own}.items():
        assert seen[name] == value, name


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_gate_has_nothing_to_say_against_an_inventory(environment: str) -> None:
    options = specification("migration_gate")["main"]["options"]
    plain = {k: v for k, v in host_variables(environment).items() if "{{" not in str(v)}
    assert len(plain) > 8
    assert variable_problems(plain, options) == []
    assert set(host_variables(environment)) <= set(options)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_no_password_is_written_down(environment: str) -> None:
    seen = host_variables(environment)
    for name in ("multischema_login_password", "multischema_database_url"):
        assert name not in seen or "{{" in str(seen[name])


def test_what_all_share_has_the_defaults_of_the_roles() -> None:
    options = specification("migration_gate")["main"]["options"]
    for name, value in load(ROOT / "group_vars" / "all.yml").items():
        if "default" in options[name]:
            assert value == options[name]["default"], name
