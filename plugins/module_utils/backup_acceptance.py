"""Which backup of a database counts before a migration: the newest that was proved and is young enough (pure).

Everything that was found is judged, and every refusal says why: "there is no backup" helps nobody who has taken one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import BY_RESTORE, Manifest
from ansible_collections.dbops.multischema.plugins.module_utils.checks import FAIL, PASS, Check
from ansible_collections.dbops.multischema.plugins.module_utils.database_identity import DatabaseIdentity

NAME = "checklist, backup"
REMEDY = (
    "Take one and prove it: playbooks/backup.yml. One that was made elsewhere: multischema_checklist.backup.done: 'what, when, where it "
    "was restored'. Or waive it with a reason in multischema_checklist.backup.waived."
)
MOST_SHOWN = 5
AHEAD = timedelta(minutes=5)  # how far the clocks of two machines may be apart


@dataclass(frozen=True)
class Found:
    """A directory that was looked at.

    :param manifest: None where it cannot be read.
    :param problem: what is wrong with it as files; empty where nothing is.
    """

    name: str
    manifest: Manifest | None
    problem: str = ""


@dataclass(frozen=True)
class Demand:
    """What is asked for.

    :param database: which it has to be a backup of.
    :param max_age: how long ago it may have been completed.
    """

    database: DatabaseIdentity
    now: datetime
    max_age: timedelta


@dataclass(frozen=True)
class Judgement:
    """One backup: why it does not count, or nothing where it does."""

    name: str
    refusal: str

    @property
    def accepted(self) -> bool:
        """Whether it counts."""
        return not self.refusal


def judge(found: Found, demand: Demand) -> Judgement:
    """One of them."""
    return Judgement(found.name, found.problem or _refusal(found.manifest, demand))


def _refusal(manifest: Manifest | None, demand: Demand) -> str:
    if manifest is None:
        return "its manifest cannot be read"
    return _other_database(manifest.database, demand.database) or _wrong_age(manifest, demand) or _unproved(manifest)


def _other_database(there: DatabaseIdentity, here: DatabaseIdentity) -> str:
    known = bool(here.system_identifier and there.system_identifier)
    if there.is_the_same_as(here) if known else (there.oid, there.name) == (here.oid, here.name):
        return ""
    other_server = known and there.system_identifier != here.system_identifier
    where = f" of another server (system identifier {there.system_identifier})" if other_server else ""
    return f"it is of another database, {there.name} (OID {there.oid}){where}; this one is {here.name} (OID {here.oid})"


def _wrong_age(manifest: Manifest, demand: Demand) -> str:
    age = demand.now - manifest.ended
    if age > demand.max_age:
        return f"it is {hours(age)} old, and may be {hours(demand.max_age)}"
    return f"it is from the future ({manifest.ended_at}): one of the clocks is wrong" if age < -AHEAD else ""


def _unproved(manifest: Manifest) -> str:
    verdict = manifest.verdict
    if verdict is None:
        return "nobody has restored it, so nothing is known of it"
    if not verdict.passed:
        more = len(verdict.differences) - 1
        return f"it was tried and failed: {verdict.differences[0]}" + (f", and {more} more" if more > 0 else "")
    return "" if verdict.method == BY_RESTORE else "only its checksums were compared, it was not restored"


def hours(age: timedelta) -> str:
    """A length of time for a person."""
    minutes = age.total_seconds() / 60
    return f"{minutes / 60:.0f} h" if minutes >= 120 else f"{max(minutes, 0):.0f} min"


def as_check(judgements: Sequence[Judgement], accepted: Manifest | None, demand: Demand, place: str) -> Check:
    """The item of the checklist.

    :param judgements: of every backup that was looked at, newest first.
    :param accepted: the one that counts.
    :param place: where they were looked for.
    """
    if accepted is not None and accepted.verdict is not None:
        age = hours(demand.now - accepted.ended)
        return Check(NAME, PASS, f"{accepted.name} ({age} old) was restored on {accepted.verdict.at}, and everything was in it")
    looked = "\n".join(_lines(judgements)) or f"there is none in {place}"
    return Check(
        NAME,
        FAIL,
        f"no backup of this database that was proved and is younger than {hours(demand.max_age)}: {looked}",
        REMEDY,
    )


def _lines(judgements: Iterable[Judgement]) -> list[str]:
    refused = [j for j in judgements if not j.accepted]
    lines = [f"{j.name}: {j.refusal}" for j in refused[:MOST_SHOWN]]
    return [*lines, f"and {len(refused) - MOST_SHOWN} older ones"] if len(refused) > MOST_SHOWN else lines
