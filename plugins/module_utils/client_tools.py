"""PostgreSQL's own programs on the host: which of them are there, of which version, and how they are told where to connect.

A dump is made by programs of the server's major version or a newer one: an older ``pg_dump`` refuses, as it cannot know what a
newer server has. The server's own are taken before others where they are on this machine: they are of just its version, and what
a newer version writes an older server need not understand.
"""

from __future__ import annotations

import glob
import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.dbops.multischema.plugins.module_utils.connection import ConnectionSettings
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError, MultischemaError
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database

PG_DUMP, PG_DUMPALL, PG_RESTORE, PSQL = "pg_dump", "pg_dumpall", "pg_restore", "psql"
INITDB, PG_CTL = "initdb", "pg_ctl"
DUMPING = (PG_DUMP, PG_DUMPALL)
RESTORING = (PG_RESTORE, PSQL)
SERVING = (INITDB, PG_CTL, "postgres")
GZIP, LZ4, ZSTD, NONE = "gzip", "lz4", "zstd", "none"
# Where packages of Debian and of Red Hat's family put each major version; what stands in PATH is one of them, or a wrapper that chooses.
_INSTALLED = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")
_WRAPPER = "pg_wrapper"
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)(?:\.(\d+))?(\S*)")
_ANSWER_S = 30.0  # for --version of a program on a loaded host
# The view pg_config (manual, 53.7) is for superusers and whom they grant it. Two statements: a function that may not be run is an error
# even in a branch that is not.
_MAY_ASK = "SELECT pg_catalog.has_function_privilege('pg_catalog.pg_config()', 'EXECUTE')"
_OWN_DIRECTORY = "SELECT setting FROM pg_catalog.pg_config() WHERE name = 'BINDIR'"
_METHODS_SINCE = 16  # pg_dump --compress=METHOD:LEVEL; before that only a level of gzip
# libpq's environment variables (manual, 34.15) for what a connection may be made of (`connection.PASSED_ON`).
_VARIABLES = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "options": "PGOPTIONS",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslcrl": "PGSSLCRL",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "channel_binding": "PGCHANNELBINDING",
    "gssencmode": "PGGSSENCMODE",
    "krbsrvname": "PGKRBSRVNAME",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
}
# What has no variable, and goes into the connection string: none of it is a secret.
_ONLY_IN_A_STRING = ("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout")


@dataclass(frozen=True)
class ClientTools:
    """Programs of one directory.

    :param directory: where they are.
    :param versions: program → version, as ``18.4``.
    :param major: their major version.
    """

    directory: Path
    versions: Mapping[str, str]
    major: int
    _can: dict[str, bool] = field(default_factory=dict, repr=False, compare=False)

    def program(self, name: str) -> str:
        """The path of one of them."""
        return str(self.directory / name)

    def can_compress_by(self, method: str) -> bool:
        """Whether this pg_dump was built with a method.

        It is asked by a dump of a server that cannot be: before it connects, pg_dump refuses what it was not built with.
        """
        if method in (GZIP, NONE):
            return True  # without zlib nobody builds it
        if self.major < _METHODS_SINCE:
            return False
        if method not in self._can:
            command = [self.program(PG_DUMP), "--format=custom", f"--file={os.devnull}", f"--compress={method}"]
            done = _ask([*command, "--host=/nonexistent", "--dbname=postgres"])
            self._can[method] = "compress" not in done.stderr
        return self._can[method]

    def compression_options(self, compression: str) -> list[str]:
        """What pg_dump is given for ``METHOD`` or ``METHOD:LEVEL``."""
        method, _, level = compression.partition(":")
        if self.major >= _METHODS_SINCE:
            return [f"--compress={compression}"]
        return ["--compress=0" if method == NONE else f"--compress={level or 6}"]


def own_directory(database: Database) -> str:
    """Where a server says that its own programs are; empty where this role may not ask."""
    return str(database.value(_OWN_DIRECTORY) or "") if database.value(_MAY_ASK) else ""


def tools_for(database: Database, wanted: Sequence[str], directory: str = "", at_least: int = 0) -> ClientTools:
    """Programs for the server of a session: like :func:`find_tools`, for its version.

    :param at_least: or for this one where it is newer, as 150018: that of a dump which is restored there.
    """
    version = int(database.value("SELECT current_setting('server_version_num')::int"))
    return find_tools(max(version, at_least), wanted, directory, "" if directory else own_directory(database))


def find_tools(server_version_num: int, wanted: Sequence[str], directory: str = "", own: str = "") -> ClientTools:
    """Programs of the server's major version, else of the next newer one that is there.

    :param server_version_num: as the server says it, 150018.
    :param wanted: programs that must be there, all in one directory.
    :param directory: where to look; empty for everywhere where they usually are.
    :param own: where the server says that its own are (:func:`own_directory`). Of several of one version they are taken, where they are on
        this machine at all.
    :raises MultischemaError: when there are none; says what was found.
    """
    major = server_version_num // 10000
    found = [tools for tools in map(_look, _places(wanted[0], directory, own)) if tools]
    complete = [tools for tools in found if all(name in tools.versions for name in wanted)]
    fitting = sorted((tools for tools in complete if tools.major >= major), key=lambda tools: (tools.major, str(tools.directory) != own))
    if fitting:
        return fitting[0]
    there = ", ".join(f"{_described(tools, wanted)} in {tools.directory}" for tools in found) or "none"
    elsewhere = "" if directory or any(str(tools.directory) == own for tools in found) else _where_its_own_are(own)
    raise MultischemaError(
        f"The server is PostgreSQL {major}, and there is no {_and(wanted)} of version {major} or newer "
        f"{'in ' + directory if directory else 'on this host'}; found: {there}.{elsewhere}",
        "An older program does not know what a newer server can hold, and refuses to dump or restore it.",
        f"Install postgresql-client-{major} (Debian and Ubuntu; initdb is in postgresql-{major}), or set backup_tools_directory to "
        "where the programs are.",
    )


