"""The schema of a database, by pg_dump: its lines, or one number, so that it can be compared with a copy."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence

from ansible_collections.dbops.multischema.plugins.module_utils import schema_text
from ansible_collections.dbops.multischema.plugins.module_utils.client_tools import (
    PG_DUMP,
    ClientTools,
    connection_string,
    libpq_environment,
)
from ansible_collections.dbops.multischema.plugins.module_utils.connection import ConnectionSettings
from ansible_collections.dbops.multischema.plugins.module_utils.errors import MultischemaError
from ansible_collections.dbops.multischema.plugins.module_utils.program_run import Program


def schema_lines(tools: ClientTools, settings: ConnectionSettings, options: Sequence[str] = ()) -> Iterator[bytes]:
    """Dump the schema, each line with its end.

    :param options: further options, as ``--snapshot=…``.
    :raises MultischemaError: when pg_dump fails.
    """
    command = [tools.program(PG_DUMP), "--schema-only", f"--dbname={connection_string(settings)}", "--no-password", *options]
    with Program(command, libpq_environment(settings), stdout=subprocess.PIPE) as program:
        assert program.process.stdout is not None  # noqa: S101  it was asked for
        yield from program.process.stdout
        if program.code != 0:
            raise MultischemaError(
                f"pg_dump --schema-only failed: {' '.join(program.said)}",
                "Without the schema a copy cannot be compared.",
                "Correct what it says, and run again.",
            )


def schema_digest(tools: ClientTools, settings: ConnectionSettings, options: Sequence[str] = ()) -> str:
    """Digest the schema, without keeping it; otherwise like :func:`schema_lines`.

    Two digests can be compared where pg_dump is of the same version: another one may write the same schema otherwise.
    """
    return schema_text.digest(schema_lines(tools, settings, options))
