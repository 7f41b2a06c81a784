"""Where and how to connect, read from options or from one ``postgresql://`` URL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError

# Parameters that Prisma reads from its URL and libpq refuses.
PRISMA_ONLY = ("schema", "connection_limit", "pool_timeout", "statement_cache_size", "socket_timeout")
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
# libpq parameters that may stand in a URL (manual, 34.1.2) and that this tool passes on.
PASSED_ON = (
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "sslcrl",
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "channel_binding",
    "gssencmode",
    "krbsrvname",
    "target_session_attrs",
    "host",
    "hostaddr",
    "port",
    "user",
    "password",
    "dbname",
    "options",
    "application_name",
)
CONNECT_TIMEOUT_S = 10
_PARAMETER_NAME = re.compile(r"[a-z_]+")


@dataclass(frozen=True)
class ConnectionSettings:
    """What libpq is given, and what a person should know about it.

    ``parameters`` may hold the password: it is not part of the representation.
    """

    parameters: Mapping[str, str] = field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def password(self) -> str:
        """The password, or nothing."""
        return self.parameters.get("password", "")

    @property
    def label(self) -> str:
        """Where this leads, without secrets: ``user@host:port/database``."""
        p = self.parameters
        host = p.get("host") or "local socket"
        return f"{p.get('user', 'default user')}@{host}:{p.get('port', '5432')}/{p.get('dbname', 'default database')}"

    def in_database(self, name: str) -> ConnectionSettings:
        """The same connection, to another database of the server."""
        return replace(self, parameters={**self.parameters, "dbname": name})


def _malformed(reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"multischema_database_url cannot be used: {reason}.",
        "It must be one PostgreSQL URL. (It is not shown here because it may hold a password.)",
        "Write postgresql://USER:PASSWORD@HOST:5432/DATABASE, special characters percent-encoded (@ is %40, / is %2F).",
    )


def _query_parameters(query: str) -> tuple[dict[str, str], list[str]]:
    parameters: dict[str, str] = {}
    notes: list[str] = []
    for part in filter(None, query.split("&")):
        # libpq decodes %XX and nothing else: a plus sign is a plus sign.
        key, value = (unquote(text) for text in [*part.split("=", 1), ""][:2])
        if key in PRISMA_ONLY:
            notes.append(f"{key}={value} in the database URL is Prisma's own and is left out here")
        elif key == "pgbouncer":
            if value.lower() in ("true", "1"):
                raise ConfigurationError(
                    "multischema_database_url says pgbouncer=true.",
                    "That URL leads through a pooler, and schema changes must not go through one: session state and "
                    "locks end up on a connection that someone else gets next.",
                    "Give the URL of the PostgreSQL server itself (Prisma's DIRECT_URL).",
                )
        elif key in PASSED_ON:
            parameters[key] = value
        else:
            # What stands here may be the end of a password with a '?' in it, so it is shown only where it looks like a name.
            known = f"the parameter {key!r}" if _PARAMETER_NAME.fullmatch(key) and "@" not in query else "a parameter"
            raise _malformed(
                f"it has {known}, which PostgreSQL's client library does not know (a '?' in a password must be percent-encoded)"
            )
    return parameters, notes


def _port(netloc: str, parts: Any) -> str | None:
    try:
        port: int | None = parts.port
    except ValueError:
        # "from None": the cause would quote what stands there, which may be a piece of a password.
        raise _malformed("its port is not a number from 1 to 65535") from None
    if port == 0 or netloc.endswith(":"):
        raise _malformed("its port is empty or 0")
    return None if port is None else str(port)


def parse_url(url: str) -> ConnectionSettings:
    """Read a ``postgresql://`` URL.

    :raises ConfigurationError: when it is not one, or leads through a pooler; the URL itself is never in the message.
    """
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        raise _malformed("it is not a URL (an IPv6 address stands in brackets)") from None
    if parts.scheme not in ("postgresql", "postgres"):
        raise _malformed("it does not begin with postgresql://")
    if parts.fragment or " " in url.strip():
        raise _malformed("it has a '#' or a space in it, which must be percent-encoded")
    parameters, notes = _query_parameters(parts.query)
    if "@" in parts.path:
        raise _malformed("its database name has an '@' in it; a password with '/' or '@' must be percent-encoded")
    location = {
        "host": unquote(parts.hostname or ""),
        "port": _port(parts.netloc, parts) or "",
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "dbname": unquote(parts.path[1:]),
    }
    if "/" in location["dbname"]:
        raise _malformed("its database name has a '/' in it; a password with '/', '?' or '#' must be percent-encoded")
    parameters = {**{key: value for key, value in location.items() if value}, **parameters}
    if any("\x00" in value for value in parameters.values()):
        raise _malformed("it has a NUL character in it (%00)")
    if "dbname" not in parameters:
        raise _malformed("it names no database")
    return ConnectionSettings(parameters, tuple(notes))


def read_connection(options: Mapping[str, Any]) -> ConnectionSettings:
    """Read connection options.

    :param options: ``login_host``, ``login_port``, ``login_user``, ``login_password``, ``login_db``,
        ``login_unix_socket``, ``ssl_mode``, ``ca_cert`` and ``database_url``, which comes before the others.
    :raises ConfigurationError: for a malformed URL or option.
    """
    if options.get("database_url"):
        return parse_url(str(options["database_url"]))
    ssl_mode = options.get("ssl_mode") or "prefer"
    if ssl_mode not in SSL_MODES:
        raise ConfigurationError(
            f"multischema_ssl_mode is {ssl_mode!r}.",
            "PostgreSQL does not know it.",
            f"Write one of {', '.join(SSL_MODES)}.",
        )
    parameters = {
        "host": options.get("login_unix_socket") or options.get("login_host"),
        "port": options.get("login_port"),
        "user": options.get("login_user"),
        "password": options.get("login_password"),
        "dbname": options.get("login_db"),
        "sslmode": ssl_mode,
        "sslrootcert": options.get("ca_cert"),
    }
    if not parameters["dbname"]:
        raise ConfigurationError(
            "No database is named.",
            "Every phase works on exactly one database.",
            "Set multischema_login_db, or multischema_database_url: postgresql://USER:PASSWORD@HOST:5432/DATABASE.",
        )
    return ConnectionSettings({key: str(value) for key, value in parameters.items() if value not in (None, "")})


def options_for(options: Mapping[str, Any], database: str) -> dict[str, Any]:
    """The same connection options for another database of the same server.

    :param options: as for :func:`read_connection`, which has accepted them.
    """
    if not options.get("database_url"):
        return {**options, "login_db": database}
    parts = urlsplit(str(options["database_url"]).strip())
    query = "&".join(part for part in parts.query.split("&") if unquote(part.split("=", 1)[0]) != "dbname")
    return {**options, "database_url": parts._replace(path="/" + quote(database, safe=""), query=query).geturl()}
