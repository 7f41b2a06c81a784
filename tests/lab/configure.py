"""What each host becomes after it has booted: writer, replica, pooler, monitor, application host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ansible_collections.dbops.multischema.plugins.module_utils.sqltext import Name, Text, statement
from tests.lab.credentials import LOGIN, credentials, public_key
from tests.sample import LOGIN_ROLES, load
from tests.sample.loader import SQL_DIR, set_role_defaults

if TYPE_CHECKING:
    from tests.lab.hosts import Host

SAMPLE = "sample"  # the database that others are copied from
PLAYGROUND = "school"  # the one that the inventory names
REPLICATOR = "replicator"
WITH_SSH = ("writer", "replica")
# Root may not come in by SSH, nobody by a password, and sudo asks for one: as on a server that is looked after.
_SSHD = "PermitRootLogin no\nPasswordAuthentication no\n"


def become(host: Host, writer: Host) -> None:
    """Make a booted host what its role says.

    :param writer: the writer of its release, which is there before the others.
    :raises LabError: a command on the host failed.
    """
    _ROLES[host.role](host, writer)
    if host.role in WITH_SSH:
        _open_ssh(host)


def sources() -> list[Path]:
    """Files beside this one that decide what a host becomes."""
    return [Path(__file__).with_name("server.py"), *sorted(SQL_DIR.glob("*.sql"))]


def temporary_directory(database: str) -> str:
    """Where Ansible keeps its files on a writer while it works on a database (molecule/inventory)."""
    return f"/var/tmp/lab-{database}"  # noqa: S108 - on the host, made by us


def fresh_database(host: Host, name: str) -> None:
    """Create a database anew as a copy of the sample, and an empty place for Ansible's files beside it."""
    place = temporary_directory(name)
    host.exec("sh", "-eu", "-c", f"rm -rf {place}; install -d -m 1777 {place}")
    server = host.server
    server.drop_database(name)
    server.create_database(name, SAMPLE)
    connection = server.connect(name)
    try:
        with connection, connection.cursor() as cursor:
            set_role_defaults(cursor)
    finally:
        connection.close()


def host_keys(host: Host) -> list[str]:
    """The host's SSH keys as lines of a known_hosts file."""
    keys = host.exec("sh", "-c", "cat /etc/ssh/ssh_host_*_key.pub").splitlines()
    return [f"{host.name} {' '.join(key.split()[:2])}" for key in keys]


def _writer(host: Host, _writer: Host) -> None:
    secret = credentials()
    host.exec("systemctl", "enable", "--quiet", "--now", "postgresql.service", host.postgres_unit)
    statements = [
        statement("ALTER ROLE postgres PASSWORD {}", Text(secret.superuser)),
        statement("CREATE ROLE {} REPLICATION LOGIN PASSWORD {}", Name(REPLICATOR), Text(secret.replicator)),
    ]
    host.exec("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", user="postgres", stdin=";\n".join(statements))
    host.server.create_database(SAMPLE)
    connection = host.server.connect(SAMPLE)
    try:
        load(connection, "small", password=secret.application)
    finally:
        connection.close()
    fresh_database(host, PLAYGROUND)


def _replica(host: Host, writer: Host) -> None:
    major = host.release.postgres
    data = f"/var/lib/postgresql/{major}/main"
    connection = f"host={writer.name} user={REPLICATOR} password={credentials().replicator} application_name={host.name}"
    # The connection string comes in by standard input: a password in a process list is one in the open.
    script = f'read -r connection; rm -rf {data}; exec pg_basebackup -d "$connection" -D {data} -R -X stream -c fast'
    host.exec("sh", "-eu", "-c", script, user="postgres", stdin=f"{connection}\n")
    host.exec("systemctl", "enable", "--quiet", "--now", "postgresql.service", host.postgres_unit)


def _pooler(host: Host, writer: Host) -> None:
    # The same SCRAM secrets as on the server let PgBouncer in there, and clients in here.
    wanted = ["postgres", *LOGIN_ROLES]
    found = writer.server.rows("SELECT rolname::text, rolpassword FROM pg_authid WHERE rolname = ANY(%s) ORDER BY 1", (wanted,))
    users = "".join(f'"{name}" "{password}"\n' for name, password in found)
    host.write("/etc/pgbouncer/userlist.txt", users, "postgres", "0640")
    host.write(
        "/etc/pgbouncer/pgbouncer.ini",
        "[databases]\n"
        f"* = host={writer.name} port=5432\n"
        "[pgbouncer]\n"
        "listen_addr = *\nlisten_port = 6432\nunix_socket_dir = /var/run/postgresql\n"
        "auth_type = scram-sha-256\nauth_file = /etc/pgbouncer/userlist.txt\nadmin_users = postgres\n"
        "pool_mode = transaction\nmax_client_conn = 100\ndefault_pool_size = 5\n"
        "logfile = /var/log/postgresql/pgbouncer.log\npidfile = /var/run/postgresql/pgbouncer.pid\n",
        "postgres",
        "0640",
    )
    host.exec("systemctl", "enable", "--quiet", "--now", "pgbouncer.service")


def _monitor(host: Host, _writer: Host) -> None:
    host.exec("systemctl", "enable", "--quiet", "--now", "prometheus.service")


def _application(host: Host, writer: Host) -> None:
    """Give the application's account what it connects with: through the pooler, as its own role."""
    host.exec("useradd", "--create-home", "--shell", "/bin/bash", "app")
    pooler = writer.release.host("pooler")
    host.write("/home/app/.pgpass", f"{pooler}:6432:*:app_web:{credentials().application}\n", "app", "0600")


def _open_ssh(host: Host) -> None:
    """An account that may come in by key, and become postgres, and nobody else, by sudo with its password."""
    host.exec("useradd", "--create-home", "--shell", "/bin/bash", LOGIN)
    host.write("/etc/sudoers.d/deploy", f"{LOGIN} ALL=(postgres) ALL\n", mode="0440")
    host.exec("chpasswd", stdin=f"{LOGIN}:{credentials().login}\n")
    host.exec("install", "-d", "-m", "0700", "-o", LOGIN, "-g", LOGIN, f"/home/{LOGIN}/.ssh")
    host.write(f"/home/{LOGIN}/.ssh/authorized_keys", f"{public_key()}\n", LOGIN, "0600")
    host.write("/etc/ssh/sshd_config.d/lab.conf", _SSHD)
    host.exec("ssh-keygen", "-A")
    host.exec("systemctl", "enable", "--quiet", "--now", "ssh.service")


_ROLES: dict[str, Callable[[Host, Host], None]] = {
    "writer": _writer,
    "replica": _replica,
    "pooler": _pooler,
    "monitor": _monitor,
    "application": _application,
}
