"""A playbook against the writers while a test does something to them: started, and waited for when that is done."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.lab.topology import ROOT, STATE

LIMIT_S = 600.0  # reached only when something is wrong
INVENTORY = (ROOT / "molecule" / "inventory",)
BY_SSH = (*INVENTORY, ROOT / "molecule" / "ssh" / "inventory", STATE / "ssh" / "inventory")


@dataclass(frozen=True)
class Ended:
    """One that has ended, with all that it has said on one line."""

    status: int
    said: str

    def ok(self) -> Ended:
        """Require that it has succeeded."""
        assert self.status == 0, self.said
        return self

    def failed(self, *words: str) -> Ended:
        """Require that it has failed, and has said these words."""
        assert self.status not in (0, None), self.said
        missing = [text for text in words if text not in self.said]
        assert not missing, f"not said: {missing}\n{self.said}"
        return self

    def recap(self, host: str, what: str) -> int:
        """A number of Ansible's last lines."""
        found = re.search(rf"{re.escape(host)} +:.*?\b{what}=(\d+)", self.said)
        assert found, self.said
        return int(found[1])


@dataclass(frozen=True)
class Running:
    """One that runs; what it says goes into a file."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def ended(self) -> bool:
        """Whether it has."""
        return self.process.poll() is not None

    def wait(self) -> Ended:
        """Wait for its end."""
        status = self.process.wait(LIMIT_S)
        return Ended(status, " ".join(self.log.read_text(errors="replace").split()))


def start(database: str, name: str, log: str, inventories: tuple[Path, ...] = INVENTORY, **variables: Any) -> Running:
    """Start one on all writers, for a database of theirs.

    :param name: of the playbook, without its ending.
    :param log: what its log is called.
    :param variables: go before the inventory's.
    """
    binaries = Path(sys.executable).parent
    extra, file = STATE / "logs" / f"{log}.vars.yml", STATE / "logs" / f"{log}.log"
    extra.parent.mkdir(parents=True, exist_ok=True)
    extra.write_text(yaml.safe_dump(variables))
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "PG"))} | {
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_HOME": str(STATE / "ansible"),
        "ANSIBLE_NOCOLOR": "1",
        "LC_ALL": "C.UTF-8",
        "MOLECULE_SCENARIO_NAME": database,
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
    }
    vault = [f"--vault-password-file={STATE / 'ssh' / 'vault_password'}"] if inventories == BY_SSH else []
    command = [str(binaries / "ansible-playbook"), *(f"--inventory={path}" for path in inventories), *vault, "-e", f"@{extra}"]
    with file.open("wb") as output:
        process = subprocess.Popen(
            [*command, str(ROOT / "playbooks" / f"{name}.yml")],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env=environment,
            start_new_session=True,
        )
    return Running(process, file)
