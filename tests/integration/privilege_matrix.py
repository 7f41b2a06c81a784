"""Who can really do what: every role tries every privilege on every object with a real statement, and takes it back.

Not ``has_table_privilege``: what counts is whether the statement goes through, with the schema's USAGE, row security,
sequences behind defaults, and views in between. All attempts of one role are one round trip: a DO block that runs each in
a subtransaction of its own, which is always undone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from psycopg2 import sql

from tests.integration.databases import Target

Matrix = Mapping[tuple[str, str, str], str]  # (role, object, what is tried) → "ok", "ok: 3 rows" or the SQLSTATE

SCRATCH = "attempts"  # where a table that REFERENCES is made; it has to be there before
WITNESS = "attempts_witness"  # whom grants are tried on
# By its old name a table is a view: these are not possible on one (hazards 3.10), for whoever was allowed to before.
NOT_ON_VIEWS = ("TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN")

_TABLES = """
SELECT n.nspname, c.relname,
       ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
       ARRAY(SELECT ARRAY[a.attname::text, format_type(a.atttypid, a.atttypmod)] FROM pg_index i
               JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY(i.indkey)
              WHERE i.indrelid = c.oid AND i.indisprimary ORDER BY array_position(i.indkey::int2[], a.attnum))
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'f') AND n.nspname = ANY(%s) ORDER BY 2
"""
_SEQUENCES = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'S' AND n.nspname = ANY(%s) ORDER BY 2
"""
_DO = """
DO $attempts$
DECLARE
  statements text[] := {statements};
  outcomes text[] := '{{}}';
  one text; touched bigint; given boolean;
BEGIN
  EXECUTE {become};
  FOREACH one IN ARRAY statements LOOP
    BEGIN
      EXECUTE one;
      GET DIAGNOSTICS touched = ROW_COUNT;
      IF one LIKE 'GRANT %' THEN
        SELECT EXISTS (SELECT FROM pg_catalog.pg_class c, aclexplode(c.relacl) x JOIN pg_catalog.pg_roles r ON r.oid = x.grantee
                        WHERE r.rolname = {witness}) INTO given;
        RAISE EXCEPTION USING ERRCODE = 'ZZ000', MESSAGE = CASE WHEN given THEN 'ok' ELSE 'nothing granted' END;
      END IF;
      RAISE EXCEPTION USING ERRCODE = 'ZZ000',
            MESSAGE = CASE WHEN one ~ '^(SELECT 1 FROM|DELETE)' THEN 'ok: ' || touched || ' rows' ELSE 'ok' END;
    EXCEPTION WHEN OTHERS THEN
      outcomes := outcomes || CASE WHEN SQLSTATE = 'ZZ000' THEN SQLERRM ELSE SQLSTATE END;
    END;
  END LOOP;
  RESET ROLE;
  PERFORM set_config('attempts.outcomes', array_to_json(outcomes)::text, true);
END
$attempts$
"""


@dataclass(frozen=True)
class Object:
    """A table or a sequence, by the name that is to be used.

    :param label: what it is called in the matrix, the same before and after a move.
    """

    label: str
    schema: str
    name: str
    columns: tuple[str, ...] | None = None  # None for a sequence
    key: tuple[tuple[str, str], ...] = ()  # primary key: names and types

    @property
    def named(self) -> sql.Identifier:
        """As SQL."""
        return sql.Identifier(self.schema, self.name)


def prepare(target: Target) -> None:
    """What the attempts need, in a schema that nothing else touches. Once a server for the role, once a database for the rest."""
    if not target.value("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s)", (WITNESS,)):
        target.execute(f"CREATE ROLE {WITNESS}")
    target.execute(f"CREATE SCHEMA {SCRATCH}", f"GRANT ALL ON SCHEMA {SCRATCH} TO PUBLIC")


def objects(target: Target, schemas: Sequence[str]) -> list[Object]:
    """Every table and sequence of these schemas, by the name that it has now."""
    wanted = (list(schemas),)
    found = [
        Object(name, schema, name, tuple(columns), tuple((column, kind) for column, kind in key))
        for schema, name, columns, key in target.rows(_TABLES, wanted)
    ]
    return found + [Object(f"sequence {name}", schema, name) for schema, name in target.rows(_SEQUENCES, wanted)]


