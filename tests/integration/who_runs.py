"""As whom a test runs, and on which versions: as superuser, and as an ordinary role as well, unless it says why not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SUPERUSER, ORDINARY = "superuser", "ordinary"
MAJORS = (15, 16, 18)
# Of a test that runs on every version: the oldest and the newest as superuser, the one in between as an ordinary role.
EVERYWHERE = ((15, 18), (16,))
NEEDED = {"server", "mover"}


class Undecided(Exception):
    """A test runs as superuser alone and does not say why."""


@dataclass(frozen=True)
class Says:
    """What the markers of a test say.

    :param majors: versions as superuser; None where it doesn't say.
    :param ordinary: versions as an ordinary role; None where it doesn't say.
    :param reason: why there is no run as an ordinary role.
    """

    majors: Sequence[int] | None = None
    ordinary: Sequence[int] | None = None
    reason: str | None = None


def cases(says: Says, fixtures: Iterable[str]) -> list[tuple[int, str]]:
    """(version, as whom) of each run of a test; empty for one that needs no server of ours.

    :param fixtures: the names of what it uses.
    :raises Undecided: when it would run as superuser alone without a reason, or gives a reason and runs as an ordinary role all the same.
    """
    used = set(fixtures)
    if says.reason is not None:
        if len(says.reason.split()) < 3:
            raise Undecided(f"{says.reason!r} is no reason")
        if says.ordinary is not None:
            raise Undecided("it runs as an ordinary role, and says why it does not")
        return [(major, SUPERUSER) for major in says.majors or MAJORS] if "server" in used else []
    if not used >= NEEDED:
        raise Undecided(
            "it would run as superuser only: take the database from the fixture `empty` or `sample`, "
            "or say why not by superuser_only(reason), own_roles(reason) or no_role(reason)"
        )
    majors, ordinary = EVERYWHERE if says.majors is None else (says.majors, says.majors[-1:])
    chosen = ordinary if says.ordinary is None else says.ordinary
    if not majors or not chosen:
        raise Undecided("a marker that names no version takes all runs away")
    return [(major, SUPERUSER) for major in majors] + [(major, ORDINARY) for major in chosen]
