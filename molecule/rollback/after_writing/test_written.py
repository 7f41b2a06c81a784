"""What the application has written between migration and rollback stays."""

from __future__ import annotations

from tests.integration.databases import Target
from tests.lab.testinfra_hosts import WRITERS

testinfra_hosts = WRITERS


def test_rows_written_meanwhile_are_still_there(database: Target) -> None:
    """By whichever name they came."""
    found = database.rows("SELECT code, name FROM public.countries WHERE code IN ('XA', 'XB') ORDER BY 1")
    assert found == [("XA", "by the old name"), ("XB", "by the new name")]
