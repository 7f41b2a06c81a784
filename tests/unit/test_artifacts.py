"""Files on the control node are whole, private and checked before they are believed."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError, PlanRefused
from ansible_collections.dbops.multischema.plugins.module_utils.plan import plan_to_dict
from ansible_collections.dbops.multischema.plugins.plugin_utils.artifact import read_json, write_json, write_text
from ansible_collections.dbops.multischema.plugins.plugin_utils.saved_plan import (
    read_plan,
    read_plan_if_any,
    require_same_configuration,
)
from tests.unit.builders import catalog, configuration, plan, table

PLAN = plan(catalog(table("Kursübersicht 课程")))


def test_a_file_is_written_with_its_directories_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "staging" / "db1" / "plan.sql"
    assert write_text(path, "SELECT 'ü';\n") is True
    assert path.read_text(encoding="utf-8") == "SELECT 'ü';\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [item.name for item in path.parent.iterdir()] == ["plan.sql"], "no temporary file is left"


def test_the_same_content_is_no_change(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    assert write_json(path, {"a": 1}) is True
    before = path.stat().st_mtime_ns
    assert write_json(path, {"a": 1}) is False
    assert path.stat().st_mtime_ns == before
    assert write_json(path, {"a": 2}) is True


def test_a_failed_write_leaves_the_old_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "plan.json"
    write_text(path, "old")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigurationError, match="No space left on device"):
        write_text(path, "new")
    assert path.read_text(encoding="utf-8") == "old"


def test_a_failed_write_leaves_no_rubbish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigurationError):
        write_text(tmp_path / "plan.json", "new")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="cannot be written") as caught:
        write_text(tmp_path / "file" / "plan.json", "x")
    assert "multischema_artifacts_dir" in caught.value.remedy


def test_a_file_that_is_not_there_or_cut_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="There is no plan at") as caught:
        read_json(tmp_path / "plan.json", "plan", "Make it.")
    assert caught.value.remedy == "Make it."
    for text in ("", '{"a": ', "\udcff"):
        (tmp_path / "plan.json").write_text(text, encoding="utf-8", errors="surrogateescape")
        with pytest.raises(ConfigurationError, match="cannot be read as a plan"):
            read_json(tmp_path / "plan.json", "plan", "Make it.")


def test_a_directory_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read as a plan"):
        read_json(tmp_path, "plan", "Make it.")


# --- the saved plan ---


def test_a_saved_plan_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    write_json(path, plan_to_dict(PLAN))
    assert read_plan(path).digest == PLAN.digest
    found = read_plan_if_any(path)
    assert found is not None
    assert found.steps == PLAN.steps


@pytest.mark.parametrize("text", ["[]", "7", "null", '"x"', "{}", '{"format": 1}'])
def test_a_file_that_is_no_plan_is_refused_whatever_it_is(tmp_path: Path, text: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PlanRefused):
        read_plan(path)
    assert read_plan_if_any(path) is None


def test_without_a_plan_the_playbook_that_makes_it_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="There is no plan") as caught:
        read_plan(tmp_path / "plan.json")
    assert "playbooks/plan.yml" in caught.value.remedy
    assert read_plan_if_any(tmp_path / "plan.json") is None


def test_the_inventory_must_ask_for_what_was_planned() -> None:
    require_same_configuration(PLAN, configuration())


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"keep": ["x"]}, "multischema_keep"),
        ({"unplaced": "keep"}, "multischema_unplaced"),
        ({"compatibility_views": False}, "multischema_compatibility_views"),
        ({"application_roles": ["web"]}, "multischema_application_roles"),
        ({"schemas": [{"name": "tenant", "owner": "boss"}]}, "multischema_schemas"),
        ({"placement": [{"schema": "tenant", "tables": ["x", "*"]}]}, "multischema_placement"),
        ({"accept": [{"finding": "a", "object": "b", "reason": "c"}]}, "multischema_accept"),
    ],
)
def test_a_changed_inventory_is_refused_with_the_variable_that_changed(change: dict[str, Any], name: str) -> None:
    with pytest.raises(PlanRefused) as caught:
        require_same_configuration(PLAN, configuration(**change))
    assert caught.value.found == f"The inventory has changed since the plan was made: {name}."
