"""One direct connection to PostgreSQL, and the translation of its errors."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.dbops.multischema.plugins.module_utils.connection import (
    CONNECT_TIMEOUT_S,
    ConnectionSettings,
)
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConnectionFailed, ServerRefused
from ansible_collections.dbops.multischema.plugins.module_utils.silence import Silence
from ansible_collections.dbops.multischema.plugins.module_utils.troubles import CONNECTION_LOST, LOCK_TABLE_FULL, trouble

try:
    import psycopg2
except ImportError:  # require_driver() says so, with the way out
    psycopg2 = None  # type: ignore[assignment]

APPLICATION_NAME = "dbops.multischema"
OLDEST_VERSION = 130000

# What a session must not take over from its role, its database or the server's configuration. Names in what we send are
# always qualified; the path that holds nothing makes sure that a mistake is an error. Timeouts would end our sessions,
# another isolation level would let a step fail whose lease is renewed meanwhile, the rest changes how text is read or
# written. What is prepared is planned only once, and nothing of ours runs long enough to be worth compiling. The role and
# read-only transactions stay as they are set: whoever has set them means us.
SESSION = """
SET search_path = pg_catalog; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0;
SET default_transaction_isolation = 'read committed'; SET default_transaction_deferrable = off;
SET standard_conforming_strings = on; SET quote_all_identifiers = off; SET array_nulls = on; SET row_security = on;
SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET IntervalStyle = 'postgres'; SET extra_float_digits = 1;
SET bytea_output = 'hex'; SET client_min_messages = warning; SET plan_cache_mode = force_generic_plan;
SET jit = off
"""
LATER_TIMEOUTS = ((140000, "idle_session_timeout"), (170000, "transaction_timeout"))

CHECK_VIOLATION = "23514"
DEADLOCK = "40P01"
LOCK_NOT_AVAILABLE = "55P03"
OBJECTS_DEPEND = "2BP01"
NOT_NULL_VIOLATION = "23502"
QUERY_CANCELED = "57014"
UNDEFINED_TABLE = "42P01"


def require_driver() -> None:
    """:raises ConnectionFailed: when psycopg2 is not installed for this Python."""
    if psycopg2 is None:
        raise ConnectionFailed(
            "psycopg2 is not installed for the Python that runs the modules on this host.",
            "It is what speaks to PostgreSQL.",
            "apt-get install python3-psycopg2, or pip install psycopg2-binary; or set ansible_python_interpreter.",
        )


def driver_version() -> str:
    """The version of psycopg2, without what it was built with: ``2.9.10``."""
    require_driver()
    return str(vars(psycopg2)["__version__"]).split()[0]


def _explain_failure(settings: ConnectionSettings, error: Exception) -> ConnectionFailed:
    """Turn libpq's message into what is wrong and what to do. libpq gives no SQLSTATE for a failed connection."""
    text = " ".join(str(error).split())
    if settings.password:
        text = text.replace(settings.password, "********")
    found = f"Cannot connect to {settings.label}: {text}"
    cases = (
        (("password authentication failed", "no password supplied"), "The server does not accept this user with this password.",
         "Check multischema_login_user and multischema_login_password (or the URL); the password belongs in a vault file."),
        (("no pg_hba.conf entry", "Peer authentication failed", "Ident authentication failed", "rejects connection"),
         "The server's pg_hba.conf does not let this user in from here.",
         "Add a line for it to pg_hba.conf, connect from a host that is allowed, or set multischema_become_user for peer "
         "authentication."),
        (("SSL", "certificate"), "The encrypted connection could not be made.",
         "Check multischema_ssl_mode and multischema_ca_cert."),
        (("does not exist",), "The server was reached, but it has no such database or role.",
         "Check multischema_login_db and multischema_login_user (or the URL); psql -l lists the databases."),
        (("could not translate host name",), "The host name is not known.", "Check multischema_login_host (or the URL)."),
        (("Connection refused", "No such file or directory", "No route to host", "timeout expired", "Network is unreachable"),
         "Nobody answers there: the server is down, listens elsewhere, or a firewall is in the way.",
         "Check multischema_login_host and multischema_login_port (or the URL), and that PostgreSQL runs (pg_lsclusters, systemctl status "
         "postgresql)."),
        (("too many clients", "remaining connection slots"), "The server has no free connection.",
         "Free some, or raise max_connections; a migration needs one (and one for each further worker)."),
        (("out of shared memory",), *LOCK_TABLE_FULL),
        (("starting up", "shutting down", "not yet accepting", "in recovery mode"),
         "The server is starting, stopping or recovering.", "Wait until it accepts connections and run again."),
    )  # fmt: skip
    for signs, why, remedy in cases:
        if any(sign in text for sign in signs):
            return ConnectionFailed(found, why, remedy)
    return ConnectionFailed(found, "The client library gave this reason.", "Correct the connection settings and run again.")


