"""From the catalog and the configuration to the plan (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog, DefaultPrivileges
from ansible_collections.dbops.multischema.plugins.module_utils.configuration import Configuration
from ansible_collections.dbops.multischema.plugins.module_utils.findings import CHECKS
from ansible_collections.dbops.multischema.plugins.module_utils.move_step import MoveTables, children_elsewhere
from ansible_collections.dbops.multischema.plugins.module_utils.path_changes import CHANGED
from ansible_collections.dbops.multischema.plugins.module_utils.placement import Placed, place
from ansible_collections.dbops.multischema.plugins.module_utils.plan import (
    AUTO,
    REFUSE,
    WARN,
    Finding,
    Placement,
    Plan,
    Step,
)
from ansible_collections.dbops.multischema.plugins.module_utils.reading import Readings
from ansible_collections.dbops.multischema.plugins.module_utils.routine_step import Destinations, RoutinePath
from ansible_collections.dbops.multischema.plugins.module_utils.schema_steps import (
    DEFAULT_ACL_OBJECTS,
    CopyDefaultPrivileges,
    CreateSchema,
    GrantUsage,
)
from ansible_collections.dbops.multischema.plugins.module_utils.schema_usage import usage_missing
from ansible_collections.dbops.multischema.plugins.module_utils.search_path_step import SetSearchPath
from ansible_collections.dbops.multischema.plugins.module_utils.situation import Situation
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import qualified
from ansible_collections.dbops.multischema.plugins.module_utils.type_step import MoveType

ACCEPTED_LATER = (
    "rewritten",
    "schema_not_empty",
    "search_path_changed",
)  # findings of the verification and of the rollback, not of the plan
_ORDER = {REFUSE: 0, WARN: 1, AUTO: 2}
FIRST_WARNING = "dump_by_name"  # a backup that holds nothing and reports success: nobody may miss it


def _default_privileges(catalog: Catalog, schema: str) -> Iterator[tuple[DefaultPrivileges, Step]]:
    # A privilege that the target has without grant option is left as it is: it could not be restored exactly.
    there = {
        (entry.role, entry.object_type, grant.grantee, grant.privilege)
        for entry in catalog.default_privileges
        if entry.schema == schema
        for grant in entry.grants
    }
    for entry in catalog.default_privileges:
        if entry.schema != catalog.source_schema or entry.object_type not in DEFAULT_ACL_OBJECTS:
            continue
        missing = [g for g in entry.grants if (entry.role, entry.object_type, g.grantee, g.privilege) not in there]
        if missing:
            yield entry, CopyDefaultPrivileges.build(entry, schema, missing)


def _schema_steps(catalog: Catalog, configuration: Configuration, placed: Placed, findings: list[Finding]) -> Iterator[Step]:
    for target in configuration.schemas:
        if catalog.schema(target.name) is None:
            yield CreateSchema.build(target)
    for target in configuration.schemas:
        roles = usage_missing(catalog, configuration, placed, target.name)
        if roles:
            findings.append(
                Finding(
                    "schema_usage",
                    AUTO,
                    target.name,
                    "Table privileges are worth nothing without USAGE on the schema, and foreign-key checks run as the "
                    f"table's owner: {', '.join(sorted(roles))} get it.",
                )
            )
            yield GrantUsage.build(target.name, roles)
    for target in configuration.schemas:
        for entry, step in _default_privileges(catalog, target.name):
            role = catalog.role(entry.role)
            able = catalog.server.superuser or entry.role == catalog.server.user or (role and role.mover_is_member)
            findings.append(
                Finding(
                    "default_privileges",
                    AUTO if able else WARN,
                    f"{target.name}: {entry.role}",
                    f"Default privileges of {entry.role} for {DEFAULT_ACL_OBJECTS[entry.object_type].lower()} in "
                    f"{catalog.source_schema} would not reach what is created in {target.name}"
                    + ("; they are copied." if able else f", and {catalog.server.user} may not copy them."),
                    "" if able else "; ".join(step.do),
                )
            )
            if able:
                yield step


def _placements(placed: Placed, source: str) -> Iterator[Placement]:
    for group in placed.groups:
        for table in group.members:
            follows = "" if table is group.root else f"goes with {group.root.name}"
            yield Placement(
                oid=table.oid,
                name=table.name,
                kind=table.kind_text,
                schema=group.schema or source,
                why=follows or group.why,
                step=f"move:{qualified(source, group.root.name)}" if group.schema else None,
                rows_estimate=table.rows_estimate,
                bytes_estimate=table.bytes_estimate,
            )


def _accept(findings: Iterable[Finding], configuration: Configuration) -> Iterator[Finding]:
    """Mark what a person has accepted, and refuse to accept what is not there or may not be."""
    reasons = {(entry.finding, entry.object): entry.reason for entry in configuration.accept}
    used = set()
    for finding in findings:
        key = (finding.id, finding.object)
        if key not in reasons or finding.severity != REFUSE:
            yield finding
            continue
        used.add(key)
        if finding.acceptable:
            yield replace(finding, accepted=reasons[key])
        else:
            note = "(multischema_accept lists it, but nobody can decide to live with it.)"
            yield replace(finding, reason=f"{finding.reason} {note}")
    for finding_id, obj in reasons.keys() - used - {key for key in reasons if key[0] in ACCEPTED_LATER}:
        yield Finding(
            "accepted_nothing",
            WARN,
            obj,
            f"multischema_accept lists {finding_id} for {obj}, and the plan has no such refusal.",
            "Remove the entry; or correct the object's name, written as in the findings.",
        )


def make_plan(
    catalog: Catalog,
    configuration: Configuration,
    readings: Readings,
    *,
    environment: str = "",
    host: str = "",
    made_at: str = "",
    version: str = "",
) -> Plan:
    """Decide everything.

    Whoever has a parser calls ``planning.plan_now`` instead, which cannot forget to read.

    :param catalog: one observation, with the effect of journaled steps taken out (`steps.rewind`).
    :param readings: of this catalog's texts.
    :param made_at: time of planning in ISO 8601, for people; not part of the digest.
    :returns: the plan, with its refusals among the findings; it never raises for what it finds in a database.
    """
    placed = place(catalog, configuration)
    findings = list(placed.findings)
    steps = list(_schema_steps(catalog, configuration, placed, findings))
    elsewhere = children_elsewhere(catalog)
    steps += [MoveTables.build(catalog, group, elsewhere) for group in placed.moving if group.schema in configuration.target_names]
    situation = Situation(catalog, configuration, placed, readings)
    # Types before the routines, whose signatures name them by the schema that they have then, and right before the paths: bare names
    # of what can have no alias are found again at once.
    steps += [MoveType.build(catalog, move.found, move.schema) for move in placed.types if move.schema in configuration.target_names]
    going = Destinations(
        {table.oid: target for _, table, target in situation.moves}, {move.found.oid: move.schema for move in placed.types}
    )
    steps += [RoutinePath.build(catalog, v.routine, v.path, going) for v in situation.verdicts.routines.values() if v.repair]
    steps += [SetSearchPath.build(catalog, c.role, c.items) for c in situation.path_changes if c.outcome == CHANGED and c.able]
    for check in CHECKS:
        findings.extend(check(situation))
    found = sorted(_accept(findings, configuration), key=lambda f: (_ORDER[f.severity], f.id != FIRST_WARNING, f.id, f.object))
    moved = {table.oid for group in placed.moving for table in group.members}
    return Plan(
        server=catalog.server,
        configuration=configuration.to_dict(),
        steps=tuple(steps),
        findings=tuple(found),
        placements=tuple(_placements(placed, catalog.source_schema)),
        foreign_keys=tuple(key for key in catalog.foreign_keys if key.child in moved or key.parent in moved),
        catalog=catalog,
        environment=environment,
        host=host,
        made_at=made_at,
        version=version,
    )
