"""What decides which object a bare name means: stored paths, their users, and names that occur more than once.

Plain data like `catalog.py`, which holds them; `path_reader.py` fills them from a server.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PathSetting:
    """A ``search_path`` in ``pg_db_role_setting``, with the text as PostgreSQL keeps it.

    ``role`` is None for everyone; ``in_database`` tells one of this database from one that holds in all of them.
    """

    role: str | None
    in_database: bool
    value: str


@dataclass(frozen=True)
class PathUser:
    """A role that the configuration names, or that has a path of its own in this database.

    ``may_configure``: the connected role may set its path. ``acts_for``: those of these roles whose rights it has.
    ``uses`` and ``creates``: schemas of some path that are there and that it may use, and create in.
    """

    name: str
    superuser: bool = False
    may_configure: bool = True
    acts_for: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    creates: tuple[str, ...] = ()


@dataclass(frozen=True)
class SharedName:
    """An object whose name occurs in several schemas of the paths.

    ``oid`` is that of the relation for a row type, so that a table and its type are known to go together. ``least`` and
    ``most`` are the numbers of arguments that a routine can be called with.
    """

    kind: str  # relation, type, routine, operator (class), collation, text search configuration or dictionary
    name: str
    schema: str
    oid: int
    label: str
    least: int = 0
    most: int = 0


@dataclass(frozen=True)
class ExtensionUse:
    """Tables with columns of an extension's types; ``schema`` is where the extension's operators are."""

    extension: str
    schema: str
    tables: tuple[int, ...]


@dataclass(frozen=True)
class PinnedRoutine:
    """A routine that brings a path of its own (``SET search_path``)."""

    label: str
    value: str
