"""The sandbox: ``python -m tests.support.demo up|down|status|summary``.

One PostgreSQL server in ``.demo/`` of the checkout, and in it the sample database ``school``: what
``inventory/sandbox`` connects to.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg2
from psycopg2 import sql

from tests.sample import load
from tests.sample.sizes import SIZES
from tests.support.servers import Server, ServerError

ROOT = Path(__file__).resolve().parents[2]
DEMO_DIR = ROOT / ".demo"
PASSWORD_FILE = DEMO_DIR / "password"
APPLICATION_PASSWORD_FILE = DEMO_DIR / "application_password"
MAJOR_FILE = DEMO_DIR / "major"
PLAN_PAGE = Path("artifacts/sandbox/sandbox/plan.html")
DATABASE = "school"
DEFAULT_MAJOR, DEFAULT_PORT = 18, 15432
PORT_VARIABLE, MAJOR_VARIABLE = "MULTISCHEMA_SANDBOX_PORT", "DEMO_PG"
ME = "python -m tests.support.demo"
# Memory and WAL for a load of more than a million rows in one transaction.
SETTINGS = {"shared_buffers": "256MB", "max_wal_size": "2GB", "checkpoint_timeout": "15min"}

_TABLES = """
    SELECT n.nspname, c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND n.nspname <> 'multischema_journal' AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid)
    ORDER BY n.nspname = 'public' DESC, n.nspname, c.relname
