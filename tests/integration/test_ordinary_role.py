"""The whole way as a role that is no superuser: a member of the owners that may create in the database and in public."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from psycopg2 import sql

from tests.integration.evidence import disagreements, require_same, state
from tests.integration.placements import OWNED_STATISTICS, SAMPLE_TARGETS
from tests.integration.playbooks import Playbooks

pytestmark = [pytest.mark.playbook, pytest.mark.majors(15, 18)]


@pytest.fixture
def migrator(playbooks: Playbooks) -> Iterator[Playbooks]:
    """The playbooks, logging in as such a role."""
    target = playbooks.target
    role, password = f"migrator_{uuid.uuid4().hex[:8]}", "not a superuser's"
    name, database = sql.Identifier(role), sql.Identifier(target.name)
    target.execute(
        sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER PASSWORD {}").format(name, sql.Literal(password)),
        sql.SQL("GRANT app_owner, analytics_owner TO {}").format(name),
        sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(database, name),
        sql.SQL("GRANT CREATE, USAGE ON SCHEMA public TO {}").format(name),
        *OWNED_STATISTICS,
    )
    playbooks.connection |= {"multischema_login_user": role, "multischema_login_password": password}
    playbooks.configure()
    yield playbooks
    target.drop()
    target.server.execute(sql.SQL("DROP OWNED BY {}").format(name))
    target.server.execute(sql.SQL("DROP ROLE {}").format(name))


def test_there_and_back_without_a_superuser(migrator: Playbooks) -> None:
    target = migrator.target
    before = state(target)
    migrator.run("site").ok()
    assert disagreements(target, SAMPLE_TARGETS) == []
    assert migrator.run("phase2").ok().changed == 0
    with target.session(user="app_web", password="sample") as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO public.guardians (full_name) VALUES ('by the old name') RETURNING id")
        cursor.execute("DELETE FROM tenant_kct.guardians WHERE full_name = 'by the old name'")
        assert cursor.rowcount == 1
    migrator.run("rollback").ok()
    after = state(target)
    require_same(type(after)(before.schema, before.rows, after.sequences, before.settings), after)
    used = {value[0] for oid, value in after.sequences.items() if before.sequences[oid] != value}
    assert used == {"guardians_id_seq"}
