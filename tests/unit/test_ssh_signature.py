"""Signatures by the real ssh-keygen: made without asking anyone, and believed only where they prove what they should."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.dbops.multischema.plugins.plugin_utils import ssh_signature as ssh
from ansible_collections.dbops.multischema.plugins.plugin_utils.ssh_signature import SignatureRefused
from tests.support.ssh_keys import SIGNER, allow, make_key
from tests.unit.repository import ROOT

DATA = b'{"a receipt": true}\n'


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return make_key(tmp_path / "key")


@pytest.fixture
def signature(tmp_path: Path, key: Path) -> Path:
    path = tmp_path / "data.sig"
    path.write_text(ssh.sign(DATA, key))
    return path


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A real ssh-agent, in the environment of this test."""
    socket = tmp_path / "agent"
    said = subprocess.run(["ssh-agent", "-s", "-a", str(socket)], capture_output=True, text=True, check=True).stdout
    found = re.search(r"SSH_AGENT_PID=(\d+)", said)
    assert found
    monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
    monkeypatch.setenv("SSH_AGENT_PID", found[1])
    yield
    subprocess.run(["ssh-agent", "-k"], env={**os.environ, "SSH_AGENT_PID": found[1]}, capture_output=True, check=True)


def kind_of(data: bytes, signature: Path, signers: Path, principal: str = SIGNER) -> str:
    """What is wrong with a signature; empty where nothing is."""
    try:
        ssh.require_intact(data, signature)
        ssh.require_signer(data, signature, signers, principal)
    except SignatureRefused as error:
        return error.kind
    return ""


def test_a_signature_counts_for_what_was_signed_and_for_nothing_else(tmp_path: Path, key: Path, signature: Path) -> None:
    signers = tmp_path / "signers"
    allow(signers, key)
    assert kind_of(DATA, signature, signers) == ""
    assert kind_of(DATA + b" ", signature, signers) == ssh.EDITED
    junk = tmp_path / "junk.sig"
    junk.write_text("not a signature")
    assert kind_of(DATA, junk, signers) == ssh.EDITED
    junk.write_text(ssh.sign(DATA, key, namespace="file"))
    assert kind_of(DATA, junk, signers) == ssh.NAMESPACE_DIFFERS


@pytest.mark.parametrize(
    ("principal", "options", "kind"),
    [
        (SIGNER, 'namespaces="file"', ssh.NOT_PERMITTED),
        (SIGNER, 'valid-before="20200101"', ssh.EXPIRED),
        (SIGNER, 'valid-after="20990101"', ssh.EXPIRED),
        ("other@example.com", "", ssh.OTHER_SIGNER),
        (SIGNER, 'namespaces="file,dbops.multischema.*"', ""),
        ("*@example.com", "", ""),
    ],
)
def test_a_signer_counts_as_the_allowed_signers_say(signature: Path, principal: str, options: str, kind: str) -> None:
    signers = signature.with_name("signers")
    allow(signers, signature.with_name("key"), principal, options)
    assert kind_of(DATA, signature, signers) == kind


def test_a_stranger_s_key_counts_for_nothing(tmp_path: Path, signature: Path) -> None:
    signers = tmp_path / "signers"
    assert kind_of(DATA, signature, signers) == ssh.NO_SIGNERS
    allow(signers, make_key(tmp_path / "other"))
    assert kind_of(DATA, signature, signers) == ssh.UNKNOWN_SIGNER
    signers.write_text("# nobody yet\n")
    assert kind_of(DATA, signature, signers) == ssh.UNKNOWN_SIGNER
    signers.write_text("not a line that ssh-keygen can read\n")
    assert kind_of(DATA, signature, signers) == ssh.UNKNOWN_SIGNER


def test_a_key_with_a_passphrase_signs_through_the_agent_and_never_asks(tmp_path: Path, agent: None) -> None:
    locked = make_key(tmp_path / "locked", passphrase="not in any output")
    for half in (locked, ssh.public_key(locked)):
        with pytest.raises(SignatureRefused, match="ssh-add") as caught:
            ssh.sign(DATA, half)
        assert "not in any output" not in str(caught.value)
    giver = tmp_path / "askpass"
    giver.write_text("#!/bin/sh\necho not in any output\n")
    giver.chmod(0o700)
    given = {**os.environ, "SSH_ASKPASS": str(giver), "SSH_ASKPASS_REQUIRE": "force"}
    subprocess.run(["ssh-add", str(locked)], env=given, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    for half in (ssh.public_key(locked), locked):
        signers, path = tmp_path / f"{half.name}.signers", tmp_path / f"{half.name}.data.sig"
        allow(signers, locked)
        path.write_text(ssh.sign(DATA, half))
        assert kind_of(DATA, path, signers) == ""
    locked.unlink()  # the agent has it; the public half is enough
    assert "BEGIN SSH SIGNATURE" in ssh.sign(DATA, ssh.public_key(locked))


ASKED_FOR_A_SIGNATURE = """
import os
import sys
from pathlib import Path
from ansible_collections.dbops.multischema.plugins.plugin_utils import ssh_signature as ssh
os.login_tty(int(sys.argv[2]))
ssh.PATIENCE_S = 10.0
try:
    ssh.sign(b"data", Path(sys.argv[1]))
except ssh.SignatureRefused as error:
    print("refused:", error)
"""


def test_not_even_on_a_terminal_somebody_is_asked_for_a_passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    locked = make_key(tmp_path / "locked", passphrase="secret")
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", ASKED_FOR_A_SIGNATURE, str(locked), str(theirs)],
        env={**os.environ, "PYTHONPATH": str(ROOT / ".ansible" / "collections")},
        pass_fds=(theirs,),
    )
    os.close(theirs)
    said = b""
    with contextlib.suppress(OSError):  # the end of what a terminal says is an error
        while part := os.read(ours, 4096):
            said += part
    os.close(ours)
    assert process.wait() == 0
    assert b"refused: The key" in said
    assert b"ssh-add" in said


def test_a_key_that_cannot_be_used_is_refused_with_what_to_do(tmp_path: Path, key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SignatureRefused, match=r"There is no key at .*/missing") as caught:
        ssh.sign(DATA, tmp_path / "missing")
    assert "multischema_signing_key" in caught.value.remedy
    key.chmod(0o644)
    with pytest.raises(SignatureRefused, match="too open") as caught:
        ssh.sign(DATA, key)
    assert caught.value.remedy == f"chmod 600 {key}"
    text = tmp_path / "text"
    text.write_text("no key at all\n")
    text.chmod(0o600)
    with pytest.raises(SignatureRefused, match="cannot be used to sign"):
        ssh.sign(DATA, text)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SignatureRefused, match="ssh-keygen is not installed"):
        ssh.require_key(key)


@pytest.mark.parametrize(("comment", "principal"), [(SIGNER, SIGNER), ("", ""), ("A key of mine", ""), ("a,b", ""), ("*", "")])
def test_the_comment_of_a_key_names_its_owner_where_it_is_a_name(tmp_path: Path, comment: str, principal: str) -> None:
    key = make_key(tmp_path / "named", comment)
    assert ssh.principal_of(key) == ssh.principal_of(ssh.public_key(key)) == principal
    ssh.public_key(key).unlink()
    assert ssh.principal_of(key) == ""