class Database:
    """A session. Statements run in autocommit unless inside :meth:`transaction`.

    :param settings: where to connect.
    :raises ConnectionFailed: unreachable, refused, too old, or not a direct connection.
    """

    def __init__(self, settings: ConnectionSettings, purpose: str = "") -> None:
        require_driver()
        self.settings = settings
        self._prepared: set[str] = set()
        self._silence = Silence.of(settings.parameters)
        parameters: dict[str, Any] = {
            "connect_timeout": str(CONNECT_TIMEOUT_S),
            **self._silence.client,
            **settings.parameters,
            "application_name": f"{APPLICATION_NAME} {purpose}".strip(),
            "client_encoding": "UTF8",
        }
        try:
            self._connection = psycopg2.connect(**parameters)
        except psycopg2.Error as error:
            raise _explain_failure(settings, error) from error
        self._connection.autocommit = True
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    def _check(self) -> None:
        try:
            # Before all else: a database may have set a very short one, or put a schema in front in which someone else's
            # function bears a name that is used here.
            self.execute("SET statement_timeout = 0; SET search_path = pg_catalog")
            version, backend_pid, on_linux = self.rows(
                "SELECT current_setting('server_version_num')::int, pg_backend_pid(), version() LIKE '%linux%'"
            )[0]
        except ServerRefused as error:
            raise ConnectionFailed(
                f"{self.settings.label} does not answer like a PostgreSQL database: {error.found}",
                "This may be a pooler's console or another service.",
                "Give the address of the PostgreSQL server itself.",
            ) from error
        # A pooler hands out keys of its own, so the process that libpq was told of is not the one that answers.
        if self._connection.info.backend_pid != backend_pid:
            raise ConnectionFailed(
                f"{self.settings.label} leads through a connection pooler (PgBouncer or the like).",
                "Schema changes must not go through one: timeouts and locks would end up on a connection that someone else gets next.",
                "Give the address and port of the PostgreSQL server itself, for example port 5432 instead of 6432.",
            )
        if version < OLDEST_VERSION:
            raise ConnectionFailed(
                f"The server is PostgreSQL {self.value('SHOW server_version')}.",
                "This tool works with PostgreSQL 13 and newer; what it relies on is missing or unproved on older ones.",
                "Upgrade the server first.",
            )
        later = [name for since, name in LATER_TIMEOUTS if version >= since]
        self.execute("; ".join([SESSION, *(f"SET {name} = 0" for name in later), self._silence.server(version, on_linux=on_linux)]))

    def hold_nothing_in_silence(self) -> None:
        """From now on the server gives up a transaction whose next message does not come; for sessions that take locks."""
        self.execute(f"SET idle_in_transaction_session_timeout = {self._silence.idle_ms:d}")

    def rows(self, query: str, parameters: Mapping[str, Any] | tuple[Any, ...] | None = None) -> list[tuple[Any, ...]]:
        """Run a statement and fetch everything.

        :raises ServerRefused: with SQLSTATE and the server's own words.
        """
        cursor = self._sent(query, parameters)
        return list(cursor.fetchall()) if cursor.description else []

    def prepared(self, name: str, query: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """Run a query that is run for every step, planned once a session.

        :param name: an identifier of our own for it.
        :param query: with ``$1`` and so on where the parameters go.
        """
        self.prepare(name, query)
        return self.rows(self.execution(name, parameters))

    def prepare(self, name: str, query: str) -> None:
        """Have a query planned, unless that has been done in this session."""
        if name not in self._prepared:
            self.execute(f"PREPARE {name} AS {query}")
            self._prepared.add(name)

    def execution(self, name: str, parameters: tuple[Any, ...]) -> str:
        """The statement that runs a prepared query, with its parameters in it."""
        with self._connection.cursor() as cursor:
            text: bytes = cursor.mogrify(f"EXECUTE {name} ({', '.join(['%s'] * len(parameters))})", parameters)
        return text.decode()

    def value(self, query: str, parameters: Mapping[str, Any] | tuple[Any, ...] | None = None) -> Any:
        """The first column of the first row, or None."""
        found = self.rows(query, parameters)
        return found[0][0] if found else None

    def execute(self, statement: str, parameters: Mapping[str, Any] | tuple[Any, ...] | None = None) -> int:
        """Run a statement that returns nothing of interest.

        :returns: the number of rows that it touched, -1 where that has no meaning.
        """
        return int(self._sent(statement, parameters).rowcount)

    def _sent(self, statement: str, parameters: Mapping[str, Any] | tuple[Any, ...] | None) -> Any:
        """The cursor that has run a statement; it goes when nobody looks at it any more."""
        try:
            cursor = self._connection.cursor()
            cursor.execute(statement, parameters or None)
        except psycopg2.Error as error:
            raise _refusal(error, statement) from error
        return cursor

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside is done or undone together."""
        self.execute("BEGIN")
        try:
            yield
        except BaseException:
            self.rollback()
            raise
        self.execute("COMMIT")

    @contextlib.contextmanager
    def rolled_back_on_error(self) -> Iterator[None]:
        """Like :meth:`transaction`, around statements that begin and commit one themselves."""
        try:
            yield
        except BaseException:
            self.rollback()
            raise

    def rollback(self) -> None:
        """Give up the open transaction; nothing happens where there is none or the connection is gone."""
        if not self._connection.closed:
            with contextlib.suppress(psycopg2.Error), self._connection.cursor() as cursor:
                cursor.execute("ROLLBACK")

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Several reads that see the same instant, and cannot write."""
        self.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            yield
        finally:
            self.rollback()

    @property
    def broken(self) -> bool:
        """Whether the connection is gone."""
        return bool(self._connection.closed)

    def cancel(self) -> None:
        """Cancel the running statement; may be called from a signal handler or another thread."""
        self._connection.cancel()

    def close(self) -> None:
        """End the session."""
        with contextlib.suppress(psycopg2.Error):
            self._connection.close()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def _refusal(error: Any, statement: str) -> ServerRefused:
    diagnostics = getattr(error, "diag", None)
    primary = getattr(diagnostics, "message_primary", None) or " ".join(str(error).split())
    detail = getattr(diagnostics, "message_detail", None) or ""
    hint = getattr(diagnostics, "message_hint", None) or ""
    lost = isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError))
    sqlstate = error.pgcode or (CONNECTION_LOST if lost else "")
    known = trouble(sqlstate, primary)
    if known is not None:
        detail, hint = known
    return ServerRefused(f"PostgreSQL: {primary}" + (f" [{sqlstate}]" if sqlstate else ""), detail, hint, sqlstate, statement)
