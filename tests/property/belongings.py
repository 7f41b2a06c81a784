"""What hangs on tables: views, triggers, rules, policies, privileges, publications, comments."""

from __future__ import annotations

from tests.property.model import OWNERS, PARTITIONED, PLAIN, TYPED, USERS, Column, Table, World, quoted, short, text


def make_belongings(world: World) -> None:
    """Some of everything."""
    _views(world)
    _audit(world)
    for table in (t for t in world.roots() if t.kind != "foreign"):
        _rules(world, table)
        _policies(world, table)
        _words(world, table)
        _storage(world, table)
    _owners(world)
    _privileges(world)
    _publications(world)


def _views(world: World) -> None:
    for number, table in enumerate(world.dice.some([t for t in world.roots() if t.kind != "foreign"], 40)):
        name = quoted(world.source, f"View {number}")
        over = world.name(table.name)
        if world.views and world.has("view on a view", 30):
            over = world.dice.pick(world.views)
        if world.has("materialized view", 30):
            world.do(f"CREATE MATERIALIZED VIEW {name} AS SELECT id, txt FROM {over}", f"CREATE INDEX ON {name} (id)")
            world.probe(f"refresh {name}", [f"REFRESH MATERIALIZED VIEW {name}", f"SELECT * FROM {name}"])
        else:
            world.features.add("view")
            option = world.dice.pick(("", " WITH (security_barrier = true)", " WITH (security_invoker = true)"))
            where = world.dice.pick(("", " WHERE id > 0", " WHERE id > 0 WITH CHECK OPTION"))
            world.do(f"CREATE VIEW {name}{option} AS SELECT id, txt FROM {over}{where}")
            if "WITH CHECK" not in where:
                world.views.append(name)
        world.do(f"GRANT SELECT ON {name} TO {world.dice.pick(USERS)}")
        world.probe(f"read {name}", [f"SELECT * FROM {name}"])
        world.probe(f"read {name} as someone", [f"SELECT id FROM {name}"], role=world.dice.pick(USERS))


def _audit(world: World) -> None:
    """A table that triggers write to by name, which may itself be moved."""
    if not world.has("triggers", 60):
        return
    world.do(f"CREATE TABLE {world.name('audit')} (what text, who text)")
    audit = Table("audit", PLAIN, [Column("what", "text"), Column("who", "text")], "postgres" if not world.as_mover else OWNERS[0])
    world.tables["audit"] = audit
    makers = (_row_trigger, _before_trigger, _statement_trigger, _schema_trigger)
    for table in world.roots(PLAIN, PARTITIONED, TYPED):
        if table.name != "audit" and world.has("trigger", 40):
            world.dice.pick(makers)(world, table)


def _names_audit(world: World) -> tuple[str, str]:
    """How the body of a function names the table, and the options that this needs."""
    if world.has("trigger function: qualified", 50):
        return world.name("audit"), ""
    return quoted("audit"), f" SET search_path = {quoted(world.source)}, pg_temp"


def _trigger(world: World, table: Table, body: str, when: str, *, options: str = "", constructs: tuple[str, ...] = ()) -> None:
    function = f"trigger of {short(table.name)}"
    name = quoted(world.source, function)
    definer = " SECURITY DEFINER" if world.dice.chance(30) else ""
    world.do(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql{definer}{options} AS $body$BEGIN {body} END$body$",
        f"CREATE TRIGGER {quoted('Trigger ' + short(table.name))} {when} EXECUTE FUNCTION {name}()",
    )
    table.routines.add(function)
    table.constructs.update(constructs)


def _row_trigger(world: World, table: Table) -> None:
    audit, options = _names_audit(world)
    condition = world.dice.pick(("", " WHEN (NEW.txt <> 'v 78')"))
    body = f"INSERT INTO {audit} VALUES (NEW.txt, current_user); RETURN NEW;"
    _trigger(world, table, body, f"AFTER INSERT OR UPDATE ON {world.name(table.name)} FOR EACH ROW{condition}", options=options)
    table.reaches.add("audit")


def _before_trigger(world: World, table: Table) -> None:
    body = "NEW.txt := NEW.txt || ''; IF NEW.txt = 'v 78' THEN RETURN NULL; END IF; RETURN NEW;"
    _trigger(world, table, body, f"BEFORE UPDATE ON {world.name(table.name)} FOR EACH ROW")


def _statement_trigger(world: World, table: Table) -> None:
    audit, options = _names_audit(world)
    body = f"INSERT INTO {audit} SELECT count(*) || ' ' || min(txt), TG_OP FROM fresh; RETURN NULL;"
    _trigger(
        world, table, body, f"AFTER INSERT ON {world.name(table.name)} REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT", options=options
    )
    table.reaches.add("audit")


def _schema_trigger(world: World, table: Table) -> None:
    audit, options = _names_audit(world)
    body = f"INSERT INTO {audit} VALUES (TG_TABLE_SCHEMA, TG_TABLE_NAME); RETURN NEW;"
    _trigger(world, table, body, f"AFTER INSERT ON {world.name(table.name)} FOR EACH ROW", options=options, constructs=("trigger_schema",))
    table.reaches.add("audit")


