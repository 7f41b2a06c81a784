"""To vouch for a migration: what has to be so before a receipt is written, and the figures that it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.checks import FAIL, count_of, wrap
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError, JournalError, PlanRefused
from ansible_collections.dbops.multischema.plugins.module_utils.journal import OVERRIDE
from ansible_collections.dbops.multischema.plugins.module_utils.move_step import MoveTables
from ansible_collections.dbops.multischema.plugins.module_utils.plan import Step
from ansible_collections.dbops.multischema.plugins.plugin_utils import ssh_signature as ssh
from ansible_collections.dbops.multischema.plugins.plugin_utils.receipt import Receipt

NAMED = 5  # steps or runs that a message names


@dataclass(frozen=True)
class Signer:
    """Who vouches, and with which key."""

    key: Path
    principal: str


def read_signer(key: str | None, principal: str | None) -> Signer:
    """Who is to sign.

    :param key: path of the key; relative to the directory that the user stands in.
    :param principal: whose it is; the comment of the public key, where it is not given.
    :raises ConfigurationError: when one of them is not known.
    :raises SignatureRefused: when there is no such key, or no ssh-keygen.
    """
    if not key:
        raise ConfigurationError(
            "multischema_signing_key is not set, so nobody can vouch for what was run here.",
            "A receipt is signed, so that nobody can write one by hand.",
            "Set it to the path of an SSH key of yours, for example -e multischema_signing_key=~/.ssh/id_ed25519; "
            "for a key with a passphrase to its .pub file, with the key itself in ssh-agent.",
        )
    path = Path.cwd() / key
    ssh.require_key(path)
    name = principal or ssh.principal_of(path)
    if ssh.PRINCIPAL.fullmatch(name) is None:
        raise ConfigurationError(
            f"Nobody can tell whose the key {key} is: "
            + (f"multischema_signing_principal is {name!r}." if name else "its .pub file has no comment that is a name."),
            "The allowed signers file of the next environment lists keys by the name of their owner.",
            "Set multischema_signing_principal to that name, for example you@example.com (no spaces, commas or wildcards).",
        )
    return Signer(path, name)


# --- is there something to vouch for ---


def require_environment(environment: str) -> None:
    """:raises ConfigurationError: when nobody has said which environment this is."""
    if environment == "default":
        raise ConfigurationError(
            "multischema_environment is not set, so the receipt could not say of which environment it is.",
            "The next environment asks for a receipt of this one by its name.",
            "Set it in the inventory, for example multischema_environment: development",
        )


def require_passed(checks: Sequence[Mapping[str, Any]]) -> None:
    """:raises JournalError: when the verification has not passed, or was not done."""
    failed = [str(check.get("name")) for check in checks if check.get("status") == FAIL]
    if failed or not checks:
        raise JournalError(
            f"The verification has not passed: {', '.join(failed)}." if failed else "Nothing was verified, so nothing can be vouched for.",
            "A receipt says that everything is where the plan put it.",
            "Run verify.yml, do what it says, then promote with playbooks/promote.yml.",
        )


def require_complete(lease: Mapping[str, Any] | None, left: Sequence[Step], done: Sequence[Step]) -> None:
    """Make sure that the migration is over.

    :param lease: of the journal, if there is one.
    :param left: steps that are planned and not done.
    :param done: steps in effect.
    :raises JournalError: while a run is at work.
    :raises PlanRefused: when steps are left, or none was done.
    """
    if lease is not None and lease["live"]:
        raise JournalError(
            f"A run works on this database now: {lease['holder']} (run {lease['run']}).",
            "A receipt is about what has been done, not about what is being done.",
            "Wait until it ends, then promote.",
        )
    if left or not done:
        named = ", ".join(step.id for step in left[:NAMED]) + (", …" if len(left) > NAMED else "")
        what = f"{count_of(len(left), 'step')} not done ({named})" if done else "nothing has been done here"
        raise PlanRefused(
            f"The migration is not complete, so there is nothing to vouch for: {what}.",
            "The next environment would run what nobody has seen to the end.",
            "Finish it (phases 1 and 2), run verify.yml, then promote.",
        )


def require_same_code(runs: Sequence[Mapping[str, Any]], label: str) -> None:
    """Make sure that what was run is what the receipt would be about.

    :param runs: of the journal.
    :param label: what the present code and decisions would be called there (``components.run_label``).
    :raises PlanRefused: when steps were done by other code or for other decisions.
    """
    other = [run for run in runs if run["steps"] and run["version"] != label]
    if other:
        what = {"code": "by other code", "decisions": "for other decisions (multischema_* settings that shape the plan)"}
        differs = {name for run in other for name in _differs(str(run["version"]), label)}
        names = [f"{run['id']} ({run['door']}, {count_of(run['steps'], 'step')})" for run in other[:NAMED]]
        raise PlanRefused(
            f"Steps were done here {' and '.join(what[name] for name in sorted(differs))} than the present: {', '.join(names)}.",
            "A receipt would vouch for what nobody has run.",
            "Promote from the checkout and inventory that it was run with; or roll back, run it again with the present ones, and promote.",
        )


def _differs(one: str, other: str) -> list[str]:
    """Which parts of two labels differ: ``0.1.0+CODE.DECISIONS``."""
    parts = [label.partition("+")[2].partition(".") for label in (one, other)]
    version = [label.partition("+")[0] for label in (one, other)]
    found = ["code"] if parts[0][0] != parts[1][0] or version[0] != version[1] else []
    return found + (["decisions"] if parts[0][2] != parts[1][2] else [])


# --- what it says ---


def results(done: Sequence[Step], history: Mapping[str, Any], checks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Figures for people.

    :param done: steps in effect.
    :param history: of the journal; times in seconds, stalls in milliseconds.
    """
    runs = [run for run in history["runs"] if run["steps"]]
    stalls = [run for run in runs if run["longest_stall_ms"] is not None]
    worst = max(stalls, key=lambda run: float(run["longest_stall_ms"]), default={"longest_stall_ms": None, "longest_stall_on": None})
    moved = [member for step in done if step.kind == MoveTables.kind for member in step.members if member.kind in ("r", "p", "f")]
    return {
        "checks": [{key: str(check.get(key, "")) for key in ("name", "status", "detail")} for check in checks],
        "steps": len(done),
        "tables_moved": len(moved),
        "retries": sum(run["retries"] for run in runs),
        "seconds": round(sum(run["seconds"] or 0 for run in runs), 3),
        "longest_stall_ms": worst["longest_stall_ms"],
        "longest_stall_on": worst["longest_stall_on"],
        "runs": runs,
        "accepted": [item for item in history["accepted"] if item["finding"] != OVERRIDE],
    }


