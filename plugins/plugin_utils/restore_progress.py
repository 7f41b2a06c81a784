"""How far a restore is, in a line for a person: of a verification, or of one that takes the place of the live database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.checks import count_of


def restore_progress(figures: Mapping[str, Any]) -> str:
    """:param figures: what the work has said last (`backup_trial.Figures`)."""
    tables = int(figures.get("tables", 0))
    if figures.get("read"):
        return f"restored; {figures['read']} of {count_of(tables, 'table')} compared"
    if figures.get("loading"):
        return f"restoring, table {figures['loading']} of {tables}"
    physical = {
        "restoring": f"pgbackrest restores into a throwaway server, {figures.get('percent', 0):.0f} %",
        "replaying": "WAL is replayed in a throwaway server, up to the point that is wanted",
        "dumping": "recovered; the database is dumped there",
    }.get(figures.get("doing", ""))
    if physical:
        return physical
    total, seen = int(figures.get("total_bytes", 0)), int(figures.get("bytes", 0))
    if seen < total:
        return f"reading the files, {seen // 2**20} of {total // 2**20} MB"
    return f"{total // 2**20} MB are what was written; making a database and restoring into it"
