"""What a view does in the place of a table, and what it does not: as documented, and said by the plan."""

from __future__ import annotations

import io
from typing import Any

import psycopg2
import pytest

from ansible_collections.dbops.multischema.plugins.module_utils.checks import PASS
from tests.integration.core import Core
from tests.integration.databases import Target
from tests.integration.evidence import require_same_schema
from tests.integration.hazards import accepting, findings, moving, outcome, outcomes, the
from tests.integration.head_start import ready_with
from tests.integration.placements import sample
from tests.integration.playbooks import Playbooks

SQL = """
CREATE TYPE state AS ENUM ('new', 'paid');
CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE TABLE users (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text NOT NULL CONSTRAINT users_email UNIQUE);
CREATE TABLE orders (
  id serial PRIMARY KEY, customer int REFERENCES users, status state DEFAULT 'new', note text DEFAULT 'it''s', total numeric DEFAULT one(),
  made timestamptz NOT NULL DEFAULT now(), twice numeric GENERATED ALWAYS AS (total * 2) STORED, code varchar(8) UNIQUE
);
CREATE TABLE visits (at date NOT NULL, page text) PARTITION BY RANGE (at);
CREATE TABLE visits_2026 PARTITION OF visits FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO users (email) VALUES ('a@x.org'), ('b@x.org');
INSERT INTO orders (customer, status, note, total, code) SELECT 1 + n % 2, 'paid', 'n' || n, n, 'c' || n FROM generate_series(1, 4) n;
INSERT INTO visits VALUES ('2026-02-02', 'x');
"""

WORKS = (
    "SELECT id, status, twice FROM orders ORDER BY id",
    "INSERT INTO orders (customer) VALUES (1) RETURNING id > 4, status, note, total, twice",
    "INSERT INTO orders (id, customer, status) VALUES (DEFAULT, 1, DEFAULT), (DEFAULT, 2, 'paid') RETURNING status",
    "INSERT INTO users (id, email) OVERRIDING SYSTEM VALUE VALUES (70, 'c') RETURNING id",
    "INSERT INTO users (email) VALUES ('a@x.org') ON CONFLICT (email) DO UPDATE SET email = excluded.email || '!' RETURNING email",
    "INSERT INTO users (email) VALUES ('a@x.org') ON CONFLICT DO NOTHING",
    "UPDATE orders o SET note = u.email FROM users u WHERE u.id = o.customer AND o.id = 1 RETURNING o.note",
    "DELETE FROM orders o USING users u WHERE u.id = o.customer AND u.id = 1 RETURNING o.id",
    "WITH gone AS (DELETE FROM orders WHERE id = 4 RETURNING *) SELECT count(*) FROM gone",
    "SELECT id FROM orders WHERE id = 1 FOR UPDATE SKIP LOCKED",
    "SELECT id FROM orders FOR NO KEY UPDATE NOWAIT",
    "LOCK TABLE orders IN SHARE MODE",
    "INSERT INTO visits VALUES ('2026-03-03', 'y') RETURNING page",
    "SELECT (jsonb_populate_recordset(NULL::orders, '[{\"id\": 7}]')).id",
    "INSERT INTO orders (customer) VALUES (99)",  # the foreign key
    "INSERT INTO visits VALUES ('2031-01-01', 'y')",  # no partition
)

