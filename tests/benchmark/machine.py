"""What the figures were measured on, without names of hosts or paths."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Iterator

from tests.support.servers import Server

SETTINGS = ("fsync", "synchronous_commit", "full_page_writes", "wal_level", "shared_buffers", "max_locks_per_transaction")
SYNCS = 200


def setting(server: Server, name: str) -> str:
    """A setting of the server, with its unit."""
    connection = server.connect()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting(%s)", (name,))
            rows = cursor.fetchall()
            return str(rows[0][0])
    finally:
        connection.close()


def sync_ms() -> float:
    """How long the disk takes for a write of 8 kB that is flushed, in milliseconds on average."""
    with tempfile.NamedTemporaryFile(dir="/var/tmp") as file:
        started = time.monotonic()
        for _ in range(SYNCS):
            os.pwrite(file.fileno(), b"x" * 8192, 0)
            os.fdatasync(file.fileno())
        return (time.monotonic() - started) / SYNCS * 1000


def facts(server: Server) -> Iterator[tuple[str, str]]:
    """What is known of machine and server."""
    yield "PostgreSQL", setting(server, "server_version")
    yield "settings", ", ".join(f"{name} = {setting(server, name)}" for name in SETTINGS)
    yield "machine", f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}"
    yield "others at work", f"load average {os.getloadavg()[0]:.1f} before the first measurement"
    yield "one flushed write of 8 kB", f"{sync_ms():.2f} ms"
    yield "connections", "a Unix socket, for the scripts and for the core"
    yield "Python", platform.python_version()
