"""A stanza of pgbackrest as ``pgbackrest info --output=json`` describes it, and what is wrong with it (pure).

What the fields mean: pgbackrest's command reference, ``info``. A stanza without a backup yet (status 2) is in order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.sealed_document import TIME

OK, NO_BACKUP = 0, 2
_MISSING = (1, 3)  # no path of that name; a path without the stanza's data


class NotInfo(Exception):
    """The message says what cannot be read."""


@dataclass(frozen=True)
class Label:
    """One backup in the repository.

    :param kind: ``full``, ``diff`` or ``incr``.
    :param start_lsn: ``stop_lsn`` is where a restored cluster is consistent.
    :param began_at: in UTC, as `ended_at`.
    :param size: of the cluster, in bytes; ``stored`` of what this backup has added to the repository.
    :param error: whether pgbackrest found pages with a wrong checksum.
    """

    label: str
    kind: str
    start_lsn: str
    stop_lsn: str
    began_at: str
    ended_at: str
    size: int
    stored: int
    error: bool
    database_id: int


@dataclass(frozen=True)
class Cluster:
    """A cluster that the stanza has been of; the last one is the one that it is of now."""

    number: int
    system_identifier: str
    version: str


@dataclass(frozen=True)
class StanzaInfo:
    """One stanza in one repository."""

    name: str
    code: int
    message: str
    clusters: tuple[Cluster, ...]
    labels: tuple[Label, ...]

    @property
    def missing(self) -> bool:
        """Whether there is none."""
        return self.code in _MISSING

    @property
    def cluster(self) -> Cluster | None:
        """Which it is of now."""
        return max(self.clusters, key=lambda cluster: cluster.number, default=None)

    def find(self, label: str) -> Label | None:
        """One backup."""
        return next((found for found in self.labels if found.label == label), None)


def parse_info(text: str, name: str, repo: int) -> StanzaInfo:
    """Read what ``info --output=json --stanza=NAME`` has written.

    :param repo: which of the repositories; others are left out.
    :raises NotInfo: when it is something else.
    """
    try:
        stanza = next(found for found in json.loads(text) if found["name"] == name)
        status = next((found["status"] for found in stanza["repo"] if found["key"] == repo), None)
        if status is None:
            there = ", ".join(str(found["key"]) for found in stanza["repo"]) or "none"
            raise NotInfo(f"pgbackrest's configuration has no repository {repo}; it has {there}")
        clusters = [
            Cluster(int(db["id"]), str(db["system-id"]), str(db["version"])) for db in stanza["db"] if db.get("repo-key", repo) == repo
        ]
        labels = [_label(found) for found in stanza["backup"] if found["database"].get("repo-key", repo) == repo]
    except (ValueError, KeyError, TypeError, StopIteration) as error:
        raise NotInfo(f"what pgbackrest info says cannot be read ({type(error).__name__}: {error})") from error
    return StanzaInfo(name, int(status["code"]), str(status["message"]), tuple(clusters), tuple(labels))


def stanza_names(text: str) -> list[str]:
    """Of ``info --output=json``: which stanzas there are."""
    try:
        return sorted(str(found["name"]) for found in json.loads(text))
    except (ValueError, KeyError, TypeError):
        return []


def _label(found: Mapping[str, Any]) -> Label:
    sizes, times = found["info"], found["timestamp"]
    return Label(
        label=str(found["label"]),
        kind=str(found["type"]),
        start_lsn=str(found["lsn"]["start"]),
        stop_lsn=str(found["lsn"]["stop"]),
        began_at=_utc(times["start"]),
        ended_at=_utc(times["stop"]),
        size=int(sizes["size"]),
        stored=int(sizes["repository"]["delta"]),
        error=bool(found.get("error")),
        database_id=int(found["database"]["id"]),
    )


def _utc(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime(TIME)


def unsound(report: str, label: str) -> list[str]:
    """What ``verify --output=text --verbose`` finds wrong with a backup or with the WAL; nothing where all is as it was written.

    Earlier versions look at the whole repository whatever is asked for, and end with success whatever they find.
    """
    own, problems, heading, status = f"backup: {label}", [], "", ""
    for line in (line.strip() for line in report.splitlines()):
        if line.startswith(("archiveId: ", "backup: ")):
            heading, _, rest = line.partition(", ")
            status = rest.partition(",")[0] if heading == own else status
        elif line.startswith("missing: ") and (heading == own or heading.startswith("archiveId: ")):
            counts = [part.split(": ", 1) for part in line.split(", ")]
            wrong = ", ".join(f"{count} {what}" for what, count in counts if count != "0")
            problems += [f"{heading}: of its files {wrong}"] if wrong else []
    if status != "status: valid" and not any(problem.startswith(own) for problem in problems):
        problems.append(f"pgbackrest verify says of {own}: {status or 'nothing'}")
    return problems