# Statements that end with an error by the old name, with its SQLSTATE; on the table they work.
WRONG_TYPE, UNDEFINED_COLUMN, UNDEFINED_OBJECT, GROUPING, UNSUPPORTED, DEPENDENTS = "42809", "42703", "42704", "42803", "0A000", "2BP01"
LOUD = {
    "INSERT INTO users (email) VALUES ('a@x.org') ON CONFLICT ON CONSTRAINT users_email DO NOTHING": UNDEFINED_OBJECT,
    "SELECT o.*, count(*) FROM orders o GROUP BY o.id": GROUPING,
    "SELECT xmin FROM orders": UNDEFINED_COLUMN,
    "SELECT ctid FROM orders": UNDEFINED_COLUMN,
    "SELECT tableoid FROM orders": UNDEFINED_COLUMN,
    "TRUNCATE orders": WRONG_TYPE,
    "SELECT id FROM orders TABLESAMPLE SYSTEM (100)": UNSUPPORTED,
    "CREATE TABLE lines (of_order int REFERENCES orders)": WRONG_TYPE,
    "CREATE INDEX ON orders (note)": WRONG_TYPE,
    "CREATE TRIGGER t AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()": WRONG_TYPE,
    "CREATE POLICY p ON orders": WRONG_TYPE,
    "CREATE TABLE visits_2027 PARTITION OF visits FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')": WRONG_TYPE,
    "ALTER TABLE visits DETACH PARTITION visits_2026": WRONG_TYPE,
    "CREATE TABLE more () INHERITS (users)": WRONG_TYPE,
    "CLUSTER orders USING orders_pkey": WRONG_TYPE,
    "REINDEX TABLE orders": WRONG_TYPE,
    "CREATE PUBLICATION p FOR TABLE orders": "22023",
    "ALTER TABLE orders ADD COLUMN extra int": WRONG_TYPE,
    "ALTER TABLE orders DROP COLUMN note": WRONG_TYPE,
    "ALTER TABLE orders ALTER COLUMN note TYPE varchar(9)": WRONG_TYPE,
    "ALTER TABLE orders ALTER COLUMN note SET NOT NULL": WRONG_TYPE,
    "ALTER TABLE orders ADD CHECK (total > 0)": WRONG_TYPE,
}
MERGE = "MERGE INTO orders o USING users u ON u.id = o.customer WHEN MATCHED THEN UPDATE SET note = u.email"
BY_NEW_NAME = {  # refused on the table itself, because the view shows these columns
    "ALTER TABLE sales.orders DROP COLUMN note": DEPENDENTS,
    "ALTER TABLE sales.orders ALTER COLUMN note TYPE varchar(9)": UNSUPPORTED,
    "DROP TABLE sales.orders": DEPENDENTS,
}


def test_what_works_through_a_view_gives_the_same_answers(empty: Target) -> None:
    empty.execute(SQL)
    before = outcomes(empty, WORKS)
    moving(empty).apply()
    assert outcomes(empty, WORKS) == before
    assert [before[statement] for statement in WORKS[-2:]] == ["23503", "23514"]
    assert len([found for found in before.values() if isinstance(found, str)]) == 2, "only these two are errors"


def test_what_fails_through_a_view_fails_loudly_and_the_plan_lists_it(empty: Target) -> None:
    empty.execute(SQL)
    core, merge_works = moving(empty), empty.server.major >= 17
    loud = {**LOUD, **({} if merge_works else {MERGE: UNSUPPORTED})}
    before = outcomes(empty, loud)
    assert not any(isinstance(found, str) for found in before.values()), "on a table all of it works"
    finding = the(core.plan(), "view_limits")
    assert finding.severity == "warn"
    said = (
        "TRUNCATE",
        "COPY t FROM",
        "ON CONFLICT ON CONSTRAINT",
        "GROUP BY the primary key alone",
        "xmin",
        "PARTITION OF",
        "CREATE INDEX",
        "TYPE",
    )
    assert [word for word in said if word not in finding.reason] == []
    assert ("MERGE INTO" in finding.reason) is not merge_works
    assert "ON CONFLICT ON CONSTRAINT (ON CONFLICT (columns) works), on 2 tables" in finding.reason
    core.apply()
    assert outcomes(empty, loud) == loud
    assert outcomes(empty, BY_NEW_NAME) == BY_NEW_NAME
    with empty.session() as session, session.cursor() as cursor:
        for copy in ("COPY orders (note) FROM STDIN", "COPY orders TO STDOUT"):
            with pytest.raises(psycopg2.errors.WrongObjectType):
                cursor.copy_expert(copy, io.StringIO())
        cursor.execute("BEGIN; DECLARE c CURSOR FOR SELECT * FROM orders; FETCH c")
        with pytest.raises(psycopg2.errors.FeatureNotSupported):
            cursor.execute("DELETE FROM orders WHERE CURRENT OF c")
    if merge_works:
        assert outcome(empty, MERGE) == 4
    # An INSTEAD OF trigger would let COPY in, and break RETURNING and ON CONFLICT: the tool never makes one.
    assert empty.value("SELECT count(*) FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid WHERE c.relkind = 'v'") == 0


