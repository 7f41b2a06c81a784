"""A rehearsal tries everything on a copy, says what it took, and leaves the live database and its server as they were."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from psycopg2 import sql

from ansible_collections.dbops.multischema.plugins.module_utils.checks import Check
from ansible_collections.dbops.multischema.plugins.module_utils.client_tools import find_tools
from ansible_collections.dbops.multischema.plugins.module_utils.connection import parse_url
from ansible_collections.dbops.multischema.plugins.module_utils.copy_picture import differences, take_picture
from ansible_collections.dbops.multischema.plugins.module_utils.copying import TOOLS, copies_of, drop_copy, make_copy, new_name
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError, JournalError
from ansible_collections.dbops.multischema.plugins.module_utils.journal import Journal
from ansible_collections.dbops.multischema.plugins.module_utils.plain import to_plain
from ansible_collections.dbops.multischema.plugins.module_utils.plan import PHASE_SCHEMAS
from ansible_collections.dbops.multischema.plugins.module_utils.readiness import Question, dumps
from ansible_collections.dbops.multischema.plugins.module_utils.rehearsal import GIVEN, SCRATCH
from ansible_collections.dbops.multischema.plugins.module_utils.rehearsal_judgement import RehearsalDemand
from ansible_collections.dbops.multischema.plugins.plugin_utils.rehearsal_receipt import check_rehearsal
from ansible_collections.dbops.multischema.plugins.plugin_utils.rehearsing import RehearsalFailed
from tests.integration.core import Core
from tests.integration.databases import Target
from tests.integration.evidence import require_same, state
from tests.integration.movers import IN_EACH_DATABASE, OF_THE_SAMPLE, right, twin
from tests.integration.placements import SHOP_SQL, sample_steps, shop
from tests.integration.placements import sample as configuration
from tests.integration.rehearsals import CoreStage, Nobody, allow_copies, copies, rehearse, rehearsing

STRAY_SETTINGS = "SELECT count(*) FROM pg_db_role_setting WHERE setdatabase <> 0 AND setdatabase NOT IN (SELECT oid FROM pg_database)"


def of_the_shop(target: Target) -> Core:
    """The small database, ready to be rehearsed."""
    target.execute(SHOP_SQL)
    allow_copies(target)
    return Core(target, shop(target.owner))


def test_the_shop_goes_there_and_back_and_the_live_database_is_only_read(empty: Target) -> None:
    core = of_the_shop(empty)
    before, plan = state(empty), core.plan()
    receipt = rehearse(core)
    require_same(before, state(empty))
    assert copies(empty) == []
    assert empty.value(STRAY_SETTINGS) == 0
    assert (receipt.plan_digest, receipt.copy.origin, receipt.copy.tables, receipt.copy.rows) == (plan.digest, SCRATCH, 5, 103)
    assert [step.id for step in receipt.steps] == [step.id for step in plan.steps]
    assert all(step.duration_ms > 0 and step.held_ms > 0 and step.undo_ms > 0 and step.undo_held_ms > 0 for step in receipt.steps)
    assert {"copy", "phase 1", "phase 2", "verification", "rollback", "comparison"} <= receipt.seconds.keys()
    assert {check["status"] for check in receipt.checks} == {"pass"}


@pytest.mark.majors(18)
def test_the_sample_goes_there_and_back_on_a_copy_that_was_made_for_it_or_given(sample: Target) -> None:
    core, given = Core(sample, configuration()), None
    before = state(sample)
    if sample.mover is not None:
        # What belongs to the superuser an ordinary role could not restore: an administrator makes the copy.
        name = new_name(sample.name)
        make_copy(parse_url(sample.superuser_url), name, CoreStage(core).tools, Nobody())
        given = replace(sample, name=name)
        replace(given, owner=None).execute(*(right(part, given, sample.mover.user, OF_THE_SAMPLE) for part in IN_EACH_DATABASE))
    try:
        receipt = rehearse(core, given)
    finally:
        if given is not None:
            given.drop()
    require_same(before, state(sample))
    assert copies(sample) == []
    assert (len(receipt.steps), receipt.copy.origin) == (sample_steps(sample), GIVEN if given else SCRATCH)
    paths = [step.id for step in receipt.steps if step.id.startswith("search_path:")]
    assert len(paths) == (0 if sample.mover else len(configuration()["application_roles"]))


# --- does the receipt count ---


def asked(core: Core, path: Path, hours_later: float = 0, **changes: object) -> Check:
    """What preflight says of the receipt."""
    catalog, entries = core.observe()
    now = datetime.now(UTC) + timedelta(hours=hours_later)
    demand = RehearsalDemand(True, "", timedelta(hours=168), bool(entries), now)
    values = replace(core, values={**core.values, **changes}).configuration
    return check_rehearsal(path, catalog, [entry.step for entry in entries], values, demand)


@pytest.mark.majors(18)
def test_a_receipt_counts_for_exactly_this_plan_of_this_database(empty: Target, tmp_path: Path) -> None:
    core, path = of_the_shop(empty), tmp_path / "rehearsal.json"
    assert "missing" in asked(core, path).detail
    path.write_bytes(rehearse(core).to_bytes())
    assert asked(core, path).status == "pass"
    assert "169 h old" in asked(core, path, hours_later=169).detail

    otherwise = asked(core, path, placement=core.values["placement"][:2], unplaced="keep")
    assert "move:public.notes is only in the rehearsed plan" in otherwise.detail
    path.write_bytes(path.read_bytes().replace(b'"rows": 103', b'"rows": 104'))
    assert "it was edited" in asked(core, path).detail
    path.write_bytes(path.read_bytes().replace(b'"rows": 104', b'"rows": 103'))

    other = twin(empty)
    try:
        other.execute(SHOP_SQL)
        assert "about another database" in asked(replace(core, target=other), path).detail
    finally:
        other.drop()

    empty.execute("CREATE TABLE visits_2027 PARTITION OF visits FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')")
    assert asked(core, path).status == "pass", "a partition that has joined a rehearsed tree goes with it"
    for statement in ("ALTER TABLE orders ADD COLUMN note text", "CREATE TABLE later (id int)", "DROP TABLE notes"):
        empty.execute(statement)
    found = asked(core, path, unplaced="keep", placement=core.values["placement"][:2])
    assert found.status == "fail"
    for words in ("public.orders has changed", "public.notes is gone", "public.later is new"):
        assert words in found.detail
    assert "visits" not in found.detail


@pytest.mark.majors(18)
def test_in_the_middle_of_the_migration_and_after_it_the_receipt_goes_on_to_count(empty: Target, tmp_path: Path) -> None:
    core, path = of_the_shop(empty), tmp_path / "rehearsal.json"
    path.write_bytes(rehearse(core).to_bytes())
    plan = core.plan()
    first = len(plan.of_phase(PHASE_SCHEMAS))
    for begin, end in ((0, first), (first, first + 2)):
        core.work("phase2", plan.digest, [to_plain(step) for step in plan.steps[begin:end]])
        assert asked(core, path, hours_later=1000).status == "pass", f"after {end} of {len(plan.steps)} steps"
    empty.execute("CREATE TABLE visits_2027 PARTITION OF visits FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')")
    assert asked(core, path, hours_later=1000).status == "pass", "with a partition that has joined half-way"
    core.apply()
    assert asked(core, path, hours_later=1000).status == "pass", "after all of it"
    with pytest.raises(JournalError, match="The migration of this database has begun"):
        rehearse(core)
    core.roll_back()
    assert asked(core, path).status == "pass", "back at the beginning"


# --- it and the migration of the live database keep out of each other's way ---

WAITING = """#!/bin/sh
case "$*" in *--dbname*) read -r _ < {hold};; esac
exec {real} "$@"
"""


@pytest.mark.majors(18)
def test_no_copy_is_made_while_the_live_database_is_migrated(empty: Target) -> None:
    core = of_the_shop(empty)
    core.apply()
    with core.connect() as database:
        assert Journal(database).take_lease("other", "somebody@elsewhere") is None
    words = r"at work on this database: somebody@elsewhere \(run other\); no copy for a rehearsal is made meanwhile"
    with pytest.raises(JournalError, match=words):
        CoreStage(core).make()
    assert copies(empty) == []
    core.expire_lease()
    stage = CoreStage(core)
    stage.make()
    stage.drop()


@pytest.mark.majors(18)
def test_no_migration_begins_while_a_copy_is_made_and_no_way_back(empty: Target, tmp_path: Path) -> None:
    core = of_the_shop(empty)
    for work in (core.apply, core.roll_back):
        name, meanwhile = new_name(empty.name), Meanwhile(core, work, tmp_path / work.__name__)
        make_copy(parse_url(core.url()), name, meanwhile.tools, meanwhile)
        assert meanwhile.tried == 1
        with core.connect() as database:
            assert drop_copy(database, name)
        work()


class Meanwhile:
    """Watches a copy whose dump waits in front of its first statement: tries something else, which is refused, and lets it go on."""

    def __init__(self, core: Core, work: Callable[[], object], directory: Path) -> None:
        self.core, self.work, self.tried = core, work, 0
        directory.mkdir()
        self._hold = directory / "hold"
        os.mkfifo(self._hold)
        real = core.target.server.bin_dir
        (directory / "pg_dump").write_text(WAITING.format(hold=self._hold, real=real / "pg_dump"))
        (directory / "pg_dump").chmod(0o755)
        (directory / "pg_restore").symlink_to(real / "pg_restore")
        self.tools = find_tools(core.target.server.major * 10000, TOOLS, str(directory))

    def say(self, **_figures: object) -> None:
        """Hear nothing."""

    def check(self) -> None:
        """Try it once."""
        if self.tried:
            return
        self.tried += 1
        before = state(self.core.target)
        try:
            with self.core.connect() as database:
                (check,) = dumps(Question(database, 50, [], 1))
            assert check.status == "fail"
            words = r"(?s)A rehearsal is copying this database: dbops\.multischema rehearsal's copy of \w+, pid \d+.*spoils that rehearsal"
            with pytest.raises(JournalError, match=words):
                self.work()
            require_same(before, state(self.core.target))
        finally:
            self._hold.write_text("\n")


# --- it fails ---

HINDER = """
CREATE FUNCTION hinder() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN {body}; END $$;
CREATE EVENT TRIGGER hinder ON ddl_command_start WHEN TAG IN ('{tag}') EXECUTE FUNCTION hinder();
"""
REFUSE = "RAISE 'not on my watch'"
SEE = "INSERT INTO public.seen VALUES (2)"
SPOIL = "UPDATE public.seen SET n = 7"


@pytest.mark.majors(18)
@pytest.mark.superuser_only("only a superuser makes event triggers")
@pytest.mark.parametrize(
    ("tag", "body", "part", "words"),
    [
        ("CREATE SCHEMA", REFUSE, "phase 1", "not on my watch"),
        ("CREATE VIEW", REFUSE, "phase 2", "not on my watch"),
        ("DROP VIEW", REFUSE, "rollback", "not on my watch"),
        ("CREATE VIEW", SEE, "verification", "public.seen: 1 rows recorded, 6 restored"),
        ("DROP VIEW", "CREATE SEQUENCE IF NOT EXISTS public.stray", "comparison", "CREATE SEQUENCE public.stray"),
        ("DROP VIEW", SPOIL, "comparison", "public.seen: 1 rows as recorded, but their content differs"),
    ],
)
def test_what_goes_wrong_on_the_copy_is_said_and_nothing_of_it_is_left(empty: Target, tag: str, body: str, part: str, words: str) -> None:
    core = of_the_shop(empty)
    core.values = {**core.values, "unplaced": "keep"}
    empty.execute("CREATE TABLE seen (n int)", "INSERT INTO seen VALUES (1)", HINDER.format(tag=tag, body=body))
    before = state(empty)
    with pytest.raises(RehearsalFailed) as failed:
        rehearse(core)
    said = str(failed.value)
    assert said.startswith(f"The rehearsal of {empty.name} has failed at: {part}.")
    assert words in said
    assert "The live database is as it was: it was only read." in said
    assert said.rstrip().endswith("was dropped.")
    require_same(before, state(empty))
    assert copies(empty) == []


@pytest.mark.majors(18)
def test_a_database_that_no_dump_restores_is_not_rehearsed_and_no_copy_is_left(empty: Target) -> None:
    core = of_the_shop(empty)
    # A check that looks into another table by its bare name: written so, the restored rows fail it.
    empty.execute(
        "CREATE TABLE most (n int)",
        "INSERT INTO most VALUES (3)",
        "CREATE FUNCTION within(v int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN RETURN v <= (SELECT max(n) FROM most); END'",
        "CREATE TABLE checked (n int CHECK (within(n)))",
        "INSERT INTO checked VALUES (1)",
    )
    core.values = {**core.values, "unplaced": "keep"}
    before = state(empty)
    with pytest.raises(RehearsalFailed, match=r'has failed at: copy\.\npg_restore ended with 1: .*relation "most" does not exist'):
        rehearse(core)
    require_same(before, state(empty))
    assert copies(empty) == []


@pytest.mark.majors(18)
def test_a_copy_that_is_kept_stays_until_somebody_drops_it_and_nothing_else_is_ever_dropped(empty: Target) -> None:
    core = of_the_shop(empty)
    kept = rehearsing(core, keep=True)
    name = kept.run().copy.name
    assert f"The copy {name} stays" in kept.fate
    named_alike = f"{empty.name}_rehearsal_00000000"
    empty.server.create_database(named_alike)
    try:
        with core.connect() as database:
            assert copies_of(database) == [name]
            with pytest.raises(ConfigurationError, match="is no scratch copy of this one"):
                drop_copy(database, named_alike)
            assert drop_copy(database, name)
            assert not drop_copy(database, name)
        assert copies(empty) == [named_alike]
    finally:
        empty.server.drop_database(named_alike)


@pytest.mark.majors(18)
def test_a_copy_that_is_given_is_another_database_with_the_same_plan(empty: Target) -> None:
    core = of_the_shop(empty)
    with pytest.raises(RehearsalFailed, match="The copy is the live database itself"):
        rehearse(core, empty)
    other = twin(empty)
    try:
        other.execute(SHOP_SQL, "DROP TABLE notes")
        core.values = {**core.values, "placement": [*core.values["placement"][:2], {"schema": "past", "tables": "not*"}]}
        before = state(other)
        with pytest.raises(RehearsalFailed, match=r"move:public\.notes is only in the live database's plan") as failed:
            rehearse(core, other)
        assert "The copy that was given stays." in str(failed.value)
        require_same(before, state(other))
    finally:
        other.drop()


# --- a copy is like its original ---

LIKE = """
SELECT pg_encoding_to_char(encoding), datcollate, datctype,
       to_jsonb(d)->>'datlocprovider', to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale'
  FROM pg_database d WHERE datname = current_database()
