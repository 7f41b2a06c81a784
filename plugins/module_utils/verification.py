"""Prove: is everything where the plan put it, unharmed, and within reach? Pure; the evidence is read by the caller."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.access import Found, Reach
from ansible_collections.dbops.multischema.plugins.module_utils.catalog import TABLE_KINDS, Catalog
from ansible_collections.dbops.multischema.plugins.module_utils.checks import FAIL, PASS, WARN, Check
from ansible_collections.dbops.multischema.plugins.module_utils.drift import pending
from ansible_collections.dbops.multischema.plugins.module_utils.identity import differences
from ansible_collections.dbops.multischema.plugins.module_utils.journal import Entry
from ansible_collections.dbops.multischema.plugins.module_utils.move_step import MoveTables
from ansible_collections.dbops.multischema.plugins.module_utils.plan import PHASE_SCHEMAS, PHASE_TABLES, Plan
from ansible_collections.dbops.multischema.plugins.module_utils.routine_step import RoutinePath
from ansible_collections.dbops.multischema.plugins.module_utils.search_path import effective, shown, stored
from ansible_collections.dbops.multischema.plugins.module_utils.search_path_step import SetSearchPath, same_path
from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name, qualified
from ansible_collections.dbops.multischema.plugins.module_utils.type_step import MoveType, aliases_of

SHOWN = 8


@dataclass(frozen=True)
class Evidence:
    """What a server shows now.

    :param catalog: as it is.
    :param plan: what is wanted, made from the catalog with journaled steps taken back.
    :param done: journal entries in effect.
    :param identities: of everything that was moved, by OID.
    :param views: compatibility views with something wrong: (name, what).
    :param reach: what the application's roles could do.
    :param found: what they found by bare names, where a step has set a path.
    :param shut_out: roles that hold privileges in a schema that they may not use, and could use them in the source: (role, schema).
    """

    catalog: Catalog
    plan: Plan
    done: Sequence[Entry]
    identities: Mapping[int, Mapping[str, Any]]
    views: Sequence[tuple[str, str]] = ()
    reach: Sequence[Reach] = ()
    found: Sequence[Found] = ()
    shut_out: Sequence[tuple[str, str]] = ()

    @property
    def moves(self) -> list[Entry]:
        """Journal entries of phase 2."""
        return [entry for entry in self.done if entry.step.kind == MoveTables.kind]


def _some(problems: Sequence[str]) -> str:
    more = len(problems) - SHOWN
    return "; ".join(problems[:SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _verdict(name: str, problems: Sequence[str], fine: str, remedy: str) -> Check:
    if problems:
        return Check(name, FAIL, _some(problems), remedy)
    return Check(name, PASS, fine)


def _schemas_exist(evidence: Evidence) -> Check:
    wanted = [schema["name"] for schema in evidence.plan.configuration["schemas"]]
    missing = [name for name in wanted if evidence.catalog.schema(name) is None]
    return _verdict("schemas exist", [f"{name} is missing" for name in missing], ", ".join(wanted), "Run phase 1.")


def _steps_done(evidence: Evidence, phase: int) -> Check:
    left = [step for step in pending(evidence.plan, [entry.step for entry in evidence.done]) if step.phase == phase]
    total = len(evidence.plan.of_phase(phase))
    playbook = "phase1_schema_creation.yml" if phase == PHASE_SCHEMAS else "phase2_table_migration.yml"
    return _verdict(
        f"phase {phase} complete",
        [f"{len(left)} of {total} steps are not done: {_some([step.id for step in left])}"] if left else [],
        f"{total} of {total} steps done" if total else "nothing was left to do: all of it was there before",
        f"Run playbooks/{playbook}.",
    )


def _tables_per_schema(evidence: Evidence) -> Check:
    actual: dict[str, int] = {}
    for table in evidence.catalog.tables:
        actual[table.schema] = actual.get(table.schema, 0) + 1
    source = evidence.plan.source_schema
    counts = [f"{name}: {actual.get(name, 0)}" for name in (*evidence.plan.summary()["by_schema"], source)]
    wanted = {p.oid: p.schema for p in evidence.plan.placements}
    wrong = [
        f"{qualified(table.schema, table.name)} belongs in {wanted[table.oid]}"
        for table in evidence.catalog.tables
        if table.oid in wanted and table.schema != wanted[table.oid]
    ]
    return _verdict("tables per schema", wrong, ", ".join(counts), "Run phase 2, or correct multischema_placement.")


def _objects_in_place(evidence: Evidence) -> Check:
    problems, count = [], 0
    for entry in evidence.moves:
        target = str(entry.step.detail["to"])
        for member in entry.step.members:
            count += 1
            found = evidence.identities.get(member.oid)
            if found is None:
                problems.append(f"{qualified(target, member.name)} (OID {member.oid}) is gone")
            elif (found["schema"], found["name"]) != (target, member.name):
                problems.append(f"{member.name} is now {qualified(found['schema'], found['name'])}, moved to {target}")
    return _verdict(
        "objects in place",
        problems,
        f"{count} tables, indexes, sequences and statistics objects stand where the plan put them",
        "Someone has dropped, renamed or moved them since; the journal knows them by OID (multischema_journal.step).",
    )


def _identity(evidence: Evidence) -> Check:
    accepted = {a["object"] for a in evidence.plan.configuration["accept"] if a["finding"] == "rewritten"}
    problems, count = [], 0
    for entry in evidence.moves:
        for member in entry.step.members:
            was, now = entry.identity.get(str(member.oid)), evidence.identities.get(member.oid)
            name = qualified(str(entry.step.detail["to"]), member.name)
            if was is None or now is None or member.kind not in TABLE_KINDS or name in accepted:
                continue
            count += 1
            changed = [text for text in differences(was, now) if text.startswith(("relfilenode", "toast"))]
            if changed:
                problems.append(f"{name} ({', '.join(changed)})")
    return _verdict(
        "table identity",
        problems,
        f"{count} tables have the OID and the file (relfilenode) that they had before: no row was touched by the move",
        "These were rewritten after the move, by TRUNCATE, VACUUM FULL, CLUSTER or ALTER TABLE (the move itself was proved in its own "
        "transaction). Compare their content; accept the finding rewritten for each that is right.",
    )


def _replaced(evidence: Evidence) -> list[str]:
    """Views under old names that are not those that the migration made."""
    now = {view.name: view for view in evidence.catalog.views if view.schema == evidence.plan.source_schema}
    made = {name: known for entry in evidence.moves for name, known in entry.identity.get("views", {}).items() if name in now}
    return [
        f"{name} is not the view that the migration made"
        for name, (oid, definition) in made.items()
        if now[name].oid != oid or (now[name].definition != definition and not now[name].plain)
    ]


def _views(evidence: Evidence) -> Check:
    count = sum(1 for entry in evidence.moves for member in entry.step.members if member.view)
    source = evidence.plan.source_schema
    return _verdict(
        "compatibility views",
        [f"{qualified(source, name)} {what}" for name, what in evidence.views] + _replaced(evidence),
        f"{count} old names go on working, with the privileges and the columns of their tables",
        "Run what is said there; else compare the view with its table: rollback.yml and phase 2 make it anew.",
    )


def _privileges(evidence: Evidence) -> Check:
    grants = [f"GRANT USAGE ON SCHEMA {Name(schema).as_string()} TO {Name(role).as_string()}" for role, schema in evidence.shut_out]
    return _verdict(
        "privileges",
        [f"{role} may not use schema {schema}" for role, schema in evidence.shut_out],
        f"every role that reaches {evidence.plan.source_schema} reaches the tables on which it has privileges where they are now",
        f"{_some(grants)}; or revoke what they have on the tables there.",
    )


def _reach(evidence: Evidence) -> Iterator[Check]:
    for found in evidence.reach:
        name = f"role {found.role}"
        if found.skipped:
            yield Check(
                name,
                WARN,
                found.skipped,
                f"GRANT {Name(found.role).as_string()} TO {Name(evidence.catalog.server.user).as_string()}, to have it checked.",
            )
            continue
        counts = ", ".join(f"{count} in {schema}" for schema, count in found.tables.items())
        yield _verdict(
            name,
            found.problems,
            f"uses every schema and reads its tables there ({counts}), by old and new names",
            "Grant what is missing; compare with the role's rights before (multischema_journal.step holds the plan's grants).",
        )


def _types(evidence: Evidence) -> Iterator[Check]:
    """Types stand where they were put, and their aliases are there."""
    steps = [entry.step for entry in evidence.done if entry.step.kind == MoveType.kind]
    there = {found.oid: found for found in evidence.catalog.user_types}
    problems = []
    for step in steps:
        found, name = there.get(step.detail["type"]), str(step.detail["name"])
        if found is None or found.schema != step.detail["to"]:
            problems.append(f"{qualified(str(step.detail['to']), name)} is {'gone' if found is None else 'in ' + found.schema}")
        elif step.detail["alias"] and not aliases_of(evidence.catalog, step):
            problems.append(f"the domain {qualified(str(step.detail['from']), name)} that stands in for it is gone")
    if steps:
        remedy = "Put them back there; the journal knows them by OID."
        yield _verdict("types in place", problems, f"{len(steps)} types stand where the plan put them", remedy)


def _routines(evidence: Evidence) -> Iterator[Check]:
    """Routines that were given a search_path have it."""
    steps = [entry.step for entry in evidence.done if entry.step.kind == RoutinePath.kind]
    there = {routine.oid: routine for routine in evidence.catalog.routines}
    problems = []
    for step in steps:
        found, wanted = there.get(step.detail["routine"]), tuple(step.detail["path"])
        if found is None:
            problems.append(f"{step.id.partition(':')[2]} is gone")
        elif found.search_path != wanted:
            problems.append(f"{found.signature} has {', '.join(found.search_path or ('none',))} now, and was given {', '.join(wanted)}")
    if steps:
        remedy = "CREATE OR REPLACE takes a setting away: write it into the routine's definition, or alter it again."
        yield _verdict("search_path of routines", problems, f"{len(steps)} routines find what they name", remedy)


def _paths(evidence: Evidence) -> Iterator[Check]:
    """Is each path as it was set, and do new sessions find the tables by it?"""
    for entry in evidence.done:
        if entry.step.kind != SetSearchPath.kind:
            continue
        role, wanted = entry.step.detail["role"], entry.step.detail["path"]
        there = stored(evidence.catalog, role, True)
        yield _verdict(
            "search_path of " + (role if role is not None else "the database"),
            [] if same_path(there, wanted) else [f"it is {there or '(none of its own)'} now, and was set to {shown(wanted)}"],
            shown(wanted),
            "; ".join(entry.step.do) + ", unless the change was meant.",
        )
    for found in evidence.found:
        if found.skipped:
            yield Check(f"bare names, {found.role}", WARN, found.skipped, "Grant that role to the connected one, to have it checked.")
        else:
            yield _verdict(
                f"bare names, {found.role}",
                found.problems,
                f"new sessions look into {shown(found.schemas)} and find all {found.tables} tables that it may read",
                "Compare the search_path of the role (pg_db_role_setting) with what the plan has set.",
            )


def paths_to_try(done: Sequence[Entry], catalog: Catalog, application: Iterable[str]) -> dict[str, str]:
    """Paths that new sessions get, for the roles of the application whose path a step has changed."""
    touched = {entry.step.detail["role"] for entry in done if entry.step.kind == SetSearchPath.kind}
    roles = [role for role in application if catalog.role(role) is not None and touched & {role, None}]
    return {role: path for role in roles for path in [effective(catalog, role)] if path is not None}


def verify_schemas(evidence: Evidence) -> list[Check]:
    """The checks of phase 1."""
    return [_schemas_exist(evidence), _steps_done(evidence, PHASE_SCHEMAS)]


def verify_tables(evidence: Evidence) -> list[Check]:
    """The checks of phase 2."""
    return [
        _schemas_exist(evidence),
        _steps_done(evidence, PHASE_TABLES),
        _tables_per_schema(evidence),
        _objects_in_place(evidence),
        _identity(evidence),
        _views(evidence),
        *_types(evidence),
        *_routines(evidence),
        _privileges(evidence),
        *_reach(evidence),
        *_paths(evidence),
    ]


def verify_content(found: Iterable[str], tables: int, rows: int) -> Check:
    """The verdict on a comparison of content digests (`fingerprint.compare`)."""
    return _verdict(
        "content",
        list(found),
        f"{tables} tables with {rows:,} rows and every sequence are as in the baseline",
        "Writes of a live application show here too; compare while nothing writes.",
    )
