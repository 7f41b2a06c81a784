"""What is being generated: a world of objects, and the script that makes them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.property.case import Probe
from tests.property.dice import Dice

OWNERS = ("property_owner", "Property Owner 2")
USERS = ("property_reader", "property_writer")
MOVER = "property_mover"
ROLES = (*OWNERS, *USERS, MOVER)

TABLE_NAMES = (
    "orders", "order_items", "Users", "User Roles", "select", "ünïcode ☃", "_orders", "a.b", 'quo"te', "x" * 63, "y" * 60 + "one",
    "y" * 60 + "two", "group", "tenants", "tenant_user", "OrderLines", "it's", "100%s", "events", "notes", "Präsenz", "public", "user",
    "alembic_version",
)  # fmt: skip
SOURCES = ("public", "public", "public", "app", "Old Home")
TARGETS = ("tenant_a", "analytics", "New Home", "ziel_ü", "select")
PLAIN, PARTITIONED, PARTITION, CHILD, TYPED = "plain", "partitioned", "partition", "child", "typed"


def quoted(*parts: str) -> str:
    """A name, always in quotation marks."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def text(value: str) -> str:
    """A string constant."""
    return "'" + value.replace("'", "''") + "'"


def short(name: str) -> str:
    """What names of belongings are made from: still its own for each table."""
    return name if len(name) < 24 else name[:12] + name[-4:]


@dataclass
class Column:
    """:param given: whether an INSERT names it; otherwise its default or its expression gives the value."""

    name: str
    kind: str
    given: bool = True
    extra: str = ""
    type: str = ""


@dataclass
class Table:
    """One table of the source schema.

    :param key: an integer column that is unique, of which the values 1 and 2 are there.
    :param links: tables that a statement on this one touches by catalog: foreign keys, rules, inheritance.
    :param reaches: tables that routines of its triggers, checks and policies name in their text.
    :param constructs: see `excuses.py`.
    """

    name: str
    kind: str
    columns: list[Column]
    owner: str
    key: str | None = None
    identity_always: bool = False
    sequence: str | None = None  # one that moves with it
    unlogged: bool = False
    links: set[str] = field(default_factory=set)
    reaches: set[str] = field(default_factory=set)
    routines: set[str] = field(default_factory=set)
    constructs: set[str] = field(default_factory=set)
    oddities: set[str] = field(default_factory=set)

    def column(self, *kinds: str) -> Column | None:
        """The first column of one of these kinds."""
        return next((c for c in self.columns if c.kind in kinds and c.given), None)


@dataclass
class World:
    """Everything so far; generators add to it."""

    dice: Dice
    source: str
    major: int
    script: list[str] = field(default_factory=list)
    tables: dict[str, Table] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)  # kind → type name, qualified
    functions: dict[str, str] = field(default_factory=dict)  # purpose → function name, qualified
    free_sequences: list[str] = field(default_factory=list)
    views: list[str] = field(default_factory=list)
    probes: list[Probe] = field(default_factory=list)
    features: set[str] = field(default_factory=set)
    as_mover: bool = False

    def do(self, *statements: str) -> None:
        """Add to the script."""
        self.script += statements

    def has(self, feature: str, percent: int) -> bool:
        """Whether this one has it; what was used is counted."""
        if self.dice.chance(percent):
            self.features.add(feature)
            return True
        return False

    def name(self, table: str) -> str:
        """The table's old name."""
        return quoted(self.source, table)

    def roots(self, *kinds: str) -> list[Table]:
        """Tables that are no partitions."""
        return [t for t in self.tables.values() if t.kind != PARTITION and (not kinds or t.kind in kinds)]

    def touched_by(self, names: Iterable[str]) -> set[str]:
        """Tables that a statement on these may touch, by whatever way."""
        found: set[str] = set()
        queue = list(names)
        while queue:
            name = queue.pop()
            if name not in found and name in self.tables:
                found.add(name)
                queue += self.tables[name].links | self.tables[name].reaches
        return found

    def probe(self, label: str, statements: Iterable[str], subject: str | None = None, **more: object) -> None:
        """Add a probe. What it touches is followed: constructs and routines of those tables count as its own."""
        named = set(more.pop("tables", ()))  # type: ignore[call-overload]
        asks = set(more.pop("asks", named))  # type: ignore[call-overload]
        constructs = set(more.pop("constructs", ()))  # type: ignore[call-overload]
        routines = set(more.pop("routines", ()))  # type: ignore[call-overload]
        for name in self.touched_by(named | ({subject} if subject else set())):
            table = self.tables[name]
            named |= table.reaches
            constructs |= table.constructs
            routines |= table.routines
        lists = {
            "tables": tuple(sorted(named)),
            "asks": tuple(sorted(asks)),
            "constructs": tuple(sorted(constructs)),
            "routines": tuple(sorted(routines)),
        }
        self.probes.append(Probe(label=label, statements=tuple(statements), subject=subject, **lists, **more))  # type: ignore[arg-type]
