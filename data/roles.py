"""Who may ask what. A reader is anything a person types: one SELECT over the tables listed here, and nothing else.

The statement is judged by DuckDB's own parse tree, not by its text. Beyond this check the reader's transaction is
READ ONLY and the instance has no access to files, network or extensions, so each door is shut twice.
"""

import json
from collections.abc import Iterator
from typing import Any

import duckdb

from data.errors import QueryRejected

#: What a reader may ask about. Left out is what holds secrets or documents that may hold some
#: (channels, users, keys, settings, the audit log): a new table is private until it is named here.
READABLE: frozenset[str] = frozenset(
    {
        "alert_events",
        "alert_instances",
        "alerts",
        "budgets",
        "crosstalk_messages",
        "crosstalk_sessions",
        "delivery_attempts",
        "inbox",
        "ingest_offsets",
        "jobs",
        "latency_hour",
        "latency_minute",
        "notifications",
        "requests",
        "rule_health",
        "rule_versions",
        "rules",
        "schema_migrations",
        "silences",
        "usage_hour",
        "usage_minute",
    },
)

#: Table functions that touch nothing but their arguments.
TABLE_FUNCTIONS: frozenset[str] = frozenset({"generate_series", "json_each", "json_tree", "range", "unnest"})

#: Functions that act, wait, tell about the store rather than the rows, or make values of any size out of nothing.
REFUSED_FUNCTIONS: frozenset[str] = frozenset(
    {
        "array_resize",
        "bitstring",
        "bitstring_agg",
        "current_setting",
        "currval",
        "equi_width_bins",
        "format",
        "getenv",
        "getvariable",
        "json_execute_serialized_sql",
        "json_serialize_plan",
        "list_resize",
        "lpad",
        "nextval",
        "pg_sleep",
        "printf",
        "repeat",
        "rpad",
        "setseed",
        "sleep_ms",
        "write_log",
    },
)
#: These stream as table functions, and fill the memory as scalar ones.
_ONLY_AS_TABLE = frozenset({"generate_series", "range"})
_TABLE_REFERENCES = frozenset(
    {"BASE_TABLE", "EMPTY", "EXPRESSION_LIST", "JOIN", "PIVOT", "SUBQUERY", "TABLE_FUNCTION", "COLUMN_DATA"},
)
_MAX_DEPTH = 400


def check_select(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raises `QueryRejected` unless `sql` is exactly one SELECT."""
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise QueryRejected(str(error)) from error
    if len(statements) != 1:
        raise QueryRejected(f"one SELECT statement is expected, not {len(statements)} statements")
    if (kind := statements[0].type) != duckdb.StatementType.SELECT:
        raise QueryRejected(f"only SELECT is allowed here, not {kind.name}")


def check_reader(connection: duckdb.DuckDBPyConnection, sql: str, catalog: frozenset[str]) -> None:
    """Raises `QueryRejected` unless `sql` is one SELECT that a reader may run.

    `catalog` names every table and view there is: no common table expression may hide behind one of those names.
    """
    check_select(connection, sql)
    try:
        nodes = list(_nodes(_parse_tree(connection, sql), 0))
    except RecursionError as error:
        raise QueryRejected("the statement is nested too deeply") from error
    expressions = {str(entry["key"]).lower() for node in nodes for entry in _cte_entries(node)}
    if hidden := sorted(expressions & (catalog - READABLE)):
        raise QueryRejected(f"a common table expression may not be called {hidden[0]}: that is a table of the store")
    for node in nodes:
        _check_reference(node, READABLE | expressions)
        _check_function(node)


def catalog_names(connection: duckdb.DuckDBPyConnection) -> frozenset[str]:
    """The lower-case name of every table and view, the built-in ones included."""
    rows = connection.execute(
        "SELECT lower(table_name) FROM duckdb_tables() UNION SELECT lower(view_name) FROM duckdb_views()",
    ).fetchall()
    return frozenset(name for (name,) in rows)


def _parse_tree(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:
    row = connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
    tree: dict[str, Any] = json.loads(row[0]) if row else {"error": True}
    if tree["error"] or len(tree["statements"]) != 1:
        raise QueryRejected(f"only a plain SELECT is allowed here: {tree.get('error_message', 'nothing to run')}")
    return tree["statements"]


def _nodes(tree: Any, depth: int) -> Iterator[dict[str, Any]]:
    if depth > _MAX_DEPTH:
        raise RecursionError
    if isinstance(tree, dict):
        yield tree
        for child in tree.values():
            yield from _nodes(child, depth + 1)
    elif isinstance(tree, list):
        for child in tree:
            yield from _nodes(child, depth + 1)


def _cte_entries(node: dict[str, Any]) -> list[dict[str, Any]]:
    entries = node.get("cte_map")
    return list(entries["map"]) if isinstance(entries, dict) else []


def _check_reference(node: dict[str, Any], readable: frozenset[str]) -> None:
    kind = node.get("type")
    if kind == "BASE_TABLE":
        _check_table(node, readable)
    elif kind == "TABLE_FUNCTION":
        _check_table_function(node["function"])
    elif "sample" in node and "alias" in node and kind not in _TABLE_REFERENCES:
        # only table references have both a sample and an alias
        raise QueryRejected(f"{kind} is not allowed here; ask for the rows of a table")


def _check_table_function(function: dict[str, Any]) -> None:
    if (name := str(function.get("function_name")).lower()) not in TABLE_FUNCTIONS:
        raise QueryRejected(f"the table function {name} is not allowed here")
    if name in _ONLY_AS_TABLE:
        function["class"] = "TABLE_FUNCTION"  # judged here, so that what is left of this name is a scalar


def _check_table(node: dict[str, Any], readable: frozenset[str]) -> None:
    name = str(node["table_name"])
    if node["catalog_name"] or node["schema_name"].lower() not in ("", "main") or name.lower() not in readable:
        raise QueryRejected(f"there is no table {name} that may be read; readable are {', '.join(sorted(READABLE))}")


def _check_function(node: dict[str, Any]) -> None:
    if node.get("class") not in ("FUNCTION", "WINDOW"):
        return
    name = str(node.get("function_name")).lower()
    if name in REFUSED_FUNCTIONS:
        raise QueryRejected(f"the function {name} is not allowed here")
    if name in _ONLY_AS_TABLE:
        raise QueryRejected(f"{name} is allowed as a table only: SELECT … FROM {name}(…)")
