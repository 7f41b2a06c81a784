"""Where everything is to go, and what is in the way there."""

from __future__ import annotations

from typing import Any

from tests.property.model import MOVER, OWNERS, TARGETS, USERS, World, quoted


def _in_the_way(world: World, target: str) -> None:
    """Content of a target: harmless in most cases."""
    name = quoted(target, "already here")
    world.do(f"CREATE TABLE {name} (id serial PRIMARY KEY)", f"CREATE VIEW {quoted(target, 'a view')} AS SELECT 1 AS one")
    if not world.has("collision", 25):
        return
    table = world.dice.pick(world.roots())
    taken = world.dice.pick((table.name, "_" + table.name[:60], f"{table.name[:50]}_pkey", f"{table.name[:50]}_id_seq"))
    kind = world.dice.pick(("TABLE {} (a int)", "SEQUENCE {}", "TYPE {} AS ENUM ('a')", "VIEW {} AS SELECT 1 AS one", "DOMAIN {} AS int"))
    world.do("CREATE " + kind.format(quoted(target, taken)))


def make_placement(world: World) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The configuration, and the targets that were there before."""
    dice = world.dice
    targets = [t for t in dice.shuffled(TARGETS, dice.number(1, 3)) if t != world.source]
    there = tuple(target for target in targets if world.has("target is there", 35))
    for target in there:
        owner = dice.pick(OWNERS) if world.as_mover or dice.chance(50) else "postgres"
        world.do(f"CREATE SCHEMA {quoted(target)} AUTHORIZATION {quoted(owner)}")
        if dice.chance(50):
            world.do(f"GRANT USAGE ON SCHEMA {quoted(target)} TO {dice.pick(USERS)}")
        if world.has("target is not empty", 60):
            _in_the_way(world, target)
    rules, left = _rules(world, targets)
    keep = [left.pop()] if left and world.has("kept", 30) else []
    if left and world.has("the rest by *", 50):
        rules.append({"schema": dice.pick(targets), "tables": ["*"]})
        left = []
    for rule in rules:
        if world.has("no view", 15):
            rule["compatibility_view"] = False
        elif world.has("view by rule", 15):
            rule["compatibility_view"] = True
    values = {
        "source_schema": world.source,
        "schemas": [_schema(world, target, there) for target in targets],
        "placement": rules,
        "keep": keep,
        "unplaced": "keep" if left and not world.has("unplaced is refused", 15) else "refuse",
        "compatibility_views": not world.has("no views at all", 4),
        "application_roles": dice.some(USERS, 40),
    }
    return values, there


def _rules(world: World, targets: list[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """Rules for most tables, and the names of the rest."""
    rules: list[dict[str, Any]] = []
    left = [table.name for table in world.roots()]
    for target in targets:
        mine = world.dice.some(left, 60) or left[:1]
        left = [name for name in left if name not in mine]
        if mine and len(mine[0]) > 3 and world.has("glob", 25):
            mine[0] = mine[0][:3] + "*"
        if mine:
            rules.append({"schema": target, "tables": mine})
    return rules, left


def _schema(world: World, target: str, there: tuple[str, ...]) -> dict[str, Any]:
    schema = {"name": target}
    if world.dice.chance(30):
        schema["comment"] = "for " + target
    if world.dice.chance(25) and target not in there:
        schema["owner"] = world.dice.pick(OWNERS)
    return schema


def make_mover(world: World) -> None:
    """The rights that the README asks for."""
    world.do(
        f"DO $do$BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO {MOVER}', current_database()); END$do$",
        f"GRANT CREATE, USAGE ON SCHEMA {quoted(world.source)} TO {MOVER}",
        *(f"GRANT CREATE ON SCHEMA {quoted(world.source)} TO {quoted(owner)}" for owner in OWNERS),
    )
