"""What is known and checked before pgbackrest takes a backup: that the stanza is there, is of this very cluster, and gets its WAL."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.dbops.multischema.plugins.module_utils.backup_guard import require_no_migration
from ansible_collections.dbops.multischema.plugins.module_utils.backup_place import Place
from ansible_collections.dbops.multischema.plugins.module_utils.backup_preflight import Request, require_readable, wait_no_longer
from ansible_collections.dbops.multischema.plugins.module_utils.client_tools import PG_DUMP, SERVING, ClientTools, find_tools
from ansible_collections.dbops.multischema.plugins.module_utils.content import tables_of
from ansible_collections.dbops.multischema.plugins.module_utils.database_identity import DatabaseIdentity, identity_of
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError
from ansible_collections.dbops.multischema.plugins.module_utils.exact_moment import is_primary
from ansible_collections.dbops.multischema.plugins.module_utils.pgbackrest import Stanza, StanzaRefused
from ansible_collections.dbops.multischema.plugins.module_utils.postgres import Database
from ansible_collections.dbops.multischema.plugins.module_utils.scratch_server import server_identity
from ansible_collections.dbops.multischema.plugins.module_utils.stanza import NO_BACKUP, OK, StanzaInfo

# pg_settings leaves out what this role may not know, where current_setting() would fail.
_SETTINGS = """
SELECT s.name, s.setting FROM pg_catalog.pg_settings s
 WHERE s.name IN ('archive_mode', 'archive_command', 'archive_library', 'data_directory', 'full_page_writes', 'server_version',
                  'server_version_num')
"""


@dataclass(frozen=True)
class Examined:
    """What was found, where nothing stands in the way.

    :param tools: programs of the server's own major version: a physical copy runs on no other.
    :param version: pgbackrest's.
    :param full_page_writes: whether the first change of a page stands in the WAL as a whole page.
    """

    stanza: Stanza
    version: str
    tools: ClientTools
    identity: DatabaseIdentity
    server: str
    server_version_num: int
    tables: int
    full_page_writes: bool


def examine(database: Database, request: Request) -> Examined:
    """Look at everything; writes nothing.

    :raises MultischemaError: when something stands in the way.
    """
    wait_no_longer(database, request)
    require_readable(database)
    require_no_migration(database)
    stanza = stanza_of(request)
    found = dict(database.rows(_SETTINGS))
    if not is_primary(database):
        raise StanzaRefused(
            "This server is a standby.",
            "What a backup must hold is read at an exact place in the WAL, which only the primary writes.",
            "Give the primary's address, and run it on the primary's host.",
        )
    _require_owner(found.get("data_directory"))
    version = stanza.version()
    _require_archiving(found, stanza)
    number = int(found["server_version_num"])
    identity = identity_of(database)
    require_same_cluster(stanza, stanza.info(), identity, number)
    stanza.require_allowed()
    tools = exact_tools(number, request.tools_directory)
    Place(Path(request.directory), identity.name).require_nobody_writing()
    tables, whole = len(tables_of(database)), found["full_page_writes"] == "on"
    return Examined(stanza, version, tools, identity, found["server_version"], number, tables, whole)


def stanza_of(request: Request) -> Stanza:
    """:raises ConfigurationError: when it is not said which."""
    if request.stanza is None or not request.stanza.name:
        raise ConfigurationError(
            "backup_engine is pgbackrest, and backup_stanza is not set.",
            "pgbackrest keeps the backups of several clusters, each in a stanza of its own.",
            "Set backup_stanza to the cluster's; pgbackrest info lists them.",
        )
    return request.stanza


def exact_tools(server_version_num: int, directory: str) -> ClientTools:
    """Programs of exactly the server's major version.

    :raises MultischemaError: when there are none on this host.
    """
    major = server_version_num // 10000
    tools = find_tools(server_version_num, (PG_DUMP, *SERVING), directory)
    if tools.major != major:
        raise StanzaRefused(
            f"The server is PostgreSQL {major}, and the programs found in {tools.directory} are of version {tools.major}.",
            "A physical backup runs on a server of its own version only; it is proved by starting one.",
            f"Install postgresql-{major}, or set backup_tools_directory to where its programs are.",
        )
    return tools


def _require_owner(data_directory: str | None) -> None:
    """pgbackrest reads the cluster's files, and what it writes into the repository must belong to who archives WAL there."""
    if not data_directory:
        return  # this role may not know it; pgbackrest will say what it cannot read
    try:
        owner = Path(data_directory).stat().st_uid
    except PermissionError:
        owner = -1
    except OSError as error:
        raise StanzaRefused(
            f"The server's data directory {data_directory} is not on this host ({error.strerror}).",
            "pgbackrest is run beside the server, whose files it copies.",
            "Run it on the database's own server (over SSH), or take backups by pg_dump (backup_engine: pg_dump).",
        ) from error
    us = int(server_identity().get("user", os.geteuid()))
    if owner != us:
        raise StanzaRefused(
            f"The server's files belong to {_name(owner)}, and pgbackrest would run as {_name(us)}.",
            "What it wrote into the repository would belong to another user than the one who archives WAL there, and archiving would stop.",
            f"Set multischema_become_user to {_name(owner) if owner >= 0 else 'the owner of the data directory'}.",
        )


