"""What of a catalog is text: routines and where they are wired in, expressions that name something as text, jobs, remote tables.

PostgreSQL follows a moved table by its OID wherever it keeps a parsed form. What is listed here it keeps as text, and reads
again each time.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Argument:
    """A parameter of a routine.

    ``mode`` is that of ``pg_proc.proargmodes``. For the row type of a table ``table`` is the table's OID, for a type of people's own (or
    an array of it) ``user_type`` that type's; ``schema`` is empty then, because a move changes it.
    """

    mode: str
    name: str
    schema: str
    type: str
    table: int = 0
    user_type: int = 0


@dataclass(frozen=True)
class Wiring:
    """Where a routine is called from by the catalog: a trigger, a check, a default, an index, a policy, a view or another routine.

    ``relation`` is the OID of the table or view, 0 where there is none; ``schema`` and ``relation_name`` are how it is called now.
    """

    kind: str
    name: str
    relation: int = 0
    schema: str = ""
    relation_name: str = ""
    routine: int = 0


@dataclass(frozen=True)
class Routine:
    """A function or procedure.

    ``source`` is its text, empty where PostgreSQL keeps a parsed body that follows by OID; ``row_types`` are the tables whose row type it
    takes. ``search_path`` is the setting that it carries (None: that of the caller applies). ``returns`` is ``trigger``,
    ``event_trigger``, ``void``, or empty for anything else; ``result_table`` is the OID of the table whose rows it returns, 0 where it
    returns something else.
    """

    oid: int
    schema: str
    name: str
    signature: str = ""
    source: str = ""
    row_types: tuple[int, ...] = ()
    language: str = "plpgsql"
    kind: str = "f"  # pg_proc.prokind
    search_path: tuple[str, ...] | None = None
    security_definer: bool = False
    owner: str = ""
    returns: str = ""
    returns_set: bool = False
    result_table: int = 0
    arguments: tuple[Argument, ...] = ()
    wiring: tuple[Wiring, ...] = ()


@dataclass(frozen=True)
class Expression:
    """An expression of the catalog in which a sequence or table is named as text, so that nothing links them.

    ``kind``: default, check, domain check, policy, trigger condition, rule or view; ``relation`` the OID of the table that it
    belongs to.
    """

    kind: str
    name: str
    relation: int
    schema: str
    relation_name: str
    text: str


@dataclass(frozen=True)
class Mention:
    """A row of a job's or tool's own table whose text holds names of tables or sequences of ours, as whole words.

    ``row`` says which row it is, in words; ``names`` are bare.
    """

    schema: str
    table: str
    column: str
    row: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class RemoteTable:
    """A foreign table of this database whose options name a table of a schema of ours.

    ``database`` is what its server's options call the other side, empty where they do not say.
    """

    schema: str
    name: str
    server: str
    database: str
    remote_schema: str
    remote_table: str