"""


class DemoError(RuntimeError):
    """The sandbox cannot do what was asked; the message says why and what to do."""


@dataclass(frozen=True)
class SchemaContent:
    """Tables (a partition tree or inheritance tree counts as one) and rows of one schema."""

    name: str
    tables: int
    rows: int


def wanted_port() -> int:
    """Return the port that the inventory connects to.

    Raises:
        DemoError: the environment variable holds no port number.
    """
    value = os.environ.get(PORT_VARIABLE, str(DEFAULT_PORT))
    if not value.isdigit() or not 0 < int(value) < 65536:
        raise DemoError(f"{PORT_VARIABLE} is {value!r}: set it to a port number, such as {DEFAULT_PORT}.")
    return int(value)


def wanted_major() -> int | None:
    """Return the PostgreSQL version that the environment asks for, if it does.

    Raises:
        DemoError: the environment variable holds no number.
    """
    value = os.environ.get(MAJOR_VARIABLE, "")
    if value and not value.isdigit():
        raise DemoError(f"{MAJOR_VARIABLE} is {value!r}: set it to a major version, such as {DEFAULT_MAJOR}.")
    return int(value) if value else None


def existing_server() -> Server | None:
    """Return the server that ``.demo/`` holds, running or not; None where there is none."""
    if not MAJOR_FILE.exists() or not PASSWORD_FILE.exists():
        return None
    major, password = int(MAJOR_FILE.read_text()), PASSWORD_FILE.read_text().strip()
    server = Server(DEMO_DIR / "server", major, port=wanted_port(), password=password, settings=SETTINGS)
    return server.start() if server.is_running() else server


def up(major: int | None, size: str, fresh: bool) -> None:
    """Start or adopt the server, and load the sample unless it is there already.

    Raises:
        DemoError: another version, an occupied port, or a half-deleted ``.demo/`` is in the way.
    """
    started = time.monotonic()
    server = _server_to_start(major)
    was_running = server.is_running()
    if not was_running:
        _require_free_port(server.port)
        server.start()
    elif server.port != wanted_port():
        raise DemoError(
            f"The sandbox runs on port {server.port}, but {PORT_VARIABLE} asks for {wanted_port()}. Set it to "
            f"{server.port}, or end the sandbox first: {ME} down"
        )
    verb = "already runs" if was_running else "runs"
    print(f"PostgreSQL {server.major} {verb} on 127.0.0.1:{server.port} ({time.monotonic() - started:.1f} s)")
    if server.relocated_to is not None:
        print(f"  in {server.relocated_to}: PostgreSQL refuses to run as root, and its user cannot reach the checkout")
    _fill(server, size, fresh)


def down() -> None:
    """Stop the server and delete it with everything that it left on this machine."""
    server = existing_server()
    if server is not None:
        server.stop()
        server.remove()
    existed = DEMO_DIR.exists()
    shutil.rmtree(DEMO_DIR, ignore_errors=True)
    print("The sandbox is gone." if existed else "There is no sandbox.")


def status() -> None:
    """Say whether the sandbox runs, and what is in it."""
    server = existing_server()
    if server is None:
        print(f"There is no sandbox. Make one: {ME} up")
    elif not server.is_running():
        print(f"The sandbox (PostgreSQL {server.major}) is stopped. Start it: {ME} up")
    else:
        print(f"PostgreSQL {server.major} runs on 127.0.0.1:{server.port}; its log is {_short(server.log_file)}")
        if _exists(server):
            _print_contents(server)
        else:
            print(f"The database {DATABASE} does not exist yet. Load it: {ME} up")


def summary() -> None:
    """Say what a run of the playbooks has led to, and what to try next.

    Raises:
        DemoError: the sandbox does not run.
    """
    server = existing_server()
    if server is None or not server.is_running() or not _exists(server):
        raise DemoError(f"The sandbox does not run. Start it: {ME} up")
    moved = any(content.tables for content in _contents(server) if content.name != "public")
    print()
    print(f"The database {DATABASE} now:" if moved else "Nothing has been moved yet:")
    _print_contents(server)
    print()
    if (ROOT / PLAN_PAGE).exists():
        print(f"What was planned, to read in a browser:\n  {PLAN_PAGE}\n")
    print("Try next:")
    run = f"{_port_prefix(server)}{_program('ansible-playbook')} -i inventory/sandbox playbooks"
    steps = [("Move everything", f"{run}/site.yml")]
    if moved:
        steps = [
            ("See that a second run changes nothing", f"{run}/site.yml --check --diff"),
            ("Go back to where it began", f"{run}/rollback.yml"),
        ]
    psql = f"{_short(server.bin_dir / 'psql')} -h 127.0.0.1 -p {server.port} -U postgres {DATABASE}"
    steps.append(("Look around", f"PGPASSWORD=$(cat {_short(PASSWORD_FILE)}) {psql}"))
    steps.append(("Stop and delete the sandbox", "make clean"))
    for what, command in steps:
        print(f"  {what}:\n    {command}")


def _server_to_start(major: int | None) -> Server:
    existing = existing_server()
    if existing is not None:
        if major not in (None, existing.major):
            raise DemoError(
                f"{_short(DEMO_DIR)} holds a sandbox of PostgreSQL {existing.major}, and {major} was asked for. "
                f"Keep it ({MAJOR_VARIABLE}={existing.major}), or delete it first: {ME} down"
            )
        return existing
    shutil.rmtree(DEMO_DIR, ignore_errors=True)  # what an interrupted start or end left behind
    port = wanted_port()
    _require_free_port(port)
    server = Server(DEMO_DIR / "server", major or DEFAULT_MAJOR, port=port, settings=SETTINGS)
    DEMO_DIR.mkdir(exist_ok=True)
    _write_secret(PASSWORD_FILE, server.password)
    _write_secret(APPLICATION_PASSWORD_FILE, secrets.token_urlsafe(18))
    MAJOR_FILE.write_text(f"{server.major}\n")
    return server


def _fill(server: Server, size: str, fresh: bool) -> None:
    """Create and load the database unless it is there; leave it alone if it has been migrated."""
    if fresh:
        server.drop_database(DATABASE)
    if not _exists(server):
        server.create_database(DATABASE)
    contents = _contents(server)
    if any(content.tables for content in contents):
        where = ", ".join(content.name for content in contents)
        print(f"The database {DATABASE} is there already, with tables in {where}: left as it is (--fresh makes it anew)")
        return
    print(f"Loading the sample database {DATABASE} ({size}) …", flush=True)
    connection = server.connect(DATABASE)
    try:
        loaded = load(connection, size, password=APPLICATION_PASSWORD_FILE.read_text().strip())
    finally:
        connection.close()
    print(f"  {loaded.tables} tables in public, {loaded.rows:,} rows ({loaded.seconds:.1f} s)")


def _exists(server: Server) -> bool:
    connection = server.connect()
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
            return cursor.fetchone() is not None
    finally:
        connection.close()


def _contents(server: Server) -> list[SchemaContent]:
    """Count tables and rows in every schema that has tables, ``public`` first."""
    connection = server.connect(DATABASE)
    contents: dict[str, SchemaContent] = {}
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(_TABLES)
            for schema, table in cursor.fetchall():
                cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table)))
                row = cursor.fetchone()
                assert row is not None
                before = contents.get(schema, SchemaContent(schema, 0, 0))
                contents[schema] = SchemaContent(schema, before.tables + 1, before.rows + int(row[0]))
    finally:
        connection.close()
    return list(contents.values())


def _print_contents(server: Server) -> None:
    contents = _contents(server)
    for content in contents:
        noun = "table " if content.tables == 1 else "tables"
        print(f"  {content.name:<16}{content.tables:>4} {noun}{content.rows:>12,} rows")
    if len(contents) > 1:
        total = sum(content.rows for content in contents)
        print(f"  {'together':<16}{sum(content.tables for content in contents):>4} tables{total:>12,} rows")


def _require_free_port(port: int) -> None:
    with socket.socket() as probe:
        # As PostgreSQL does: connections of a server that has just ended do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise DemoError(
                f"Port {port} of 127.0.0.1 is taken by another program ({error.strerror}). Choose another port for "
                f"everything that follows: export {PORT_VARIABLE}={port + 10000 if port < 50000 else port - 10000}"
            ) from None


def _write_secret(path: Path, secret: str) -> None:
    """Write a file that nobody else could read at any moment."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        stream.write(secret + "\n")


def _short(path: Path) -> str:
    """Return a path as one types it in the checkout."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def _program(name: str) -> str:
    local = Path(".venv/bin") / name
    return str(local) if (ROOT / local).exists() else name


def _port_prefix(server: Server) -> str:
    return "" if server.port == DEFAULT_PORT else f"{PORT_VARIABLE}={server.port} "


def main() -> int:
    """Do what the command line says; return the exit status."""
    parser = argparse.ArgumentParser(prog=ME, description=__doc__)
    parser.add_argument("command", choices=("up", "down", "status", "summary"))
    parser.add_argument("--major", type=int, help=f"PostgreSQL version (default: ${MAJOR_VARIABLE}, or {DEFAULT_MAJOR})")
    parser.add_argument("--size", choices=sorted(SIZES), default="full", help="of the sample (default: %(default)s)")
    parser.add_argument("--fresh", action="store_true", help="up: make the database anew, whatever is in it")
    options = parser.parse_args()
    commands: dict[str, Callable[[], None]] = {
        "up": lambda: up(options.major or wanted_major(), options.size, options.fresh),
        "down": down,
        "status": status,
        "summary": summary,
    }
    try:
        commands[options.command]()
    except (DemoError, ServerError, psycopg2.OperationalError) as error:
        print(f"{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
