"""The way into the lab's database hosts that people take: SSH with a key, and what sudo and the database ask for in a vault."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from tests.lab.configure import WITH_SSH, host_keys
from tests.lab.credentials import LOGIN, SSH_KEY, credentials, write_secret
from tests.lab.machine import run
from tests.lab.topology import STATE

if TYPE_CHECKING:
    from tests.lab.hosts import Host

DIRECTORY = STATE / "ssh"
CONFIGURATION = DIRECTORY / "config"
KNOWN_HOSTS = DIRECTORY / "known_hosts"
VAULT_PASSWORD = DIRECTORY / "vault_password"
# An inventory of its own beside that of the scenario: secrets stay out of the tree, encrypted or not.
VAULT = DIRECTORY / "inventory" / "group_vars" / "databases" / "vault.yml"


def write(hosts: Iterable[Host]) -> None:
    """Write ``.lab/ssh/config``, the keys of the hosts as one would have them from whoever set the hosts up, and the vault."""
    reachable = [host for host in hosts if host.role in WITH_SSH]
    KNOWN_HOSTS.write_text("".join(f"{line}\n" for host in reachable for line in host_keys(host)))
    names = "".join(f"Host {host.name}\n    HostName {host.address}\n    HostKeyAlias {host.name}\n" for host in reachable)
    common = f"Host *\n    User {LOGIN}\n    IdentityFile {SSH_KEY}\n    IdentitiesOnly yes\n    BatchMode yes\n"
    checked = f"    StrictHostKeyChecking yes\n    UserKnownHostsFile {KNOWN_HOSTS}\n    GlobalKnownHostsFile /dev/null\n"
    CONFIGURATION.write_text(names + common + checked)
    _write_vault([host.name for host in reachable if host.role == "writer"])


def _write_vault(writers: list[str]) -> None:
    """Encrypt the passwords, as ``ansible-vault`` does by hand; what is there already is left alone."""
    secret = credentials()
    if VAULT.exists() and VAULT_PASSWORD.exists() and VAULT_PASSWORD.read_text().strip() == secret.vault:
        return
    write_secret(VAULT_PASSWORD, f"{secret.vault}\n")
    plain = yaml.safe_dump({"vault_sudo_password": secret.login, "vault_migrator_password": secret.migrator})
    program = str(Path(sys.executable).with_name("ansible-vault"))
    encrypted = run(program, "encrypt", "--vault-password-file", str(VAULT_PASSWORD), "--output", "-", stdin=plain).stdout
    write_secret(VAULT, encrypted)
    inventory = {"databases": {"hosts": dict.fromkeys(writers)}}
    (DIRECTORY / "inventory" / "hosts.yml").write_text(yaml.safe_dump(inventory))
