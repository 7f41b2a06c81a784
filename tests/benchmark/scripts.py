"""What the core is compared with: scripts that a person would write for psql."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator

from tests.benchmark.database import OWNER, READER, TARGETS, WRITER, table_names
from tests.support.servers import Server


def plain(tables: int) -> Iterator[str]:
    """One ``ALTER TABLE … SET SCHEMA`` per transaction."""
    for name, target in table_names(tables):
        yield f"ALTER TABLE public.{name} SET SCHEMA {target};"


def with_views(tables: int) -> Iterator[str]:
    """The same with a view under the old name, its owner and its grants: a transaction for each table, with a lock_timeout."""
    for name, target in table_names(tables):
        yield "BEGIN;"
        yield "SET LOCAL lock_timeout = 50;"
        yield f"ALTER TABLE public.{name} SET SCHEMA {target};"
        yield f"CREATE VIEW public.{name} WITH (security_invoker=true) AS SELECT * FROM {target}.{name};"
        yield f"ALTER VIEW public.{name} OWNER TO {OWNER};"
        yield f"GRANT DELETE, INSERT, SELECT, UPDATE ON public.{name} TO {WRITER};"
        yield f"GRANT SELECT ON public.{name} TO {READER};"
        yield "COMMIT;"


def make_targets(server: Server, database: str) -> None:
    """The schemas that the scripts move to."""
    for target in TARGETS:
        server.execute(f"CREATE SCHEMA {target} AUTHORIZATION {OWNER}", database)
        server.execute(f"GRANT USAGE ON SCHEMA {target} TO {WRITER}, {READER}", database)


def run(server: Server, database: str, lines: Iterable[str]) -> float:
    """Run a script with psql. :returns: seconds."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write("\n".join(lines))
        file.flush()
        command = [str(server.bin_dir / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", file.name]
        command += ["-h", str(server.socket_dir), "-p", str(server.port), "-U", server.user, "-d", database]
        started = time.monotonic()
        subprocess.run(command, check=True, env={**os.environ, "PGPASSWORD": server.password}, stdin=subprocess.DEVNULL)
        return time.monotonic() - started
