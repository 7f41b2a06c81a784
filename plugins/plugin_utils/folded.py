"""Findings that say the same of many objects, folded into one: a plan of 400 tables is read by a person too."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_QUOTED = re.compile(r'"((?:[^"]|"")+)"\Z')


@dataclass
class Fold:
    """Findings that say the same, each of its own object.

    :param members: as plain data, at least one; the text of the first stands for all.
    :param alike: whether the text is the same to the letter; otherwise each names its own object in it.
    """

    members: list[Mapping[str, Any]]
    alike: bool

    @property
    def first(self) -> Mapping[str, Any]:
        """Whose text is shown."""
        return self.members[0]

    @property
    def objects(self) -> list[str]:
        """All of them, in order."""
        return [str(finding["object"]) for finding in self.members]


def _bare(name: str) -> str:
    """The last part of a qualified name, without its quotes."""
    quoted = _QUOTED.search(name)
    return quoted[1].replace('""', '"') if quoted else name.rpartition(".")[2]


def _pattern(finding: Mapping[str, Any]) -> str:
    """The text with a mark where the object is named."""
    text = f"{finding['severity']}\0{finding['accepted']}\0{finding['acceptable']}\0{finding['reason']}\0{finding['remedy']}"
    for name in (finding["object"], _bare(finding["object"])):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "\1", text)
    return text


def fold(findings: Iterable[Mapping[str, Any]]) -> list[Fold]:
    """Those with the same id and text together, in the order in which each is first met.

    :param findings: as in ``plan.json``.
    """
    found: dict[tuple[str, str], Fold] = {}
    for finding in findings:
        pattern = _pattern(finding)
        key = (finding["id"], pattern)
        if key in found:
            found[key].members.append(finding)
        else:
            found[key] = Fold([finding], "\1" not in pattern)
    return list(found.values())


def some(names: list[str], most: int) -> str:
    """The first few names, and how many there are beside them."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")
