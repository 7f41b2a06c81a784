"""Reads SQL: every relation, sequence, type and constraint that statements name, and how they use it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

from pglast import ast as _ast
from pglast import enums, parse_sql
from pglast.parser import ParseError

from ansible_collections.dbops.multischema.plugins.module_utils import reading as r
from ansible_collections.dbops.multischema.plugins.module_utils.reading import Note, Reference
from ansible_collections.dbops.multischema.plugins.module_utils.search_path import parse
from ansible_collections.dbops.multischema.plugins.plugin_utils.sql_collector import Collector
from ansible_collections.dbops.multischema.plugins.plugin_utils.sql_scope import (
    Scope,
    Table,
    all_nodes,
    column,
    range_vars,
    row_of,
    type_name,
    ungrouped,
)
from ansible_collections.dbops.multischema.plugins.plugin_utils.sql_statements import STATEMENTS
from ansible_collections.dbops.multischema.plugins.plugin_utils.sql_text import (
    UNKNOWN,
    function_name,
    names,
    put_together,
    run_elsewhere,
    run_here,
    split_name,
    string,
)

ast: Any = _ast  # its attributes are optional to mypy, and the grammar knows better

_SEQUENCES = ("nextval", "currval", "setval", "pg_sequence_last_value", "has_sequence_privilege", "pg_sequence_parameters")
_SIZES = ("pg_relation_size", "pg_total_relation_size", "pg_table_size", "pg_indexes_size", "pg_relation_filenode", "pg_partition_tree")
_SYSTEM_COLUMNS = frozenset(("xmin", "xmax", "cmin", "cmax", "ctid", "tableoid"))
_CATALOGS = frozenset(
    (
        "pg_class",
        "pg_namespace",
        "pg_tables",
        "pg_stat_user_tables",
        "pg_stat_all_tables",
        "pg_statio_user_tables",
        "pg_statio_all_tables",
        "pg_indexes",
        "pg_sequences",
        "pg_policies",
        "pg_rules",
        "pg_stat_user_indexes",
    )
)


class SqlReader:
    """Walks through the statements of one text.

    :param line: of a position in the SQL, as a line of the whole text.
    """

    def __init__(self, found: Collector, line: Callable[[int], int]) -> None:
        self.found, self._line = found, line
        self.unknown_names = False
        self._results: set[int] = set()  # ids of the statements whose rows are the result

    def read(self, sql: str, gives_result: bool = False) -> None:
        """Read statements.

        :param gives_result: the rows of the last are the result of a routine.
        :raises pglast.parser.ParseError: when it is not SQL.
        """
        statements = parse_sql(sql)
        if statements and gives_result:
            self._results.add(id(statements[-1].stmt))
        for statement in statements:
            self._walk(statement.stmt, Scope())

    # --- what is found ---

    def _name(self, use: str, table: Table | None, position: int | None, detail: str = "") -> None:
        if table is None:
            return
        schema, name = table
        if UNKNOWN in name or UNKNOWN in (schema or ""):
            self.unknown_names = True
            return
        self.found.references.append(Reference(use, schema, name, self._line(position or 0), detail, self.found.caught))

    def _relation(self, use: str, node: Any, scope: Scope, detail: str = "") -> None:
        if node.schemaname is None and node.relname in scope.ctes and use in (r.READ, r.ONLY, r.TABLESAMPLE):
            return
        self._name(use, (node.schemaname, node.relname), node.location, detail)

    def _text_name(self, use: str, node: Any, position: int, detail: str = "") -> None:
        """A name in a string constant; one that is put together at run time is noted."""
        known = string(node)
        if known is not None:
            self._name(use, split_name(known), position, detail)
        elif isinstance(node, ast.A_Expr) or function_name(node) in ("format", "concat"):
            self.found.notes.append(Note(r.DYNAMIC, self._line(position), "a name that is put together"))

    # --- the walk ---

    def _walk(self, node: Any, scope: Scope) -> None:
        if isinstance(node, tuple):
            for item in node:
                self._walk(item, scope)
        elif isinstance(node, ast.Node):
            handler = getattr(self, f"_{type(node).__name__}", None)
            if handler is not None:
                handler(node, scope)
            elif type(node).__name__ in STATEMENTS:
                for use, table, position, detail in STATEMENTS[type(node).__name__](node):
                    self._name(use, table, position, detail)
                self._below(node, scope, ("relation", "relations", "objects", "object", "rels", "table", "sequence", "constraints", "view"))
            else:
                self._below(node, scope)

    def _below(self, node: Any, scope: Scope, left_out: Iterable[str] = ()) -> None:
        for slot in node.__slots__:
            value = getattr(node, slot, None)
            if slot not in left_out and isinstance(value, (ast.Node, tuple)):
                self._walk(value, scope)

    def _inner(self, node: Any, scope: Scope) -> Scope:
        """The scope of a statement: its common table expressions are read here."""
        inner = Scope(scope, scope.ctes)
        clause: Any = getattr(node, "withClause", None)
        for cte in clause.ctes if clause else ():
            visible = inner.ctes | {cte.ctename} if clause.recursive else inner.ctes
            self._walk(cte.ctequery, Scope(scope, visible))
            inner.ctes = inner.ctes | {cte.ctename}
        return inner

    def _SelectStmt(self, node: Any, scope: Scope) -> None:
        inner = self._inner(node, scope)
        for item in node.fromClause or ():
            inner.add(item)
        if node.intoClause is not None and node.intoClause.rel is not None:
            self._made(node.intoClause.rel)
        for reference in ungrouped(node, self.found.aggregates):
            self._open_column(reference, inner)
        self._catalog_query(node)
        if id(node) in self._results:
            self._results.update(id(part) for part in (node.larg, node.rarg) if part is not None)
            self._result(node.targetList, inner)
        self._below(node, inner, ("withClause", "intoClause"))

    def _open_column(self, node: Any, scope: Scope) -> None:
        parts = column(node)
        if len(parts) == 1 and parts[0] != "*":
            if parts[0] not in self.found.variables:
                for table in scope.tables.values():
                    self._name(r.GROUP_KEY, table, node.location, parts[0])
        elif parts == ("*",):
            for table in scope.tables.values():
                self._name(r.GROUP_KEY, table, node.location, "*")
        else:
            self._name(r.GROUP_KEY, scope.table(parts[-2]), node.location, parts[-1])

    def _catalog_query(self, node: Any) -> None:
        catalogs = [
            table for item in node.fromClause or () for table in range_vars(item) if table.schemaname == "information_schema"
            or (table.relname in _CATALOGS and table.schemaname in (None, "pg_catalog"))
        ]  # fmt: skip
        if not catalogs:
            return
        literals, columns = set(), set()
        for part in all_nodes((node.whereClause, node.fromClause, node.targetList)):
            known = string(part) if isinstance(part, ast.A_Const) else None
            if known is not None:
                literals.add(known)
            elif isinstance(part, ast.ColumnRef):
                columns.add(column(part)[-1])
        where = self._line(catalogs[0].location)
        for table in catalogs:
            name = f"{table.schemaname}.{table.relname}" if table.schemaname == "information_schema" else table.relname
            self.found.notes.append(Note(r.CATALOG, where, " ".join((name, *sorted(columns))), tuple(sorted(literals))))

    def _InsertStmt(self, node: Any, scope: Scope) -> None:
        inner = self._inner(node, scope)
        inner.add(node.relation)
        self._relation(r.INSERT, node.relation, scope)
        conflict = node.onConflictClause
        if conflict is not None:
            if conflict.infer is not None and conflict.infer.conname:
                self._relation(r.ON_CONSTRAINT, node.relation, scope, conflict.infer.conname)
            self._defaults(node.relation, conflict.targetList, scope)
        self._returning(node, inner)
        self._below(node, inner, ("withClause", "relation", "cols"))

    def _UpdateStmt(self, node: Any, scope: Scope) -> None:
        inner = self._target(node, node.fromClause, r.UPDATE, scope)
        self._defaults(node.relation, node.targetList, scope)
        self._returning(node, inner)
        self._below(node, inner, ("withClause", "relation"))

    def _DeleteStmt(self, node: Any, scope: Scope) -> None:
        inner = self._target(node, node.usingClause, r.DELETE, scope)
        self._returning(node, inner)
        self._below(node, inner, ("withClause", "relation"))

    def _returning(self, node: Any, scope: Scope) -> None:
        if id(node) in self._results and node.returningClause is not None:
            self._result(node.returningClause.exprs, scope)

    def _result(self, targets: Any, scope: Scope) -> None:
        """One value that is a whole row has the row's own type, unlike columns that make up a row."""
        for table in row_of(targets[0].val, scope) if len(targets or ()) == 1 else ():
            self._name(r.ROW_RESULT, table, targets[0].location)

    def _target(self, node: Any, further: Any, use: str, scope: Scope) -> Scope:
        inner = self._inner(node, scope)
        for item in (node.relation, *(further or ())):
            inner.add(item)
        self._relation(use, node.relation, scope)
        if not node.relation.inh:
            self._relation(r.ONLY, node.relation, scope)
        if isinstance(node.whereClause, ast.CurrentOfExpr):
            self._relation(r.CURRENT_OF, node.relation, scope)
        return inner

    def _MergeStmt(self, node: Any, scope: Scope) -> None:
        inner = self._inner(node, scope)
        inner.add(node.relation)
        inner.add(node.sourceRelation)
        self._relation(r.MERGE, node.relation, scope)
        for clause in node.mergeWhenClauses or ():
            if clause.commandType == enums.CmdType.CMD_UPDATE:
                self._defaults(node.relation, clause.targetList, scope)
        self._below(node, inner, ("withClause", "relation"))

    def _defaults(self, relation: Any, targets: Any, scope: Scope) -> None:
        for target in targets or ():
            value = target.val
            if isinstance(value, ast.MultiAssignRef):
                values = value.source.args if isinstance(value.source, ast.RowExpr) else ()
                value = values[value.colno - 1] if value.colno <= len(values or ()) else value
            if isinstance(value, ast.SetToDefault):
                self._relation(r.SET_DEFAULT, relation, scope, target.name)

    def _RangeVar(self, node: Any, scope: Scope) -> None:
        self._relation(r.READ, node, scope)
        if not node.inh:
            self._relation(r.ONLY, node, scope)

    def _RangeTableSample(self, node: Any, scope: Scope) -> None:
        self._relation(r.TABLESAMPLE, node.relation, scope)
        self._walk(node.args, scope)

    def _TypeName(self, node: Any, scope: Scope) -> None:  # noqa: ARG002  like all of these
        parts = names(node.names)
        if node.pct_type and len(parts) > 1:
            self._name(r.PCT_TYPE, (parts[-3] if len(parts) > 2 else None, parts[-2]), node.location, parts[-1])
        else:
            self._name(r.TYPE, type_name(node), node.location)

    def _TypeCast(self, node: Any, scope: Scope) -> None:
        if names(node.typeName.names)[-1:] == ["regclass"]:
            if string(node.arg) is not None and (not self.found.deparsed or isinstance(node.arg, ast.TypeCast)):
                self._text_name(r.REGCLASS, node.arg, node.location)
                return
            if isinstance(node.arg, ast.ColumnRef) and column(node.arg)[-1] in ("tg_relid", "tableoid"):
                self.found.notes.append(Note(r.TABLE_SCHEMA, self._line(node.location), f"{column(node.arg)[-1]}::regclass"))
        self._below(node, scope)

    def _ColumnRef(self, node: Any, scope: Scope) -> None:
        parts = column(node)
        last = parts[-1]
        if parts == ("tg_table_schema",):
            self.found.notes.append(Note(r.TABLE_SCHEMA, self._line(node.location), "TG_TABLE_SCHEMA"))
        if last in _SYSTEM_COLUMNS:
            tables = [scope.table(parts[-2])] if len(parts) > 1 else list(scope.tables.values())
            if len(tables) == 1:
                self._name(r.SYSTEM_COLUMN, tables[0], node.location, last)
        if len(parts) == 2 and last in self.found.row_functions:
            self._name(r.ROW_FIELD, scope.table(parts[0]) or self.found.variables.get(parts[0]), node.location, last)

    def _FuncCall(self, node: Any, scope: Scope) -> None:
        parts, arguments = names(node.funcname), node.args or ()
        name = parts[-1]
        own = len(parts) == 1 or parts[0] == "pg_catalog"
        if own and arguments:
            if self._named_in_text(name, arguments, node.location or 0):
                self._walk(arguments[1:], scope)
                return
            if name == "set_config" and len(arguments) > 1 and string(arguments[0]) == "search_path":
                self._path(string(arguments[1]))
        self._run_as_text(parts, arguments, node.location or 0)
        self.found.calls.add((parts[-2] if len(parts) > 1 else None, name))
        if name in self.found.row_functions:
            for argument in arguments:
                self._row_argument(name, argument, scope)
        self._below(node, scope)

    def _named_in_text(self, name: str, arguments: tuple[Any, ...], position: int) -> bool:
        """A function of PostgreSQL that is handed a relation by name."""
        first = arguments[0]
        if isinstance(first, ast.TypeCast) and names(first.typeName.names)[-1:] == ["regclass"]:
            if self.found.deparsed and isinstance(first.arg, ast.A_Const):
                return False
            first = first.arg
        use = {"to_regclass": r.TO_REGCLASS, "pg_get_serial_sequence": r.SERIAL_SEQUENCE}.get(name)
        use = use or (r.SEQUENCE if name in _SEQUENCES else r.SIZE if name in _SIZES else None)
        if use is None or (function_name(first) and function_name(first) not in ("format", "concat")):
            return False
        if name == "has_sequence_privilege":
            first = arguments[-2] if len(arguments) > 1 else first
        self._text_name(use, first, position, name)
        return string(first) is not None

    def _run_as_text(self, function: list[str], arguments: tuple[Any, ...], position: int) -> None:
        """SQL in an argument that the function runs: here, and then it is read; or elsewhere, where it may mean something else."""
        line = self._line(position)
        elsewhere = run_elsewhere(function, arguments)
        if elsewhere is not None:
            self.found.notes.append(Note(r.DYNAMIC, line, elsewhere))
        for argument in run_here(function, arguments):
            if not self.read_made(argument, line):
                self.found.notes.append(Note(r.DYNAMIC, line, f"what {function[-1]} is handed"))

    def read_made(self, node: Any, line: int) -> bool:
        """Read SQL that an expression puts together. :returns: whether all names in it are known."""
        text, loose = put_together(node)
        if text.strip() == UNKNOWN:
            return False
        reader = SqlReader(self.found, lambda _: line)
        try:
            reader.read(text)
        except ParseError:
            return False
        return not (loose or reader.unknown_names)

    def _NullTest(self, node: Any, scope: Scope) -> None:
        if function_name(node.arg) == "to_regclass" and node.arg.args and string(node.arg.args[0]) is not None:
            self._text_name(r.EXISTS, node.arg.args[0], node.arg.location or 0)
        else:
            self._below(node, scope)

    def _row_argument(self, function: str, argument: Any, scope: Scope) -> None:
        if isinstance(argument, ast.TypeCast):
            self._name(r.ROW_ARGUMENT, type_name(argument.typeName), argument.location, function)
        elif isinstance(argument, ast.ColumnRef):
            parts = column(argument)
            if len(parts) == 1 or (len(parts) == 2 and parts[1] == "*"):
                held = scope.table(parts[0]) if scope.known(parts[0]) else self.found.variables.get(parts[0])
                self._name(r.ROW_ARGUMENT, held, argument.location, function)

    def _VariableSetStmt(self, node: Any, scope: Scope) -> None:  # noqa: ARG002  like all of these
        if (node.name or "") == "search_path":
            values = [put_together(value)[0] for value in node.args or ()]
            self._path(", ".join('"' + value.replace('"', '""') + '"' for value in values) if values else None)

    def _path(self, text: str | None) -> None:
        if text is not None and UNKNOWN not in text:
            with contextlib.suppress(ValueError):  # PostgreSQL would not take it either
                self.found.path = parse(text)

    # --- what makes tables ---

    def _made(self, node: Any) -> None:
        if node.schemaname in (None, "pg_temp"):
            self.found.made.add(node.relname)

    def _CreateStmt(self, node: Any, scope: Scope) -> None:
        self._made(node.relation)
        for parent in node.inhRelations or ():
            self._relation(r.DDL, parent, scope, "PARTITION OF" if node.partbound else "INHERITS")
        self._below(node, scope, ("relation", "inhRelations"))

    def _TableLikeClause(self, node: Any, scope: Scope) -> None:
        self._relation(r.LIKE, node.relation, scope)

    def _Constraint(self, node: Any, scope: Scope) -> None:
        if node.pktable is not None:
            self._relation(r.DDL, node.pktable, scope, "REFERENCES")
        self._below(node, scope, ("pktable",))

    def _CreateTableAsStmt(self, node: Any, scope: Scope) -> None:
        self._made(node.into.rel)
        self._walk(node.query, scope)

    def _ViewStmt(self, node: Any, scope: Scope) -> None:
        self._walk(node.query, scope)

    def _CreateSeqStmt(self, node: Any, scope: Scope) -> None:  # noqa: ARG002  like all of these
        self._made(node.sequence)
