"""Reads everything in a catalog that is text, with the parser of PostgreSQL itself (libpg_query, by way of pglast).

It runs on the control node. Whatever the parser says of a text, or however it fails, becomes part of the reading.
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
from collections.abc import Callable, Iterator

from ansible_collections.dbops.multischema.plugins.module_utils.catalog import Catalog
from ansible_collections.dbops.multischema.plugins.module_utils.catalog_routines import Expression, Routine
from ansible_collections.dbops.multischema.plugins.module_utils.errors import ConfigurationError
from ansible_collections.dbops.multischema.plugins.module_utils.reading import Reading, Readings

try:
    from ansible_collections.dbops.multischema.plugins.plugin_utils.plpgsql_reader import PlpgsqlReader
    from ansible_collections.dbops.multischema.plugins.plugin_utils.sql_collector import Collector
    from ansible_collections.dbops.multischema.plugins.plugin_utils.sql_reader import SqlReader
except ImportError as error:
    if not (error.name or "").startswith("pglast"):
        raise
    MISSING: str | None = str(error)
else:
    MISSING = None

_CACHE_LIMIT = 50_000
_RECURSION = 6_000  # frames; about 1,500 levels of nesting
_LONGEST_CHAIN = 15_000  # operators in one text; at 60,000 in one expression the parser crashed
_cache: dict[str, Reading] = {}


def _require_parser() -> None:
    if MISSING is not None:
        raise ConfigurationError(
            f"pglast is not installed on this machine ({MISSING}).",
            "The plan reads function bodies with it; without reading them it would have to guess.",
            "Install it where ansible-playbook runs: pip install --require-hashes -r requirements.txt.",
        )


def _read_sql(source: str, found: Collector, gives_rows: bool = False) -> Reading:
    """A text in SQL.

    :param gives_rows: it is the body of a function that returns rows of a table.
    """
    SqlReader(found, lambda position: source.count("\n", 0, position) + 1).read(source, gives_rows)
    return found.reading()


@contextlib.contextmanager
def _room_for_recursion() -> Iterator[None]:
    """A chain of some hundred ``||`` is a tree of that depth."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _RECURSION))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def _read(language: str, source: str, work: Callable[[], Reading]) -> Reading:
    """Whatever goes wrong with one text must not stop the plan."""
    if sum(source.count(operator) for operator in ("||", "+", "*", "- ")) > _LONGEST_CHAIN:
        return Reading(problem="it is nested too deeply")  # the parser's own stack would end the process
    try:
        with _room_for_recursion():
            return work()
    except RecursionError:
        return Reading(problem="it is nested too deeply")
    except Exception as error:  # a parser may fail in any way on any text
        said = str(error.args[0]) if error.args else type(error).__name__
        return Reading(problem=f"the {language} parser says: {said}")


def read_routine(routine: Routine, row_functions: frozenset[str] = frozenset(), aggregates: frozenset[str] = frozenset()) -> Reading:
    """What one routine says.

    :param row_functions: names of functions that take a table's row.
    :param aggregates: names of aggregate functions besides PostgreSQL's own.
    """
    _require_parser()
    rows, sums = (frozenset(name for name in names if name in routine.source) for names in (row_functions, aggregates))
    facts = (
        *(routine.language, routine.source, routine.kind, routine.returns, routine.returns_set, routine.name, bool(routine.result_table)),
        *(sorted(rows), sorted(sums)),
    )
    arguments = [(a.mode, a.name, a.type, bool(a.table)) for a in routine.arguments]
    key = hashlib.sha256(repr((facts, arguments)).encode()).hexdigest()
    if key not in _cache:
        if len(_cache) >= _CACHE_LIMIT:
            _cache.clear()
        _cache[key] = _read_afresh(routine, rows, sums)
    return _cache[key]


def _read_afresh(routine: Routine, row_functions: frozenset[str], aggregates: frozenset[str]) -> Reading:
    if routine.language == "plpgsql":
        return _read("PL/pgSQL", routine.source, lambda: PlpgsqlReader(routine, row_functions, aggregates).read())
    if routine.language == "sql":
        return _read(
            "SQL", routine.source, lambda: _read_sql(routine.source, Collector(row_functions, aggregates), bool(routine.result_table))
        )
    return Reading(problem=f"it is written in {routine.language}")


def read_expression(expression: Expression) -> Reading:
    """What an expression of the catalog says, as PostgreSQL prints it."""
    _require_parser()
    whole = expression.kind in ("view", "rule")
    sql = expression.text if whole else f"SELECT {expression.text}"
    return _read("SQL", sql, lambda: _read_sql(sql, Collector(deparsed=True)))


def read_catalog_text(catalog: Catalog) -> Readings:
    """Read all of it. A second time what has not changed is remembered."""
    row_functions = frozenset(routine.name for routine in catalog.routines if routine.row_types)
    aggregates = frozenset(catalog.aggregates)
    return Readings(
        {routine.oid: read_routine(routine, row_functions, aggregates) for routine in catalog.routines if routine.source},
        tuple(read_expression(expression) for expression in catalog.expressions),
    )