UPDATES = (
    "UPDATE orders SET status = DEFAULT WHERE id = 1 RETURNING status",
    "UPDATE orders SET (note, total) = (DEFAULT, DEFAULT) WHERE id = 1 RETURNING note, total",
    "INSERT INTO orders (code) VALUES ('c1') ON CONFLICT (code) DO UPDATE SET note = DEFAULT RETURNING note",
    "UPDATE orders SET made = DEFAULT WHERE id = 1 RETURNING made IS NOT NULL",
)
WITHOUT_DEFAULTS = {UPDATES[0]: [(None,)], UPDATES[1]: [(None, None)], UPDATES[2]: [(None,)], UPDATES[3]: "23502"}


RESET = "CREATE FUNCTION reset() RETURNS void LANGUAGE sql AS 'UPDATE orders SET note = DEFAULT'"


def test_update_to_default_writes_null_through_a_view_and_the_plan_warns(empty: Target) -> None:
    empty.execute(SQL, RESET)
    core = moving(empty)
    assert the(core.plan(), "routine_changes").object == "public.reset()"
    finding = the(core.plan(), "view_update_default")
    assert finding.affects == ("public.orders (status, note, total)",), "made is NOT NULL, so that one is an error"
    assert "multischema_view_defaults" in finding.remedy
    before = outcomes(empty, UPDATES)
    core.apply()
    assert before != outcomes(empty, UPDATES) == WITHOUT_DEFAULTS


def test_views_that_carry_defaults_mean_what_the_table_means(empty: Target) -> None:
    empty.execute(SQL, RESET, "ALTER TABLE orders ADD number text DEFAULT 'n' || nextval('orders_id_seq')")
    dump, before = empty.server.dump_schema(empty.name), outcomes(empty, (*WORKS, *UPDATES))
    core = moving(empty, view_defaults=True)
    plan = core.plan()
    assert the(plan, "view_defaults").affects == ("public.orders (made, note, status, total)",)
    assert the(plan, "view_update_default").affects == ("public.orders (number)",), "its text names a sequence that moves"
    assert findings(plan, "routine_changes") == []
    core.apply()
    assert core.plan().digest == plan.digest
    assert outcomes(empty, (*WORKS, *UPDATES)) == before
    assert all(check.status == PASS for check in core.verify())
    empty.execute("ALTER TABLE sales.orders ALTER note SET DEFAULT 'other', ALTER total DROP DEFAULT")
    (check,) = [check for check in core.verify() if check.status != PASS]
    renewals = [part.split(": ", 1)[1] for part in check.detail.split("; ")]
    assert renewals == ["ALTER VIEW public.orders ALTER COLUMN note SET DEFAULT 'other'::text",
                        "ALTER VIEW public.orders ALTER COLUMN total DROP DEFAULT"]  # fmt: skip
    empty.execute(*renewals)
    assert outcome(empty, UPDATES[1]) == [("other", None)]
    assert all(check.status == PASS for check in core.verify())
    empty.execute("ALTER TABLE sales.orders ALTER note SET DEFAULT 'it''s', ALTER total SET DEFAULT public.one()")
    core.roll_back()
    require_same_schema(dump, empty.server.dump_schema(empty.name))


