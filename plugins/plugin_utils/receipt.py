"""A receipt: what an environment has passed, as a file that people read and that is signed byte by byte.

A receipt lies beside its detached signature, ``NAME.json`` and ``NAME.json.sig``. What is signed are the bytes of the file,
so ``ssh-keygen -Y verify`` can be told to check one by hand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.database_identity import DatabaseIdentity
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError
from ansible_collections.dbops.multischema.plugins.module_utils.sealed_document import TIME, canonical, moment
from ansible_collections.dbops.multischema.plugins.plugin_utils.components import Components
from ansible_collections.dbops.multischema.plugins.plugin_utils.ssh_signature import PRINCIPAL

FORMAT = 1
KIND = "dbops.multischema.promotion"
FOLDER = "receipts"


class NotAReceipt(Exception):
    """The message says what is wrong with the file."""


@dataclass(frozen=True)
class Receipt:
    """What was run where, by whom, and with which results.

    :param environment: name of the environment.
    :param host: name of the database in its inventory.
    :param made_at: time, with zone.
    :param made_by: ``principal`` that has signed, ``user`` and ``machine`` that have run it.
    :param database: which database.
    :param server: its version, in full.
    :param components: what was run.
    :param results: figures, for people.
    :param overrides: what let this environment go on without a receipt of the one before: ``{environment, reason}``.
    """

    environment: str
    host: str
    made_at: datetime
    made_by: Mapping[str, str]
    database: DatabaseIdentity
    server: str
    components: Components
    results: Mapping[str, Any]
    overrides: tuple[Mapping[str, str], ...] = ()

    @property
    def principal(self) -> str:
        """Who has signed it, as it says itself."""
        return self.made_by["principal"]

    @property
    def runs(self) -> list[str]:
        """Ids of the runs that it is about."""
        return [str(run["id"]) for run in self.results["runs"]]

    def to_bytes(self) -> bytes:
        """The file: JSON with sorted keys, so that the same content is the same bytes."""
        document = {
            "format": FORMAT,
            "kind": KIND,
            "environment": self.environment,
            "host": self.host,
            "made_at": self.made_at.astimezone(UTC).strftime(TIME),
            "made_by": dict(self.made_by),
            "database": {**vars(self.database), "server": self.server},
            "digest": self.components.digests,
            "code": dict(self.components.code),
            "decisions": dict(self.components.decisions),
            "versions": dict(self.components.versions),
            "results": dict(self.results),
            "overrides": [dict(item) for item in self.overrides],
        }
        return canonical(document)


def parse_receipt(data: bytes) -> Receipt:
    """Read a receipt. Whether to believe it is another question.

    :raises NotAReceipt: when it is none, or of another format, or does not fit its own digests.
    """
    try:
        receipt = _read(json.loads(data))
        same = receipt.to_bytes() == data
        # What is read later has to be there.
        _ = receipt.runs, [item["reason"] for item in receipt.overrides]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotAReceipt(f"it cannot be read ({type(error).__name__}: {error})") from error
    if not same:
        raise NotAReceipt("it is not written as receipts are, or its digests are not those of its content")
    return receipt


def _read(document: Any) -> Receipt:
    if document["kind"] != KIND or document["format"] != FORMAT:
        raise NotAReceipt(f"it is of kind {document['kind']!r}, format {document['format']!r}; this version reads {KIND!r}, {FORMAT}")
    database, made_by = document["database"], {key: str(value) for key, value in document["made_by"].items()}
    if PRINCIPAL.fullmatch(made_by["principal"]) is None:
        raise NotAReceipt(f"its principal {made_by['principal']!r} is no name that could have signed")
    return Receipt(
        environment=str(document["environment"]),
        host=str(document["host"]),
        made_at=moment(document["made_at"]),
        made_by=made_by,
        database=DatabaseIdentity(str(database["system_identifier"]), int(database["oid"]), str(database["name"])),
        server=str(database["server"]),
        components=Components(document["code"], document["decisions"], document["versions"]),
        results=document["results"],
        overrides=tuple(document["overrides"]),
    )


def signature_of(path: Path) -> Path:
    """The file with the signature of a receipt."""
    return path.with_name(path.name + ".sig")


def file_name(made_at: datetime, tail: str) -> str:
    """The name of a receipt's file; sorted by name, they are sorted by time."""
    return f"{made_at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{tail}.json"


def receipts_in(directory: Path) -> list[Path]:
    """The receipts in a directory, by name; none where there is no such directory.

    :raises ConfigurationError: when it cannot be read.
    """
    try:
        return sorted(path for path in directory.iterdir() if path.suffix == ".json" and not path.name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigurationError(f"{directory} cannot be read: {error.strerror}.", "Receipts are looked for there.", "") from error
