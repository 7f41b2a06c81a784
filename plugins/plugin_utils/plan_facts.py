"""What a saved plan says, in words and figures: shared by the plan page and the plan script.

Everything here reads the content of ``plan.json`` (`plan.plan_to_dict`), decides nothing and needs no database.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import TABLE_KINDS
from ansible_collections.dbops.multischema.plugins.module_utils.plain import unpack
from ansible_collections.dbops.multischema.plugins.module_utils.plan import REFUSE

Document = Mapping[str, Any]

# Controls, line and paragraph separators, zero-width characters and the bidirectional overrides that can make a reader
# see another text than the one that will run (CVE-2021-42574).
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]")


_COMMON = {"\t": "⟨TAB⟩", "\n": "⟨LF⟩", "\r": "⟨CR⟩"}


def visible(text: str, keep: str = "") -> str:
    """Show the characters that hide: a newline inside a name becomes ``⟨LF⟩``, an override ``⟨U+202E⟩``.

    :param keep: characters to leave as they are, for example the newlines of SQL.
    """

    def shown(match: re.Match[str]) -> str:
        found = match[0]
        return found if found in keep else _COMMON.get(found, f"⟨U+{ord(found):04X}⟩")

    return _UNSEEN.sub(shown, text)


def yaml_text(text: str) -> str:
    """A double-quoted YAML string that reads back as exactly this text, with nothing in it that hides."""
    return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(text, ensure_ascii=False))


def size_text(size: int) -> str:
    """Bytes as PostgreSQL's ``pg_size_pretty`` counts them (1 kB = 1024 bytes), with at most three digits."""
    if size < 1000:
        return f"{max(size, 0)} B"
    value = float(size)
    for unit in ("kB", "MB", "GB", "TB", "PB"):
        value /= 1024
        if value < 999.5 or unit == "PB":
            return f"{value:.1f} {unit}" if value < 9.95 else f"{value:,.0f} {unit}"
    raise AssertionError  # pragma: no cover - the loop always returns


def rows_text(rows: int) -> str:
    """An estimate of rows; below zero PostgreSQL has never counted (``pg_class.reltuples`` = -1)."""
    return "unknown" if rows < 0 else f"{rows:,}"


def about_text(number: int) -> str:
    """An estimate in words: ``566 million``, with three digits of what nobody has counted."""
    for power, word in ((9, "billion"), (6, "million")):
        if number >= 10**power:
            return f"{number / 10**power:.3g} {word}"
    return f"{number:,}"


def known_rows(placement: Mapping[str, Any]) -> int:
    """The rows that a table adds to a sum. A partitioned table repeats those of its partitions, so it adds none."""
    return 0 if kind_text(placement["kind"]) == TABLE_KINDS["p"] else max(int(placement["rows_estimate"]), 0)


def known_bytes(placement: Mapping[str, Any]) -> int:
    """The bytes that a table adds to a sum; below zero nobody has measured."""
    return max(int(placement["bytes_estimate"]), 0)


def count_text(number: int, singular: str, plural: str = "") -> str:
    """A number and its noun: ``1 table``, ``1,200 tables``."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def listing(parts: Iterable[str]) -> str:
    """Join as a person does: ``a, b and c``."""
    words = list(parts)
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1] if words else ""


def kind_text(kind: str) -> str:
    """A relkind, or a kind that is already a word, as a person says it."""
    return TABLE_KINDS.get(kind, kind)


def source_schema(document: Document) -> str:
    """The schema that the tables leave."""
    return str(document["configuration"]["source_schema"])


def blocking(document: Document) -> list[Mapping[str, Any]]:
    """The findings that refuse the plan."""
    return [f for f in document["findings"] if f["severity"] == REFUSE and f["accepted"] is None]


def verdict(document: Document) -> str:
    """``READY``, ``REFUSED because of N findings`` or ``NOTHING TO DO``."""
    refusals = len(blocking(document))
    if refusals:
        return f"REFUSED because of {count_text(refusals, 'finding')}"
    return "READY" if document["steps"] else "NOTHING TO DO"


def moving(document: Document) -> list[Mapping[str, Any]]:
    """Placements of tables that leave the source schema."""
    source = source_schema(document)
    return [p for p in document["placements"] if p["schema"] != source]


def staying(document: Document) -> list[Mapping[str, Any]]:
    """Placements of tables that stay in the source schema."""
    source = source_schema(document)
    return [p for p in document["placements"] if p["schema"] == source]


def sentence(document: Document) -> str:
    """What will move where, in one sentence."""
    source, moved, stay = source_schema(document), moving(document), len(staying(document))
    stays = f"; {count_text(stay, 'table stays', 'tables stay')} in {source}" if stay else ""
    if not moved:
        return f"No table leaves {source}{stays}."
    targets = Counter(p["schema"] for p in moved)
    parts = [f"{schema} ({number:,})" for schema, number in targets.most_common(6)]
    if len(targets) > 6:
        parts.append(count_text(len(targets) - 6, "more schema"))
    size = size_text(sum(known_bytes(p) for p in moved))
    rows = sum(known_rows(p) for p in moved)
    return (
        f"{count_text(len(moved), 'table')} ({size}, about {about_text(rows)} row{'' if rows == 1 else 's'}) "
        f"{'would' if blocking(document) else 'will'} move from {source} to {listing(parts)}{stays}."
    )


def schema_order(document: Document) -> list[str]:
    """Target schemas as the configuration lists them, then any other that a placement names."""
    source = source_schema(document)
    listed = [s["name"] for s in document["configuration"]["schemas"]]
    return [name for name in dict.fromkeys([*listed, *(p["schema"] for p in moving(document))]) if name != source]


@dataclass(frozen=True)
class Crossing:
    """A foreign key whose two tables will stand in different schemas."""

    name: str
    child_schema: str
    child: str
    parent_schema: str
    parent: str


def crossings(document: Document) -> list[Crossing]:
    """Foreign keys that will cross a schema border, by the pair of schemas."""
    places = {p["oid"]: (p["schema"], p["name"]) for p in document["placements"]}
    keys = document["foreign_keys"]
    if any(key[end] not in places for key in keys for end in ("child", "parent")):
        # A table that already stands elsewhere has no placement; the packed catalog knows its name.
        for table in unpack(document["catalog"]).get("tables", ()):
            places.setdefault(table["oid"], (table["schema"], table["name"]))
    found = []
    for key in keys:
        child, parent = (places.get(key[end], ("?", f"OID {key[end]}")) for end in ("child", "parent"))
        if child[0] != parent[0]:
            found.append(Crossing(key["name"], *child, *parent))
    return sorted(found, key=lambda c: (c.child_schema, c.parent_schema, c.child, c.name))
