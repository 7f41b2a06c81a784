"""Run the real playbooks, as a user does: a copied inventory, a directory to stand in, a process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.integration.databases import Target

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOKS = {
    "preflight": "preflight.yml",
    "backup": "backup.yml",
    "plan": "plan.yml",
    "rehearse": "rehearse.yml",
    "phase1": "phase1_schema_creation.yml",
    "phase2": "phase2_table_migration.yml",
    "verify": "verify.yml",
    "promote": "promote.yml",
    "rollback": "rollback.yml",
    "restore": "restore.yml",
    "site": "site.yml",
}
HOST = "sandbox"
LIMIT_S = 300.0  # for one playbook; reached only when something is wrong


class _Dumper(yaml.SafeDumper):
    """Writes texts so that Ansible takes them as they are: quoted, and ``!unsafe`` where Jinja would read them.

    Not all of them ``!unsafe``: Ansible then guesses the type again, and makes a number of "123".
    """


def _represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    tag = "!unsafe" if any(mark in text for mark in ("{{", "{%", "{#")) else "tag:yaml.org,2002:str"
    return dumper.represent_scalar(tag, text, style='"')


_Dumper.add_representer(str, _represent)


def to_yaml(values: Mapping[str, Any]) -> str:
    """Variables as a YAML file whose texts are all literal; their names are plain."""
    lines = ["---"]
    for name, value in values.items():
        text = yaml.dump(value, Dumper=_Dumper, default_flow_style=True, allow_unicode=True, width=1 << 20)
        lines.append(f"{name}: " + text.removesuffix("...\n").rstrip())
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Run:
    """A finished run of a playbook.

    :param results: what the json callback says; empty where another one was asked for or Ansible ended early.
    """

    name: str
    rc: int
    stdout: str
    stderr: str
    seconds: float
    results: Mapping[str, Any]

    @property
    def output(self) -> str:
        """Everything that a person could have seen."""
        return self.stdout + self.stderr

    @property
    def changed(self) -> int:
        """Changed tasks, by the recap."""
        return int(self.results["stats"][HOST]["changed"])

    @property
    def tasks(self) -> list[tuple[str, Mapping[str, Any]]]:
        """(name, result) of every task that has run."""
        return [
            (task["task"]["name"], task["hosts"][HOST])
            for play in self.results.get("plays", ())
            for task in play["tasks"]
            if HOST in task["hosts"]
        ]

    def diffs(self) -> list[str]:
        """The SQL that ``--diff`` has shown, task by task."""
        results = [task["hosts"].get(HOST, {}) for play in self.results.get("plays", ()) for task in play["tasks"]]
        parts = [part for result in results for part in result.get("diff") or () if isinstance(part, dict)]
        return [part["after"] for part in parts if part.get("after_header", "").startswith("SQL that ")]

    @property
    def message(self) -> str:
        """What the failed tasks say, and what Ansible itself says where no task has."""
        texts = [str(result.get("msg", "")) for _, result in self.tasks if result.get("failed")]
        return "\n".join(texts) or self.stderr

    @property
    def report(self) -> str:
        """What the tasks that explain something have said."""
        return "\n".join(str(result["msg"]) for _, result in self.tasks if "msg" in result)

    def ok(self) -> Run:
        """:raises AssertionError: when the playbook failed."""
        assert self.rc == 0, f"{self.name}: rc {self.rc}\n{self.message}\n{self.stderr[-3000:]}"
        return self

    def refused(self, *words: str) -> Run:
        """:raises AssertionError: when the playbook did not fail, or does not say all of this."""
        assert self.rc != 0, f"{self.name} was not refused\n{self.report}"
        assert "\\n" not in self.message, f"{self.name} shows where it wanted to begin a line:\n{self.message}"
        said = " ".join(self.message.lower().split())  # where a message is folded depends on the length of its numbers
        missing = [word for word in words if " ".join(word.lower().split()) not in said]
        assert not missing, f"{self.name} does not say {missing}:\n{self.message}"
        return self


class Running:
    """A playbook that runs, in a process group of its own."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], stdout: Path, stderr: Path) -> None:
        self.name, self.process = name, process
        self._stdout, self._stderr = stdout, stderr
        self._started = time.monotonic()

    def stderr(self) -> str:
        """What it has said so far."""
        return self._stderr.read_text(errors="replace")

    def alive(self) -> bool:
        """Whether ansible-playbook itself still runs."""
        return self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process group, as a terminal or a machine that goes down does."""
        os.killpg(self.process.pid, number)

    def wait(self) -> Run:
        """Wait for the end.

        :raises AssertionError: when it takes too long, or has shown a traceback.
        """
        try:
            rc = self.process.wait(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            raise AssertionError(f"{self.name} still ran after {LIMIT_S:g} s:\n{self.stderr()[-3000:]}") from None
        stdout, stderr = self._stdout.read_text(errors="replace"), self.stderr()
        assert "Traceback" not in stdout + stderr, f"{self.name} shows a traceback:\n{stdout[-6000:]}\n{stderr[-6000:]}"
        try:
            results = json.loads(stdout[stdout.index("{") :]) if '"stats"' in stdout else {}
        except ValueError:
            results = {}
        return Run(self.name, rc, stdout, stderr, time.monotonic() - self._started, results)


class Playbooks:
    """Runs playbooks on one database.

    :param directory: where the inventory, the artifacts and the output go; the user stands in it.
    :param target: the database.
    :param variables: ``multischema_*`` values over those of the sandbox.
    """

    def __init__(self, directory: Path, target: Target, variables: Mapping[str, Any] | None = None) -> None:
        self.directory = directory
        self.target = target
        self.inventory = directory / "inventory"
        self.artifacts = directory / "artifacts"
        self._count = 0
        directory.mkdir(parents=True, exist_ok=True)
        # As the README says: cp -rL, for the links in it would be dangling.
        shutil.copytree(ROOT / "inventory" / "sandbox", self.inventory, symlinks=False)
        self.connection: dict[str, Any] = {
            "multischema_login_host": target.server.host,
            "multischema_login_port": target.server.port,
            "multischema_login_user": target.mover.user if target.mover else target.server.user,
            "multischema_login_password": target.mover.password if target.mover else target.server.password,
            "multischema_login_db": target.name,
            "multischema_artifacts_dir": str(self.artifacts),
        }
        self.configure(**(variables or {}))

    @property
    def plan_file(self) -> Path:
        """The saved plan."""
        return self.artifacts / "sandbox" / HOST / "plan.json"

    def configure(self, **variables: Any) -> None:
        """Write the inventory's variables anew: connection, then these."""
        (self.inventory / "group_vars" / "all" / "60_test.yml").write_text(to_yaml(self.connection | variables))

    def start(self, name: str, *options: str, check: bool = False, callback: str = "ansible.posix.json", **variables: Any) -> Running:
        """Start a playbook and return at once; ``variables`` go before the inventory's (``-e``)."""
        self._count += 1
        extra: list[str] = []
        if variables:
            file = self.directory / f"extra-{self._count}.yml"
            file.write_text(to_yaml(variables))
            extra = ["-e", f"@{file}"]
        binaries = Path(sys.executable).parent
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "PG"))} | {
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_HOME": str(self.directory / ".ansible"),
            "ANSIBLE_STDOUT_CALLBACK": callback,
            "ANSIBLE_NOCOLOR": "1",
            "LC_ALL": "C.UTF-8",
            "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        }
        command = [str(binaries / "ansible-playbook"), "-i", str(self.inventory), *extra, *options]
        command += ["--check"] if check else []
        outputs = [self.directory / f"{self._count:02}-{name}.{stream}" for stream in ("out", "err")]
        with outputs[0].open("wb") as stdout, outputs[1].open("wb") as stderr:
            process = subprocess.Popen(
                [*command, str(ROOT / "playbooks" / PLAYBOOKS[name])],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                cwd=self.directory,
                env=environment,
                start_new_session=True,
            )
        return Running(name, process, *outputs)

    def run(self, name: str, *options: str, check: bool = False, **variables: Any) -> Run:
        """Run a playbook to its end."""
        return self.start(name, *options, check=check, **variables).wait()

    def all(self, *names: str, **variables: Any) -> list[Run]:
        """Run playbooks that must succeed."""
        return [self.run(name, **variables).ok() for name in names]


def files_in(directory: Path) -> dict[str, bytes]:
    """Every file below a directory, to see that none was written."""
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
