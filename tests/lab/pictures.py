"""How a host and a database are, written down, so that a later look can tell what has changed."""

from __future__ import annotations

import difflib
import json
from dataclasses import asdict, dataclass
from typing import cast

from tests.integration.databases import Target
from tests.integration.evidence import JOURNAL, State, differing, state
from tests.lab.configure import temporary_directory
from tests.lab.hosts import Host
from tests.lab.topology import STATE
from tests.support.servers import Server

FIRST, LATEST = "first", "latest"
# Ansible keeps its own things in .ansible while it works; the rest changes by itself.
_NOT_LOOKED_AT = (
    "*/.ansible",
    "/tmp/systemd-private-*",  # noqa: S108 - a pattern for find
    "/var/lib/postgresql/*/main",
    "/var/lib/prometheus",
    "/var/lib/systemd",
    "/var/log",
    "/var/tmp/lab-*",  # noqa: S108 - where each scenario has its own; see `leftovers`
    "/var/tmp/systemd-private-*",  # noqa: S108
)


@dataclass(frozen=True)
class Picture:
    """A writer and one of its databases.

    :param database: everything in it.
    :param journal: whether it holds a journal of ours.
    :param files: path → type, mode, owner, size, time of the last change, of every file of the host's own filesystem.
    """

    database: State
    journal: bool
    files: dict[str, str]


def target(host: Host, database: str) -> Target:
    """A database of a host, as the tests of the core know databases."""
    # LabServer offers what Target asks of a server; it starts and stops another way.
    return Target(cast(Server, host.server), database)


def take(host: Host, database: str) -> Picture:
    """Look at everything."""
    there = target(host, database)
    journal = bool(there.value("SELECT count(*) FROM pg_namespace WHERE nspname = %s", (JOURNAL,)))
    return Picture(state(there), journal, files(host))


def files(host: Host) -> dict[str, str]:
    """Every file of a host's own filesystem: path → what would tell a change."""
    pruned = [word for pattern in _NOT_LOOKED_AT for word in ("-path", pattern, "-o")][:-1]
    # A directory's time changes with Ansible's own files in it, which come and go: that one is not looked at.
    form = ["(", "-type", "d", "-printf", "%p\\0%y %m %u:%g\\0", ")", "-o", "-printf", "%p\\0%y %m %u:%g %s %T@\\0"]
    words = host.exec("find", "/", "-xdev", "(", *pruned, ")", "-prune", "-o", *form).split("\0")
    return dict(zip(words[::2], words[1::2], strict=False))


def leftovers(host: Host, database: str) -> str:
    """What Ansible has left on a host of a run against a database: paths, a line each."""
    return host.exec("find", temporary_directory(database), "-mindepth", "1")


def remember(host: Host, database: str, label: str, picture: Picture | None = None) -> None:
    """Write a picture down."""
    path = STATE / "pictures" / database / f"{host.name}-{label}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(picture or take(host, database))))


def recall(host: Host, database: str, label: str) -> Picture:
    """Read a picture that was written down."""
    found = json.loads((STATE / "pictures" / database / f"{host.name}-{label}.json").read_text())
    there = found["database"]
    # JSON knows neither numbers as keys nor tuples.
    rows = {int(oid): (row[0], row[1], row[2]) for oid, row in there["rows"].items()}
    sequences = {int(oid): (row[0], row[1], row[2]) for oid, row in there["sequences"].items()}
    settings = tuple(tuple(row) for row in there["settings"])
    return Picture(State(there["schema"], rows, sequences, settings), found["journal"], found["files"])


def database_differences(before: Picture, after: Picture) -> list[str]:
    """What differs in two databases, a line each."""
    was, now = before.database, after.database
    found = list(difflib.unified_diff(was.schema.splitlines(), now.schema.splitlines(), "before", "after", lineterm="", n=0))
    found += [f"rows of {name}: {change}" for name, change in differing(was.rows, now.rows).items()]
    found += [f"sequence {name}: {change}" for name, change in differing(was.sequences, now.sequences).items()]
    if was.settings != now.settings:
        found.append(f"settings: {was.settings} {now.settings}")
    if before.journal != after.journal:
        found.append(f"journal: {before.journal} {after.journal}")
    return found


def file_differences(before: Picture, after: Picture) -> list[str]:
    """What differs between the files of two hosts, a line each."""
    paths = sorted(before.files.keys() | after.files.keys())
    return [
        f"{path}: {before.files.get(path, 'not there')} → {after.files.get(path, 'not there')}"
        for path in paths
        if before.files.get(path) != after.files.get(path)
    ]
