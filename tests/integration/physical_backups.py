"""Backups by pgbackrest as tests take, try and damage them, and the database that they are of."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils import background
from ansible_collections.dbops.multischema.plugins.module_utils.backup_manifest import PGBACKREST, Manifest
from ansible_collections.dbops.multischema.plugins.module_utils.backup_physical import take
from ansible_collections.dbops.multischema.plugins.module_utils.backup_physical_preflight import Examined, examine
from ansible_collections.dbops.multischema.plugins.module_utils.backup_place import new_name
from ansible_collections.dbops.multischema.plugins.module_utils.backup_preflight import Request
from ansible_collections.dbops.multischema.plugins.module_utils.backup_trial import (
    run_trial,
)
from ansible_collections.dbops.multischema.plugins.module_utils.connection import ConnectionSettings, parse_url
from ansible_collections.dbops.multischema.plugins.module_utils.pgbackrest import Stanza
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from tests.integration.databases import Target, wait_until
from tests.integration.probes import Background
from tests.integration.stanzas import STANZA, Archived

MAKE = (
    "CREATE TABLE public.orders (id serial PRIMARY KEY, customer text)",
    "INSERT INTO public.orders (customer) SELECT 'customer ' || n FROM generate_series(1, 400) n",
    "CREATE UNLOGGED TABLE public.baskets (id serial, a int)",
    "INSERT INTO public.baskets (a) SELECT n FROM generate_series(1, 7) n",
    "CREATE SEQUENCE public.untouched",
    "SELECT lo_from_bytea(0, 'a picture')",
)
WRITE = "INSERT INTO public.orders (customer) VALUES ('another'); UPDATE public.orders SET customer = customer || '.' WHERE id = %s"
BYSTANDER = "bystander"
PATIENCE_S = 600.0  # nobody asks in a test


def settings(target: Target) -> ConnectionSettings:
    """Where the superuser connects."""
    return parse_url(target.superuser_url)


def request(archived: Archived, folder: Path, **changes: Any) -> Request:
    """What is asked for when one is taken."""
    stanza = Stanza(STANZA, str(archived.config))
    tools = str(archived.server.bin_dir)
    return replace(Request(str(folder), engine=PGBACKREST, stanza=stanza, tools_directory=tools), **changes)


def progress(folder: Path) -> background.Progress:
    """Where a job says how far it is."""
    job = folder.parent / "job"
    job.mkdir(exist_ok=True)
    return background.Progress(job, PATIENCE_S)


def taken(archived: Archived, target: Target, folder: Path, **changes: Any) -> Path:
    """Take one. :returns: the directory of its manifest."""
    result = take(new_name(target.name), request(archived, folder, **changes), settings(target), progress(folder))
    return Path(result["directory"])


def options(archived: Archived, folder: Path, **changes: Any) -> dict[str, Any]:
    """Of the modules."""
    tools = str(archived.server.bin_dir)
    common = {"folder": str(folder), "name": "", "jobs": 2, "tools_directory": tools, "scratch_directory": str(archived.scratch)}
    return {**common, "method": "restore", "again": False, "foreign": False, "maintenance_db": "postgres", **changes}


def tried(archived: Archived, directory: Path, **changes: Any) -> dict[str, Any]:
    """Try one by restoring it. :returns: the verdict."""
    result: dict[str, Any] = run_trial(
        directory, options(archived, directory.parent, **changes), parse_url(archived.server.url("postgres")), progress(directory.parent)
    )
    return result["verdict"]  # type: ignore[no-any-return]


def looked(archived: Archived, target: Target, folder: Path, **changes: Any) -> Examined:
    """What is found before one is taken."""
    with Database(settings(target), "test") as database:
        return examine(database, request(archived, folder, **changes))


@contextlib.contextmanager
def writing(target: Target) -> Iterator[None]:
    """Two sessions that write all the time, and one in another database."""
    enough = threading.Event()
    work = ((target, 7), (target, 8), (Target(target.server, BYSTANDER), 7))
    written = [0 for _ in work]

    def write(number: int, database: Target, row: int) -> None:
        with database.session() as session, session.cursor() as cursor:
            while not enough.is_set():
                cursor.execute(WRITE, (row,))
                written[number] += 1

    writers = [Background(partial(write, number, *who)) for number, who in enumerate(work)]
    try:
        wait_until(lambda: all(written), "everybody writes")
        before = list(written)
        yield
        wait_until(lambda: all(now > then for now, then in zip(written, before, strict=True)), "they have gone on")
    finally:
        enough.set()
        for writer in writers:
            writer.finish()


class Mortal(background.Progress):
    """What a job says; its process is killed where it would say that it does something.

    :param doing: that.
    """

    def __init__(self, job: Path, doing: str) -> None:
        super().__init__(job, PATIENCE_S)
        self._deadly = doing

    def say(self, **figures: Any) -> None:
        """Say it, or die."""
        if figures.get("doing") == self._deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        super().say(**figures)


def rows(target: Target) -> int:
    """How many orders there are."""
    return int(target.value("SELECT count(*) FROM public.orders"))


def kept(target: Target) -> list[str]:
    """Databases beside this one that a restore has left."""
    others = Target(target.server, "postgres").rows("SELECT datname FROM pg_database WHERE datname LIKE %s", (f"{target.name}_%",))
    return [name for (name,) in others]


def damaged(archived: Archived, found: Manifest) -> None:
    """Flip a byte of the largest file that belongs to the database."""
    base = archived.repository / "backup" / STANZA / found.label / "pg_data" / "base" / str(found.database.oid)
    file = max(base.iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)
