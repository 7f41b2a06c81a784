"""What the sample is to look like once it is migrated: read from the inventory and asked without the product."""

from __future__ import annotations

from tests.integration.databases import Target

TARGETS = {"tenant_shared", "tenant_kct", "analytics"}

_PLACES = """
SELECT c.oid::bigint, n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'S') AND n.nspname = ANY(%s) ORDER BY 1
"""
_TABLES = """
SELECT n.nspname, count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY(%s) GROUP BY 1
"""


def places(target: Target) -> dict[int, str]:
    """OID → schema, of every table and sequence."""
    return dict(target.rows(_PLACES, (["public", *TARGETS],)))


def tables_per_schema(target: Target) -> dict[str, int]:
    """How many tables, partitions among them, each schema holds; a schema without one is not listed."""
    return dict(target.rows(_TABLES, (["public", *TARGETS],)))
