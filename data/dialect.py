"""How SQLAlchemy's expressions become DuckDB's SQL: positional parameters, and every keyword quoted that needs it."""

from typing import Any

import duckdb_engine

#: Words that DuckDB does not take as a column's name, which duckdb-engine leaves unquoted.
_MORE_RESERVED = frozenset(
    {
        "anti",
        "asof",
        "at",
        "by",
        "collation",
        "concurrently",
        "glob",
        "positional",
        "semi",
        "tablesample",
        "unpack",
    },
)


class _Preparer(duckdb_engine.DuckDBIdentifierPreparer):
    def __init__(self, dialect: Any, **options: Any) -> None:
        super().__init__(dialect, **options)
        self.reserved_words = self.reserved_words | _MORE_RESERVED


class Dialect(duckdb_engine.Dialect):
    """DuckDB, with `?` for each parameter."""

    preparer = _Preparer
    supports_statement_cache = True

    def __init__(self, **options: Any) -> None:
        super().__init__(paramstyle="qmark", **options)


DIALECT = Dialect()
