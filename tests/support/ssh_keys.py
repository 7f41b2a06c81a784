"""SSH keys for tests, made by the real ssh-keygen."""

from __future__ import annotations

import subprocess
from pathlib import Path

NAMESPACE = "dbops.multischema.promotion"
SIGNER = "you@example.com"


def make_key(path: Path, comment: str = SIGNER, passphrase: str = "") -> Path:
    """A new key; its public half lies beside it."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", comment, "-f", str(path)], check=True)
    return path


def public_half(key: Path) -> str:
    """Type and key, without the comment."""
    return " ".join(key.with_name(key.name + ".pub").read_text().split()[:2])


def allow(signers: Path, key: Path, principal: str = SIGNER, options: str = f'namespaces="{NAMESPACE}"') -> None:
    """Add a line to an allowed signers file."""
    with signers.open("a") as file:
        file.write(f"{principal} {options} {public_half(key)}\n")