def test_views_carry_defaults_of_types_that_move_as_well(empty: Target) -> None:
    empty.execute(
        SQL,
        "CREATE DOMAIN word AS text",
        "ALTER TABLE orders ADD several state[] DEFAULT '{new,paid}', ADD said word DEFAULT 'a\\b', ADD chosen state"
        " DEFAULT CASE WHEN now() > '2020-01-01' THEN 'paid'::state ELSE 'new'::state END",
    )
    asked = "UPDATE orders SET status = DEFAULT, several = DEFAULT, said = DEFAULT WHERE id = 1 RETURNING status, several::text, said"
    before = outcome(empty, asked)
    core = moving(empty, view_defaults=True, accept=accepting("type_moves", "public.state"))
    core.values = {**core.values, "placement": [{"schema": "sales", "tables": ["*"], "types": ["state", "word"]}]}
    plan = core.plan()
    assert the(plan, "view_update_default").affects == ("public.orders (chosen)",), "its text names the type"
    core.apply()
    assert core.plan().digest == plan.digest
    assert outcome(empty, asked) == before == [("new", "{new,paid}", "a\\b")]
    assert all(check.status == PASS for check in core.verify())
    core.roll_back()
    assert outcome(empty, asked) == before


def test_serial_sequences_are_not_found_by_the_old_name_and_the_plan_warns(empty: Target) -> None:
    empty.execute(SQL)
    core = moving(empty)
    assert the(core.plan(), "view_serial_sequence").affects == ("public.orders", "public.users")
    asked = [f"SELECT pg_get_serial_sequence('{{}}.{table}', 'id')" for table in ("orders", "users")]
    assert [outcome(empty, one.format("public")) for one in asked] == [[("public.orders_id_seq",)], [("public.users_id_seq",)]]
    core.apply()
    assert [outcome(empty, one.format("public")) for one in asked] == [[(None,)]] * 2
    assert [outcome(empty, one.format("sales")) for one in asked] == [[("sales.orders_id_seq",)], [("sales.users_id_seq",)]]


def test_only_is_ignored_by_a_view_so_an_inheritance_parent_is_refused(empty: Target) -> None:
    empty.execute(
        "CREATE TABLE pages (id int)",
        "CREATE TABLE old_pages () INHERITS (pages)",
        "INSERT INTO pages VALUES (1)",
        "INSERT INTO old_pages VALUES (2), (3)",
    )
    only = ("DELETE FROM ONLY pages", "SELECT count(*) FROM ONLY pages")
    assert [outcome(empty, one) for one in only] == [1, [(1,)]]
    (refusal,) = moving(empty).plan().refusals
    assert (refusal.id, refusal.object) == ("inheritance_only", "public.pages")
    without = moving(empty)
    without.values = {**without.values, "compatibility_views": False}
    assert without.plan().refusals == ()
    moving(empty, accept=accepting("inheritance_only", "public.pages")).apply()
    assert [outcome(empty, one) for one in only] == [3, [(3,)]], "the children's rows as well, without an error"
    assert outcome(empty, "DELETE FROM ONLY sales.pages") == 1


def test_whoever_reads_the_catalog_finds_a_view_and_the_plan_warns(empty: Target) -> None:
    empty.execute(SQL)
    core = moving(empty)
    assert "a view where a table was (4 tables)" in the(core.plan(), "view_introspection").reason
    copy = ("CREATE TABLE copy (LIKE orders INCLUDING ALL)", "INSERT INTO copy (customer) VALUES (1) RETURNING id IS NULL, note")
    keys = "SELECT count(*) FROM information_schema.table_constraints WHERE table_schema = 'public' AND table_name = 'orders'"
    columns = (
        "SELECT is_nullable, column_default IS NULL FROM information_schema.columns WHERE table_schema = 'public' AND column_name = 'made'"
    )
    kind = "SELECT table_type FROM information_schema.tables WHERE table_schema = 'public' AND table_name = 'orders'"
    assert [outcome(empty, *copy), outcome(empty, columns), outcome(empty, kind)] == [
        [(False, "it's")],
        [("NO", False)],
        [("BASE TABLE",)],
    ]
    assert empty.value(keys) > 2
    core.apply()
    assert [outcome(empty, *copy), outcome(empty, columns), outcome(empty, kind)] == [[(True, None)], [("YES", True)], [("VIEW",)]]
    assert empty.value(keys) == 0


