"""Rules → the destination of every table (pure).

The unit that moves is a group: one table, or everything that inheritance and partitioning tie together. A group goes
where the first rule that matches its root says; its other members follow, because half a partition tree in another
schema is what later surprises people.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import RELATION_KINDS, Catalog, Table
from ansible_collections.dbops.multischema.plugins.module_utils.configuration import (
    BOOKKEEPING_TABLES,
    JOURNAL_SCHEMA,
    RETIRED_PREFIX,
    Configuration,
    PlacementRule,
)
from ansible_collections.dbops.multischema.plugins.module_utils.globs import is_glob, matches
from ansible_collections.dbops.multischema.plugins.module_utils.plan import REFUSE, WARN, Finding
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import qualified
from ansible_collections.dbops.multischema.plugins.module_utils.type_placement import TypeMove, check_type_rules, place_types


@dataclass(frozen=True)
class Group:
    """Tables that move together. ``schema`` is None where they stay; ``why`` says it for people.

    ``glob`` is the pattern that would have moved a table that stays because it belongs to an extension.
    """

    members: tuple[Table, ...]  # roots first
    schema: str | None
    why: str
    view: bool = False
    view_defaults: bool = False
    glob: str | None = None

    @property
    def root(self) -> Table:
        """The table that names the group."""
        return self.members[0]


@dataclass
class Placed:
    """The outcome: every table of the source schema in exactly one group, types that move, and what was noticed on the way."""

    groups: list[Group] = field(default_factory=list)
    types: list[TypeMove] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def moving(self) -> list[Group]:
        """Groups that leave the source schema."""
        return [group for group in self.groups if group.schema is not None]


class _Rules:
    """The rules, made ready for thousands of names: exact names are looked up, only globs are tried."""

    def __init__(self, configuration: Configuration) -> None:
        self._exact: dict[str, tuple[int, str]] = {}
        self._globs: list[tuple[int, str, re.Pattern[str]]] = []
        for number, rule in enumerate(configuration.placement):
            for pattern in rule.tables:
                self._exact.setdefault(pattern, (number, pattern))
                if is_glob(pattern):
                    self._globs.append((number, pattern, re.compile(fnmatch.translate(pattern))))

    def first_match(self, name: str) -> tuple[int, str] | None:
        """Number of the first rule that matches, and its pattern."""
        exact = self._exact.get(name)
        for number, pattern, expression in self._globs:
            if exact is not None and exact[0] <= number:
                break
            if expression.match(name):
                return number, pattern
        return exact


def _families(catalog: Catalog) -> Iterator[tuple[Table, ...]]:
    """Connected components of inheritance among the tables of the source schema; roots first, then by name."""
    tables = {table.oid: table for table in catalog.source_tables}
    leader = {oid: oid for oid in tables}

    def find(oid: int) -> int:
        while leader[oid] != oid:
            leader[oid] = leader[leader[oid]]
            oid = leader[oid]
        return oid

    for table in tables.values():
        for parent in table.parents:
            if parent in leader:
                leader[find(table.oid)] = find(parent)
    families: dict[int, list[Table]] = {}
    for oid, table in tables.items():
        families.setdefault(find(oid), []).append(table)
    for family in families.values():
        inside = {table.oid for table in family}
        depth: dict[int, int] = {}

        def level(table: Table, inside: set[int] = inside, depth: dict[int, int] = depth) -> int:
            if table.oid not in depth:
                above = [tables[oid] for oid in table.parents if oid in inside]
                depth[table.oid] = 1 + max((level(parent) for parent in above), default=-1)
            return depth[table.oid]

        yield tuple(sorted(family, key=lambda t: (level(t), t.name)))


def _accepted(configuration: Configuration, finding: str, obj: str) -> str | None:
    for entry in configuration.accept:
        if entry.finding == finding and entry.object == obj:
            return entry.reason
    return None


def _place_family(configuration: Configuration, rules: _Rules, family: tuple[Table, ...], placed: Placed) -> Group:
    root = family[0]
    name = qualified(root.schema, root.name)
    match = rules.first_match(root.name)
    exact = match is not None and not is_glob(match[1])
    kept = next((pattern for pattern in configuration.keep if matches(pattern, root.name)), None)
    if kept is not None:
        return Group(family, None, f"multischema_keep names {kept}")
    if root.extension is not None:
        if exact:
            placed.findings.append(
                Finding(
                    "extension_member",
                    REFUSE,
                    name,
                    f"The table belongs to the extension {root.extension}, which PostgreSQL could no longer upgrade or move.",
                    f"Take {root.name} out of multischema_placement; it stays in {root.schema}.",
                )
            )
        return Group(family, None, f"belongs to extension {root.extension}", glob=match[1] if match is not None and not exact else None)
    if root.name in BOOKKEEPING_TABLES:
        reason = _accepted(configuration, "bookkeeping_table", name) if exact else None
        if exact:
            placed.findings.append(
                Finding(
                    "bookkeeping_table",
                    REFUSE,
                    name,
                    "A migration tool keeps its history here. Where it does not find the table, it believes that nothing "
                    "was migrated: it starts again, or reports success on empty tables.",
                    f"Take {root.name} out of multischema_placement; or accept the finding bookkeeping_table for it.",
                    acceptable=True,
                )
            )
        if reason is None:
            return Group(family, None, "bookkeeping table of a migration tool")
    if match is None:
        return _unplaced(configuration, family, placed)
    rule = configuration.placement[match[0]]
    placed.findings.extend(_strays(configuration, rules, family, rule))
    view = rule.compatibility_view if rule.compatibility_view is not None else configuration.compatibility_views
    return Group(family, rule.schema, f"rule {match[0] + 1} ({match[1]})", view, configuration.view_defaults)


def _unplaced(configuration: Configuration, family: tuple[Table, ...], placed: Placed) -> Group:
    root = family[0]
    if configuration.unplaced == "refuse":
        placed.findings.append(
            Finding(
                "unplaced_table",
                REFUSE,
                qualified(root.schema, root.name),
                "No rule of multischema_placement names this table, so nobody has decided where it belongs.",
                f"Add {root.name!r} to a rule, or to multischema_keep to leave it in {root.schema}; "
                "multischema_unplaced: keep leaves all such tables where they are.",
            )
        )
    return Group(family, None, "no rule names it")


def _strays(configuration: Configuration, rules: _Rules, family: tuple[Table, ...], rule: PlacementRule) -> Iterator[Finding]:
    """Members that a rule of their own would send elsewhere, or that were to stay."""
    for member in family[1:]:
        kept = next((pattern for pattern in configuration.keep if matches(pattern, member.name)), None)
        if kept is not None:
            yield Finding(
                "partition_elsewhere",
                WARN if is_glob(kept) else REFUSE,
                qualified(member.schema, member.name),
                f"multischema_keep names it ({kept}), but it is a member of {family[0].name}, which goes to {rule.schema}; a tree "
                "moves as a whole.",
                f"Take {member.name} out of multischema_keep, or name {family[0].name} there too.",
                acceptable=True,
            )
            continue
        own = rules.first_match(member.name)
        if own is None or configuration.placement[own[0]].schema == rule.schema or own[1] == "*":
            continue
        elsewhere = configuration.placement[own[0]].schema
        yield Finding(
            "partition_elsewhere",
            WARN if is_glob(own[1]) else REFUSE,
            qualified(member.schema, member.name),
            f"Rule {own[0] + 1} ({own[1]}) sends it to {elsewhere}, but it is a member of {family[0].name}, "
            f"which goes to {rule.schema}; a tree moves as a whole.",
            f"Take {member.name} out of rule {own[0] + 1}; it follows {family[0].name}.",
            acceptable=True,
        )


def _suggestion(catalog: Catalog, configuration: Configuration, pattern: str) -> str:
    """What an unmatched pattern probably meant."""
    source = configuration.source_schema
    bare = pattern.split(".", 1)[1] if pattern.startswith(source + ".") else None
    names = [table.name for table in catalog.source_tables]
    if bare is not None and any(matches(bare, name) for name in names):
        return f"Write {bare!r}: names in a rule have no schema."
    for relation in catalog.relations:
        if relation.name == pattern and relation.schema == source:
            return (
                f"{pattern} is a {RELATION_KINDS.get(relation.kind, 'relation')}, and only tables are placed "
                "(views and free sequences stay and keep working): remove it from the rule."
            )
        if relation.name == pattern and relation.kind in ("r", "p", "f"):
            return f"A table of that name is already in {relation.schema}: remove it from the rule."
    folded = [name for name in names if name.lower() == pattern.lower()]
    close = folded or difflib.get_close_matches(pattern, names, n=3)
    if close:
        return f"Did you mean {', '.join(repr(name) for name in close)}? Names are case-sensitive."
    return f"Remove it, or correct the name; {source} holds {len(names)} tables."


def _matching(pattern: str, names: set[str]) -> set[str]:
    exact = {pattern} & names
    return exact | set(fnmatch.filter(names, pattern)) if is_glob(pattern) else exact


def _check_rules(catalog: Catalog, configuration: Configuration, rules: _Rules, placed: Placed) -> Iterator[Finding]:
    names = {table.name for table in catalog.source_tables}
    winners = {
        number for group in placed.groups for number in [(rules.first_match(group.root.name) or (None, ""))[0]] if number is not None
    }
    for number, rule in enumerate(configuration.placement):
        where = f"multischema_placement[{number}]"
        hits = {pattern: _matching(pattern, names) for pattern in rule.tables}
        dead = [pattern for pattern in rule.tables if not hits[pattern]]
        for pattern in dead:
            if not is_glob(pattern) or len(dead) == len(rule.tables):
                yield Finding(
                    "rule_matches_nothing",
                    REFUSE,
                    f"{where}: {pattern}",
                    f"No table of {configuration.source_schema} matches {pattern!r} (rule for {rule.schema}).",
                    _suggestion(catalog, configuration, pattern),
                )
        if len(dead) < len(rule.tables) and number not in winners:
            members = {member.name for group in placed.groups for member in group.members[1:]}
            if all(name in members for found in hits.values() for name in found):
                yield from _members_only(configuration, placed, rule, where)
                continue
            yield Finding(
                "rule_never_wins",
                REFUSE,
                where,
                f"Every table that this rule for {rule.schema} names is taken by an earlier rule; the first match wins.",
                "Move the rule up, or remove it.",
            )


def _check_keep(catalog: Catalog, configuration: Configuration) -> Iterator[Finding]:
    """A name in multischema_keep that is not there may be a typo, and then a table moves that should have stayed."""
    names = {table.name for table in catalog.source_tables}
    for number, pattern in enumerate(configuration.keep):
        if not is_glob(pattern) and pattern not in names:
            yield Finding(
                "keep_matches_nothing",
                REFUSE,
                f"multischema_keep[{number}]: {pattern}",
                f"No table of {configuration.source_schema} has this name; if it is misspelt, the one that is meant would move.",
                _suggestion(catalog, configuration, pattern),
                acceptable=True,
            )


def _members_only(configuration: Configuration, placed: Placed, rule: PlacementRule, where: str) -> Iterator[Finding]:
    """A rule that names only members of trees that stay: someone has asked for something, and nothing would happen."""
    for group in placed.groups:
        named = [m.name for m in group.members[1:] if any(matches(pattern, m.name) for pattern in rule.tables)]
        if named and group.schema is None:
            yield Finding(
                "rule_never_wins",
                REFUSE,
                where,
                f"It sends {', '.join(named[:5])} to {rule.schema}, but they are members of {group.root.name}, which stays in "
                f"{configuration.source_schema}; a tree moves as a whole.",
                f"Name {group.root.name} in the rule, or remove the rule.",
            )


def _check_schemas(configuration: Configuration) -> Iterator[Finding]:
    for name in dict.fromkeys([*configuration.target_names, *(rule.schema for rule in configuration.placement)]):
        if name.startswith(("pg_", RETIRED_PREFIX)) or name in ("information_schema", JOURNAL_SCHEMA, configuration.source_schema):
            yield Finding(
                "reserved_target",
                REFUSE,
                name,
                f"{name} cannot be a target: it belongs to PostgreSQL, to this tool, or is the source itself.",
                "Choose another schema name in multischema_schemas and multischema_placement.",
            )
        elif name not in configuration.target_names:
            listed = ", ".join(configuration.target_names)
            yield Finding(
                "unlisted_target",
                REFUSE,
                name,
                f"multischema_placement sends tables to {name}, which multischema_schemas does not list ({listed}).",
                f"Add {{name: {name}}} to multischema_schemas, or correct the name in the rule.",
            )


def place(catalog: Catalog, configuration: Configuration) -> Placed:
    """Decide where every table of the source schema goes.

    :returns: the groups by the name of their root, with findings for rules that cannot be followed.
    """
    placed, rules = Placed(), _Rules(configuration)
    placed.findings.extend(_check_schemas(configuration))
    for family in sorted(_families(catalog), key=lambda f: f[0].name):
        placed.groups.append(_place_family(configuration, rules, family, placed))
    placed.findings.extend(_check_keep(catalog, configuration))
    placed.findings.extend(_check_rules(catalog, configuration, rules, placed))
    placed.types.extend(place_types(catalog, configuration))
    placed.findings.extend(check_type_rules(catalog, configuration))
    return placed


def table_names(tables: Iterable[Table]) -> str:
    """For messages: qualified names, shortened beyond five."""
    names = [qualified(table.schema, table.name) for table in tables]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
