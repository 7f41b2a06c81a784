"""The documents say what is there: links resolve, playbooks and files exist, variables are the real ones."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("roles/*/README.md")])
README, ARCHITECTURE = ROOT / "README.md", ROOT / "docs/architecture.md"
PLAYBOOKS = {path.stem for path in ROOT.glob("playbooks/*.yml")}
# The headings that a document's own links may point at, as GitHub makes them.
_NOT_IN_ANCHORS = re.compile(r"[^\w\- ]")
documents = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def prose(document: Path) -> str:
    """A document without its fenced blocks, in which a bracket is not a link and a # is not a heading."""
    return re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(document: Path) -> set[str]:
    """The anchors of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(document), flags=re.MULTILINE)
    return {_NOT_IN_ANCHORS.sub("", heading.lower()).replace(" ", "-") for heading in headings}


def section(document: Path, heading: str) -> str:
    """What stands below a heading, up to the next one of any level."""
    found = re.search(rf"^#+ {re.escape(heading)}$(.*?)(?=^#+ |\Z)", prose(document), flags=re.DOTALL | re.MULTILINE)
    assert found is not None, f"{document.name} has no heading {heading!r}"
    return found[1]


def shared_variables() -> dict[str, dict[str, object]]:
    """The shared variables, from the one place that describes them."""
    specs = yaml.safe_load((ROOT / "roles/migration_gate/meta/argument_specs.yml").read_text(encoding="utf-8"))
    options: dict[str, dict[str, object]] = specs["argument_specs"]["main"]["options"]
    return {name: option for name, option in options.items() if name.startswith("multischema_")}


def test_the_documents_are_there() -> None:
    names = {str(path.relative_to(ROOT)) for path in DOCUMENTS}
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/architecture.md"} <= names


@documents
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(document)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        there = (document.parent / path).resolve() if path else document
        if not there.exists() or not there.is_relative_to(ROOT) or (anchor and anchor not in anchors(there)):
            broken.append(target)
    assert broken == []


@documents
def test_every_playbook_that_is_named_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    named = set(re.findall(r"\bplaybooks/(\w+)\.yml", text))
    named |= set(re.findall(r"ansible-playbook [^\n`]*?\bdbops\.multischema\.(\w+)", text))
    assert named - PLAYBOOKS == set()


def test_the_readme_lists_every_playbook_and_no_other() -> None:
    rows = re.findall(r"^\| \[`(\w+)\.yml`\]\(playbooks/(\w+)\.yml\)", README.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert [name for name, target in rows if name != target] == []
    assert {name for name, _ in rows} == PLAYBOOKS


def test_what_the_readme_calls_not_there_yet_is_not_there() -> None:
    found = re.search(r"^Not there yet,.*?(?=\n\n)", README.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    assert found is not None
    names = set(re.findall(r"`(\w+)`", found[0]))
    assert names
    assert names & PLAYBOOKS == set()


@documents
def test_every_shared_variable_that_is_named_exists(document: Path) -> None:
    named = set(re.findall(r"\bmultischema_[a-z_]*[a-z]\b", document.read_text(encoding="utf-8")))
    # The journal's schema is called like a variable; the gate's README shows a misspelt one on purpose.
    assert (
        named
        - shared_variables().keys()
        - {"multischema_journal", "multischema_shemas", "multischema_moved_with_views", "multischema_record"}
        == set()
    )


def test_the_readme_lists_every_shared_variable_with_its_default() -> None:
    table = section(README, "Variables")
    rows: dict[str, str] = {}
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        for name in re.findall(r"`(multischema_\w+)`", cells[0]) if line.startswith("|") else ():
            rows[name] = cells[1].strip("`")
    variables = shared_variables()
    assert rows.keys() == variables.keys()
    said = {name: text for name, text in rows.items() if text in {"true", "false"} or text.isdigit()}
    real = {name: str(variables[name].get("default")).lower() for name in said}
    assert said == real


@documents
def test_every_make_target_that_is_named_exists(document: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, flags=re.MULTILINE))
    text = document.read_text(encoding="utf-8")
    named = set(re.findall(r"`(?:\w+=\S+ )?make ([a-z-]+)`", text)) | set(re.findall(r"^make ([a-z-]+)", text, flags=re.MULTILINE))
    assert named - targets == set()


@documents
def test_inventories_that_are_named_exist(document: Path) -> None:
    named = set(re.findall(r"\binventory/([a-z]+)\b", document.read_text(encoding="utf-8")))
    # "mine" is the copy that the reader makes.
    assert named - {path.name for path in (ROOT / "inventory").iterdir()} <= {"mine", "x"}


def test_the_architecture_names_every_file_of_the_core() -> None:
    text = ARCHITECTURE.read_text(encoding="utf-8")
    files = [path.name for folder in ("module_utils", "plugin_utils") for path in (ROOT / "plugins" / folder).glob("*.py")]
    assert files
    assert [name for name in files if f"`{name}`" not in text and name != "__init__.py"] == []
    named = set(re.findall(r"`(\w+\.py)`", text))
    assert named - {path.name for path in (ROOT / "plugins").rglob("*.py")} == set()


def test_the_architecture_names_every_key_of_the_plan_file() -> None:
    source = (ROOT / "plugins/module_utils/plan.py").read_text(encoding="utf-8")
    writer = next(n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef) and n.name == "plan_to_dict")
    keys = {k.value for n in ast.walk(writer) if isinstance(n, ast.Dict) for k in n.keys if isinstance(k, ast.Constant)}
    rows = [line.split("|")[1] for line in section(ARCHITECTURE, "The plan file").splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == keys


def test_the_examples_of_the_architecture_are_python() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", ARCHITECTURE.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    assert blocks
    for block in blocks:
        # A fragment from inside a function stands indented.
        ast.parse(block if not block.startswith(" ") else f"def function():\n{block}")


def test_the_changelog_knows_the_version() -> None:
    version = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["version"]
    assert version in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_pictures_can_be_read_on_light_and_dark_pages() -> None:
    pictures = list(ROOT.glob("docs/img/*.svg"))
    assert pictures
    for picture in pictures:
        text = picture.read_text(encoding="utf-8")
        root = ElementTree.fromstring(text)  # noqa: S314  our own file
        assert root.find("{http://www.w3.org/2000/svg}title") is not None, f"{picture.name} has no title for those who cannot see it"
        assert "prefers-color-scheme: dark" in text
        assert "<script" not in text
        assert "href=" not in text


@documents
def test_nothing_of_one_machine_is_in_the_documents(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert re.findall(r"/(?:home|root|work|Users)/\S+", text) == []