def _require_archiving(found: Mapping[str, str], stanza: Stanza) -> None:
    lines = f"archive_mode = on and archive_command = 'pgbackrest --stanza={stanza.name} archive-push %p'"
    if found.get("archive_mode") == "off":
        raise StanzaRefused(
            "The server archives no WAL: archive_mode is off.",
            "A backup that is taken while the server works can only be restored together with the WAL of that time.",
            f"Set {lines} in postgresql.conf, restart the server, and see that pgbackrest check is content.",
        )
    command = found.get("archive_command", "")
    if command and not found.get("archive_library") and "pgbackrest" not in command and command != "(disabled)":
        raise StanzaRefused(
            f"The server's WAL does not go to pgbackrest: archive_command is {command!r}.",
            "A backup that is taken while the server works can only be restored together with the WAL of that time.",
            f"Set {lines}, reload the server, and see that pgbackrest check is content.",
        )


def require_same_cluster(stanza: Stanza, info: StanzaInfo, identity: DatabaseIdentity, server_version_num: int) -> None:
    """:raises StanzaRefused: when the stanza is in trouble, or of another cluster."""
    if info.code not in (OK, NO_BACKUP):
        raise StanzaRefused(
            f"The stanza {stanza.name} is not in order: {info.message} (status {info.code}).", "", "See pgbackrest info, and correct it."
        )
    cluster = info.cluster
    if cluster is None or not identity.system_identifier:
        raise StanzaRefused(
            f"It cannot be seen whether the stanza {stanza.name} is that of this server.",
            "A backup of another one would prove nothing.",
            "Connect as a role that may ask for the server's system identifier (pg_control_system(): a superuser, pg_monitor).",
        )
    if cluster.system_identifier != identity.system_identifier:
        raise StanzaRefused(
            f"The stanza {stanza.name} is that of another cluster (system identifier {cluster.system_identifier}); this server's is "
            f"{identity.system_identifier}.",
            "What it would back up is not this database.",
            "Correct backup_stanza; pgbackrest info lists the stanzas. Where the server was built anew or upgraded: pgbackrest "
            f"--stanza={stanza.name} stanza-upgrade.",
        )
    if cluster.version != str(server_version_num // 10000):
        raise StanzaRefused(
            f"The stanza {stanza.name} is of PostgreSQL {cluster.version}, and the server is {server_version_num // 10000}.",
            "",
            f"Run: pgbackrest --stanza={stanza.name} stanza-upgrade",
        )


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return "another user" if user < 0 else f"user {user}"
