"""Statements that are not queries, and the relations that they name: what each does to a table, and what it would do to a view."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pglast import ast as _ast
from pglast import enums

from ansible_collections.dbops.multischema.plugins.module_utils import reading as r
from ansible_collections.dbops.multischema.plugins.plugin_utils.sql_text import names

ast: Any = _ast  # its attributes are optional to mypy, and the grammar knows better

Named = tuple[str, "tuple[str | None, str] | None", "int | None", str]

# On a view these succeed, and change the view alone.
_VIEW_TAKES = (enums.AlterTableType.AT_ColumnDefault, enums.AlterTableType.AT_ChangeOwner, enums.AlterTableType.AT_SetRelOptions)
_DROPPED = {
    enums.ObjectType.OBJECT_TABLE: "DROP TABLE",
    enums.ObjectType.OBJECT_SEQUENCE: "DROP SEQUENCE",
    enums.ObjectType.OBJECT_INDEX: "DROP INDEX",
}
_ON_TABLE = (enums.ObjectType.OBJECT_TRIGGER, enums.ObjectType.OBJECT_POLICY, enums.ObjectType.OBJECT_RULE)


def _relation(node: Any) -> tuple[str | None, str]:
    return node.schemaname, node.relname


def _of(words: str, use: str = r.DDL) -> Callable[[Any], Iterator[Named]]:
    """A statement with one relation."""

    def found(node: Any) -> Iterator[Named]:
        relation = getattr(node, "relation", None) or getattr(node, "sequence", None) or getattr(node, "table", None)
        if isinstance(relation, ast.RangeVar):
            yield use, _relation(relation), relation.location, words

    return found


def _many(words: str, use: str) -> Callable[[Any], Iterator[Named]]:
    def found(node: Any) -> Iterator[Named]:
        for relation in node.relations or ():
            yield use, _relation(relation), relation.location, words

    return found


def _alter_table(node: Any) -> Iterator[Named]:
    kinds = [command.subtype for command in node.cmds or ()]
    use = r.DDL_ON_VIEW if all(kind in _VIEW_TAKES for kind in kinds) else r.DDL
    words = {enums.ObjectType.OBJECT_INDEX: "ALTER INDEX", enums.ObjectType.OBJECT_SEQUENCE: "ALTER SEQUENCE"}
    yield use, _relation(node.relation), node.relation.location, words.get(node.objtype, "ALTER TABLE")


def _rename(node: Any) -> Iterator[Named]:
    if node.relation is not None:
        on_view = node.renameType in (enums.ObjectType.OBJECT_TABLE, enums.ObjectType.OBJECT_COLUMN, enums.ObjectType.OBJECT_VIEW)
        yield r.DDL_ON_VIEW if on_view else r.DDL, _relation(node.relation), node.relation.location, "ALTER … RENAME"


def _drop(node: Any) -> Iterator[Named]:
    for item in node.objects or ():
        parts = names(item) if isinstance(item, tuple) else []
        if node.removeType in _ON_TABLE:
            parts = parts[:-1]
        elif node.removeType not in _DROPPED:
            continue
        if parts:
            words = _DROPPED.get(node.removeType, "DROP … ON")
            yield r.DDL, (parts[-2] if len(parts) > 1 else None, parts[-1]), None, words


def _comment(node: Any) -> Iterator[Named]:
    if node.objtype == enums.ObjectType.OBJECT_TABLE:
        parts = names(node.object)
        yield r.DDL, (parts[-2] if len(parts) > 1 else None, parts[-1]), None, "COMMENT ON TABLE"


def _grant(node: Any) -> Iterator[Named]:
    for item in node.objects or ():
        if isinstance(item, ast.RangeVar):
            sequence = node.objtype == enums.ObjectType.OBJECT_SEQUENCE
            yield r.DDL if sequence else r.DDL_ON_VIEW, _relation(item), item.location, "GRANT" if node.is_grant else "REVOKE"


def _vacuum(node: Any) -> Iterator[Named]:
    for item in node.rels or ():
        if item.relation is not None:
            words = "VACUUM" if node.is_vacuumcmd else "ANALYZE"
            yield r.DDL_ON_VIEW, _relation(item.relation), item.relation.location, words


def _constraints(node: Any) -> Iterator[Named]:
    for item in node.constraints or ():
        yield r.CONSTRAINT, _relation(item), item.location, ""


def _copy(node: Any) -> Iterator[Named]:
    if node.relation is not None:
        yield r.COPY, _relation(node.relation), node.relation.location, ""


# By the name of the node's class. What they contain besides is read like any other SQL.
STATEMENTS: dict[str, Callable[[Any], Iterator[Named]]] = {
    "TruncateStmt": _many("TRUNCATE", r.TRUNCATE),
    "LockStmt": _many("LOCK", r.LOCK),
    "CopyStmt": _copy,
    "AlterTableStmt": _alter_table,
    "RenameStmt": _rename,
    "AlterObjectSchemaStmt": _of("ALTER … SET SCHEMA", r.DDL_ON_VIEW),
    "AlterSeqStmt": _of("ALTER SEQUENCE"),
    "IndexStmt": _of("CREATE INDEX"),
    "CreateTrigStmt": _of("CREATE TRIGGER"),
    "CreatePolicyStmt": _of("CREATE POLICY"),
    "AlterPolicyStmt": _of("ALTER POLICY"),
    "RuleStmt": _of("CREATE RULE"),
    "ClusterStmt": _of("CLUSTER"),
    "ReindexStmt": _of("REINDEX"),
    "RefreshMatViewStmt": _of("REFRESH", r.READ),
    "DropStmt": _drop,
    "CommentStmt": _comment,
    "GrantStmt": _grant,
    "VacuumStmt": _vacuum,
    "ConstraintsSetStmt": _constraints,
}
