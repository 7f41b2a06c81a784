"""How many rows the sample database has: the counts that the data files name as ``:name``."""

from __future__ import annotations

_NOT_SCALED = ("days",)  # a span of time, in which more happens

SIZES: dict[str, dict[str, int]] = {
    "full": {
        "tenants": 40,
        "teachers": 600,
        "students": 14000,
        "courses": 900,
        "products": 2000,
        "carts": 12000,
        "orders": 46000,
        "notifications": 45000,
        "page_views": 200000,
        "events": 110000,
        "days": 364,
        "audit_entries": 45000,
        "report_lines": 20000,
    },
    "small": {
        "tenants": 5,
        "teachers": 20,
        "students": 150,
        "courses": 24,
        "products": 60,
        "carts": 60,
        "orders": 200,
        "notifications": 200,
        "page_views": 600,
        "events": 400,
        "days": 60,
        "audit_entries": 150,
        "report_lines": 200,
    },
}


def scaled(factor: float) -> dict[str, int]:
    """As many times the rows of ``full``; what it takes on disk grows alike."""
    return {name: count if name in _NOT_SCALED else round(count * factor) for name, count in SIZES["full"].items()}
