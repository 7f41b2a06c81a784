"""Which tables a statement's names stand for: aliases, common table expressions, and what GROUP BY leaves open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pglast import ast as _ast

from ansible_collections.dbops.multischema.plugins.plugin_utils.sql_text import function_name, names

ast: Any = _ast  # its attributes are optional to mypy, and the grammar knows better

Table = tuple[str | None, str]

_AGGREGATES = frozenset(
    (
        "count",
        "sum",
        "avg",
        "min",
        "max",
        "array_agg",
        "string_agg",
        "json_agg",
        "jsonb_agg",
        "json_object_agg",
        "jsonb_object_agg",
        "json_agg_strict",
        "jsonb_agg_strict",
        "bool_and",
        "bool_or",
        "every",
        "bit_and",
        "bit_or",
        "bit_xor",
        "any_value",
        "xmlagg",
        "range_agg",
        "range_intersect_agg",
        "stddev",
        "stddev_pop",
        "stddev_samp",
        "variance",
        "var_pop",
        "var_samp",
        "corr",
        "covar_pop",
        "covar_samp",
        "regr_avgx",
        "regr_avgy",
        "regr_count",
        "regr_intercept",
        "regr_r2",
        "regr_slope",
        "regr_sxx",
        "regr_sxy",
        "regr_syy",
        "percentile_cont",
        "percentile_disc",
        "mode",
        "rank",
        "dense_rank",
        "percent_rank",
        "cume_dist",
        "grouping",
        "st_union",
        "st_collect",
        "st_extent",
    )
)


def children(node: Any) -> Iterator[Any]:
    """The nodes and lists of nodes below one."""
    for slot in node.__slots__:
        value = getattr(node, slot, None)
        if isinstance(value, (ast.Node, tuple)):
            yield value


@dataclass
class Scope:
    """The tables of one query level. ``tables`` maps an alias to its table, or to None for what is no table."""

    parent: Scope | None = None
    ctes: frozenset[str] = frozenset()
    tables: dict[str, Table | None] = field(default_factory=dict)

    def add(self, node: Any) -> None:
        """Take in what stands in FROM, or the target of a statement."""
        if isinstance(node, ast.RangeVar):
            own = None if node.schemaname is None and node.relname in self.ctes else (node.schemaname, node.relname)
            self.tables[node.alias.aliasname if node.alias else node.relname] = own
        elif isinstance(node, ast.JoinExpr):
            self.add(node.larg)
            self.add(node.rarg)
        elif isinstance(node, ast.RangeTableSample):
            self.add(node.relation)
        elif getattr(node, "alias", None) is not None:
            self.tables[node.alias.aliasname] = None

    def table(self, alias: str) -> Table | None:
        """What an alias stands for here or further out."""
        scope: Scope | None = self
        while scope is not None:
            if alias in scope.tables:
                return scope.tables[alias]
            scope = scope.parent
        return None

    def known(self, alias: str) -> bool:
        """Whether it is an alias at all."""
        return alias in self.tables or (self.parent is not None and self.parent.known(alias))


def column(node: Any) -> tuple[str, ...]:
    """A column reference as names; ``*`` for all columns."""
    return tuple("*" if isinstance(part, ast.A_Star) else part.sval for part in node.fields)


def _shape(node: Any) -> Any:
    """Equal for expressions that are written alike."""
    if isinstance(node, ast.ColumnRef):
        return ("column", column(node)[-1])
    if isinstance(node, ast.Node):
        return (type(node).__name__, *(_shape(getattr(node, slot, None)) for slot in node.__slots__ if slot != "location"))
    return tuple(_shape(item) for item in node) if isinstance(node, tuple) else str(node)


def _is_aggregate(node: Any, further: frozenset[str]) -> bool:
    if not isinstance(node, ast.FuncCall) or node.over is not None:
        return False
    marks = (node.agg_star, node.agg_distinct, node.agg_order, node.agg_filter, node.agg_within_group)
    return function_name(node) in _AGGREGATES or function_name(node) in further or any(marks)


def _open_columns(node: Any, grouped: set[Any], aggregates: frozenset[str]) -> Iterator[Any]:
    if isinstance(node, tuple):
        for item in node:
            yield from _open_columns(item, grouped, aggregates)
    elif isinstance(node, ast.Node) and not isinstance(node, (ast.SubLink, ast.SelectStmt)) and not _is_aggregate(node, aggregates):
        if _shape(node) in grouped:
            return
        if isinstance(node, ast.ColumnRef):
            yield node
        else:
            for child in children(node):
                yield from _open_columns(child, grouped, aggregates)


def ungrouped(select: Any, aggregates: frozenset[str]) -> Iterator[Any]:
    """Columns outside of aggregates that GROUP BY does not name: allowed only where a primary key is grouped by.

    :param aggregates: names of aggregate functions besides PostgreSQL's own.
    """
    if not select.groupClause or any(isinstance(item, ast.GroupingSet) for item in select.groupClause):
        return
    targets = list(select.targetList or ())
    outputs = {target.name: target.val for target in targets if target.name}
    grouped: set[Any] = set()
    for item in select.groupClause:
        if isinstance(item, ast.A_Const) and isinstance(item.val, ast.Integer) and 0 < item.val.ival <= len(targets):
            grouped.add(_shape(targets[item.val.ival - 1].val))
            continue
        grouped.add(_shape(item))
        if isinstance(item, ast.ColumnRef) and len(item.fields) == 1 and column(item)[0] in outputs:
            grouped.add(_shape(outputs[column(item)[0]]))
    yield from _open_columns(tuple(target.val for target in targets), grouped, aggregates)
    yield from _open_columns(select.havingClause, grouped, aggregates)
    for item in select.sortClause or ():
        if isinstance(item.node, ast.ColumnRef) and len(item.node.fields) == 1 and column(item.node)[0] in outputs:
            continue
        yield from _open_columns(item.node, grouped, aggregates)


def type_name(node: Any) -> Table | None:
    """Schema and name of a type that may be a table's; None for PostgreSQL's own."""
    parts = names(node.names)
    if not parts or (len(parts) > 1 and parts[0] in ("pg_catalog", "information_schema")):
        return None
    return (parts[-2] if len(parts) > 1 else None, parts[-1])


# Functions whose result has the type of their first argument, or is an array of it, or an element.
_KEEP_TYPE = frozenset(
    ("array_agg", "jsonb_populate_record", "json_populate_record", "jsonb_populate_recordset", "json_populate_recordset", "unnest")
)


def _same_type(node: Any) -> Iterator[Any]:
    """The parts of an expression that have its type, or are elements of it."""
    if isinstance(node, ast.FuncCall) and function_name(node) in _KEEP_TYPE:
        yield from (node.args or ())[:1]
    elif isinstance(node, ast.CoalesceExpr):
        yield from node.args
    elif isinstance(node, ast.CaseExpr):
        yield from (*(when.result for when in node.args), node.defresult)
    elif isinstance(node, ast.A_ArrayExpr):
        yield from node.elements or ()


def row_of(node: Any, scope: Scope) -> Iterator[Table]:
    """The tables whose row, or an array of whose rows, an expression is."""
    table: Table | None = None
    if isinstance(node, ast.ColumnRef):
        table = scope.table(column(node)[0]) if len(node.fields) == 1 else None
    elif isinstance(node, ast.TypeCast):
        table = type_name(node.typeName)
    elif isinstance(node, ast.SubLink) and isinstance(node.subselect, ast.SelectStmt) and len(node.subselect.targetList or ()) == 1:
        inner = Scope(scope, scope.ctes)
        for item in node.subselect.fromClause or ():
            inner.add(item)
        yield from row_of(node.subselect.targetList[0].val, inner)
    if table is not None:
        yield table
    for part in _same_type(node):
        yield from row_of(part, scope)


def range_vars(item: Any) -> Iterator[Any]:
    """The tables of one item of FROM."""
    if isinstance(item, ast.RangeVar):
        yield item
    elif isinstance(item, ast.JoinExpr):
        yield from range_vars(item.larg)
        yield from range_vars(item.rarg)


def all_nodes(node: Any) -> Iterator[Any]:
    """A node and everything below it."""
    if isinstance(node, tuple):
        for item in node:
            yield from all_nodes(item)
    elif isinstance(node, ast.Node):
        yield node
        for child in children(node):
            yield from all_nodes(child)
