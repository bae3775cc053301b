"""What is read for windows that slide: sums per cell of time, and each group's cells in the order of time.

Rows may be millions. So they carry the number of their group instead of its values, and that of their cell instead of
a time, and what hardly gets fewer by adding it up is added up by nobody.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl

from data import pieces
from data.errors import RowLimitExceeded
from data.periods import Grain
from data.pieces import Level, Scope, Sql, quoted, union
from data.reads import Reader, last_sql, typed, values_sql
from data.sliding import Ints

#: Cells times groups may be many.
MOST_ROWS = 50_000_000
#: Up to so many groups are numbered: the numbering travels to the store.
MOST_NUMBERED = 50_000
#: Up to so many rows of the latency rollup come as they are.
MOST_RAW = 12_000_000
_US = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INTEGER = 2**31

Group = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cells:
    """One group's rows in the order of time, and when each one's cell starts, UTC microseconds."""

    rows: pl.DataFrame
    times: Ints


def sums(store: Reader, scope: Scope, measures: Sequence[str]) -> Iterator[tuple[Group, Cells]]:
    """Each group's cells with the measures summed: counts Int64, money Decimal(38, 9), milliseconds Float64."""
    added = [f"{typed(name, f'sum({name})')} AS {name}" for name in measures]
    inner = union(pieces.usage(scope, measures, raw=True))
    names = _names(store, scope, inner)
    sql = _narrow(scope, names, [], added, inner)
    return _split(_asked(store, sql), scope, names)


def counts(store: Reader, scope: Scope, counted: Sequence[str]) -> Iterator[tuple[Group, Cells]]:
    """Each group's cells with `bucket` (Int16) and how often (`counted`, Int32); a bucket may have several rows."""
    measured = sorted(set(counted))
    inner = union(pieces.latency(scope, measured, raw=True))
    names = _names(store, scope, inner)
    return _split(_counts(store, scope, names, inner, measured), scope, names)


def values(store: Reader, scope: Scope, name: str) -> Iterator[tuple[Group, Cells]]:
    """Each group's cells with `value`: the different values of the dimension `name`, '' too."""
    return _split(_asked(store, _told(scope, values_sql(scope, name), "value")), scope, None)


def last(store: Reader, scope: Scope) -> Iterator[tuple[Group, Cells]]:
    """Each group's cells with `last`: when the last request ended."""
    return _split(_asked(store, _told(scope, last_sql(scope), "last")), scope, None)


def _counts(
    store: Reader, scope: Scope, names: pl.DataFrame | None, inner: Sql, counted: Sequence[str]
) -> pl.DataFrame:
    """As the rollup has them where a minute of a group holds few requests, which DuckDB then groups for nothing."""
    if scope.by and scope.grain is Grain.MINUTE:
        plain = [f"CAST({name} AS INTEGER) AS {name}" for name in counted]
        try:
            return _asked(store, _narrow(scope, names, ["bucket", *plain], [], inner), MOST_RAW)
        except RowLimitExceeded:
            pass
    added = [f"CAST(sum({name}) AS INTEGER) AS {name}" for name in counted]
    return _asked(store, _narrow(scope, names, ["bucket"], added, inner))


def _asked(store: Reader, sql: Sql, most: int = MOST_ROWS) -> pl.DataFrame:
    return store.sql(sql.text, sql.params, max_rows=most)


def _names(store: Reader, scope: Scope, inner: Sql) -> pl.DataFrame | None:
    """Every group of the rows, in order, if these should come with its number: if the rollups tell it fast."""
    if not scope.by or scope.finest is Level.ROWS:
        return None
    sql = Sql(f"SELECT DISTINCT {', '.join(_texts(scope))} FROM ({inner.text})", inner.params)
    try:
        return _asked(store, sql, MOST_NUMBERED).sort(scope.by)
    except RowLimitExceeded:
        return None


def _texts(scope: Scope) -> list[str]:
    return [f"CAST({quoted(name)} AS VARCHAR) AS {quoted(name)}" for name in scope.by]


def _narrow(scope: Scope, names: pl.DataFrame | None, kept: Sequence[str], added: Sequence[str], inner: Sql) -> Sql:
    """The group's number (or its values, where it has none), `cell`, what is kept, and what is added up."""
    group = _texts(scope)
    source, bound = f"({inner.text})", list(inner.params)
    if names is not None:
        group = [f'CAST("group" AS {"USMALLINT" if names.height < 2**16 else "INTEGER"}) AS "group"']
        source, more = _joined(source, names)
        bound += more
    columns = ", ".join([*group, _cell(scope), *kept, *added])
    return Sql(f"SELECT {columns} FROM {source}{' GROUP BY ALL' if added else ''}", bound)


def _joined(source: str, names: pl.DataFrame) -> tuple[str, list[object]]:
    lists = [f'unnest(?::VARCHAR[]) AS "name {n}"' for n in range(names.width)]
    same = [f'CAST({quoted(name)} AS VARCHAR) = "name {n}"' for n, name in enumerate(names.columns)]
    numbered = f'(SELECT {", ".join(lists)}, unnest(range({names.height})) AS "group")'
    return f"{source} JOIN {numbered} ON {' AND '.join(same)}", [names[name].to_list() for name in names.columns]


def _told(scope: Scope, sql: Sql, column: str) -> Sql:
    """A statement of `data.reads` with the number of the cell instead of its time."""
    return Sql(f"SELECT {', '.join([*map(quoted, scope.by), _cell(scope), column])} FROM ({sql.text})", sql.params)


def _cell(scope: Scope) -> str:
    first, width = _start(scope), _width(scope)
    kind = "INTEGER" if (scope.end - scope.start) // _US // width < _INTEGER else "BIGINT"
    return f'CAST((epoch_us("time") - ({first})) // {width} AS {kind}) AS cell'


def _start(scope: Scope) -> int:
    return (scope.start - _EPOCH) // _US


def _width(scope: Scope) -> int:
    """Of a cell, microseconds; where every moment is one, a microsecond."""
    fixed = scope.grain.fixed if scope.grain else None
    return fixed // _US if fixed else 1


def _split(read: pl.DataFrame, scope: Scope, names: pl.DataFrame | None) -> Iterator[tuple[Group, Cells]]:
    for group, rows in _parts(read, scope, names):
        if len(rows):
            yield group, _in_time(rows, scope)


def _parts(read: pl.DataFrame, scope: Scope, names: pl.DataFrame | None) -> Iterator[tuple[Group, pl.DataFrame]]:
    if names is None:
        parts = read.partition_by(scope.by, as_dict=True, include_key=False) if scope.by else {(): read}
        yield from sorted(parts.items(), key=lambda part: str(part[0]))
        return
    numbers = read["group"].to_numpy()
    order = np.argsort(numbers, kind="stable")
    edges = np.searchsorted(numbers, np.arange(names.height + 1), sorter=order)
    rows = read.drop("group")
    for group, (first, last) in zip(names.rows(), pairwise(edges), strict=True):
        yield group, rows[order[first:last]]


def _in_time(rows: pl.DataFrame, scope: Scope) -> Cells:
    rows = rows if rows["cell"].is_sorted() else rows.sort("cell")
    return Cells(rows, rows["cell"].to_numpy().astype(np.int64) * _width(scope) + _start(scope))
