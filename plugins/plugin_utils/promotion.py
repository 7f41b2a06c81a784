"""May this database be migrated: is there a receipt of the environment before, and is it about the same thing?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.database_identity import DatabaseIdentity
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError, MultischemaError
from ansible_collections.dbops.multischema.plugins.plugin_utils import ssh_signature as ssh
from ansible_collections.dbops.multischema.plugins.plugin_utils.components import Components, differing
from ansible_collections.dbops.multischema.plugins.plugin_utils.receipt import (
    NotAReceipt,
    Receipt,
    parse_receipt,
    receipts_in,
    signature_of,
)

CLOCK_TOLERANCE = timedelta(minutes=5)
# What says which receipt is demanded. Given with -e, it would take the demand away and leave no trace.
OF_THE_INVENTORY = ("promotes_from", "promotes_from_host", "promotes_from_copy", "promotion_max_age_h", "allowed_signers")
SHOWN = 4  # receipts that count for nothing and that a message names


class PromotionRefused(MultischemaError):
    """There is no receipt that lets this go on.

    :param kind: what is wrong, in one word.
    """

    def __init__(self, kind: str, found: str, why: str = "", remedy: str = "") -> None:
        super().__init__(found, why, remedy)
        self.kind = kind


@dataclass(frozen=True)
class Demand:
    """What a receipt has to be like.

    :param environment: the environment that it has to be of, and the ``host`` there.
    :param here: environment and host that want to go on, for messages.
    :param directory: where receipts are looked for.
    :param signers: the allowed signers file.
    :param components: what is about to run.
    :param database: the database that it is about to run on.
    :param copied: whether the database before may be a physical copy of this server, which has its identifier.
    :param runs: ids of the runs that this database's journal knows.
    :param max_age: how old it may be; None where the migration has begun already, for going on must not depend on the calendar.
    :param now: the time.
    """

    environment: str
    host: str
    here: str
    directory: Path
    signers: Path
    components: Components
    database: DatabaseIdentity
    copied: bool
    runs: frozenset[str]
    max_age: timedelta | None
    now: datetime

    @property
    def promote(self) -> str:
        """The command that makes a receipt."""
        return f"ansible-playbook -i inventory/{self.environment} playbooks/promote.yml"


def require_inventory(extra_vars: Mapping[str, Any]) -> None:
    """:raises ConfigurationError: when the command line says what is demanded, which is for the inventory to say."""
    given = [f"multischema_{name}" for name in OF_THE_INVENTORY if f"multischema_{name}" in extra_vars]
    if given:
        raise ConfigurationError(
            f"{', '.join(given)} may not be given with -e.",
            "It decides which receipt is demanded; on a command line nobody would see later that it was another one.",
            "Write it into the inventory, where changes are reviewed. To go on without a receipt there is multischema_promotion_override, "
            "which keeps its reason.",
        )


def require_other_environment(here: str, before: str) -> None:
    """:raises ConfigurationError: when an environment would vouch for itself."""
    if here == before:
        raise ConfigurationError(
            f"multischema_promotes_from is {before}, and so is multischema_environment.",
            "An environment cannot vouch for itself.",
            "Name the environment before this one, or leave multischema_promotes_from empty.",
        )


def host_before(host: str, here: str, before: str) -> str:
    """The host in the environment before: ``shop_staging`` for ``shop_production``; one that is called alike everywhere, itself."""
    return host.replace(here, before)


def find_receipt(demand: Demand) -> Receipt:
    """The newest receipt that fits.

    :raises PromotionRefused: when there is none; it says what is wrong with the newest, and with some of the others.
    """
    paths = receipts_in(demand.directory)
    if not paths:
        raise PromotionRefused(
            "missing",
            f"There is no receipt of {demand.environment} for {demand.host} in {demand.directory}.",
            f"{demand.here} may only run what {demand.environment} has passed (multischema_promotes_from).",
            f"Run it there first, then {demand.promote}. Where that was done on another machine, copy its {demand.directory.name} "
            "directory to this place. multischema_promotes_from_host says whose receipt is looked for.",
        )
    refused: list[tuple[Path, PromotionRefused]] = []
    # The newest first: by their own word, which counts for the order only.
    for path in sorted(paths, key=_claimed_time, reverse=True):
        try:
            return check_receipt(path, demand)
        except PromotionRefused as error:
            refused.append((path, error))
    raise _none_of(refused)


def _claimed_time(path: Path) -> tuple[str, str]:
    try:
        return parse_receipt(path.read_bytes()).made_at.isoformat(), path.name
    except (OSError, NotAReceipt):
        return "", path.name


def _none_of(refused: list[tuple[Path, PromotionRefused]]) -> PromotionRefused:
    _, newest = refused[0]
    others = [f"{path.name}: {error.found.splitlines()[0]}" for path, error in refused[1 : SHOWN + 1]]
    if len(refused) > SHOWN + 1:
        others.append(f"and {len(refused) - SHOWN - 1} more")
    found = newest.found
    if others:
        found += "\nThe other receipts there count for nothing either:\n" + "\n".join(f"  - {line}" for line in others)
    return PromotionRefused(newest.kind, found, newest.why, newest.remedy)


def check_receipt(path: Path, demand: Demand) -> Receipt:
    """Hold one receipt against the demand.

    :raises PromotionRefused: naming what is wrong with it.
    """
    receipt = _trusted(path, demand)
    for question in (_of_the_right_place, _of_another_database, _of_the_right_time, _of_the_same_thing):
        for refusal in question(path, receipt, demand):
            raise refusal
    return receipt


# --- whom to believe ---


def _trusted(path: Path, demand: Demand) -> Receipt:
    signature = signature_of(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise PromotionRefused("unreadable", f"The receipt {path} cannot be read: {error.strerror}.", "", f"chmod u+r {path}") from error
    if not signature.is_file():
        raise PromotionRefused(
            "unsigned",
            f"The receipt {path} has no signature: {signature.name} is not beside it.",
            "Without it anybody could have written the receipt.",
            "Copy both files, or make a new receipt: " + demand.promote,
        )
    principal = ""
    try:
        ssh.require_intact(data, signature)
        receipt = parse_receipt(data)
        principal = receipt.principal
        ssh.require_signer(data, signature, demand.signers, principal)
    except NotAReceipt as error:
        found = f"{path} is signed, and is not a receipt: {error}."
        raise PromotionRefused("malformed", found, "", f"Make one with {demand.promote}") from error
    except ssh.SignatureRefused as error:
        if not error.kind:
            raise PromotionRefused("ssh-keygen", error.found, error.why, error.remedy) from error
        raise _not_trusted(path, principal, error, demand) from error
    return receipt


def _not_trusted(path: Path, principal: str, error: ssh.SignatureRefused, demand: Demand) -> PromotionRefused:
    signers = demand.signers
    again = f"Make a new receipt: {demand.promote}"
    ask = f"If that signer is to be trusted, somebody who may decide it writes a line into {signers}:\n"
    line = f'  {principal} namespaces="{ssh.NAMESPACE}" ssh-ed25519 AAAA… (the .pub file of the key)'
    found, why, remedy = {
        ssh.EDITED: (
            f"The receipt {path} was edited, or its signature belongs to another one.",
            f"Its bytes are not those that were signed. {error.found}",
            again,
        ),
        ssh.NAMESPACE_DIFFERS: (
            f"The signature of {path} was made for another purpose.",
            f"A receipt is signed in the namespace {ssh.NAMESPACE}, so that no other signature of the same key can stand for it.",
            again,
        ),
        ssh.NO_SIGNERS: (
            f"There is no file that says whose receipts count: {signers}.",
            "A signature proves something only where it is known whose it is.",
            "Make that file, one line for each signer; multischema_allowed_signers says where it is:\n" + line,
        ),
        ssh.NOT_PERMITTED: (
            f"{principal} has signed {path}, and that key may not sign receipts.",
            f"In {signers} it is listed for other namespaces than {ssh.NAMESPACE}.",
            "Let somebody sign who may, or add the namespace to that line.",
        ),
        ssh.EXPIRED: (
            f"{principal} has signed {path} with a key that is not valid now.",
            error.found,
            f"Renew valid-after and valid-before in {signers}, or sign with a newer key: {demand.promote}",
        ),
        ssh.OTHER_SIGNER: (
            f"The receipt {path} says that {principal} has signed it, and the key is that of {error.found}.",
            "Nobody may sign in the name of somebody else.",
            f"Set multischema_signing_principal to {error.found} there and make a new receipt: {demand.promote}",
        ),
        ssh.UNKNOWN_SIGNER: (
            f"The receipt {path} is signed with a key that is not known here; it says that it is of {principal}.",
            f"{signers} does not list that key for that name. {error.found}",
            ask + line,
        ),
    }[error.kind]
    return PromotionRefused(error.kind, found, why, remedy)


# --- what it is about ---


def _of_the_right_place(path: Path, receipt: Receipt, demand: Demand) -> Iterator[PromotionRefused]:
    if receipt.environment != demand.environment:
        yield PromotionRefused(
            "environment",
            f"The receipt {path} is of {receipt.environment}, and one of {demand.environment} is demanded.",
            "Each environment passes on what it has passed itself; a file that is copied to another directory stays what it is.",
            demand.promote,
        )
    if receipt.host != demand.host:
        yield PromotionRefused(
            "host",
            f"The receipt {path} is of {receipt.host}, and one of {demand.host} is demanded.",
            "What one database has passed says nothing about another one.",
            f"{demand.promote} --limit {demand.host}; or set multischema_promotes_from_host, if {receipt.host} is the one that "
            "this database is rehearsed on.",
        )


def _of_another_database(path: Path, receipt: Receipt, demand: Demand) -> Iterator[PromotionRefused]:
    if not receipt.database.is_the_same_as(demand.database):
        return
    here = demand.database
    found = f"The receipt {path} is of this very database: {here.name} (OID {here.oid}) of server {here.system_identifier}"
    ours = sorted(demand.runs.intersection(receipt.runs))
    if ours:
        yield PromotionRefused(
            "same_database",
            f"{found}; run {ours[0]} is in its journal.",
            "A rehearsal takes place on another one, so one of the two inventories leads to the wrong database.",
            "Compare the connections of both inventories.",
        )
    elif not demand.copied:
        yield PromotionRefused(
            "same_database",
            f"{found}.",
            f"A rehearsal takes place on another one. Either one of the two inventories leads to the wrong database, or {receipt.host} is "
            "a physical copy of this server (a restored base backup, a snapshot), which has its identifier.",
            "Compare the connections of both inventories. If it is a copy, say so in this one: multischema_promotes_from_copy: true",
        )


def _of_the_right_time(path: Path, receipt: Receipt, demand: Demand) -> Iterator[PromotionRefused]:
    age = demand.now - receipt.made_at
    made = receipt.made_at.strftime("%Y-%m-%d %H:%M UTC")
    if age < -CLOCK_TOLERANCE:
        yield PromotionRefused(
            "future",
            f"The receipt {path} is from the future: made {made}, and it is {demand.now:%Y-%m-%d %H:%M} UTC here.",
            "One of the two clocks is wrong, so nobody can say how old it is.",
            f"Set the clocks (timedatectl), then make a new receipt: {demand.promote}",
        )
    if demand.max_age is not None and age > demand.max_age:
        hours = demand.max_age.total_seconds() / 3600
        yield PromotionRefused(
            "old",
            f"The receipt {path} is too old: made {made}, {age.total_seconds() / 3600:.0f} h ago, and {hours:g} h are allowed.",
            "The longer ago the rehearsal, the more has changed since (multischema_promotion_max_age_h).",
            f"Prove it there again: {demand.promote}",
        )


def _of_the_same_thing(path: Path, receipt: Receipt, demand: Demand) -> Iterator[PromotionRefused]:
    if receipt.components.digests["overall"] == demand.components.digests["overall"]:
        return
    found = differing(receipt.components, demand.components)
    lines = [f"{name}:\n" + "\n".join(f"  - {line}" for line in changed) for name, changed in found.items()]
    remedies = {
        "decisions": f"Make both inventories say the same (the environments share group_vars/decisions.yml), or rehearse this in "
        f"{demand.environment} first",
        "code": f"Run the same checkout or collection as {demand.environment}, or rehearse this one there first",
        "versions": "Install the same versions, as requirements.txt pins them",
    }
    yield PromotionRefused(
        next(iter(found)),
        f"The receipt {path.name} is not about what would run here; {', '.join(found)} differ from {demand.environment}'s.\n"
        + "\n".join(lines),
        f"Only what {demand.environment} has passed may run here.",
        " ".join(f"{remedies[name]}." for name in found),
    )
