"""A connection that cannot be: each is refused with what was found and what to do, and no password is ever shown."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.integration.databases import Target, wait_until
from tests.integration.evidence import require_same, state
from tests.integration.playbooks import Playbooks, Run
from tests.support.host import RELOCATION_ROOT, Account, command_line
from tests.support.servers import free_port

pytestmark = [pytest.mark.playbook, pytest.mark.majors(18), pytest.mark.no_role("connections that fail, and what is said of them")]
SECRET = "p@ss:w/rd %40'\"{{ 7*7 }}"
PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")


def _refused(playbooks: Playbooks, *words: str, **variables: Any) -> Run:
    """Preflight does not begin, says all of this, shows no secret, and leaves the database alone."""
    before = state(playbooks.target)
    run = playbooks.run("preflight", **variables).refused(*words, "What to do")
    for secret in (playbooks.target.server.password, SECRET, quote(SECRET, safe="")):
        assert secret not in run.output
    require_same(before, state(playbooks.target))
    return run


def test_nobody_listens(playbooks: Playbooks) -> None:
    with socket.socket() as held:  # so that nobody else comes to listen there meanwhile
        held.bind(("127.0.0.1", 0))
        _refused(playbooks, "refused", "multischema_login_port", multischema_login_port=held.getsockname()[1])


def test_a_wrong_password_is_never_shown(playbooks: Playbooks) -> None:
    playbooks.connection["multischema_login_password"] = SECRET
    playbooks.configure()
    _refused(playbooks, "password authentication failed", "multischema_login_password")
    loud = playbooks.start("preflight", "-vvv", "--diff", callback="default").wait()
    assert loud.rc != 0
    assert SECRET not in loud.output


def test_a_right_password_is_never_shown_either(playbooks: Playbooks) -> None:
    target = playbooks.target
    target.execute("DROP ROLE IF EXISTS secretive", "CREATE ROLE secretive LOGIN SUPERUSER")
    with target.session() as connection, connection.cursor() as cursor:
        cursor.execute("ALTER ROLE secretive PASSWORD %s", (SECRET,))
    url = f"postgresql://secretive:{quote(SECRET, safe='')}@127.0.0.1:{target.server.port}/{target.name}?schema=public&connection_limit=5"
    playbooks.configure(multischema_database_url=url)
    try:
        run = playbooks.start("plan", "-vvv", "--diff", callback="default").wait().ok()
        for secret in (SECRET, quote(SECRET, safe="")):
            assert secret not in run.output
            assert not [path for path in playbooks.artifacts.rglob("*") if path.is_file() and secret in path.read_text()]
        assert "connection_limit" in run.stdout  # what was dropped from the URL is said
    finally:
        target.execute("DROP ROLE secretive")


def test_an_unknown_database(playbooks: Playbooks) -> None:
    _refused(playbooks, 'database "nowhere" does not exist', "multischema_login_db", multischema_login_db="nowhere")


def test_a_malformed_url(playbooks: Playbooks) -> None:
    url = f"postgresql:/user:{quote(SECRET, safe='')}@127.0.0.1/x"
    _refused(playbooks, "multischema_database_url cannot be used", "postgresql://USER:PASSWORD", multischema_database_url=url)


def test_a_url_through_a_pooler(playbooks: Playbooks) -> None:
    url = f"{playbooks.target.url()}?pgbouncer=true"
    _refused(playbooks, "pgbouncer=true", "DIRECT_URL", multischema_database_url=url)


@pytest.fixture
def pooler(playbooks: Playbooks) -> Iterator[int]:
    """The port of a real PgBouncer in front of the database."""
    if PGBOUNCER is None:
        pytest.skip(reason="PgBouncer is not installed here (apt-get install pgbouncer)")
    target, account = playbooks.target, Account()
    directory, port = Path(tempfile.mkdtemp(prefix="multischema-pgbouncer-", dir=RELOCATION_ROOT)), free_port()
    pid_file = directory / "pid"
    (directory / "pgbouncer.ini").write_text(_pgbouncer_ini(target, directory, port))
    account.own(directory, directory / "pgbouncer.ini")
    try:
        account.run([PGBOUNCER, "-d", str(directory / "pgbouncer.ini")])
        wait_until(lambda: _listens(port), "PgBouncer listens")  # it has gone into the background before that
        yield port
    finally:
        if pid_file.exists():
            pid = int(pid_file.read_text())
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: not command_line(pid), "PgBouncer ends")
        shutil.rmtree(directory)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _pgbouncer_ini(target: Target, directory: Path, port: int) -> str:
    server = target.server
    return f"""
[databases]
{target.name} = host={server.host} port={server.port} user={server.user} password={server.password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
logfile = {directory}/log
pidfile = {directory}/pid
"""


def test_a_real_pooler(playbooks: Playbooks, pooler: int) -> None:
    _refused(playbooks, "connection pooler", "5432", multischema_login_port=pooler)
    console = _refused(playbooks, "What to do", multischema_login_port=pooler, multischema_login_db="pgbouncer")
    assert "pooler" in console.message
