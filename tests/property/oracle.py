"""Is what a plan refuses really there? Asked of the database, without the product."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable

from ansible_collections.dbops.multischema.plugins.module_utils.plan import Finding, Plan
from tests.integration.databases import Target
from tests.property.case import Case
from tests.property.model import quoted

_NAMES = """
SELECT n.nspname, c.relname, 'relation' FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ANY(%(scope)s)
UNION ALL
SELECT n.nspname, t.typname, 'type' FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE n.nspname = ANY(%(scope)s)
UNION ALL
SELECT n.nspname, s.stxname, 'statistics' FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
 WHERE n.nspname = ANY(%(scope)s)
"""


def _collision(target: Target, case: Case, finding: Finding) -> bool:
    """Some name is in the source and in a target."""
    scope = [case.source, *(schema["name"] for schema in case.values["schemas"])]
    names = target.rows(_NAMES, {"scope": scope})
    mine = {(name, kind) for schema, name, kind in names if schema == case.source}
    return any(schema != case.source and (name, kind) in mine and name in finding.reason for schema, name, kind in names)


def _unplaced(target: Target, case: Case, finding: Finding) -> bool:
    patterns = [p for rule in case.values["placement"] for p in rule["tables"]] + list(case.values["keep"])
    tables = target.rows(
        "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p', 'f') AND relnamespace = to_regnamespace(%s)", (quoted(case.source),)
    )
    loose = [name for (name,) in tables if not any(p == name or fnmatch.fnmatchcase(name, p) for p in patterns)]
    return any(name in finding.object.replace('""', '"') for name in loose)


def _exists(query: str) -> Callable[[Target, Case, Finding], bool]:
    def found(target: Target, _case: Case, _finding: Finding) -> bool:
        return bool(target.value(f"SELECT EXISTS ({query})"))

    return found


ORACLES: dict[str, Callable[[Target, Case, Finding], bool]] = {
    "collision": _collision,
    "unplaced_table": _unplaced,
    "publication_all_tables": _exists("SELECT FROM pg_publication WHERE puballtables"),
    "publication_leaves": _exists("SELECT FROM pg_publication_namespace"),
    "publication_joins": _exists("SELECT FROM pg_publication_namespace"),
    "publication_filter": _exists("SELECT FROM pg_publication_rel WHERE prqual IS NOT NULL OR prattrs IS NOT NULL"),
    "inheritance_only": _exists("SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = inhrelid WHERE NOT relispartition"),
    "column_privileges": _exists("SELECT FROM pg_attribute WHERE attnum > 0 AND attacl IS NOT NULL"),
    "bookkeeping_table": _exists("SELECT FROM pg_class WHERE relname = 'alembic_version'"),
}


def unjustified(target: Target, case: Case, plan: Plan) -> list[str]:
    """Refusals whose reason cannot be found; kinds without an oracle are believed."""
    return [f"{f.id} {f.object}: {f.reason}" for f in plan.refusals if f.id in ORACLES and not ORACLES[f.id](target, case, f)]
