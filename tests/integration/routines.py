"""Routines of every class, each with a statement that calls it, on a small database that has what they need."""

from __future__ import annotations

from dataclasses import dataclass

TABLES = """
CREATE TYPE mood AS ENUM ('glad', 'sad');
CREATE TYPE pair AS (left_one int, right_one text);
CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL DEFAULT 'nobody', email text, feeling mood DEFAULT 'glad',
                    CONSTRAINT users_email_once UNIQUE (email));
CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, buyer int REFERENCES users DEFERRABLE, note text,
                     state text DEFAULT 'new');
CREATE TABLE notes (id int PRIMARY KEY, body text, seen text);
CREATE TABLE mothers (id int, name text);
CREATE TABLE daughters () INHERITS (mothers);
CREATE TABLE stays (id int PRIMARY KEY, body text);
CREATE TABLE app_log (said text);
CREATE INDEX users_name ON users (name);
INSERT INTO users (name, email) VALUES ('ann', 'a@x'), ('bob', 'b@x'), ('cid', 'c@x');
INSERT INTO orders (buyer, note) VALUES (1, 'first'), (2, 'second');
INSERT INTO notes VALUES (1, 'one', NULL);
INSERT INTO mothers VALUES (1, 'eve');
INSERT INTO daughters VALUES (2, 'ida');
INSERT INTO stays VALUES (1, 'here');
CREATE FUNCTION full_name(users) RETURNS text LANGUAGE sql AS $$ SELECT $1.name || '!' $$;
"""
MOVES = ["users", "orders", "notes", "mothers", "app_log"]


@dataclass(frozen=True)
class Probe:
    """A routine and how it is called: ``{t}`` is the schema in which the tables stand at that moment."""

    name: str
    body: str
    language: str = "plpgsql"
    returns: str = "text"
    settings: str = ""
    arguments: str = ""
    call: str = ""
    parsed: bool = False  # BEGIN ATOMIC: PostgreSQL keeps no text
    calls: str = ""  # another routine, whose failure is its own

    @property
    def create(self) -> str:
        """The statement that makes it."""
        if self.parsed:
            return f"CREATE FUNCTION {self.name}() RETURNS {self.returns} LANGUAGE sql {self.body}"
        head = f"CREATE FUNCTION {self.name}({self.arguments}) RETURNS {self.returns} LANGUAGE {self.language} {self.settings}"
        return f"{head} AS $x${self.body}$x$"

    @property
    def statement(self) -> str:
        """The statement that calls it."""
        return self.call or f"SELECT public.{self.name}()::text"


def plain(name: str, *statements: str, declare: str = "", answer: str = "'done'", settings: str = "") -> Probe:
    """A PL/pgSQL function that does something and gives an answer."""
    body = f"\nDECLARE found_text text; {declare}\nBEGIN\n" + "".join(f"  {s};\n" for s in statements) + f"  RETURN {answer};\nEND"
    return Probe(name, body, settings=settings)


def guarded(name: str, statement: str, condition: str) -> Probe:
    """A function that catches an error and goes on."""
    body = f"\nBEGIN\n  BEGIN\n    {statement};\n  EXCEPTION WHEN {condition} THEN\n    RETURN 'caught';\n  END;\n  RETURN 'done';\nEND"
    return Probe(name, body)


_TRIGGER = "CREATE TRIGGER {0} BEFORE INSERT ON notes FOR EACH ROW WHEN (NEW.body = '{0}') EXECUTE FUNCTION {0}()"
_FIRE = "INSERT INTO {{t}}.notes (id, body) VALUES (99, '{0}') RETURNING seen"


def trigger(name: str, *statements: str, declare: str = "", calls: str = "") -> Probe:
    """A trigger function of notes; its answer is what it writes into the row."""
    body = f"\nDECLARE found_text text; {declare}\nBEGIN\n" + "".join(f"  {s};\n" for s in statements) + "  RETURN NEW;\nEND"
    return Probe(name, body, returns="trigger", call=_FIRE.format(name), calls=calls)


