"""What the user asked for, normalized once.

Ansible's argument specs check the shape of the ``multischema_*`` variables but do not convert what is nested
(``tables: "x*"`` stays a string), so everything that reaches the core passes through here. All mistakes are reported
together: a person who has five typos should not need five runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError

JOURNAL_SCHEMA = "multischema_journal"
RETIRED_PREFIX = "multischema_gone_"  # of schemas whose name a rollback has taken away (retired_schemas.py)
SEARCH_PATHS = ("roles", "database", "unchanged")  # whose search_path phase 2 sets
MAX_IDENTIFIER_BYTES = 63  # NAMEDATALEN - 1

# Tables in which migration tools remember what they have done. Moved away, the tool believes that nothing has been
# migrated and starts again, or reports success on an empty database; so they stay unless a person insists.
BOOKKEEPING_TABLES = (
    "_prisma_migrations",
    "django_migrations",
    "alembic_version",
    "schema_migrations",
    "ar_internal_metadata",
    "flyway_schema_history",
    "databasechangelog",
    "databasechangeloglock",
    "knex_migrations",
    "knex_migrations_lock",
    "SequelizeMeta",
    "typeorm_metadata",
    "mikro_orm_migrations",
    "pgmigrations",
    "goose_db_version",
    "_sqlx_migrations",
    "__diesel_schema_migrations",
    "__EFMigrationsHistory",
    "__drizzle_migrations",
    "_drizzle_migrations",
    "doctrine_migration_versions",
    "phinxlog",
    "yoyo_migrations",
    "_yoyo_migration",
    "_yoyo_version",
    "_yoyo_log",
    "yoyo_lock",
    "atlas_schema_revisions",
    "pgroll_migrations",
)


@dataclass(frozen=True)
class TargetSchema:
    """A schema that the tables go to. ``owner`` and ``comment`` are set only where given."""

    name: str
    owner: str | None = None
    comment: str | None = None


@dataclass(frozen=True)
class PlacementRule:
    """Tables and types whose name matches one of the patterns go to ``schema``. The first rule that matches wins."""

    schema: str
    tables: tuple[str, ...] = ()
    compatibility_view: bool | None = None
    types: tuple[str, ...] = ()


@dataclass(frozen=True)
class AcceptedFinding:
    """A finding that would refuse, and that a person has decided to live with."""

    finding: str
    object: str
    reason: str


@dataclass(frozen=True)
class Configuration:
    """Everything that decides a plan, besides the catalog."""

    schemas: tuple[TargetSchema, ...]
    placement: tuple[PlacementRule, ...]
    source_schema: str = "public"
    keep: tuple[str, ...] = ()
    unplaced: str = "refuse"
    accept: tuple[AcceptedFinding, ...] = ()
    compatibility_views: bool = True
    view_defaults: bool = False
    application_roles: tuple[str, ...] = ()
    search_path: str = "roles"
    repair_routines: tuple[str, ...] = ()

    @property
    def target_names(self) -> tuple[str, ...]:
        """Names of the listed target schemas, in the order in which they were written."""
        return tuple(schema.name for schema in self.schemas)

    @property
    def named_roles(self) -> tuple[str, ...]:
        """Roles that the configuration speaks of."""
        return (*self.application_roles, *(schema.owner for schema in self.schemas if schema.owner))

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for the plan file."""
        return asdict(self)

    @property
    def digest(self) -> str:
        """SHA-256 of the configuration: equal exactly when the same things were asked for."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()


@dataclass
class _Reader:
    """Collects every mistake while values are read."""

    problems: list[str] = field(default_factory=list)

    def note(self, where: str, found: Any, wanted: str) -> None:
        self.problems.append(f"{where} is {found!r}: write {wanted}.")

    def name(self, where: str, value: Any) -> str:
        if not isinstance(value, str) or not value or "\x00" in value:
            self.note(where, value, "a name, for example tenant_shared")
            return ""
        if len(value.encode()) > MAX_IDENTIFIER_BYTES:
            self.note(where, value, f"a name of at most {MAX_IDENTIFIER_BYTES} bytes; PostgreSQL would cut this one")
        return value

    def flag(self, where: str, value: Any) -> bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in ("true", "yes", "on", "1"):
            return True
        if isinstance(value, str) and value.lower() in ("false", "no", "off", "0"):
            return False
        self.note(where, value, "true or false")
        return False

    def text(self, where: str, value: Any) -> str | None:
        if value is None or isinstance(value, str):
            return value or None
        self.note(where, value, "text")
        return None

    def names(self, where: str, value: Any) -> tuple[str, ...]:
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, (list, tuple)):
            self.note(where, value, "a list of names, for example [orders, 'order_*']")
            return ()
        return tuple(self.name(f"{where}[{i}]", item) for i, item in enumerate(value))

    def entries_of_text(self, where: str, value: Any) -> tuple[str, ...]:
        """A list of texts that are no single names: signatures, for example."""
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, (list, tuple)) or not all(isinstance(item, str) and item for item in items):
            self.note(where, value, "a list of routines, for example ['public.count_users()', 'audit_*']")
            return ()
        return tuple(items)

    def entries(self, where: str, value: Any, allowed: tuple[str, ...], required: tuple[str, ...]) -> list[tuple[str, dict[str, Any]]]:
        """A list of mappings with known keys, each with the place where it stands, for messages."""
        if value is None:
            return []
        if not isinstance(value, (list, tuple)):
            self.note(where, value, f"a list of {{{', '.join(allowed)}}}")
            return []
        found: list[tuple[str, dict[str, Any]]] = []
        for i, item in enumerate(value):
            spot = f"{where}[{i}]"
            if not isinstance(item, Mapping):
                self.note(spot, item, f"a mapping with {', '.join(allowed)}")
                continue
            unknown = sorted(str(key) for key in set(item) - set(allowed))
            if unknown:
                self.note(f"{spot}, key {', '.join(unknown)},", "unknown", f"one of {', '.join(allowed)}")
            missing = [key for key in required if item.get(key) in (None, "", [])]
            if missing:
                self.problems.append(f"{spot} lacks {', '.join(missing)}: every entry needs {', '.join(required)}.")
                continue
            found.append((spot, dict(item)))
        return found


def _schemas(reader: _Reader, value: Any) -> tuple[TargetSchema, ...]:
    entries = reader.entries("multischema_schemas", value, ("name", "owner", "comment"), ("name",))
    schemas = tuple(
        TargetSchema(
            reader.name(f"{spot}.name", entry["name"]),
            reader.text(f"{spot}.owner", entry.get("owner")),
            reader.text(f"{spot}.comment", entry.get("comment")),
        )
        for spot, entry in entries
    )
    seen: set[str] = set()
    for schema in schemas:
        if schema.name in seen:
            reader.problems.append(f"multischema_schemas lists {schema.name} twice: keep one of them.")
        seen.add(schema.name)
    return schemas


def _placement(reader: _Reader, value: Any) -> tuple[PlacementRule, ...]:
    where = "multischema_placement"
    allowed = ("schema", "tables", "types", "compatibility_view")
    rules = []
    for spot, entry in reader.entries(where, value, allowed, ("schema",)):
        if all(entry.get(key) in (None, "", []) for key in ("tables", "types")):
            reader.problems.append(f"{spot} lacks tables: every entry needs schema, and tables or types.")
            continue
        view = entry.get("compatibility_view")
        rules.append(
            PlacementRule(
                reader.name(f"{spot}.schema", entry["schema"]),
                reader.names(f"{spot}.tables", entry.get("tables") or []),
                None if view is None else reader.flag(f"{spot}.compatibility_view", view),
                reader.names(f"{spot}.types", entry.get("types") or []),
            )
        )
    return tuple(rules)


def _accept(reader: _Reader, value: Any) -> tuple[AcceptedFinding, ...]:
    keys = ("finding", "object", "reason")
    entries = reader.entries("multischema_accept", value, keys, keys)
    return tuple(AcceptedFinding(*(str(entry[key]) for key in keys)) for _, entry in entries)


def read_configuration(values: Mapping[str, Any]) -> Configuration:
    """Normalize the user's values.

    :param values: keys as in :class:`Configuration` (the ``multischema_`` prefix left out); absent ones keep their
        defaults.
    :returns: the configuration.
    :raises ConfigurationError: naming every value that cannot be used and what to write instead.
    """
    reader = _Reader()
    unplaced = values.get("unplaced") or "refuse"
    if unplaced not in ("refuse", "keep"):
        reader.note("multischema_unplaced", unplaced, "refuse or keep")
    search_path = values.get("search_path") or "roles"
    if search_path not in SEARCH_PATHS:
        reader.note("multischema_search_path", search_path, "roles, database or unchanged")
    configuration = Configuration(
        schemas=_schemas(reader, values.get("schemas")),
        placement=_placement(reader, values.get("placement")),
        source_schema=reader.name("multischema_source_schema", values.get("source_schema") or "public"),
        keep=reader.names("multischema_keep", values.get("keep") or []),
        unplaced=str(unplaced),
        accept=_accept(reader, values.get("accept")),
        compatibility_views=reader.flag("multischema_compatibility_views", values.get("compatibility_views", True)),
        view_defaults=reader.flag("multischema_view_defaults", values.get("view_defaults", False)),
        application_roles=reader.names("multischema_application_roles", values.get("application_roles") or []),
        search_path=str(search_path),
        repair_routines=reader.entries_of_text("multischema_repair_routines", values.get("repair_routines") or []),
    )
    if not configuration.schemas and not reader.problems:
        reader.problems.append("multischema_schemas is empty: list the target schemas as {name, owner, comment}.")
    if reader.problems:
        raise ConfigurationError(
            "The configuration cannot be used:\n  - " + "\n  - ".join(reader.problems),
            "Nothing was read from or written to the database.",
            "Correct these values in the inventory (group_vars/all/50_<environment>.yml) and run again.",
        )
    return configuration
