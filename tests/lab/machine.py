"""The machine that the lab runs on: may it, and how to become root there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.lab.topology import STATE

CONFIGURATION = Path(__file__).with_name("containers.conf")
# Program → Debian package.
NEEDED = {
    "podman": "podman",
    "runc": "runc",
    "/usr/lib/podman/netavark": "netavark",
    "/usr/lib/podman/aardvark-dns": "aardvark-dns",
    "iptables": "iptables",  # netavark calls it, and does not depend on it
    "mmdebstrap": "mmdebstrap",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
}


class LabError(RuntimeError):
    """Something about the lab went wrong; the message says what, and holds the output of the command that failed."""


def as_root() -> list[str]:
    """What goes before a command that only root may run."""
    return [] if os.geteuid() == 0 else ["sudo", "-n"]


def missing_packages() -> list[str]:
    """Debian packages that the lab needs and this machine has not."""
    search = f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin{os.pathsep}/sbin"
    return sorted({package for program, package in NEEDED.items() if shutil.which(program, path=search) is None})


def obstacle() -> str | None:
    """Return why the lab cannot run on this machine and what to do about it, in one line; None where it can."""
    if not sys.platform.startswith("linux") or shutil.which("apt-get") is None:
        return "the lab builds its hosts from Debian's packages, and this machine is not Debian or Ubuntu: run it on one that is"
    if os.geteuid() != 0 and not _succeeds("sudo", "-n", "true"):
        return (
            "containers on a network need root: run it as root, or as a user whom sudo asks for no password (sudo -v, just before, will do)"
        )
    packages = missing_packages()
    if packages:
        return f"programs are missing: apt-get install {' '.join(packages)}"
    if not _succeeds(*as_root(), "unshare", "--mount", "--net", "true"):
        return "this machine allows no new mounts and networks (a container without those rights?): run it on a machine or VM of its own"
    return None


def run(
    *command: str,
    root: bool = False,
    environment: Mapping[str, str] | None = None,
    stdin: str | None = None,
    check: bool = True,
    timeout_s: float = 900.0,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end.

    :param root: whether only root may run it.
    :param check: whether a failure is an error.
    :raises LabError: it failed or took too long; the message holds its output.
    """
    variables = dict(environment or {})
    before = as_root() if root else []
    # sudo drops the environment; env(1) behind it does not.
    full = [*before, "env", *(f"{name}={value}" for name, value in variables.items()), *command] if before else list(command)
    try:
        result = subprocess.run(
            full,
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=os.environ | {"LC_ALL": "C.UTF-8"} | variables,
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError as error:
        raise LabError(f"{command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(command[:4])} … took longer than {timeout_s:g} s") from error
    if check and result.returncode:
        said = (result.stdout[-3000:] + result.stderr[-3000:]).strip()
        raise LabError(f"{' '.join(command)}: exit status {result.returncode}\n{said}")
    return result


def podman(*arguments: str, stdin: str | None = None, check: bool = True, timeout_s: float = 300.0) -> str:
    """Run podman with the lab's configuration; return what it prints.

    :raises LabError: it failed.
    """
    configuration = {"CONTAINERS_CONF": str(CONFIGURATION)}
    return run("podman", *arguments, root=True, environment=configuration, stdin=stdin, check=check, timeout_s=timeout_s).stdout


def write_shim(directory: Path = STATE / "bin") -> Path:
    """Write a ``podman`` that has the lab's configuration and is root; Ansible and testinfra find it first on the PATH.

    :returns: the directory that it is in.
    """
    real = shutil.which("podman", path="/usr/bin:/usr/local/bin:/bin") or "podman"
    words: Sequence[str] = [*as_root(), "env", f'CONTAINERS_CONF="{CONFIGURATION}"', real]
    directory.mkdir(parents=True, exist_ok=True)
    script = directory / "podman"
    # Where a container's files are mounted nobody but root can look; without a mount Ansible copies by "podman cp".
    unmounted = '[ "$1" != mount ] || exit 1\n' if as_root() else ""
    text = f'#!/bin/sh\n# podman as the lab uses it (written by tests/lab/machine.py)\n{unmounted}exec {" ".join(words)} "$@"\n'
    if not script.exists() or script.read_text() != text:
        script.write_text(text)
        script.chmod(0o755)
    return directory


def _succeeds(*command: str) -> bool:
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0
    except OSError:
        return False