def _rules(world: World, table: Table) -> None:
    if table.kind != PLAIN or not table.key or not world.has("rule", 8):
        return
    others = [t for t in world.roots(PLAIN) if t is not table and t.name == "audit"]
    if others:
        rule = f"INSERT INTO {world.name('audit')} VALUES ('rule', NEW.txt)"
        world.do(f"CREATE RULE also AS ON UPDATE TO {world.name(table.name)} DO ALSO {rule}")
        table.links.add("audit")
    else:
        world.do(f"CREATE RULE never AS ON DELETE TO {world.name(table.name)} WHERE OLD.id = 2 DO INSTEAD NOTHING")
        table.constructs.add("rule_returning")


def _policies(world: World, table: Table) -> None:
    if table.name == "audit" or not world.has("row security", 12):
        return
    name = world.name(table.name)
    world.do(
        f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY",
        f"CREATE POLICY \"some rows\" ON {name} USING (id <> 2) WITH CHECK (txt IS DISTINCT FROM 'v 78')",
    )
    if world.dice.chance(30):
        world.do(f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY")


def _words(world: World, table: Table) -> None:
    if world.has("comments", 30):
        name = world.name(table.name)
        world.do(
            f"COMMENT ON TABLE {name} IS {text('about ' + table.name)}", f"COMMENT ON COLUMN {name}.{quoted(table.columns[0].name)} IS 'c'"
        )


def _storage(world: World, table: Table) -> None:
    name = world.name(table.name)
    if table.name != "audit" and world.has("storage", 15):
        world.do(f"ALTER TABLE {name} ALTER COLUMN txt SET STORAGE EXTERNAL", f"ALTER TABLE {name} ALTER COLUMN txt SET STATISTICS 200")
    if table.kind == PLAIN and world.has("replica identity", 15):
        world.do(f"ALTER TABLE {name} REPLICA IDENTITY FULL")


def _owners(world: World) -> None:
    for table in world.tables.values():
        if table.owner != "postgres":
            world.do(f"ALTER TABLE {world.name(table.name)} OWNER TO {quoted(table.owner)}")
    for owner in OWNERS:  # without USAGE, foreign-key checks fail already before
        world.do(f"GRANT USAGE{', CREATE' if world.dice.chance(70) else ''} ON SCHEMA {quoted(world.source)} TO {quoted(owner)}")


def _privileges(world: World) -> None:
    for table in world.tables.values():
        name = world.name(table.name)
        if world.has("grants", 50):
            who = world.dice.pick((*USERS, "PUBLIC"))
            option = " WITH GRANT OPTION" if who != "PUBLIC" and world.dice.chance(20) else ""
            rights = world.dice.pick(("SELECT", "SELECT, INSERT, UPDATE, DELETE", "ALL", "INSERT", "SELECT, TRIGGER, REFERENCES"))
            world.do(f"GRANT {rights} ON {name} TO {who}{option}")
        if table.columns[0].name == "id" and world.has("column grants", 8):
            world.do(f"GRANT SELECT (id), UPDATE (txt) ON {name} TO {world.dice.pick(USERS)}")
        if world.has("owner gave up rights", 3):
            world.do(f"REVOKE DELETE ON {name} FROM {quoted(table.owner)}")
    if world.dice.chance(50):
        world.do(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {quoted(world.source)} TO property_writer")
    if world.has("default privileges", 30):
        who = world.dice.pick((*OWNERS, "postgres"))
        what = world.dice.pick(("TABLES", "SEQUENCES", "FUNCTIONS", "TYPES"))
        right = {"TABLES": "SELECT", "SEQUENCES": "USAGE", "FUNCTIONS": "EXECUTE", "TYPES": "USAGE"}[what]
        scope = world.dice.pick((f" IN SCHEMA {quoted(world.source)}", ""))
        world.do(f"ALTER DEFAULT PRIVILEGES FOR ROLE {quoted(who)}{scope} GRANT {right} ON {what} TO {world.dice.pick(USERS)}")


def _publications(world: World) -> None:
    able = [t for t in world.roots(PLAIN, TYPED) if not t.unlogged]
    if able and world.has("publication of tables", 20):
        names = []
        for table in world.dice.shuffled(able, 2):
            columns = f" ({', '.join(quoted(c.name) for c in table.columns[:1])})" if table.kind == TYPED else ""
            names.append(world.name(table.name) + columns)
        world.do(f"CREATE PUBLICATION \"Some Tables\" FOR TABLE {', '.join(names)} WITH (publish = 'insert')")
    if not world.as_mover and world.has("publication of the schema", 10):
        world.do(f"CREATE PUBLICATION whole FOR TABLES IN SCHEMA {quoted(world.source)} WITH (publish = 'insert')")
    if world.has("publication of everything", 4):
        world.do("CREATE PUBLICATION everything FOR ALL TABLES WITH (publish = 'insert')")