"""
SETTINGS = """
SELECT COALESCE(r.rolname, ''), s.setconfig::text FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole
 WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1
"""


@pytest.mark.superuser_only("it sets what only a superuser may, and says who may connect")
@pytest.mark.majors(15, 16, 18)
def test_a_copy_has_the_locale_and_the_settings_of_its_original_and_is_closed_to_others(empty: Target) -> None:
    name = f"Läden von {empty.name}; \\'\"x"
    encoded = sql.Identifier(name)
    empty.server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'").format(encoded))
    original = replace(empty, name=name)
    try:
        for setting in (
            "work_mem = '5MB'",
            "search_path = nowhere, public",
            "temp_tablespaces = pg_default",
            '"Our"."Setting" = \'a, b\'',
            "DateStyle = 'German'",
        ):
            original.execute(sql.SQL("ALTER DATABASE {} SET " + setting).format(encoded))
        original.execute(
            sql.SQL('ALTER ROLE postgres IN DATABASE {} SET search_path = {}, "$user"').format(encoded, sql.SQL('"Odd one"')),
            "CREATE TABLE public.t (v text DEFAULT U&'\\00e4')",
            "INSERT INTO public.t VALUES (U&'\\00e4')",
        )
        copied, tools = new_name(name), CoreStage(Core(original, {})).tools
        made = make_copy(parse_url(original.url()), copied, tools, Nobody())
        copy = replace(empty, name=made.name)
        assert made.notes == ()
        assert len(copied.encode()) <= 63
        assert copy.rows(LIKE) == original.rows(LIKE)
        assert copy.rows(SETTINGS) == original.rows(SETTINGS)
        assert copy.rows("SELECT v FROM public.t") == original.rows("SELECT v FROM public.t")
        assert copy.value("SELECT has_database_privilege('pg_monitor', current_database(), 'CONNECT')") is False
        before, after = (take_picture(parse_url(target.url()), tools, True, Nobody()) for target in (original, copy))
        assert "DEFAULT 'ä'" in after.schema
        assert list(differences(before, after)) == []
        copy.drop()
    finally:
        original.drop()