def overrides(environment: str, history: Mapping[str, Any]) -> tuple[dict[str, str], ...]:
    """The decisions by which this environment has gone on without a receipt itself."""
    return tuple(
        {"environment": environment, "instead_of": item["object"], "reason": item["reason"]}
        for item in history["accepted"]
        if item["finding"] == OVERRIDE
    )


def report_lines(receipt: Receipt, path: str) -> list[str]:
    """The receipt in lines for a person."""
    figures = receipt.results
    stall = figures["longest_stall_ms"]
    noticed = "" if stall is None else f"; a reader waited {stall:.0f} ms at worst, on {figures['longest_stall_on']}"
    retries = "1 retry" if figures["retries"] == 1 else f"{figures['retries']} retries"
    moved, checked = count_of(figures["tables_moved"], "table"), count_of(len(figures["checks"]), "check")
    lines = wrap(f"{receipt.environment}/{receipt.host} has passed, and {receipt.principal} vouches for it.")
    lines += wrap(f"{moved} moved in {figures['seconds']:.2f} s, {retries}{noticed}; {checked} looked at, none failed.")
    for item in receipt.overrides:
        lines += wrap(f"It says too that {receipt.environment} went on without a {item['instead_of']}: {item['reason']}")
    lines += wrap(f"Digest of code, decisions and versions: {receipt.components.digests['overall']}")
    lines += wrap(f"Receipt: {path}, its signature beside it (.sig).")
    return lines
