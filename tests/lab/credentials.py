"""Passwords and keys of a lab: made once, kept below ``.lab/``, readable for their owner alone."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.lab.machine import run
from tests.lab.topology import STATE

FILE = STATE / "credentials.json"
SSH_KEY = STATE / "ssh" / "id_ed25519"
LOGIN = "deploy"  # who logs in by SSH: nobody special, who becomes another by sudo, with a password


@dataclass(frozen=True)
class Credentials:
    """Passwords.

    :param superuser: of the role ``postgres``, over TCP.
    :param replicator: of the role that the replica streams as.
    :param application: of the sample's roles that log in.
    :param login: of the system user ``deploy``, for sudo.
    :param migrator: of a role that migrates and is no superuser.
    :param vault: that the vault file is encrypted with.
    """

    superuser: str
    replicator: str
    application: str
    login: str
    migrator: str
    vault: str

    def digest(self) -> str:
        """A checksum that gives none of them away."""
        text = json.dumps([asdict(self), public_key()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def credentials() -> Credentials:
    """Read the passwords and the key; make them where there are none yet."""
    found: dict[str, str] = json.loads(FILE.read_text()) if FILE.exists() else {}
    missing = Credentials.__dataclass_fields__.keys() - found.keys()
    if missing:
        found |= {name: secrets.token_urlsafe(18) for name in missing}
        write_secret(FILE, json.dumps(found))
    if not SSH_KEY.exists():
        SSH_KEY.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", str(SSH_KEY))
    return Credentials(**found)


def public_key() -> str:
    """The public half of the lab's SSH key."""
    return SSH_KEY.with_suffix(".pub").read_text().strip()


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner may read; whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=0o600)
    temporary.write_text(text)
    temporary.replace(path)
