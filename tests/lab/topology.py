"""Which hosts the lab has, and what they are called."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / ".lab"  # keys, passwords, downloaded packages, logs; ignored by git

# Two labs on one machine, of two checkouts say, need two names.
NAME = os.environ.get("MULTISCHEMA_LAB", "multischema")
NETWORK = f"{NAME}-lab"
ROLES = ("writer", "replica", "pooler", "monitor", "application")


@dataclass(frozen=True)
class Release:
    """One release of Debian.

    :param name: begins the name of its hosts.
    :param suite: as apt calls it.
    :param postgres: major version of its PostgreSQL.
    :param pgbouncer: version of its PgBouncer, to two places.
    """

    name: str
    suite: str
    postgres: int
    pgbouncer: str

    @property
    def image(self) -> str:
        """The image's name; images are shared by all labs of a machine."""
        return f"localhost/multischema-{self.name}"

    def host(self, role: str) -> str:
        """The name of one of its hosts, as the other hosts and the inventory know it."""
        return f"{self.name}-{role}"


RELEASES = (Release("debian12", "bookworm", 15, "1.18"), Release("debian13", "trixie", 17, "1.24"))


def container(host: str) -> str:
    """The name of a host's container, as podman knows it."""
    return f"{NAME}-{host}"
