"""Until when a physical backup is recovered: the instant that was recorded, or one that a person names (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError

LATEST = "latest"
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d)?)(\.\d{1,6})?\s*(Z|[+-]\d\d(?::?\d\d)?)?")
_LSN = re.compile(r"[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}")


@dataclass(frozen=True)
class RecoveryTarget:
    """Where recovery ends.

    :param kind: ``lsn``, ``time`` or ``name``.
    :param value: as PostgreSQL reads it.
    :param timeline: a number, or `LATEST`.
    :param inclusive: whether what is written at that place counts; with a time, what was committed at it.
    :param words: for people.
    """

    kind: str
    value: str
    words: str
    timeline: str = LATEST
    inclusive: bool = True

    @property
    def settings(self) -> dict[str, str]:
        """Of the server that recovers."""
        return {
            f"recovery_target_{self.kind}": self.value,
            "recovery_target_inclusive": "on" if self.inclusive else "off",
            "recovery_target_timeline": self.timeline,
            "recovery_target_action": "promote",
        }

    @property
    def time(self) -> datetime | None:
        """Where it is one."""
        return datetime.strptime(self.value, "%Y-%m-%d %H:%M:%S.%f%z") if self.kind == "time" else None

    def reached_after(self, stop_lsn: str, ended: datetime) -> bool:
        """Whether recovery from a backup can get there: it ends behind the backup's own end.

        :param ended: when the backup was complete.
        """
        if self.kind == "lsn":
            return lsn_number(self.value) >= lsn_number(stop_lsn)
        return self.time is None or self.time >= ended


def recorded_target(lsn: str, timeline: int) -> RecoveryTarget:
    """The instant whose content a manifest has: all before that place, and nothing of what stands at it."""
    return RecoveryTarget("lsn", lsn, f"the recorded instant {lsn}", str(timeline), inclusive=False)


def asked_target(options: Mapping[str, Any], now: datetime) -> RecoveryTarget | None:
    """What the user has named: ``target_time``, ``target_lsn`` or ``target_name``; None for none of them.

    :raises ConfigurationError: when it cannot be used.
    """
    given = {kind: str(options.get(f"target_{kind}") or "").strip() for kind in ("time", "lsn", "name")}
    named = {kind: value for kind, value in given.items() if value}
    problems = list(_problems(named, now))
    if problems:
        raise ConfigurationError(
            "The restore cannot go where it is asked to: " + " ".join(found for found, _ in problems),
            "Of what comes after that point nothing is restored, so it has to be one, and a certain one.",
            " ".join(remedy for _, remedy in problems),
        )
    for kind, value in named.items():
        if kind == "time":
            return RecoveryTarget(kind, _moment(value).strftime("%Y-%m-%d %H:%M:%S.%f%z"), f"{value} (what was committed by then)")
        return RecoveryTarget(kind, value, f"the LSN {value}" if kind == "lsn" else f"the restore point {value!r}")
    return None


def _problems(named: Mapping[str, str], now: datetime) -> Iterator[tuple[str, str]]:
    """What is wrong, and what to write instead."""
    if len(named) > 1:
        names = " and ".join(f"backup_restore_target_{kind}" for kind in named)
        yield f"{names} are set.", "Set one of them."
    if "time" in named:
        value = named["time"]
        match = _TIME.fullmatch(value)
        if match is None or _moment(value) is None:
            yield f"backup_restore_target_time is {value!r}, and that is no time.", "Write 2030-01-05 14:30:00+01:00."
        elif not match.group(4):
            yield (
                f"backup_restore_target_time is {value!r}, without a time zone: for two people it may be two times.",
                f"Write {value}+00:00 for UTC, or another offset; put it in quotes in YAML.",
            )
        elif _moment(value) > now:
            yield f"backup_restore_target_time {value} is in the future.", "Write a time that has passed."
    if "lsn" in named and not _LSN.fullmatch(named["lsn"]):
        yield f"backup_restore_target_lsn is {named['lsn']!r}.", "Write it as PostgreSQL does: 1A/2B3C4D58."


def _moment(text: str) -> Any:
    """A time with its zone (UTC where none is written); None where there is no such time."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    day, clock, fraction, zone = match.groups()
    offset = "+0000" if zone in (None, "Z") else zone.replace(":", "") + ("00" if len(zone) == 3 else "")
    try:
        seconds = clock if clock.count(":") == 2 else clock + ":00"
        return datetime.strptime(f"{day} {seconds}{fraction or '.0'} {offset}", "%Y-%m-%d %H:%M:%S.%f %z").astimezone(timezone.utc)
    except ValueError:
        return None


def lsn_number(lsn: str) -> int:
    """A place in the WAL as a number."""
    high, _, low = lsn.partition("/")
    return (int(high, 16) << 32) + int(low, 16)
