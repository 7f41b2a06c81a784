"""Modules: what the documentation says is what the code takes."""

from __future__ import annotations

import ast
import builtins
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.module_door import CONFIGURATION, CONNECTION
from ansible_collections.dbops.multischema.plugins.module_utils.version import VERSION
from tests.unit.repository import COLLECTION, MODULES, ROOT, all_tasks, load, module_of, specification

PACKAGE = "ansible_collections.dbops.multischema.plugins"
# Modules whose work is done by their action plugin, so that they have no argument_spec of their own.
ON_CONTROL_NODE = ("promotion_info", "promotion_receipt", "rehearsal", "relocation_plan")


def plugin(kind: str, name: str) -> Any:
    return importlib.import_module(f"{PACKAGE}.{kind}.{name}")


def ansible_doc(kind: str, *names: str) -> dict[str, Any]:
    """One call of ansible-doc for all of them."""
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-doc"), "--json", "-t", kind, *(f"{COLLECTION}.{name}" for name in names)],
        cwd=ROOT,
        env={**os.environ, "LC_ALL": "C.UTF-8", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def documentation() -> dict[str, Any]:
    return ansible_doc("module", *MODULES)


def facts(option: dict[str, Any], inner: str) -> dict[str, Any]:
    """What documentation and code must agree on."""
    return {
        "type": option.get("type", "str"),
        "elements": option.get("elements"),
        "default": option.get("default"),
        "choices": list(option.get("choices") or []),
        "required": bool(option.get("required")),
        "options": {name: facts(item, inner) for name, item in (option.get(inner) or {}).items()},
    }


def test_there_are_modules() -> None:
    assert {"catalog_info", "fingerprint", "readiness_info", "relocation", "relocation_plan", "verification_info"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_can_be_read_by_ansible_doc(documentation: dict[str, Any], name: str) -> None:
    found = documentation[f"{COLLECTION}.{name}"]
    assert found["doc"]["short_description"]
    assert found["doc"]["version_added"]
    assert found["doc"]["attributes"]["check_mode"]["support"] == "full"
    assert f"{COLLECTION}.{name}:" in found["examples"]
    assert found["return"]


@pytest.mark.parametrize("name", [name for name in MODULES if name not in ON_CONTROL_NODE])
def test_documentation_and_argument_spec_agree(documentation: dict[str, Any], name: str) -> None:
    described = documentation[f"{COLLECTION}.{name}"]["doc"]["options"]
    taken = {**CONNECTION, **plugin("modules", name).SPEC}
    assert {k: facts(v, "suboptions") for k, v in described.items()} == {k: facts(v, "options") for k, v in taken.items()}


@pytest.mark.parametrize("name", MODULES)
def test_the_action_plugin_takes_what_is_documented(documentation: dict[str, Any], name: str) -> None:
    action = plugin("action", name).ActionModule
    described = {k: facts(v, "suboptions") for k, v in documentation[f"{COLLECTION}.{name}"]["doc"]["options"].items()}
    taken = {**CONNECTION, **(CONFIGURATION if action.CONFIGURED else {}), **action.OPTIONS}
    assert set(taken) - set(described) == set(), "these are not documented"
    for key, option in taken.items():
        here, there = facts(option, "options"), described[key]
        if here["default"] is None:  # the module's own default stands, or a variable of the inventory
            here["default"] = there["default"]
        assert here == there, key


@pytest.mark.parametrize("name", MODULES)
def test_only_what_the_action_plugin_sets_itself_is_not_for_people(documentation: dict[str, Any], name: str) -> None:
    action = plugin("action", name).ActionModule
    described = documentation[f"{COLLECTION}.{name}"]["doc"]["options"]
    taken = {**CONNECTION, **(CONFIGURATION if action.CONFIGURED else {}), **action.OPTIONS}
    for key in set(described) - set(taken):
        assert "action plugin" in str(described[key]["description"]), f"{key}: a task that gives it is refused, so say who sets it"


def test_every_module_has_an_action_plugin_and_is_in_the_action_group() -> None:
    actions = {path.stem for path in (ROOT / "plugins" / "action").glob("*.py")} - {"__init__"}
    assert actions == set(MODULES)
    assert sorted(load(ROOT / "meta" / "runtime.yml")["action_groups"]["database"]) == MODULES


@pytest.mark.parametrize(("where", "task"), all_tasks(), ids=lambda value: value if isinstance(value, str) else "")
def test_tasks_only_use_options_that_their_module_takes(where: str, task: dict[str, Any]) -> None:
    module = module_of(task)
    assert module.count(".") >= 2, "called by its fully qualified name"
    if module.startswith(f"{COLLECTION}."):
        action = plugin("action", module.removeprefix(f"{COLLECTION}.")).ActionModule
        taken = {**CONNECTION, **(CONFIGURATION if action.CONFIGURED else {}), **action.OPTIONS}
        assert set(task[module] or {}) - set(taken) == set(), where


def test_shared_variables_have_the_same_default_everywhere() -> None:
    gate = specification("migration_gate")["main"]["options"]
    options = dict(CONFIGURATION)
    for name in MODULES:
        options.update(plugin("action", name).ActionModule.OPTIONS)
    compared = 0
    for name, option in options.items():
        shared = gate.get(f"multischema_{name}")
        if shared is not None and "default" in shared and option.get("default") is not None:
            assert option["default"] == shared["default"], name
            assert option["type"] == shared["type"], name
            compared += 1
    assert compared >= 6


@pytest.mark.parametrize("option", [*CONNECTION, *CONFIGURATION])
def test_shared_options_are_variables_of_the_inventory_too(option: str) -> None:
    shared = specification("migration_gate")["main"]["options"][f"multischema_{option}"]
    code = {**CONNECTION, **CONFIGURATION}[option]
    assert shared.get("choices", []) == code.get("choices", [])
    assert bool(shared.get("no_log")) == bool(code.get("no_log"))
    assert shared.get("type", "str") == code["type"]
    assert set(shared.get("options") or {}) == set(code.get("options") or {})


def test_filters_and_callback_can_be_read_by_ansible_doc() -> None:
    names = sorted(path.stem for path in (ROOT / "plugins" / "filter").glob("*.py"))
    assert set(ansible_doc("filter", *names)) == {f"{COLLECTION}.{name}" for name in names}


def test_the_version_is_that_of_galaxy_yml() -> None:
    assert load(ROOT / "galaxy.yml")["version"] == VERSION


# --- Python 3.9, on managed hosts ---

ON_HOSTS = sorted([*(ROOT / "plugins" / "modules").glob("*.py"), *(ROOT / "plugins" / "module_utils").glob("*.py")])
# Added to the standard library after 3.9.
_TYPING = "Concatenate LiteralString Never NotRequired ParamSpec Required Self TypeAlias TypeGuard assert_never override"
TOO_NEW = {
    "datetime": {"UTC"},
    "enum": {"StrEnum", "verify"},
    "inspect": {"get_annotations"},
    "itertools": {"pairwise", "batched"},
    "tomllib": {"*"},
    "types": {"EllipsisType", "NoneType", "NotImplementedType", "UnionType"},
    "typing": set(_TYPING.split()),
}


class Newer(ast.NodeVisitor):
    """What a syntax check cannot see."""

    def __init__(self, deferred: bool) -> None:
        self.deferred = deferred
        self.found: list[str] = []

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        new = TOO_NEW.get(node.module or "", set())
        self.found += [f"{node.lineno}: {node.module}.{name.name}" for name in node.names if name.name in new or "*" in new]

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        given = {keyword.arg for keyword in node.keywords}
        if (name == "zip" and "strict" in given) or (name == "dataclass" and given & {"slots", "kw_only"}):
            self.found.append(f"{node.lineno}: {name}({', '.join(sorted(filter(None, given)))})")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        parts = (node.left, node.right)
        classes = [p for p in parts if isinstance(p, ast.Name) and (p.id in vars(builtins) or re.match("[A-Z].*[a-z]", p.id))]
        if isinstance(node.op, ast.BitOr) and (classes or any(isinstance(p, ast.Constant) and p.value is None for p in parts)):
            self.found.append(f"{node.lineno}: a union of types at run time")
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._annotation(node.annotation)
        if node.value is not None:
            self.visit(node.value)

    def visit_arg(self, node: ast.arg) -> None:
        self._annotation(node.annotation)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._annotation(node.returns)
        for part in (*node.decorator_list, node.args, *node.body):
            self.visit(part)

    def _annotation(self, node: ast.expr | None) -> None:
        if node is not None and not self.deferred:
            self.visit(node)


def newer_than_39(source: str) -> list[str]:
    tree = ast.parse(source, feature_version=(3, 9))
    deferred = any(isinstance(n, ast.ImportFrom) and n.module == "__future__" for n in tree.body)
    visitor = Newer(deferred)
    visitor.visit(tree)
    return visitor.found


@pytest.mark.parametrize("path", ON_HOSTS, ids=lambda path: path.name)
def test_what_runs_on_a_host_runs_on_python_39(path: Path) -> None:
    assert newer_than_39(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "def f(a: int | None): ...",
        "from __future__ import annotations\nT = int | None",
        "from __future__ import annotations\nisinstance(1, int | str)",
        "zip([], [], strict=True)",
        "@dataclass(slots=True)\nclass A: ...",
        "from datetime import UTC",
        "from tomllib import load",
    ],
)
def test_this_test_sees_what_is_too_new(source: str) -> None:
    assert newer_than_39(source)


def test_this_test_sees_match_statements() -> None:
    with pytest.raises(SyntaxError):
        newer_than_39("match x:\n    case 1: ...")


@pytest.mark.parametrize("path", ON_HOSTS, ids=lambda path: path.name)
def test_what_runs_on_a_host_needs_nothing_but_psycopg2(path: Path) -> None:
    allowed = {"__future__", "ansible", "ansible_collections", "psycopg2", *sys.stdlib_module_names}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {n.module.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module}
    found |= {alias.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names}
    assert found - allowed == set()
