"""The strategy: whole cases."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.property.belongings import make_belongings
from tests.property.case import Case
from tests.property.columns import make_types
from tests.property.dice import THROWS, Dice
from tests.property.model import SOURCES, USERS, World, quoted
from tests.property.oddities import make_oddities, settings
from tests.property.placements import make_mover, make_placement
from tests.property.routines import make_routines
from tests.property.statements import make_statements
from tests.property.tables import make_tables


def cases(major: int) -> st.SearchStrategy[Case]:
    """Whole cases.

    :param major: version of the server, for what only newer ones know.
    """
    return THROWS.map(lambda throws: make_case(Dice(throws), major))


def make_case(dice: Dice, major: int) -> Case:
    """A schema with everything on it, a placement, and the questions."""
    world = World(dice, dice.pick(SOURCES), major)
    world.as_mover = world.has("moved by an ordinary role", 20)
    if world.source != "public":
        world.do(f"CREATE SCHEMA {quoted(world.source)}")
    for user in USERS:
        if world.source != "public" and dice.chance(70):
            world.do(f"GRANT USAGE ON SCHEMA {quoted(world.source)} TO {user}")
    make_types(world)
    make_tables(world)
    make_oddities(world)
    settings(world)
    make_belongings(world)
    make_routines(world)
    make_statements(world)
    values, there = make_placement(world)
    if world.as_mover:
        make_mover(world)
    return Case(
        script=tuple(world.script),
        values=values,
        probes=tuple(world.probes),
        targets_there=there,
        as_mover=world.as_mover,
        workers=2 if world.has("two workers", 25) else 1,
        accept=not world.has("refusals are not accepted", 10),
        features=tuple(sorted(world.features)),
    )