def test_what_a_migration_tool_does_to_the_view_alone_is_found_by_verify(empty: Target) -> None:
    empty.execute(SQL)
    core = moving(empty)
    core.apply()
    empty.execute("ALTER TABLE orders RENAME COLUMN note TO remark", "ALTER TABLE orders ALTER COLUMN code SET DEFAULT 'x'")
    empty.execute("ALTER TABLE users RENAME TO people")
    (check,) = [check for check in core.verify() if check.name == "compatibility views"]
    assert "ALTER VIEW public.orders RENAME COLUMN remark TO note" in check.detail
    assert "ALTER VIEW public.orders ALTER COLUMN code DROP DEFAULT" in check.detail
    assert "public.users is missing" in check.detail


def test_a_column_that_a_view_lacks_is_named_with_the_statement_that_renews_it(empty: Target) -> None:
    empty.execute(SQL)
    twin = (
        "ALTER TABLE {}.orders ADD COLUMN \"Region\" text DEFAULT 'eu', ADD COLUMN rank int",
        "ALTER TABLE {}.orders RENAME note TO remark",
    )
    core = moving(empty)
    core.apply()
    empty.execute(*(statement.format("sales") for statement in twin))
    assert outcome(empty, "INSERT INTO orders (rank) VALUES (1)") == UNDEFINED_COLUMN
    assert outcome(empty, "SELECT note FROM orders WHERE id = 1") == [("n1",)], "the view keeps the old name"
    (check,) = [check for check in core.verify() if check.name == "compatibility views"]
    renewals = [part.split(": ", 1)[1] for part in check.detail.split("; ")]
    assert 'lacks the columns "Region", rank' in check.detail
    assert renewals == [
        "ALTER VIEW public.orders RENAME COLUMN note TO remark",
        "CREATE OR REPLACE VIEW public.orders WITH (security_invoker=true) AS SELECT * FROM sales.orders",
    ]
    empty.execute(*renewals)
    assert outcome(empty, 'INSERT INTO orders (rank) VALUES (1) RETURNING "Region", remark') == [("eu", "it's")]
    assert all(check.status == PASS for check in core.verify())
    assert core.way_back().refusals == (), "a view that was renewed is still ours"
    core.roll_back()
    assert outcome(empty, "SELECT rank FROM orders WHERE id = 1") == [(None,)]
    assert empty.value("SELECT count(*) FROM pg_class WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace") == 0


def test_a_view_that_was_changed_is_not_taken_for_ours(empty: Target) -> None:
    empty.execute(SQL)
    core = moving(empty)
    core.apply()
    empty.execute("CREATE OR REPLACE VIEW public.users WITH (security_invoker=true) AS SELECT id, upper(email) AS email FROM sales.users")
    assert [refusal.id for refusal in core.way_back().refusals] == ["view_replaced"]
    assert "users is not the view that the migration made" in str(core.verify())


def test_the_rollback_refuses_while_others_have_built_on_a_view_and_lists_them(empty: Target) -> None:
    empty.execute(SQL)
    core = moving(empty)
    core.apply()
    empty.execute(
        "CREATE VIEW mine AS SELECT id FROM public.orders", "CREATE FUNCTION f(public.users) RETURNS int LANGUAGE sql AS 'SELECT 1'"
    )
    refusals = core.way_back().refusals
    assert sorted((refusal.id, refusal.object) for refusal in refusals) == [
        ("view_has_dependents", "function public.f(public.users)"),
        ("view_has_dependents", "view public.mine"),
    ]
    empty.execute("DROP VIEW mine", "DROP FUNCTION f")
    core.roll_back()
    assert outcome(empty, "TRUNCATE orders") == -1


