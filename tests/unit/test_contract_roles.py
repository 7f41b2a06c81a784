"""Roles: what a person may set is described where it is used, with the same name and the same value."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.unit.repository import (
    COLLECTION,
    DOORS,
    PLAYBOOKS,
    ROLES,
    ROOT,
    defaults,
    load,
    meant,
    playbook_tasks,
    role_tasks,
    specification,
)

GATE = specification("migration_gate")["main"]["options"]

# The table of shared variables in the architecture (house.md), written out.
_SHARED = """
login_host login_port login_user login_password login_db login_unix_socket ssl_mode ca_cert database_url source_schema schemas
placement accept keep unplaced application_roles compatibility_views view_defaults checklist lock_timeout_ms deadline_s workers
probe max_replay_lag_s confirm no_log become_user maintenance_window artifacts_dir environment promotes_from search_path repair_routines
promotes_from_host promotes_from_copy
promotion_max_age_h promotion_override allowed_signers signing_key signing_principal serial max_fail_percentage
"""
SHARED = _SHARED.split()


def own(role: str, entry: str = "main") -> dict[str, Any]:
    """The options of one entry that are the role's own."""
    return {name: option for name, option in (specification(role)[entry].get("options") or {}).items() if name.startswith(f"{role}_")}


def task_files(role: str) -> set[str]:
    return {path.stem for path in (ROOT / "roles" / role / "tasks").glob("*.yml")}


def internal_files(role: str) -> set[str]:
    """Task files that other task files of the role include."""
    keys = ("ansible.builtin.import_tasks", "ansible.builtin.include_tasks")
    names = (task[key] for _, task in role_tasks(role) for key in keys if key in task)
    return {Path(name if isinstance(name, str) else name["file"]).stem for name in names}


def test_there_are_roles() -> None:
    assert {"migration_gate", "preflight", "schema_creation", "table_migration"} <= set(ROLES)


@pytest.mark.parametrize("role", ROLES)
def test_defaults_and_argument_specs_have_the_same_names(role: str) -> None:
    assert set(defaults(role)) == set(own(role))


@pytest.mark.parametrize("role", ROLES)
def test_defaults_and_argument_specs_have_the_same_values(role: str) -> None:
    in_defaults = {name: meant(value) for name, value in defaults(role).items()}
    in_specs = {name: option.get("default") for name, option in own(role).items()}
    assert in_defaults == in_specs
    types: dict[str, Any] = {"bool": bool, "int": int, "float": (int, float), "list": list, "dict": dict, "str": str, "path": str}
    wrong = [name for name, option in own(role).items() if not isinstance(in_specs[name], types[option.get("type", "str")])]
    assert wrong == [], "these defaults are not of the option's type"


@pytest.mark.parametrize("role", ROLES)
def test_what_defaults_to_a_shared_variable_has_its_name_type_and_value(role: str) -> None:
    for name, value in defaults(role).items():
        match = re.search(r"multischema_\w+", str(value))
        if match is None:
            continue
        shared, mine = GATE[match[0]], own(role)[name]
        assert name.removeprefix(f"{role}_") == match[0].removeprefix("multischema_")
        assert mine["type"] == shared["type"], name
        if "default" in shared:
            assert mine["default"] == shared["default"], name
        assert f"C({match[0]})" in mine["description"], f"{name}: say what it defaults to"


@pytest.mark.parametrize("role", ROLES)
def test_every_role_has_its_three_doors(role: str) -> None:
    assert set(DOORS) <= task_files(role)


@pytest.mark.parametrize("role", ROLES)
def test_every_door_has_an_entry_and_every_entry_a_door(role: str) -> None:
    doors = task_files(role) - (internal_files(role) - {"main"})
    assert set(specification(role)) == doors, "a task file that others only import needs no entry"


@pytest.mark.parametrize("role", ROLES)
def test_an_option_is_described_alike_at_every_door(role: str) -> None:
    main = specification(role)["main"]["options"]
    for door, entry in specification(role).items():
        assert entry.get("short_description"), door
        for name, option in (entry.get("options") or {}).items():
            assert name in main, f"{door}: {name}"
            assert {k: v for k, v in option.items() if k != "description"} == {k: v for k, v in main[name].items() if k != "description"}, (
                door
            )


@pytest.mark.parametrize("role", ROLES)
def test_a_door_describes_the_options_that_its_tasks_use(role: str) -> None:
    for door, entry in specification(role).items():
        path = ROOT / "roles" / role / "tasks" / f"{door}.yml"
        used = set(re.findall(r"(?<![\w.])(\w+)", path.read_text(encoding="utf-8"))) & set(own(role))
        used -= {name for task in load(path) for name in task.get("vars", {})}
        assert used <= set(entry.get("options") or {}), f"{role}/{door}"


@pytest.mark.parametrize("role", ROLES)
def test_the_readme_names_every_variable_and_what_a_second_run_does(role: str) -> None:
    path = ROOT / "roles" / role / "README.md"
    assert path.exists(), f"{role} has no README.md"
    text = path.read_text(encoding="utf-8")
    assert {name for name in own(role) if f"`{name}`" not in text} == set()
    assert re.search(r"^#+ Idempotence", text, re.MULTILINE)


@pytest.mark.parametrize("role", ROLES)
def test_variables_carry_the_role_s_name(role: str) -> None:
    assert {name for name in defaults(role) if not name.startswith(f"{role}_")} == set()
    registered = {task["register"] for _, task in role_tasks(role) if "register" in task}
    assert {name for name in registered if not name.startswith(f"__{role}_")} == set()


def test_every_shared_variable_is_described_by_the_gate() -> None:
    described = {name.removeprefix("multischema_") for name in GATE if name.startswith("multischema_")}
    assert set(SHARED) - described == set(), "house.md promises these"
    assert described - set(SHARED) == set(), "house.md does not know these"


def test_a_checkout_has_the_table_that_this_test_is_about() -> None:
    for name in SHARED:
        assert re.fullmatch(r"[a-z_]+", name)
    assert len(SHARED) == len(set(SHARED)) == 42


def test_secrets_are_marked_as_such() -> None:
    assert {name for name, option in GATE.items() if option.get("no_log")} == {"multischema_login_password", "multischema_database_url"}


def test_roles_only_use_shared_variables_that_are_described() -> None:
    for role in ROLES:
        for path in (ROOT / "roles" / role).rglob("*"):
            if path.suffix in (".yml", ".j2"):
                text = path.read_text(encoding="utf-8")
                names = set(re.findall(r"(?<![\w.])multischema_[a-z_]*[a-z](?![\w*.])", text)) - {"multischema_journal"}
                assert names - set(GATE) == set(), path


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.name)
def test_playbooks_go_through_doors_that_are_there(path: Path) -> None:
    for where, task in playbook_tasks(path):
        for key in ("ansible.builtin.import_role", "ansible.builtin.include_role"):
            if key in task:
                role = task[key]["name"].removeprefix(f"{COLLECTION}.")
                assert role in ROLES, where
                door = task[key].get("tasks_from", "main")
                assert door in specification(role), where
                handed = {name for name in task.get("vars", {}) if not name.startswith("_")}
                assert handed <= set(own(role)), f"{where}: these are no variables of {role}"
