"""Configurations for the core: the sandbox's, as its inventory says, and one for a small database."""

from __future__ import annotations

from typing import Any

import yaml

from tests.integration.databases import Target
from tests.integration.playbooks import ROOT

SAMPLE_TARGETS = ("tenant_shared", "tenant_kct", "analytics")
_KEYS = ("schemas", "placement", "accept", "application_roles", "unplaced", "compatibility_views")

# The sample's statistics objects belong to the superuser that has loaded it; an ordinary role could not move them.
OWNED_STATISTICS = (
    "ALTER STATISTICS enrollments_student_section OWNER TO app_owner",
    "ALTER STATISTICS order_tenant_status OWNER TO app_owner",
    "ALTER STATISTICS page_views_hour OWNER TO analytics_owner",
)

# Five steps of phase 2, one of each shape; see `shop`.
SHOP: dict[str, Any] = {
    "schemas": [{"name": "sales", "comment": "What is sold"}, {"name": "past"}],
    "placement": [
        {"schema": "sales", "tables": ["customers", "orders"]},
        {"schema": "past", "tables": ["visits"]},
        {"schema": "past", "tables": ["notes"], "compatibility_view": False},
    ],
}
SHOP_TARGETS = ("sales", "past")
SHOP_SQL = """
CREATE TABLE customers (id serial PRIMARY KEY, name text NOT NULL, region text);
CREATE STATISTICS customers_name_region ON name, region FROM customers;
CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer int REFERENCES customers, total numeric);
CREATE INDEX orders_customer ON orders (customer);
CREATE TABLE visits (at date NOT NULL, page text) PARTITION BY RANGE (at);
CREATE TABLE visits_2025 PARTITION OF visits FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE visits_2026 PARTITION OF visits FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE notes (body text);
GRANT SELECT ON customers, orders TO PUBLIC;
INSERT INTO customers (name) SELECT 'customer ' || n FROM generate_series(1, 20) n;
INSERT INTO orders (customer, total) SELECT n, n * 10 FROM generate_series(1, 20) n;
INSERT INTO visits SELECT date '2025-12-01' + n, 'page' FROM generate_series(1, 60) n;
INSERT INTO notes VALUES ('a'), ('a'), (NULL);
"""


def shop(owner: str | None = None) -> dict[str, Any]:
    """`SHOP`, its schemas owned by a role that is to work in them."""
    return SHOP | {"schemas": [schema | ({"owner": owner} if owner else {}) for schema in SHOP["schemas"]]}


def sample_steps(target: Target) -> int:
    """How many steps the sample takes: an ordinary role leaves the paths of the application's roles to someone who may set them."""
    return 78 - (len(sample()["application_roles"]) if target.mover else 0)


def sample() -> dict[str, Any]:
    """What inventory/sandbox says about the sample database."""
    found: dict[str, Any] = {}
    for file in ("group_vars/all.yml", "inventory/sandbox/group_vars/all/50_sandbox.yml"):
        found |= yaml.safe_load((ROOT / file).read_text())
    return {key: found[f"multischema_{key}"] for key in _KEYS}
