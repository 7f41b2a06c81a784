"""The plan as data: ordered steps with their SQL and its undo, the locks they take, and the findings.

A plan is made by `planner.py`, saved by ``plan.yml``, read by people, and applied by phase 2 exactly as it was saved.
Its digest covers everything that decides what will be done, so an edited file is noticed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import TABLE_KINDS, Catalog, ForeignKey, Server
from ansible_collections.dbops.multischema.plugins.module_utils.errors import PlanRefused
from ansible_collections.dbops.multischema.plugins.module_utils.plain import from_plain, pack, to_plain, unpack

FORMAT = 1
PHASE_SCHEMAS = 1
PHASE_TABLES = 2

REFUSE = "refuse"  # stops before anything is touched
WARN = "warn"  # reported, the work goes on
AUTO = "auto"  # the plan does what is needed by itself


@dataclass(frozen=True)
class Finding:
    """Something that the plan noticed.

    ``id`` names the kind; ``acceptable`` says whether ``multischema_accept`` may list it; ``accepted`` is the reason
    that a person gave there. One that is about many objects at once names them in ``affects``: the page shows all, the
    terminal the first few.
    """

    id: str
    severity: str
    object: str
    reason: str
    remedy: str = ""
    acceptable: bool = False
    accepted: str | None = None
    affects: tuple[str, ...] = ()

    @property
    def blocks(self) -> bool:
        """Whether the plan cannot be applied because of it."""
        return self.severity == REFUSE and self.accepted is None


@dataclass(frozen=True)
class Lock:
    """A lock that a step takes and holds until its transaction ends."""

    object: str
    mode: str = "ACCESS EXCLUSIVE"


@dataclass(frozen=True)
class Member:
    """An object that a step moves: a table, or an index, sequence or statistics object that goes along.

    ``kind`` is the relkind, or ``s`` for extended statistics. ``view`` tells that a compatibility view takes its name.
    """

    oid: int
    kind: str
    name: str
    view: bool = False


@dataclass(frozen=True)
class Step:
    """One transaction of the migration.

    ``detail`` holds the facts that are needed to recognize the step's effect in a later observation; which ones depends
    on ``kind`` (see `steps.py`).
    """

    id: str
    phase: int
    kind: str
    title: str
    do: tuple[str, ...]
    undo: tuple[str, ...]
    locks: tuple[Lock, ...] = ()
    members: tuple[Member, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash(self.id)


@dataclass(frozen=True)
class Placement:
    """Where one table goes or stays, and why. ``schema`` equals the source schema where it stays."""

    oid: int
    name: str
    kind: str
    schema: str
    why: str
    step: str | None = None
    rows_estimate: int = -1
    bytes_estimate: int = 0


@dataclass(frozen=True)
class Plan:
    """A migration, decided. See :func:`plan_to_dict` for the file."""

    server: Server
    configuration: Mapping[str, Any]
    steps: tuple[Step, ...]
    findings: tuple[Finding, ...]
    placements: tuple[Placement, ...]
    foreign_keys: tuple[ForeignKey, ...]
    catalog: Catalog
    environment: str = ""
    host: str = ""
    made_at: str = ""
    version: str = ""

    @property
    def source_schema(self) -> str:
        """The schema that the tables leave."""
        return str(self.configuration["source_schema"])

    @property
    def refusals(self) -> tuple[Finding, ...]:
        """Findings that stop the plan from being applied."""
        return tuple(finding for finding in self.findings if finding.blocks)

    @property
    def status(self) -> str:
        """``refused``, ``empty`` (nothing to do) or ``ready``."""
        if self.refusals:
            return "refused"
        return "ready" if self.steps else "empty"

    def of_phase(self, phase: int) -> tuple[Step, ...]:
        """The steps of one phase, in order."""
        return tuple(step for step in self.steps if step.phase == phase)

    @property
    def digest(self) -> str:
        """SHA-256 over everything that decides what is done; when and where it was planned does not count."""
        decisive = {
            "format": FORMAT,
            "database": [self.server.system_identifier, self.server.database_oid, self.server.database],
            "configuration": self.configuration,
            "steps": self.steps,
            "findings": self.findings,
            "catalog": drift_view(self.catalog),
        }
        return hashlib.sha256(json.dumps(to_plain(decisive), sort_keys=True).encode()).hexdigest()

    def summary(self) -> dict[str, Any]:
        """Figures for people and for the page."""
        moved = [p for p in self.placements if p.schema != self.source_schema]
        by_schema: dict[str, int] = dict.fromkeys((s["name"] for s in self.configuration["schemas"]), 0)
        for placement in moved:
            by_schema[placement.schema] = by_schema.get(placement.schema, 0) + 1
        severities = {name: sum(1 for f in self.findings if f.severity == name) for name in (REFUSE, WARN, AUTO)}
        return {
            "tables_moving": len(moved),
            "partitions_moving": sum(1 for p in moved if p.kind == "partition"),
            "tables_staying": len(self.placements) - len(moved),
            "bytes_moving": sum(p.bytes_estimate for p in moved),
            # A partitioned table's estimate is the sum of its partitions', which are in the list themselves.
            "rows_moving_estimate": sum(max(p.rows_estimate, 0) for p in moved if p.kind != TABLE_KINDS["p"]),
            "by_schema": by_schema,
            "phase1_steps": len(self.of_phase(PHASE_SCHEMAS)),
            "phase2_steps": len(self.of_phase(PHASE_TABLES)),
            "findings": severities,
            "accepted": sum(1 for f in self.findings if f.accepted is not None),
            "refusals": len(self.refusals),
        }


def drift_view(catalog: Catalog) -> dict[str, Any]:
    """What of a catalog counts as drift when it changes: objects and their structure, not statistics or sizes.

    Indexes, sequences and statistics objects count with their table; defaults and traits do in its structure. Target
    schemas do not count: what matters of them (collisions, privileges) is in the findings and the steps.
    """
    names = {table.oid: table.name for table in catalog.tables}
    return {
        "tables": [
            to_plain(replace(table, bytes_estimate=0, rows_estimate=0, comment=None, defaults=(), traits=()))
            for table in sorted(catalog.source_tables, key=lambda t: t.oid)
        ],
        "views": sorted([view.schema, view.name, view.definition] for view in catalog.views if any(oid in names for oid in view.reads)),
        "publications": [to_plain(p) for p in sorted(catalog.publications, key=lambda p: p.name)],
        "default_privileges": [to_plain(d) for d in catalog.default_privileges],
        "types": sorted([t.schema, t.name, t.kind, t.owner] for t in catalog.user_types if t.schema == catalog.source_schema),
        "search_paths": _search_paths(catalog),
    }


def _search_paths(catalog: Catalog) -> list[dict[str, Any]]:
    """Stored paths of roles in this database, of the roles that are named, of everyone, and that of the server."""
    named = {user.name for user in catalog.path_users}
    found = [
        {"name": f"of {s.role or 'everyone'} in {'this database' if s.in_database else 'all databases'}", "path": s.value}
        for s in catalog.search_paths
        if s.role is None or s.role in named
    ]
    return [*found, {"name": "of the server's configuration", "path": catalog.server.search_path}]


def plan_to_dict(plan: Plan) -> dict[str, Any]:
    """The plan as the content of ``plan.json``.

    Keys: ``format``, ``digest``, ``status`` (ready, refused or empty), ``made_at``, ``version``, ``environment``,
    ``host``, ``server``, ``configuration``, ``summary``, ``findings``, ``steps``, ``placements``, ``foreign_keys``,
    ``catalog`` (packed; what drift is measured against) and ``checksum`` (of all the rest).
    """
    document = {
        "format": FORMAT,
        "digest": plan.digest,
        "status": plan.status,
        "made_at": plan.made_at,
        "version": plan.version,
        "environment": plan.environment,
        "host": plan.host,
        "server": to_plain(plan.server),
        "configuration": to_plain(plan.configuration),
        "summary": plan.summary(),
        "findings": to_plain(plan.findings),
        "steps": to_plain(plan.steps),
        "placements": to_plain(plan.placements),
        "foreign_keys": to_plain(plan.foreign_keys),
        "catalog": pack(plan.catalog),
    }
    return {**document, "checksum": _checksum(document)}


def step_to_dict(step: Step) -> dict[str, Any]:
    """A step in plain form. The same as ``plain.to_plain``, and many times as fast: it is done for every step that is recorded."""
    return {
        **vars(step),
        "do": list(step.do),
        "undo": list(step.undo),
        "locks": [dict(vars(lock)) for lock in step.locks],
        "members": [dict(vars(member)) for member in step.members],
        "detail": dict(step.detail),
    }


def step_from_dict(data: Mapping[str, Any]) -> Step:
    """A step from its plain form, as the plan file and the journal keep it."""
    values = dict(data)
    for key in ("do", "undo"):
        values[key] = tuple(values[key])
    values["locks"] = tuple(Lock(**lock) for lock in values.get("locks", ()))
    values["members"] = tuple(Member(**member) for member in values.get("members", ()))
    return Step(**values)


def _checksum(document: Mapping[str, Any]) -> str:
    """SHA-256 over all of a plan file but itself; the catalog counts by its content, not by how it was compressed."""
    content = {key: value for key, value in document.items() if key != "checksum"}
    content["catalog"] = unpack(document["catalog"])
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def plan_from_dict(data: Any, where: str) -> Plan:
    """Read a saved plan and make sure that it is what was saved.

    :param where: the file, for messages.
    :raises PlanRefused: when it is not a plan, of another format, or was edited after it was made.
    """
    remedy = "Make the plan again with playbooks/plan.yml; change a plan by changing the inventory, never the file."
    if not isinstance(data, Mapping) or data.get("format") != FORMAT:
        raise PlanRefused(f"{where} is not a plan of format {FORMAT}.", "This version cannot read it.", remedy)
    try:
        plan = Plan(
            server=from_plain(Server, data["server"]),
            configuration=data["configuration"],
            steps=tuple(step_from_dict(step) for step in data["steps"]),
            findings=tuple(Finding(**{**finding, "affects": tuple(finding["affects"])}) for finding in data["findings"]),
            placements=tuple(Placement(**placement) for placement in data["placements"]),
            foreign_keys=tuple(ForeignKey(**key) for key in data["foreign_keys"]),
            catalog=from_plain(Catalog, unpack(data["catalog"])),
            environment=data["environment"],
            host=data["host"],
            made_at=data["made_at"],
            version=data["version"],
        )
        untouched = plan.digest == data["digest"] and _checksum(data) == data["checksum"]
    except Exception as error:  # whatever is wrong inside an edited file, the answer is the same
        raise PlanRefused(f"{where} cannot be read as a plan ({error!r}).", "It was cut or edited.", remedy) from error
    if not untouched:
        raise PlanRefused(
            f"{where} is not the plan that was saved: its content does not fit its checksum.",
            "Only what was planned and read by a person is applied.",
            remedy,
        )
    return plan
