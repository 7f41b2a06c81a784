"""Backups for tests, made as simply as can be: PostgreSQL's own programs, and a manifest of what they have written."""

from __future__ import annotations

import hashlib
import os
import secrets
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.backup_files import DUMPS, write_manifest
from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import (
    CUSTOM,
    DIRECTORY,
    MANIFEST,
    PG_DUMP,
    PLAIN,
    BackupFile,
    Manifest,
)
from ansible_collections.dbops.multischema.plugins.module_utils.backup_verification import Trial
from ansible_collections.dbops.multischema.plugins.module_utils.client_tools import ClientTools, find_tools
from ansible_collections.dbops.multischema.plugins.module_utils.connection import parse_url
from ansible_collections.dbops.multischema.plugins.module_utils.copy_reader import read_copy
from ansible_collections.dbops.multischema.plugins.module_utils.database_identity import DatabaseIdentity
from ansible_collections.dbops.multischema.plugins.module_utils.database_shape import IN_MANIFEST, read_shape
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.restoring import Restoring
from ansible_collections.dbops.multischema.plugins.module_utils.schema_digest import schema_digest
from ansible_collections.dbops.multischema.plugins.module_utils.sealed_document import utc_now
from tests.integration.databases import Target
from tests.support.servers import Server

FORMATS = (DIRECTORY, CUSTOM, PLAIN)
_LETTERS = {DIRECTORY: "d", CUSTOM: "c", PLAIN: "p"}


def tools(server: Server) -> ClientTools:
    """The server's own programs."""
    return find_tools(server.major * 10000, (PG_DUMP,), str(server.bin_dir))


def trial(server: Server, **options: Any) -> Trial:
    """A trial in a database beside the others of a test's server."""
    restoring = Restoring(tools(server), **options)
    return Trial(restoring, scratch_settings=parse_url(server.url("postgres")))


def take(target: Target, root: Path, dump_format: str = DIRECTORY, *options: str) -> Path:
    """A backup of a database in which nobody else works."""
    root.mkdir(parents=True, exist_ok=True)
    directory = root / f"20300105T030000Z-shop-{secrets.token_hex(2)}"
    directory.mkdir(mode=0o700)
    path = directory / DUMPS[dump_format]
    _run(
        target, "pg_dump", f"-F{_LETTERS[dump_format]}", *options, "-f", str(path.parent if dump_format == DIRECTORY else path), target.name
    )
    _run(target, "pg_dumpall", "--globals-only", "-f", str(directory / "globals.sql"))
    close(directory)
    write_manifest(directory, _manifest(target, directory, dump_format))
    return directory


def close(directory: Path) -> None:
    """Let nobody else read it."""
    for path in [directory, *directory.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)


def files_of(directory: Path) -> tuple[BackupFile, ...]:
    """The files as they are now."""
    paths = sorted(path for path in directory.rglob("*") if path.is_file() and path.name != MANIFEST)
    return tuple(BackupFile(str(p.relative_to(directory)), p.stat().st_size, hashlib.sha256(p.read_bytes()).hexdigest()) for p in paths)


def rehashed(directory: Path, manifest: Manifest, **changes: Any) -> None:
    """Write a manifest that fits the files as they are now: what somebody would do who wants to deceive."""
    write_manifest(directory, replace(manifest, files=files_of(directory), **changes))


def _run(target: Target, program: str, *arguments: str) -> None:
    server = target.server
    environment: Mapping[str, str] = {
        "PGHOST": server.host,
        "PGPORT": str(server.port),
        "PGUSER": server.user,
        "PGPASSWORD": server.password,
        "LC_ALL": "C",
        "PATH": os.environ["PATH"],
    }
    subprocess.run([str(server.bin_dir / program), *arguments], env=environment, check=True, umask=0o077)


def identity(target: Target) -> DatabaseIdentity:
    """Which database it is, asked in other words than the product does."""
    oid, system = target.rows(
        "SELECT oid::bigint, (pg_control_system()).system_identifier::text FROM pg_database WHERE datname = current_database()"
    )[0]
    return DatabaseIdentity(system, oid, target.name)


def _manifest(target: Target, directory: Path, dump_format: str) -> Manifest:
    settings = parse_url(target.superuser_url)
    with Database(settings, "test") as database:
        content = replace(read_copy(database), schema_digest=schema_digest(tools(target.server), settings))
        server, number = database.rows("SELECT version(), current_setting('server_version_num')::int")[0]
        shape = read_shape(database)
    return Manifest(
        name=directory.name,
        engine=PG_DUMP,
        dump_format=dump_format,
        database=identity(target),
        server=server,
        server_version_num=number,
        tools={"pg_dump": tools(target.server).versions[PG_DUMP]},
        snapshot="",
        began_at=utc_now(),
        ended_at=utc_now(),
        made_by={"user": "tester", "machine": "here"},
        compression="none",
        recipients=(),
        files=files_of(directory),
        content=content,
        extra={IN_MANIFEST: shape.to_dict()},
    )