def _where_its_own_are(own: str) -> str:
    """What is known of them, where they could not be taken."""
    if own:
        return f" The server has its own in {own}, and this host has none there that this user may trust."
    return " Where the server's own are, this role may not ask it (pg_config)."


def _places(program: str, directory: str, own: str) -> list[str]:
    if directory:
        return [directory]
    return list(dict.fromkeys([*([own] if own and _of_an_administrator(own) else []), *_directories(program)]))


def _of_an_administrator(directory: str) -> bool:
    """Whether what lies there may be run because a server says so: root or this user has put it there.

    A server's superuser is not always one of this machine, and must not become one by naming a directory of his own.
    """
    try:
        return os.stat(directory).st_uid in (0, os.geteuid())
    except OSError:
        return False


def _described(tools: ClientTools, wanted: Iterable[str]) -> str:
    missing = [name for name in wanted if name not in tools.versions]
    return f"version {tools.major}" + (f" without {_and(missing)}" if missing else "")


def _and(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else "".join(names)


def _directories(program: str) -> list[str]:
    """Every directory that may hold programs; a wrapper, which chooses by itself, is none."""
    installed = sorted(directory for pattern in _INSTALLED for directory in glob.glob(pattern))
    path = [directory for directory in os.environ.get("PATH", os.defpath).split(os.pathsep) if directory]
    in_path = [directory for directory in path if os.path.basename(os.path.realpath(os.path.join(directory, program))) != _WRAPPER]
    return list(dict.fromkeys(in_path + installed))  # what somebody has put into PATH comes first


def _look(directory: str) -> ClientTools | None:
    versions, majors = {}, set()
    for name in (*DUMPING, *RESTORING, *SERVING):
        program = os.path.join(directory, name)
        if os.access(program, os.X_OK):
            found = _VERSION.search(_ask([program, "--version"]).stdout)
            if found:
                versions[name] = found.group(1) + (f".{found.group(2)}" if found.group(2) else "") + found.group(3)
                majors.add(int(found.group(1)))
    return ClientTools(Path(directory), versions, min(majors)) if majors else None


def _ask(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        return subprocess.run(  # noqa: S603  a list of arguments, no shell
            command, capture_output=True, text=True, check=False, timeout=_ANSWER_S, env=environment
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))


def libpq_environment(settings: ConnectionSettings) -> dict[str, str]:
    """The environment of a program that connects there. A password stands here and nowhere else: a command line can be read by all."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PGAPPNAME", "PGSERVICE")}
    for name, variable in _VARIABLES.items():
        value = settings.parameters.get(name)
        if value:
            environment[variable] = value
    return {**environment, "LC_ALL": "C"}


def connection_string(settings: ConnectionSettings) -> str:
    """What stands on the command line (``--dbname``): the database's name and what has no variable of its own, no secrets."""
    parameters = {name: settings.parameters.get(name) for name in ("dbname", *_ONLY_IN_A_STRING)}
    return " ".join(f"{name}={_quoted(value)}" for name, value in parameters.items() if value)


def _quoted(value: str) -> str:
    """As a connection string wants it (manual, 34.1.1.1)."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def choose_compression(tools: ClientTools, asked: str) -> str:
    """``METHOD:LEVEL``, or ``none``.

    :param asked: what the user has written; empty or ``auto`` for the best that this pg_dump has.
    :raises ConfigurationError: when it is unknown, or this pg_dump was not built with it.
    """
    if asked in ("", "auto"):
        return "zstd:3" if tools.can_compress_by(ZSTD) else "gzip:6"
    method, colon, level = asked.partition(":")
    most = {GZIP: 9, LZ4: 12, ZSTD: 22, NONE: 0}
    if method not in most or (colon and not (level.isdigit() and int(level) <= most[method])) or (method == NONE and colon):
        raise ConfigurationError(
            f"backup_compression is {asked!r}.",
            "That is no compression that pg_dump knows.",
            "Write none, gzip:1 to gzip:9, lz4, zstd:1 to zstd:22, or nothing for the best that this host's pg_dump has.",
        )
    if not tools.can_compress_by(method):
        raise ConfigurationError(
            f"backup_compression is {asked!r}, and pg_dump {tools.versions.get(PG_DUMP)} in {tools.directory} cannot do that.",
            "pg_dump compresses by zstd and lz4 from version 16 on, where it was built with them.",
            "Write gzip:6, leave it out, or install a pg_dump that was (backup_tools_directory names its place).",
        )
    return asked
