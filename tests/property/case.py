"""One example as plain data: a script, a configuration, and what is asked of the database before and after."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import yaml

NEW_NAME = "{new}"  # in a probe's statements: the table, by its name in the schema that it has moved to


@dataclass(frozen=True)
class Probe:
    """Statements that are run in a transaction that is rolled back; their answer must not change.

    :param constructs: what in it a compatibility view may not stand in for, by the names in `excuses.py`.
    :param tables: tables that it names by their old names, in its own text or in that of routines that it runs.
    :param asks: those of them that it names in its own text, as clients do.
    :param routines: routines that it runs.
    :param role: the role that asks; None for the superuser.
    :param subject: the table that it is about; with ``new`` statements, by its new name too.
    :param new: the same statements with ``{new}`` for that name.
    """

    label: str
    statements: tuple[str, ...]
    constructs: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    routines: tuple[str, ...] = ()
    role: str | None = None
    subject: str | None = None
    new: tuple[str, ...] = ()


def _tuples(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}


@dataclass(frozen=True, repr=False)
class Case:
    """Everything that a check of the laws needs; survives JSON.

    :param script: statements that make the schema, run as superuser.
    :param values: the configuration, as in the inventory without the prefix.
    :param targets_there: targets that the script has made.
    :param as_mover: whether the migration is done by an ordinary role instead of the superuser.
    :param accept: whether refusals that a person may accept are accepted.
    """

    script: tuple[str, ...]
    values: Mapping[str, Any]
    probes: tuple[Probe, ...]
    targets_there: tuple[str, ...] = ()
    as_mover: bool = False
    workers: int = 1
    accept: bool = True
    features: tuple[str, ...] = field(default=())

    @property
    def source(self) -> str:
        """The schema that the tables leave."""
        return str(self.values["source_schema"])

    def to_json(self) -> str:
        """For a file that `replay.py` reads."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Case:
        """The other way."""
        data = json.loads(text)
        probes = tuple(Probe(**_tuples(item)) for item in data.pop("probes"))
        return cls(probes=probes, **_tuples(data))

    def __repr__(self) -> str:
        """Short: the failure's text has it all."""
        return f"Case({len(self.script)} statements, {len(self.probes)} probes)"

    def __str__(self) -> str:
        """The script and the placement, for a person to replay."""
        who = "an ordinary role" if self.as_mover else "the superuser"
        placement = yaml.safe_dump(dict(self.values), allow_unicode=True, sort_keys=False)
        script = "\n".join(statement.rstrip(";") + ";" for statement in self.script)
        return f"-- moved by {who}, {self.workers} worker(s)\n{script}\n\n-- placement:\n{placement}"
