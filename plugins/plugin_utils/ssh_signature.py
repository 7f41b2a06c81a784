"""Detached signatures by SSH keys, made and checked by ``ssh-keygen -Y`` (ssh-keygen(1), and ALLOWED SIGNERS in it).

Nothing goes through a shell, no private key is read by this code, and nothing ever waits for a passphrase: a key that has
one is used through ssh-agent.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ansible_collections.dbops.multischema.plugins.module_utils.errors import MultischemaError

PROGRAM = "ssh-keygen"
NAMESPACE = "dbops.multischema.promotion"
PATIENCE_S = 60.0  # a security key waits for a touch
PRINCIPAL = re.compile(r"[^\s,\"!*?]{1,255}")  # one name, as the first field of an allowed signers file lists them

# Kinds of refusal; the caller tells a person which document it is about.
EDITED = "edited"
NAMESPACE_DIFFERS = "namespace"
NO_SIGNERS = "no_signers"
NOT_PERMITTED = "not_permitted"
EXPIRED = "expired"
OTHER_SIGNER = "other_signer"
UNKNOWN_SIGNER = "unknown_signer"


class SignatureRefused(MultischemaError):
    """A signature cannot be made, or does not prove what it should.

    :param kind: one of the kinds above, or empty.
    """

    def __init__(self, found: str, why: str = "", remedy: str = "", kind: str = "") -> None:
        super().__init__(found, why, remedy)
        self.kind = kind


def _run(arguments: Sequence[str], data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run ssh-keygen.

    :raises SignatureRefused: when it is not installed or does not come to an end.
    """
    environment = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "SSH_ASKPASS")}
    environment |= {"LC_ALL": "C", "SSH_ASKPASS_REQUIRE": "never"}
    try:
        # Without a terminal of its own it cannot ask for a passphrase, and fails instead.
        return subprocess.run(  # noqa: S603  a list of arguments, no shell
            [PROGRAM, *arguments], input=data, capture_output=True, timeout=PATIENCE_S, check=False, env=environment, start_new_session=True
        )
    except FileNotFoundError as error:
        raise SignatureRefused(
            "ssh-keygen is not installed on this machine.",
            "Receipts are signed and checked with it.",
            "apt-get install openssh-client (8.2 or newer).",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise SignatureRefused(
            f"ssh-keygen has not come to an end within {PATIENCE_S:g} s.",
            "It waits for something, for the touch of a security key for example.",
            "Run again, and touch the key when it blinks.",
        ) from error


def _words(done: subprocess.CompletedProcess[bytes]) -> str:
    """What ssh-keygen has said, in one line. Its messages name files and principals, and hold no secret."""
    text = done.stderr.decode("utf-8", "replace") or done.stdout.decode("utf-8", "replace")
    # A frame of @ around a warning says nothing more.
    lines = [line.strip() for line in text.splitlines() if line.strip(" @\r")]
    return "; ".join(line for line in lines if line != "Signing data on standard input")


def public_key(key: Path) -> Path:
    """The file with the public half of a key, which may be given by either half."""
    return key if key.suffix == ".pub" else key.with_name(key.name + ".pub")


def require_key(key: Path) -> None:
    """:raises SignatureRefused: when there is no such key, or ssh-keygen is not installed."""
    if not key.is_file():
        raise SignatureRefused(
            f"There is no key at {key}.",
            "A receipt is signed, so that nobody can write one by hand.",
            "Set multischema_signing_key to an SSH key of yours (ssh-keygen -t ed25519 makes one); for a key with a passphrase "
            "its .pub file, with the key itself in ssh-agent.",
        )
    _run(["-Y", "find-principals"])  # fails for lack of arguments, where it is installed


def principal_of(key: Path) -> str:
    """The comment of a key, which names its owner as a rule; empty where it is none that could be a principal."""
    try:
        parts = public_key(key).read_text(encoding="utf-8", errors="replace").split(None, 2)
    except OSError:
        return ""
    comment = parts[2].strip() if len(parts) == 3 else ""
    return comment if PRINCIPAL.fullmatch(comment) else ""


def sign(data: bytes, key: Path, namespace: str = NAMESPACE) -> str:
    """A detached signature.

    :param data: what is signed.
    :param key: file of a private key without passphrase; or of a public key whose private half is in ssh-agent.
    :returns: the signature, armoured.
    :raises SignatureRefused: when it cannot be made.
    """
    require_key(key)
    done = _run(["-Y", "sign", "-f", str(key), "-n", namespace], data)
    text = done.stdout.decode("ascii", "replace")
    if done.returncode == 0 and "BEGIN SSH SIGNATURE" in text:
        return text
    words = _words(done)
    remedy = "Look at what ssh-keygen says, and at the file."
    if "passphrase" in words:
        remedy = "Put the key into ssh-agent (ssh-add), and give its public half: multischema_signing_key: …/id_ed25519.pub"
    elif "too open" in words:
        remedy = f"chmod 600 {key}"
    raise SignatureRefused(f"The key {key} cannot be used to sign.", f"ssh-keygen says: {words}", remedy)


def require_intact(data: bytes, signature: Path, namespace: str = NAMESPACE) -> None:
    """Make sure that somebody has signed exactly this, for this purpose.

    :param signature: file with the detached signature.
    :raises SignatureRefused: with its ``kind`` saying which of these is not so.
    """
    done = _run(["-Y", "check-novalidate", "-n", namespace, "-s", str(signature)], data)
    if done.returncode != 0:
        words = _words(done)
        kind = NAMESPACE_DIFFERS if "namespace does not match" in words else EDITED
        raise SignatureRefused(f"ssh-keygen says: {words}", kind=kind)


def require_signer(data: bytes, signature: Path, signers: Path, principal: str, namespace: str = NAMESPACE) -> None:
    """Make sure that it was a principal who has signed, with a key that is allowed to sign for this purpose now.

    :param signers: an allowed signers file.
    :raises SignatureRefused: with its ``kind`` saying which of these is not so.
    """
    if not signers.is_file():
        raise SignatureRefused(f"There is no file {signers}.", kind=NO_SIGNERS)
    done = _run(["-Y", "verify", "-f", str(signers), "-I", principal, "-n", namespace, "-s", str(signature)], data)
    if done.returncode != 0:
        raise _not_allowed(_words(done), signature, signers)


def _not_allowed(words: str, signature: Path, signers: Path) -> SignatureRefused:
    """Why a signature that is intact counts for nothing."""
    said = f"ssh-keygen says: {words}"
    if "not permitted for use in signature namespace" in words:
        return SignatureRefused(said, kind=NOT_PERMITTED)
    if "has expired" in words or "not yet valid" in words:
        return SignatureRefused(said, kind=EXPIRED)
    found = _run(["-Y", "find-principals", "-f", str(signers), "-s", str(signature)])
    names = ", ".join(found.stdout.decode("utf-8", "replace").split()) if found.returncode == 0 else ""
    if names:
        return SignatureRefused(names, kind=OTHER_SIGNER)
    return SignatureRefused(said, kind=UNKNOWN_SIGNER)