PROBES = (
    # What goes on through a view.
    plain("p_qualified", "SELECT count(*)::text INTO found_text FROM public.users", answer="found_text"),
    plain("p_bare", "SELECT string_agg(name, ',' ORDER BY id) INTO found_text FROM users", answer="found_text"),
    Probe("p_sql", "SELECT count(*)::text FROM users u JOIN public.orders o ON o.buyer = u.id", "sql"),
    Probe("p_path_empty", "SELECT count(*)::text FROM public.users", "sql", settings="SET search_path = ''"),
    plain("p_path_public", "SELECT count(*)::text INTO found_text FROM users", answer="found_text", settings="SET search_path = public"),
    plain("p_definer", "UPDATE users SET name = 'z' WHERE id = 1", settings="SECURITY DEFINER SET search_path = public, pg_temp"),
    plain("p_write", "INSERT INTO public.notes VALUES (7, 'x')", "UPDATE notes SET body = 'y'", "DELETE FROM notes WHERE id = 7"),
    plain("p_upsert", "INSERT INTO users (id, name) VALUES (1, 'q') ON CONFLICT (id) DO UPDATE SET name = excluded.name"),
    plain("p_pct_type", "found_text := v", declare="v public.users.email%TYPE := 'q';", answer="found_text"),
    plain("p_pct_rowtype", "SELECT * INTO v FROM users WHERE id = 1", declare="v users%ROWTYPE;", answer="v.name"),
    plain("p_row_variable", "SELECT * INTO v FROM public.users WHERE id = 2", declare="v public.users;", answer="v.name"),
    plain("p_scalars", "SELECT name, feeling INTO a, b FROM users WHERE id = 1", declare="a users.name%TYPE; b mood;", answer="a || b"),
    plain("p_loop", "FOR r IN SELECT id FROM users ORDER BY id LOOP found_text := concat(found_text, r.id); END LOOP", declare="r record;",
          answer="found_text"),
    plain("p_lock", "LOCK TABLE public.users IN SHARE MODE", "PERFORM 1 FROM users WHERE id = 1 FOR UPDATE"),
    plain("p_cte", "WITH users AS (SELECT 1 AS n) SELECT n::text INTO found_text FROM users", answer="found_text"),
    plain("p_temp", "CREATE TEMP TABLE notes (id int) ON COMMIT DROP", "TRUNCATE notes"),
    plain("p_exists", "IF to_regclass('public.users') IS NULL THEN found_text := 'none'; END IF", answer="coalesce(found_text, 'there')"),
    plain("p_execute", "EXECUTE 'SELECT count(*)::text FROM public.users' INTO found_text", answer="found_text"),
    plain("p_format", "EXECUTE format('SELECT count(*)::text FROM %I.%I', 'public', 'users') INTO found_text", answer="found_text"),
    plain("p_text", "found_text := (SELECT count(*) FROM ts_stat('SELECT to_tsvector(name) FROM public.users'))", answer="found_text"),
    plain("p_stays", "TRUNCATE public.stays", "PERFORM 1 FROM pg_class WHERE relname = 'stays'"),
    plain("p_group_all", "PERFORM u.id, u.name, count(*) FROM users u GROUP BY u.id, u.name ORDER BY u.name"),
    plain("p_copy_query", "CREATE TEMP TABLE copied ON COMMIT DROP AS SELECT * FROM public.users"),
    plain("p_populate", "found_text := (jsonb_populate_record(NULL::public.users, '{\"name\": \"j\"}')).name", answer="found_text"),
    guarded("p_guard_fine", "PERFORM 1 FROM public.users", "undefined_table"),
    Probe("p_target", "SELECT count(*)::text FROM users", "sql", settings="SET search_path = app, public"),
    Probe("p_atomic", "BEGIN ATOMIC SELECT count(*)::text FROM users u JOIN public.orders o ON o.buyer = u.id; END", parsed=True),
    # Types, which stay unless a rule names them.
    plain("p_cast", "found_text := 'glad'::public.mood", answer="found_text"),
    plain("p_enum_array", declare="m mood[] := ARRAY['glad']::mood[];", answer="m[1]::text"),
    plain("p_composite", declare="p public.pair := ROW(1, 'r');", answer="p.right_one"),
    plain("p_composite_row", "p.right_one := 'r'", declare="p pair%ROWTYPE;", answer="p.right_one"),
    # Rows as results.
    Probe("r_plpgsql", "DECLARE v users; BEGIN SELECT * INTO v FROM users WHERE id = 1; RETURN v; END", returns="users"),
    Probe("r_rowtype", "DECLARE v public.users%ROWTYPE; BEGIN SELECT * INTO v FROM users WHERE id = 1; RETURN v; END", returns="users"),
    Probe("r_query", "BEGIN RETURN QUERY SELECT * FROM public.users ORDER BY id; END", returns="SETOF users"),
    Probe("r_query_row", "BEGIN RETURN QUERY SELECT u.* FROM users u ORDER BY id; END", returns="SETOF users"),
    Probe("r_next", "DECLARE v users; BEGIN FOR v IN SELECT * FROM users LOOP RETURN NEXT v; END LOOP; END", returns="SETOF users"),
    Probe("r_returning", "DECLARE v users; BEGIN UPDATE users SET name = 'q' WHERE id = 1 RETURNING * INTO v; RETURN v; END",
          returns="users"),
    Probe("r_sql", "SELECT * FROM public.users ORDER BY id", "sql", returns="SETOF users"),
    Probe("r_sql_one", "SELECT * FROM users WHERE id = 1", "sql", returns="users"),
    Probe("r_sql_update", "UPDATE users SET name = 'q' WHERE id = 1 RETURNING *", "sql", returns="users"),
    Probe("r_sql_whole", "SELECT u FROM public.users u ORDER BY id", "sql", returns="SETOF users"),
    Probe("r_sql_whole_returning", "UPDATE users u SET name = 'q' WHERE id = 1 RETURNING u", "sql", returns="users"),
    Probe("r_array", "SELECT array_agg(u) FROM public.users u", "sql", returns="users[]"),
    Probe("r_plpgsql_array", "BEGIN RETURN ARRAY(SELECT u FROM users u); END", returns="users[]"),
    Probe("r_plpgsql_whole", "DECLARE v users; BEGIN v := (SELECT u FROM users u WHERE id = 1); RETURN v; END", returns="users"),
    Probe("r_cast", "BEGIN RETURN ROW(1, 'n', 'e', 'glad')::public.users; END", returns="users"),
    Probe("r_sql_cast", "SELECT ROW(1, 'n', 'e', 'glad')::public.users", "sql", returns="users"),
    Probe("r_sql_null", "SELECT NULL::users", "sql", returns="users"),
    plain("r_compare", "SELECT * INTO v FROM users WHERE id = 1", declare="v users;",
          answer="(EXISTS (SELECT 1 FROM public.users u WHERE u = v))::text"),
    plain("r_insert", "SELECT * INTO v FROM notes WHERE id = 1", "v.id := 50", "INSERT INTO public.notes SELECT (v).*",
          "INSERT INTO notes VALUES ((v).id + 1, v.body, NULL)", declare="v notes;"),
    plain("r_json", answer="(SELECT string_agg(to_jsonb(u) ->> 'name', ',' ORDER BY id) FROM users u)"),
    plain("r_text", answer="(SELECT min(u::text) FROM public.users u)"),
    plain("r_composite_array", answer="(SELECT count(*)::text FROM unnest(ARRAY(SELECT u FROM users u)) AS x)"),
    plain("r_declared_array", "v := ARRAY(SELECT u FROM users u)", declare="v public.users[];", answer="v[1].name"),
    # What fails through a view too.
    plain("p_constraint", "INSERT INTO users (email) VALUES ('a@x') ON CONFLICT ON CONSTRAINT users_email_once DO NOTHING"),
    plain("p_truncate", "TRUNCATE public.app_log"),
    Probe("p_truncate_sql", "TRUNCATE app_log; SELECT 'done'", "sql"),
    plain("p_copy", "COPY public.app_log FROM PROGRAM 'true'"),
    plain("p_copy_to", "COPY public.app_log TO PROGRAM 'cat > /dev/null'"),
    plain("p_sample", "PERFORM count(*) FROM users TABLESAMPLE SYSTEM (100)"),
    plain("p_current_of", "OPEN c", "FETCH c INTO r", "UPDATE notes SET body = 'k' WHERE CURRENT OF c",
          declare="c CURSOR FOR SELECT * FROM notes FOR UPDATE; r record;"),
    plain("p_group_key", "PERFORM u.id, u.name, count(*) FROM public.users u GROUP BY u.id"),
    plain("p_ctid", "SELECT ctid::text INTO found_text FROM users WHERE id = 1", answer="'done'"),
    plain("p_xmin", "PERFORM u.xmin FROM users u JOIN orders o ON o.buyer = u.id"),
    plain("p_text_xmin", "PERFORM 1 FROM ts_stat('SELECT to_tsvector(xmin::text) FROM users')"),
    plain("p_alter", "ALTER TABLE public.notes ADD COLUMN extra int"),
    plain("p_index", "CREATE INDEX made ON notes (body)"),
    plain("p_drop_index", "DROP INDEX public.users_name"),
    plain("p_references", "CREATE TEMP TABLE points (a int)", "CREATE TABLE public.made (a int REFERENCES public.users)"),
    plain("p_inherits", "CREATE TABLE public.made () INHERITS (public.notes)"),
    plain("p_comment", "COMMENT ON TABLE public.notes IS 'k'"),
    plain("p_merge", "MERGE INTO public.notes n USING stays s ON s.id = n.id WHEN MATCHED THEN UPDATE SET body = 'm'"),
    plain("p_constraints", "SET CONSTRAINTS public.orders_buyer_fkey DEFERRED"),
    plain("p_nextval", "PERFORM nextval('public.users_id_seq')"),
    plain("p_setval", "PERFORM setval('users_id_seq'::regclass, 50)"),
    plain("p_last_value", "PERFORM last_value FROM public.orders_id_seq"),
    plain("p_restart", "ALTER SEQUENCE public.users_id_seq RESTART WITH 60"),
    plain("p_row_call", "SELECT full_name(u) INTO found_text FROM public.users u WHERE id = 1", answer="found_text"),
    plain("p_row_field", "SELECT u.full_name INTO found_text FROM users u WHERE id = 1", answer="found_text"),
    plain("p_row_of_variable", "SELECT * INTO v FROM users WHERE id = 1", declare="v users;", answer="full_name(v)"),
    plain("p_execute_truncate", "EXECUTE 'TRUNCATE ' || 'public.app_log'"),
    plain("p_variable_truncate", "s := format('TRUNCATE %I', 'app_log')", "EXECUTE s", declare="s text;"),
    # What answers something else.
    plain("p_set_default", "UPDATE orders SET state = 'old' WHERE id = 1", "UPDATE public.orders SET state = DEFAULT WHERE id = 1",
          "SELECT coalesce(state, 'NULL') INTO found_text FROM orders WHERE id = 1", answer="found_text"),
    plain("p_set_no_default", "UPDATE orders SET note = DEFAULT WHERE id = 1",
          "SELECT coalesce(note, 'NULL') INTO found_text FROM orders WHERE id = 1", answer="found_text"),
    plain("p_only", "SELECT count(*)::text INTO found_text FROM ONLY public.mothers", answer="found_text"),
    plain("p_only_childless", "SELECT count(*)::text INTO found_text FROM ONLY public.users", answer="found_text"),
    plain("p_like", "CREATE TEMP TABLE made (LIKE public.users INCLUDING ALL) ON COMMIT DROP", "INSERT INTO made (email) VALUES ('l')",
          "SELECT coalesce(name, 'NULL') INTO found_text FROM made", answer="found_text"),
    plain("p_regclass", answer="(SELECT relkind::text FROM pg_class WHERE oid = 'public.users'::regclass)"),
    plain("p_to_regclass", answer="(SELECT relkind::text FROM pg_class WHERE oid = to_regclass('users'))"),
    plain("p_size", answer="(pg_relation_size('public.users') > 0)::text"),
    plain("p_serial", answer="coalesce(pg_get_serial_sequence('public.users', 'id'), 'NULL')"),
    plain("p_column_default", "ALTER TABLE public.notes ALTER COLUMN body SET DEFAULT 'r'", answer="(SELECT atthasdef::text FROM "
          "pg_attribute WHERE attname = 'body' AND attrelid = (SELECT oid FROM pg_class WHERE relname = 'notes' AND relkind = 'r'))"),
    plain("p_catalog", answer="(SELECT count(*)::text FROM pg_tables WHERE schemaname = 'public' AND tablename = 'users')"),
    plain("p_catalog_type", answer="(SELECT count(*)::text FROM information_schema.tables WHERE table_schema = 'public' AND table_name = "
          "'users' AND table_type = 'BASE TABLE')"),
    plain("p_catalog_twice", answer="(SELECT count(*)::text FROM information_schema.columns WHERE table_name = 'users')"),
    plain("p_catalog_fine", answer="(SELECT count(*)::text FROM information_schema.tables WHERE table_schema = 'public' AND table_name = "
          "'users')"),
    guarded("p_guard_sequence", "PERFORM nextval('public.users_id_seq')", "undefined_table"),
    guarded("p_guard_truncate", "TRUNCATE public.app_log", "OTHERS"),
    guarded("p_guard_other", "TRUNCATE public.app_log", "unique_violation"),
    # Triggers.
    trigger("t_schema", "NEW.seen := TG_TABLE_SCHEMA"),
    trigger("t_relid", "NEW.seen := (TG_RELID = (SELECT min(oid) FROM pg_class WHERE relname = 'notes' AND relkind = 'r'))::text"),
    trigger("t_new", "NEW.seen := v.body", declare="v notes%ROWTYPE := NEW;"),
    trigger("t_assign", "SELECT * INTO v FROM notes WHERE id = 1", "v.id := 99", "v.seen := 'assigned'", "NEW := v", declare="v notes;"),
    trigger("t_return", "SELECT * INTO v FROM public.notes WHERE id = 1", "v.id := 99", "v.seen := 'returned'", "RETURN v",
            declare="v public.notes;"),
    trigger("t_audit", "INSERT INTO public.app_log VALUES (TG_TABLE_NAME)", "NEW.seen := TG_OP"),
    trigger("t_truncate", "TRUNCATE app_log"),
    trigger("t_helper", "PERFORM public.p_truncate()", calls="p_truncate"),
)  # fmt: skip


def wired() -> list[str]:
    """The triggers."""
    return [_TRIGGER.format(probe.name) for probe in PROBES if probe.returns == "trigger"]
