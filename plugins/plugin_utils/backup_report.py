"""What a person reads of a backup: while it is taken, afterwards, and in check mode."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import PG_DUMP
from ansible_collections.dbops.multischema.plugins.module_utils.backup_preflight import size_text
from ansible_collections.dbops.multischema.plugins.module_utils.checks import count_of, wrap
from ansible_collections.dbops.multischema.plugins.module_utils.exact_moment import BY_SLOT

_NEXT = (
    "Next comes the proof, before which no preflight accepts it: backup.yml goes on with that; elsewhere, the door verify of the role "
    "backup does it."
)


def progress_line(figures: Mapping[str, Any], seconds: float) -> str:
    """How far it is."""
    if not figures:
        return f"the backup begins, {seconds:.0f} s"
    physical = _physical_progress(figures)
    if physical:
        return f"{physical}, {seconds:.0f} s"
    size = size_text(figures.get("bytes", 0))
    if figures["doing"] != "dumping":
        return f"everything is dumped; checksums of {size} are taken, {seconds:.0f} s"
    total = figures["tables"]
    return (
        f"dump: {min(figures['dumped'], total)} of {count_of(total, 'table')} begun, {size} written; "
        f"digests: {min(figures['read'], total)} of {total}; {seconds:.0f} s"
    )


def _physical_progress(figures: Mapping[str, Any]) -> str:
    """Of a backup by pgbackrest; empty for another."""
    said = {
        "checking": "pgbackrest sees whether WAL arrives in the repository",
        "copying": f"pgbackrest copies, {figures.get('percent', 0):.0f} %",
        "looking for an instant": "the backup is taken; an exact place in the WAL is looked for",
        "reading": f"digests: {figures.get('read', 0)} of {count_of(figures.get('tables', 0), 'table')}",
        "archiving": "pgbackrest waits for the WAL of that place",
    }
    return said.get(figures["doing"], "")


def taken_lines(result: Mapping[str, Any]) -> list[str]:
    """What was taken."""
    return _folded(_taken(result) if result["engine"] == PG_DUMP else _taken_by_pgbackrest(result))


def _taken_by_pgbackrest(result: Mapping[str, Any]) -> Iterator[str]:
    yield f"Backup {result['name']} of database {result['database']}"
    yield (
        f"pgbackrest {result['pgbackrest']} has taken {result['label']} ({result['type']}) of the stanza {result['stanza']}, repository "
        f"{result['repo']}: the cluster takes {size_text(result['size'])}, {size_text(result['stored'])} were stored; "
        f"{result['seconds']:.1f} s in all, PostgreSQL {result['server']}"
    )
    how = "by a replication slot, which is gone" if result["found_by"] == BY_SLOT else "at an instant at which nobody was writing"
    held = f"{count_of(result['tables'], 'table')} with {result['rows']:,} rows"
    yield f"Recovered to {result['lsn']} ({how}), this database has to hold {held}"
    if result["unlogged"]:
        yield f"Unlogged tables are empty in it, as after a crash: {', '.join(result['unlogged'])}"
    yield f"Its manifest is in {result['directory']}; the files are pgbackrest's, and how long they stay is for its retention to say"
    yield _NEXT
    yield from _removed(result, "Manifests removed, as pgbackrest has those backups no more")
    for problem in result["not_removed"]:
        yield f"Could not be removed: {problem}"


def _taken(result: Mapping[str, Any]) -> Iterator[str]:
    kind = f"{result['format']} format, {_compression(result)}" + (", encrypted" if result["encrypted"] else "")
    yield f"Backup {result['name']} of database {result['database']}"
    yield (
        f"{count_of(result['tables'], 'table')}, {result['rows']:,} rows, {size_text(result['size'])} in {result['seconds']:.1f} s "
        f"({kind}; PostgreSQL {result['server']}, pg_dump {result['pg_dump']})"
    )
    yield f"It is in {result['directory']}"
    yield _NEXT
    yield from _passwords(result, "without their passwords")
    for warning in result["warnings_of_pg_dump"]:
        yield f"pg_dump warns: {warning}"
    yield from _removed(result, "Removed, as newer ones are there")
    for problem in result["not_removed"]:
        yield f"Could not be removed: {problem}"


def expected_lines(result: Mapping[str, Any]) -> list[str]:
    """What would be taken."""
    return _folded(_expected(result) if result["engine"] == PG_DUMP else _expected_of_pgbackrest(result))


def _folded(lines: Iterator[str]) -> list[str]:
    """For a terminal; what belongs to the first line is indented."""
    first, *others = lines
    return wrap(first, "  ", "") + [line for other in others for line in wrap(other, "    ", "  ")]


def _expected_of_pgbackrest(result: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"pgbackrest would take a backup ({result['type']}) of the stanza {result['stanza']}, and a manifest with the digests of "
        f"{count_of(result['tables'], 'table')} would be written to {result['directory']}."
    )
    yield "Whether WAL arrives in the repository (pgbackrest check) is not looked at in check mode, because that writes to the WAL."
    yield from _removed(result, "Manifests that would be removed, as pgbackrest has those backups no more")


def _expected(result: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"A backup of {count_of(result['tables'], 'table')} would be written to {result['directory']}, {_compression(result)}; "
        f"the tables take {size_text(result['estimate'])} on the server, {size_text(result['free'])} are free."
    )
    yield from _passwords(result, "without their passwords")
    yield from _removed(result, "These would be removed after it")


def _compression(result: Mapping[str, Any]) -> str:
    return "uncompressed" if result["compression"] == "none" else f"compressed by {result['compression']}"


def _passwords(result: Mapping[str, Any], words: str) -> Iterator[str]:
    if not result["role_passwords"]:
        yield f"Roles are in it {words}: only a superuser may read those. After a restore on a new server they have to be set anew."


def _removed(result: Mapping[str, Any], words: str) -> Iterator[str]:
    if result["removed"]:
        yield f"{words}: {', '.join(result['removed'])}"
