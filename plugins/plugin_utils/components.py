"""What has to be the same where a migration is rehearsed and where it counts: code, decisions and versions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible.release import __version__ as ansible_core

from ansible_collections.dbops.multischema.plugins.module_utils.configuration import Configuration
from ansible_collections.dbops.multischema.plugins.module_utils.version import VERSION
from ansible_collections.dbops.multischema.plugins.plugin_utils.code_files import read_code

FORMAT = 1
SHOWN = 6  # differences of one component that a message names
LABEL_DIGITS = 16  # of a digest, in the journal
MISSING = object()


def sha256(data: Any) -> str:
    """The digest of plain data."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


@dataclass(frozen=True)
class Components:
    """What is run, with what, for what.

    :param code: digest of each file, by its path within the collection.
    :param decisions: the configuration that shapes a plan, normalized.
    :param versions: of the collection, of ansible-core, of PostgreSQL (its major one) and of psycopg2, in full.
    """

    code: Mapping[str, str]
    decisions: Mapping[str, Any]
    versions: Mapping[str, str]

    @property
    def series(self) -> dict[str, str]:
        """What of the versions has to be the same: bug fixes of ansible-core and psycopg2 come from the distribution, and may differ."""
        return {name: _series(name, text) for name, text in self.versions.items()}

    @property
    def digests(self) -> dict[str, str]:
        """Of each component, and of all of them together."""
        found = {"code": sha256(self.code), "decisions": sha256(self.decisions), "versions": sha256(self.series)}
        return {**found, "overall": sha256({"format": FORMAT, **found})}


def _series(name: str, text: str) -> str:
    return ".".join(text.split(".")[:2]) if name in ("ansible_core", "psycopg2") else text


def read_components(configuration: Configuration, version_num: int, driver: str) -> Components:
    """Those of this checkout or collection, and of one database.

    :param version_num: the server's version as a number, 180004 for example.
    :param driver: version of psycopg2 on the host that talks to the database.
    """
    versions = {"collection": VERSION, "ansible_core": ansible_core, "postgresql": str(version_num // 10000), "psycopg2": driver}
    return Components(read_code(), _plain(configuration), versions)


def run_label(configuration: Configuration | None) -> str:
    """The version as the journal keeps it for a run: which code, and for which decisions. A receipt is made only for these.

    :param configuration: None for a run that decides nothing, a rollback.
    """
    parts = [read_code()] + ([] if configuration is None else [_plain(configuration)])
    return f"{VERSION}+" + ".".join(sha256(part)[:LABEL_DIGITS] for part in parts)


def _plain(configuration: Configuration) -> dict[str, Any]:
    """By way of JSON: tuples become lists, as a receipt has them."""
    found: dict[str, Any] = json.loads(json.dumps(configuration.to_dict()))
    return found


def differing(there: Components, here: Components) -> dict[str, list[str]]:
    """What differs, by component, in words.

    :param there: of the receipt.
    :param here: of what is about to run.
    """
    found = {
        "decisions": _some([f"multischema_{line}" for line in _settings("", there.decisions, here.decisions)]),
        "code": _some(list(_changed_files(there.code, here.code))),
        "versions": _some(list(_settings("", there.series, here.series))),
    }
    return {name: lines for name, lines in found.items() if lines}


def _some(lines: list[str]) -> list[str]:
    more = len(lines) - SHOWN
    return [*lines[:SHOWN], f"and {more} more"] if more > 0 else lines


def _changed_files(there: Mapping[str, str], here: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(there.keys() | here.keys()):
        if name not in here:
            yield f"{name} was there and is missing here"
        elif name not in there:
            yield f"{name} is new here"
        elif there[name] != here[name]:
            yield f"{name} is another one"


def _settings(where: str, there: Any, here: Any) -> Iterator[str]:
    """Settings that differ, each by its path: ``multischema_placement[1].tables[0]``."""
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        for key in sorted(there.keys() | here.keys()):
            inner = f"{where}.{key}" if where else str(key)
            yield from _settings(inner, there.get(key, MISSING), here.get(key, MISSING))
    elif isinstance(there, list) and isinstance(here, list):
        for i in range(max(len(there), len(here))):
            yield from _settings(f"{where}[{i}]", there[i] if i < len(there) else MISSING, here[i] if i < len(here) else MISSING)
    elif there is MISSING or here is MISSING or there != here:
        yield f"{where}: {_shown(there)} there, {_shown(here)} here"


def _shown(value: Any) -> str:
    if value is MISSING:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"
