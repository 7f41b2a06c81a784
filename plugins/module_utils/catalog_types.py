"""Types of people's own, and what uses them: plain data like `catalog.py`, which holds it."""

from __future__ import annotations

from dataclasses import dataclass

TYPE_KINDS = {"e": "enum", "d": "domain", "c": "composite type", "r": "range type"}


@dataclass(frozen=True)
class UserType:
    """A type that somebody has made for itself: no row type, no array type, no multirange.

    ``relation`` is the OID in ``pg_class`` that a composite type has, otherwise 0; ``base`` what a domain is made from. ``tables`` have
    columns that are made of it, ``arrays`` columns of its array type. ``overloaded`` are routines that take it and have a namesake with
    as many arguments. ``usage`` are the grantees of its ACL (None where that is the built-in default), ``usage_grantable`` those of
    them that may grant it on. ``dependents`` is filled only for a domain over a type of another schema, as our aliases are.
    """

    oid: int
    schema: str
    name: str
    kind: str  # pg_type.typtype
    owner: str
    array_type: str = ""
    relation: int = 0
    base: int = 0
    extension: str | None = None
    usage: tuple[str, ...] | None = None
    usage_grantable: tuple[str, ...] = ()
    tables: tuple[int, ...] = ()
    arrays: tuple[int, ...] = ()
    overloaded: tuple[str, ...] = ()
    dependents: tuple[str, ...] = ()

    @property
    def kind_text(self) -> str:
        """The kind as a person says it."""
        return TYPE_KINDS[self.kind]