RULES = (
    "CREATE TABLE log (line text)",
    "CREATE TABLE dropped (id int, a text)",
    "CREATE RULE r AS ON INSERT TO dropped DO INSTEAD INSERT INTO log VALUES (new.a)",
    "CREATE TABLE told (id int, a text)",
    "CREATE RULE r AS ON INSERT TO told DO INSTEAD INSERT INTO log VALUES (new.a) RETURNING 1, line",
    "CREATE TABLE noted (id int, a text)",
    "CREATE RULE r AS ON UPDATE TO noted DO ALSO INSERT INTO log VALUES (old.a || new.a)",
    "INSERT INTO noted VALUES (1, 'x')",
    "CREATE TABLE partly (id int, a text)",
    "CREATE RULE i AS ON INSERT TO partly WHERE new.id > 10 DO INSTEAD INSERT INTO log VALUES (new.a)",
    "CREATE RULE u AS ON UPDATE TO partly WHERE old.id = 2 DO INSTEAD INSERT INTO log VALUES (old.a || new.a)",
    "CREATE RULE d AS ON DELETE TO partly WHERE old.id = 2 DO INSTEAD INSERT INTO log VALUES (old.a)",
    "INSERT INTO partly VALUES (1, 'x'), (2, 'y')",
)
IN_LOG = "(SELECT string_agg(line, ',' ORDER BY line) FROM log)"
RULED: dict[tuple[str, ...], Any] = {
    ("INSERT INTO dropped VALUES (1, 'a') RETURNING id",): UNSUPPORTED,
    ("INSERT INTO dropped VALUES (1, 'b')", f"SELECT (SELECT count(*) FROM dropped), {IN_LOG}"): [(0, "b")],
    ("INSERT INTO told VALUES (1, 'c') RETURNING a",): [("c",)],
    ("UPDATE noted SET a = 'y'", f"SELECT (SELECT a FROM noted), {IN_LOG}"): [("y", "xy")],
    ("INSERT INTO partly VALUES (3, 'i'), (12, 'j')", f"SELECT (SELECT count(*) FROM partly), {IN_LOG}"): [(3, "j")],
    ("INSERT INTO partly VALUES (3, 'i') RETURNING id",): UNSUPPORTED,
    ("INSERT INTO partly VALUES (3, 'i') ON CONFLICT DO NOTHING",): UNSUPPORTED,
    ("UPDATE partly SET a = 'z'", f"SELECT (SELECT string_agg(a, '' ORDER BY id) FROM partly), {IN_LOG}"): [("zy", "yz")],
    ("DELETE FROM partly", f"SELECT (SELECT string_agg(a, '') FROM partly), {IN_LOG}"): [("y", "y")],
    ("WITH gone AS (DELETE FROM partly RETURNING id) SELECT count(*) FROM gone",): UNSUPPORTED,
}


def test_rules_do_through_a_view_what_they_do_on_the_table(empty: Target) -> None:
    empty.execute(*RULES)
    assert {case: outcome(empty, *case) for case in RULED} == RULED
    core = moving(empty, "dropped", "told", "noted", "partly")
    core.apply()
    assert {case: outcome(empty, *case) for case in RULED} == RULED
    assert empty.value("SELECT relkind FROM pg_class WHERE oid = 'public.partly'::regclass") == "v"


@pytest.mark.playbook
@pytest.mark.majors(18)
def test_the_playbooks_make_views_with_defaults_and_verify_says_where_they_have_fallen_behind(playbooks: Playbooks) -> None:
    target = playbooks.target
    playbooks.configure(multischema_view_defaults=True)
    ready_with(Core(target, sample() | {"view_defaults": True}), playbooks.plan_file)
    playbooks.run("phase2").ok()
    carried = target.rows("SELECT DISTINCT c.relname FROM pg_attrdef d JOIN pg_class c ON c.oid = d.adrelid WHERE c.relkind = 'v'")
    assert len(carried) > 10
    target.execute("ALTER TABLE tenant_kct.students ADD COLUMN nickname text", "ALTER VIEW public.teachers RENAME TO tutors")
    renewal = "CREATE OR REPLACE VIEW public.students WITH (security_invoker=true) AS SELECT * FROM tenant_kct.students"
    playbooks.run("verify").refused("students lacks the column nickname", renewal, "public.teachers is missing")
    target.execute(renewal, "ALTER VIEW public.tutors RENAME TO teachers")
    playbooks.run("verify").ok()
