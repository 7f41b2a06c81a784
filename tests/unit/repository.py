"""The files of this repository, read once, for the tests that compare them with each other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
COLLECTION = "dbops.multischema"
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if (path / "tasks").is_dir())
PLAYBOOKS = sorted((ROOT / "playbooks").glob("*.yml"))
ENVIRONMENTS = sorted(path.name for path in (ROOT / "inventory").iterdir() if path.is_dir())
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py"))
DOORS = ("main", "verify", "rollback")
# Keys of a task that are not its module.
_KEYWORDS = """
name when vars register no_log tags become become_user delegate_to run_once loop loop_control until retries delay notify
changed_when failed_when module_defaults check_mode environment any_errors_fatal ignore_unreachable block rescue always
"""
KEYWORDS = frozenset(_KEYWORDS.split())


@cache
def load(path: Path) -> Any:
    """The content of a YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def specification(role: str) -> dict[str, Any]:
    """Entry points of a role's argument_specs."""
    return dict(load(ROOT / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"])


def defaults(role: str) -> dict[str, Any]:
    """A role's defaults."""
    return dict(load(ROOT / "roles" / role / "defaults" / "main.yml") or {})


def meant(value: Any) -> Any:
    """The value that a default has where the shared variable behind it is not set."""
    match = re.fullmatch(r"\{\{ (?:multischema|backup)_\w+ \| default\((.*?)(?:, true)?\) \}\}", value) if isinstance(value, str) else None
    return yaml.safe_load(match[1]) if match else value


def _tasks(items: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for item in items or ():
        inner = [item[key] for key in ("block", "rescue", "always", "tasks", "pre_tasks", "post_tasks", "handlers") if key in item]
        if inner:
            for part in inner:
                yield from _tasks(part, where)
        if "hosts" not in item and "block" not in item:
            yield f"{where}: {item.get('name', item)}", item


def role_tasks(role: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every task of a role, with where it stands."""
    for folder in ("tasks", "handlers"):
        for path in sorted((ROOT / "roles" / role / folder).glob("*.yml")):
            yield from _tasks(load(path), str(path.relative_to(ROOT)))


def playbook_tasks(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every task of a playbook, with where it stands."""
    yield from _tasks(load(path), str(path.relative_to(ROOT)))


def all_tasks() -> list[tuple[str, dict[str, Any]]]:
    """Every task of every role and playbook."""
    found = [task for role in ROLES for task in role_tasks(role)]
    return found + [task for path in PLAYBOOKS for task in playbook_tasks(path)]


def module_of(task: dict[str, Any]) -> str:
    """The module that a task names."""
    (name,) = [key for key in task if key not in KEYWORDS]
    return name
