"""What the lab decides without a host: whether it can run, what has passed, what its images are made from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from tests.integration.evidence import State
from tests.lab import machine, scenarios
from tests.lab.credentials import Credentials
from tests.lab.images import recipe
from tests.lab.pictures import Picture, database_differences, file_differences
from tests.lab.record import read_record
from tests.lab.scenarios import Scenario, judge
from tests.lab.topology import RELEASES, ROOT

LINE = "f 644 root:root 1 1.0"


def scenario_of(root: Path, *sequence: str) -> Scenario:
    """A scenario with this sequence, in a project of its own."""
    directory = root / "molecule" / "sample"
    directory.mkdir(parents=True)
    (directory / "molecule.yml").write_text(yaml.safe_dump({"scenario": {"test_sequence": list(sequence)}}))
    return Scenario(directory)


def test_a_scenario_passes_when_each_of_its_verifies_has_run_tests(tmp_path: Path) -> None:
    scenario = scenario_of(tmp_path, "converge", "verify", "idempotence", "verify other")
    assert judge(scenario, 0, [["a"], ["b", "c"]]) == ""


@pytest.mark.parametrize(
    ("exit_status", "passed", "problem"),
    [
        (1, [["a"], ["b"]], "exit status 1"),
        (0, [], "no test ran in 2 of its 2"),
        (0, [["a"]], "no test ran in 1 of its 2"),
        (0, [["a"], []], "no test ran in 1 of its 2"),
    ],
)
def test_a_scenario_that_verified_less_has_not_passed(tmp_path: Path, exit_status: int, passed: list[list[str]], problem: str) -> None:
    assert problem in judge(scenario_of(tmp_path, "verify", "verify ../shared/unchanged"), exit_status, passed)


def test_a_scenario_without_a_verify_has_not_passed(tmp_path: Path) -> None:
    assert judge(scenario_of(tmp_path, "converge"), 0, []) == "it verifies nothing"


def test_a_scenario_in_which_molecule_finds_no_test_fails_the_run(tmp_path: Path) -> None:
    """With the real molecule, which calls that a success."""
    scenario = scenario_of(tmp_path, "verify")
    configuration = yaml.safe_load((ROOT / ".config" / "molecule" / "config.yml").read_text())
    configuration["shared_state"] = False
    (tmp_path / ".config" / "molecule").mkdir(parents=True)
    (tmp_path / ".config" / "molecule" / "config.yml").write_text(yaml.safe_dump(configuration))
    outcome = scenarios.run(scenario, tmp_path / "state")
    said = outcome.log.read_text()
    assert "no tests found" in said, said
    assert outcome.problem == "no test ran in 1 of its 1 verifies"
    assert read_record(tmp_path / "state" / "logs" / "sample.tests") == []


def test_every_scenario_verifies_and_every_role_has_one() -> None:
    found = {scenario.name: scenario for scenario in scenarios.scenarios()}
    roles = {path.parent.parent.name for path in ROOT.glob("roles/*/tasks/main.yml")}
    assert roles | {"default", "full_migration", "rollback", "ssh"} <= found.keys()
    assert all(scenario.verifies() for scenario in found.values())
    base = yaml.safe_load((ROOT / ".config" / "molecule" / "config.yml").read_text())["scenario"]["test_sequence"]
    # Check mode first, and a look whether it has changed anything; these two run no playbook of ours.
    for name in found.keys() - {"default", *scenarios.ALONE}:
        own = yaml.safe_load((found[name].directory / "molecule.yml").read_text())
        sequence = (own.get("scenario") or {}).get("test_sequence", base)
        assert sequence.index("check") + 1 == sequence.index("verify ../shared/unchanged") < sequence.index("converge")
        # Each run of these makes another backup, another database.
        assert "idempotence" in sequence or name in ("backup", "pgbackrest", "restore")


def test_a_machine_without_the_programs_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    only = tmp_path / "apt-get"
    only.write_text("#!/bin/sh\n")
    only.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(machine, "NEEDED", {"no-such-program": "some-package", "sh-no": "another"})
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert machine.obstacle() == "programs are missing: apt-get install another some-package"


def test_a_machine_that_is_no_debian_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    why = machine.obstacle()
    assert why is not None
    assert "not Debian or Ubuntu" in why
    assert "\n" not in why


def test_without_root_and_without_sudo_the_lab_says_what_it_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "apt-get").write_text("#!/bin/sh\n")
    (tmp_path / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    why = machine.obstacle()
    assert why is not None
    assert "sudo" in why
    assert "\n" not in why


def test_skipped_scenarios_are_counted_and_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(scenarios, "obstacle", lambda: "there is no podman")
    monkeypatch.setattr("sys.argv", ["scenarios"])
    assert scenarios.main() == 0
    count = len(scenarios.scenarios())
    assert capsys.readouterr().out == f"lab: no scenario ran, all {count} skipped: there is no podman\n"


def test_an_image_is_made_anew_when_its_recipe_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [recipe(release) for release in RELEASES]
    assert before == [recipe(release) for release in RELEASES]
    assert len(set(before)) == len(RELEASES)
    monkeypatch.setattr("tests.lab.images.PACKAGES", ("something-else",))
    assert not set(before) & {recipe(release) for release in RELEASES}


def picture(**changes: object) -> Picture:
    """A small picture, with changes."""
    rows = {1: ("t", 2, "digest")}
    given: dict[str, object] = {
        "database": State("CREATE …\n", rows, {}, ()),
        "journal": False,
        "files": {"/etc/x": "f 644 root:root 1 1.0"},
    }
    return Picture(**(given | changes))  # type: ignore[arg-type]


def test_a_picture_shows_what_has_changed() -> None:
    assert database_differences(picture(), picture()) == []
    assert file_differences(picture(), picture()) == []
    assert database_differences(picture(), picture(journal=True)) == ["journal: False True"]
    other = State("CREATE …\nGRANT …\n", {1: ("t", 3, "other")}, {}, (("", "{x=1}"),))
    assert len(database_differences(picture(), picture(database=other))) == 6
    assert file_differences(picture(), picture(files={})) == [f"/etc/x: {LINE} → not there"]
    assert file_differences(picture(), picture(files={"/etc/x": "f 600 root:root 1 1.0"})) != []


def test_a_digest_of_the_passwords_gives_none_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.lab.credentials.public_key", lambda: "key")
    names = Credentials.__dataclass_fields__
    one, other = Credentials(**dict.fromkeys(names, "secret")), Credentials(**dict.fromkeys(names, "other"))
    assert one.digest() != other.digest()
    assert "secret" not in one.digest()
