"""How SQLAlchemy's expressions become DuckDB's SQL: positional parameters, and every keyword quoted that needs it.

DuckDB speaks PostgreSQL's SQL, so that dialect writes it. duckdb-engine would do so too, but loads DuckDB itself into
every program that asks the store a question, which costs each of them 40 MB.
"""

from typing import Any

from sqlalchemy import types
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2, PGIdentifierPreparer_psycopg2

#: Words that DuckDB does not take as a column's name, beside those of PostgreSQL.
_MORE_RESERVED = frozenset(
    {
        "anti",
        "asof",
        "at",
        "by",
        "collation",
        "concurrently",
        "describe",
        "glob",
        "lambda",
        "lateral",
        "pivot",
        "pivot_longer",
        "pivot_wider",
        "positional",
        "qualify",
        "semi",
        "show",
        "summarize",
        "tablesample",
        "unpack",
        "unpivot",
    },
)


class _Preparer(PGIdentifierPreparer_psycopg2):
    def __init__(self, dialect: Any, **options: Any) -> None:
        super().__init__(dialect, **options)
        self.reserved_words = self.reserved_words | _MORE_RESERVED


class Dialect(PGDialect_psycopg2):
    """DuckDB, with `?` for each parameter."""

    name = "duckdb"
    preparer = _Preparer  # type: ignore[assignment]
    supports_statement_cache = True
    div_is_floordiv = False
    colspecs = {**PGDialect.colspecs, types.Numeric: types.Numeric, types.JSON: types.JSON}  # noqa: RUF012 - as there

    def __init__(self, **options: Any) -> None:
        super().__init__(paramstyle="qmark", use_native_hstore=False, **options)  # type: ignore[no-untyped-call]


DIALECT = Dialect()
