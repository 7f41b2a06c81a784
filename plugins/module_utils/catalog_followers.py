"""Who follows the database, as plain data: part of `catalog.Catalog`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Slot:
    """A logical replication slot of this database: someone reads its changes, or will. ``plugin`` decodes them."""

    name: str
    plugin: str
    active: bool = False


@dataclass(frozen=True)
class Subscription:
    """A subscription of this database, with the tables here that it writes to."""

    name: str
    owner: str
    enabled: bool = True
    tables: tuple[int, ...] = ()
