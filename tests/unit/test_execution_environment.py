"""The image for AWX: a definition of ansible-builder's format 3 that is made of the pinned packages, and knows the files that it names.

``ansible-builder create`` (3.2.0) takes it; the test does without, for that would bring five packages along that nothing else needs.
"""

from __future__ import annotations

import re

from tests.unit.repository import ROOT, load

DEFINITION = load(ROOT / "execution-environment.yml")
# The keys of format 3, from ansible-builder's documentation; it refuses others.
KEYS = {"version", "build_arg_defaults", "dependencies", "images", "additional_build_files", "additional_build_steps", "options"}
DEPENDENCIES = {"python", "galaxy", "system", "python_interpreter", "ansible_core", "ansible_runner", "exclude"}
STEPS = {f"{when}_{stage}" for when in ("prepend", "append") for stage in ("base", "galaxy", "builder", "final")}


def test_it_has_the_keys_of_format_3() -> None:
    assert DEFINITION["version"] == 3
    assert set(DEFINITION) <= KEYS
    assert set(DEFINITION["dependencies"]) <= DEPENDENCIES
    assert set(DEFINITION["additional_build_steps"]) <= STEPS
    assert re.fullmatch(r"\S+:\S+", DEFINITION["images"]["base_image"]["name"])


def test_the_files_that_it_names_are_there_and_are_used() -> None:
    assert (ROOT / DEFINITION["dependencies"]["galaxy"]).exists()
    steps = "\n".join(DEFINITION["additional_build_steps"]["append_base"])
    for file in DEFINITION["additional_build_files"]:
        assert (ROOT / file["src"]).exists()
        assert f"COPY _build/{file['dest']}/{file['src']} " in steps
    assert "--require-hashes -r /tmp/requirements.txt" in steps


def test_its_python_is_one_that_the_packages_are_pinned_for() -> None:
    version = re.search(r"python:(\d+\.\d+)", DEFINITION["images"]["base_image"]["name"])
    assert version
    assert "--python-version 3.11" in (ROOT / "Makefile").read_text(encoding="utf-8")
    assert (3, 11) <= tuple(map(int, version[1].split("."))) <= (3, 14)


def test_it_can_reach_hosts_and_sign() -> None:
    assert "openssh-client [platform:dpkg]" in DEFINITION["dependencies"]["system"]
    assert DEFINITION["dependencies"]["ansible_runner"]["package_pip"].startswith("ansible-runner==")
