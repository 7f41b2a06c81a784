"""The backups of one host: look at them all, and find the one that counts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.backup_acceptance import Demand, Found, Judgement, judge
from ansible_collections.dbops.multischema.plugins.module_utils.backup_files import backups_below, file_problems, listed, read_backup
from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import PGBACKREST, Manifest
from ansible_collections.dbops.multischema.plugins.module_utils.errors import BackupRefused


def look(directory: Path, *, hashes: bool) -> Found:
    """One backup as it lies there."""
    try:
        manifest = read_backup(directory)
    except BackupRefused as error:
        return Found(directory.name, None, error.found.removeprefix(f"{directory}: "))
    problems = file_problems(directory, manifest, hashes=hashes)
    return Found(directory.name, manifest, listed(problem.found for problem in problems))


def choose(folder: Path, demand: Demand, *, hashes: bool = True) -> tuple[list[Judgement], Manifest | None]:
    """Judge the backups in a folder, newest first, until one counts.

    Every file of the one that counts is read, unless `hashes` says otherwise: it may have rotted since it was proved.
    """
    judgements: list[Judgement] = []
    for directory in backups_below(folder):
        found = look(directory, hashes=False)
        judgement = judge(found, demand)
        if judgement.accepted and hashes:
            found = look(directory, hashes=True)
            judgement = judge(found, demand)
        judgements.append(judgement)
        if judgement.accepted:
            return judgements, found.manifest
    return judgements, None


def described(found: Iterable[Found]) -> list[dict[str, Any]]:
    """What people and tasks want to know of each."""
    return [_described(item) for item in found]


def _described(found: Found) -> dict[str, Any]:
    manifest = found.manifest
    if manifest is None:
        return {"name": found.name, "problem": found.problem}
    verdict = manifest.verdict
    return {
        "name": found.name,
        "problem": found.problem,
        "engine": manifest.engine,
        "format": manifest.dump_format,
        "database": manifest.database.name,
        "ended_at": manifest.ended_at,
        "size": manifest.size or int(manifest.extra.get(PGBACKREST, {}).get("stored", 0)),
        "tables": len(manifest.content.tables),
        "rows": manifest.content.rows,
        "encrypted": bool(manifest.recipients),
        "proved": manifest.proved,
        "verdict": None
        if verdict is None
        else {"method": verdict.method, "at": verdict.at, "passed": verdict.passed, "differences": list(verdict.differences)},
    }