def by_old_names(found: Iterable[Object], source: str) -> list[Object]:
    """The same tables under the names that they had in the source schema; sequences have no old name."""
    return [replace(one, schema=source) for one in found if one.columns is not None]


def attempts(target: Object) -> Iterator[tuple[str, sql.Composed]]:
    """What is tried on one object: (privilege, statement)."""
    q, name = sql.SQL, target.named
    if target.columns is None:
        as_text = q("format('%I.%I', {}, {})::regclass").format(sql.Literal(target.schema), sql.Literal(target.name))
        yield "nextval", q("SELECT nextval({})").format(as_text)
        yield "setval", q("SELECT setval({}, 1000000)").format(as_text)
        yield "SELECT", q("SELECT last_value FROM {}").format(name)
        return
    yield "SELECT rows", q("SELECT 1 FROM {}").format(name)
    yield "SELECT", q("SELECT * FROM {} LIMIT 0").format(name)
    yield "INSERT", q("INSERT INTO {} DEFAULT VALUES").format(name)
    yield "DELETE", q("DELETE FROM {}").format(name)
    for column in target.columns:
        one = sql.Identifier(column)
        yield f"SELECT ({column})", q("SELECT {} FROM {} LIMIT 0").format(one, name)
        yield f"INSERT ({column})", q("INSERT INTO {} ({}) VALUES (DEFAULT)").format(name, one)
        yield f"UPDATE ({column})", q("UPDATE {} SET {} = NULL WHERE false").format(name, one)
    yield "TRUNCATE", q("TRUNCATE {}").format(name)
    if target.key:
        columns = q(", ").join(q("{} {}").format(sql.Identifier(column), sql.SQL(kind)) for column, kind in target.key)
        key = q(", ").join(sql.Identifier(column) for column, _ in target.key)
        referring = "CREATE TABLE {} ({}, FOREIGN KEY ({}) REFERENCES {} ({}))"
        yield "REFERENCES", q(referring).format(sql.Identifier(SCRATCH, "child"), columns, key, name, key)
    trigger = "CREATE TRIGGER attempt BEFORE UPDATE ON {} FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()"
    yield "TRIGGER", q(trigger).format(name)
    yield "MAINTAIN", q("REINDEX TABLE {}").format(name)
    yield "GRANT", q("GRANT SELECT ON {} TO {}").format(name, sql.Identifier(WITNESS))


def matrix(target: Target, roles: Iterable[str], found: Sequence[Object]) -> Matrix:
    """Try everything as everyone. Nothing stays but values that sequences have handed out."""
    tried = [(one.label, what, statement) for one in found for what, statement in attempts(one)]
    outcomes: dict[tuple[str, str, str], str] = {}
    with target.session() as connection, connection.cursor() as cursor:
        connection.autocommit = False
        cursor.execute("SET client_min_messages = error")
        statements = sql.SQL("ARRAY[{}]::text[]").format(
            sql.SQL(", ").join(sql.Literal(statement.as_string(connection)) for _, _, statement in tried)
        )
        for role in roles:
            become = sql.Literal(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)).as_string(connection))
            cursor.execute(sql.SQL(_DO).format(statements=statements, become=become, witness=sql.Literal(WITNESS)))
            cursor.execute("SELECT current_setting('attempts.outcomes')::json")
            row = cursor.fetchone()
            assert row is not None
            outcomes.update({(role, label, what): outcome for (label, what, _), outcome in zip(tried, row[0], strict=True)})
            connection.rollback()
    return outcomes


def changes(before: Matrix, after: Matrix, by_old_name: bool = False) -> list[str]:
    """What became of the privileges, one sentence for each that is not as it was; nothing must be found.

    :param by_old_name: ``after`` was tried through the views, where some things are impossible: these must fail for
        everyone, and whoever could not do them before must not be able to now.
    """
    problems = []
    for key, now in after.items():
        role, label, what = key
        was = before[key]
        if by_old_name and what in NOT_ON_VIEWS:
            if now.startswith("ok"):
                problems.append(f"{role}: {what} on {label} by its old name: {was}, now {now}")
        elif was != now:
            problems.append(f"{role}: {what} on {label}: {was}, now {now}")
    # What stays has no old name, and neither has a sequence.
    again = {label for _, label, _ in (after if by_old_name else before)}
    return problems + [f"{key} was not tried again" for key in sorted(before.keys() - after.keys()) if key[1] in again]
