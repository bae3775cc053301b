"""What is read for windows that slide: sums per cell of time, and what gives each group's in the order of time.

Rows may be millions. So they carry the number of their group instead of its values, and that of their cell instead of
a time, and what hardly gets fewer by adding it up is added up by nobody.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import TypeVar

import numpy as np
import polars as pl

from data import pieces
from data.by_bucket import Counts, Entries, in_order, ranked
from data.errors import RowLimitExceeded
from data.periods import Grain
from data.pieces import Level, Scope, Sql, quoted, union
from data.reads import Reader, last_sql, typed, values_sql
from data.sliding import Column, Ints

#: Cells times groups may be many.
MOST_ROWS = 50_000_000
#: Up to so many groups are numbered: the numbering travels to the store.
MOST_NUMBERED = 50_000
#: Up to so many are looked up one after the other, which DuckDB does once for each text that a column's pages tell.
MOST_LOOKED_UP = 64
#: Up to so many rows of the latency rollup come as they are.
MOST_RAW = 12_000_000
_US = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INTEGER = 2**31

T = TypeVar("T")
Group = tuple[str, ...]
#: A group, and what puts in order what was read of it, which takes time that may be another thread's.
Found = tuple[Group, Callable[[], T]]


@dataclass(frozen=True, slots=True)
class Cells:
    """One group's rows in the order of time, by column, and when each one's cell starts, UTC microseconds.

    `width` is how long a cell is, microseconds.
    Money is in billionths of a dollar, a moment in microseconds, and of a text there is its number among all, 0 for ''.
    """

    columns: Mapping[str, Column]
    times: Ints
    width: int


def sums(store: Reader, scope: Scope, measures: Sequence[str]) -> Iterator[Found[Cells]]:
    """Each group's cells with the measures summed."""
    added = [f"{typed(name, f'sum({name})')} AS {name}" for name in measures]
    inner = union(pieces.usage(scope, measures, raw=True))
    names = _names(store, scope)
    sql = _narrow(scope, names, [], added, inner)
    return _split(_asked(store, sql), scope, names)


def counts(store: Reader, scope: Scope, counted: Sequence[str]) -> Iterator[Found[Counts]]:
    """Each group's counts by bucket; a bucket may have several entries in a cell."""
    measured = sorted(set(counted))
    inner = union(pieces.latency(scope, measured, raw=True))
    names = _names(store, scope)
    return _by_bucket(_counts(store, scope, names, inner, measured), scope, names, measured)


def values(store: Reader, scope: Scope, name: str) -> Iterator[Found[Cells]]:
    """Each group's cells with `value`: the different values of the dimension `name`, '' too."""
    return _split(_asked(store, _as_told(scope, values_sql(scope, name), "value")), scope, None)


def last(store: Reader, scope: Scope) -> Iterator[Found[Cells]]:
    """Each group's cells with `last`: when the last request ended."""
    return _split(_asked(store, _as_told(scope, last_sql(scope), "last")), scope, None)


def _counts(
    store: Reader, scope: Scope, names: pl.DataFrame | None, inner: Sql, counted: Sequence[str]
) -> pl.DataFrame:
    """As the rollup has them by the minute: to group them there takes longer than to send them and to sum them here.

    Of 3.3 million rows that grouping left a third of, 0.33 s against 0.20 s and the 0.07 s of `data.by_bucket`.
    """
    if scope.grain is Grain.MINUTE:
        plain = [f"CAST({name} AS INTEGER) AS {name}" for name in counted]
        try:
            return _asked(store, _narrow(scope, names, ["bucket", *plain], [], inner), MOST_RAW)
        except RowLimitExceeded:
            pass
    added = [f"CAST(sum({name}) AS INTEGER) AS {name}" for name in counted]
    return _asked(store, _narrow(scope, names, ["bucket"], added, inner))


def _asked(store: Reader, sql: Sql, most: int = MOST_ROWS) -> pl.DataFrame:
    return store.sql(sql.text, sql.params, max_rows=most).rechunk()  # all columns at once, not one by one later


def _names(store: Reader, scope: Scope) -> pl.DataFrame | None:
    """Every group of the rows, in order, if these should come with its number: if the rollups tell it fast."""
    if not scope.by or scope.finest is Level.ROWS:
        return None
    inner = union(pieces.usage(replace(scope, grain=None), [], raw=True))
    sql = Sql(f"SELECT DISTINCT {', '.join(_texts(scope))} FROM ({inner.text})", inner.params)
    try:
        return _asked(store, sql, MOST_NUMBERED).sort(scope.by)
    except RowLimitExceeded:
        return None


def _texts(scope: Scope) -> list[str]:
    return [f"CAST({quoted(name)} AS VARCHAR) AS {quoted(name)}" for name in scope.by]


def _narrow(scope: Scope, names: pl.DataFrame | None, kept: Sequence[str], added: Sequence[str], inner: Sql) -> Sql:
    """The group's number (or its values, where it has none), `cell`, what is kept, and what is added up."""
    if names is not None and names.width == 1 and names.height <= MOST_LOOKED_UP:
        number = _looked_up(names)
        return _told([number.text, _cell(scope), *kept], added, inner, number.params)
    told = _told([*_texts(scope), _cell(scope), *kept], added, inner)
    return told if names is None else _joined(told, names)


def _told(kept: Sequence[str], added: Sequence[str], inner: Sql, params: Sequence[object] = ()) -> Sql:
    text = f"SELECT {', '.join([*kept, *added])} FROM ({inner.text}){' GROUP BY ALL' if added else ''}"
    return Sql(text, [*params, *inner.params])


def _looked_up(names: pl.DataFrame) -> Sql:
    """The place in the list; what came after the names were asked for has none."""
    (name,) = names.columns
    listed = ", ".join("?" * names.height)
    number = f"list_position([{listed}]::VARCHAR[], CAST({quoted(name)} AS VARCHAR))"
    return Sql(_numbered(number, names), names[name].to_list())


def _joined(told: Sql, names: pl.DataFrame) -> Sql:
    lists = [f'unnest(?::VARCHAR[]) AS "name {n}"' for n in range(names.width)]
    same = [f'{quoted(name)} = "name {n}"' for n, name in enumerate(names.columns)]
    known = f'(SELECT {", ".join(lists)}, unnest(range(1, {names.height} + 1)) AS "number")'
    left_out = ", ".join([*map(quoted, names.columns), *(f'"name {n}"' for n in range(names.width)), '"number"'])
    number = _numbered('"number"', names)
    return Sql(
        f"SELECT * EXCLUDE ({left_out}), {number} FROM ({told.text}) JOIN {known} ON {' AND '.join(same)}",
        [*told.params, *(names[name].to_list() for name in names.columns)],
    )


def _numbered(number: str, names: pl.DataFrame) -> str:
    return f'CAST({number} AS {"USMALLINT" if names.height < 2**16 - 1 else "INTEGER"}) AS "group"'


def _as_told(scope: Scope, sql: Sql, column: str) -> Sql:
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


def _column(values: pl.Series) -> Column:
    """The numbers of a column, as `Cells` has them."""
    if values.dtype == pl.String:
        values = _numbers(values)
    elif isinstance(values.dtype, pl.Decimal):
        values = values.to_physical().cast(pl.Int64)
    elif values.dtype.is_temporal():
        values = values.dt.epoch("us")
    column: Column = values.to_numpy()
    return column


def _numbers(texts: pl.Series) -> pl.Series:
    """The number of each text among all, 0 for ''; they may be millions, so none becomes an object of Python's."""
    told = pl.concat([pl.Series("text", [""]), texts.rename("text")]).to_frame()
    known = told.unique(maintain_order=True).with_row_index("number")
    return told.join(known, on="text", how="left", maintain_order="left")["number"][1:].cast(pl.Int64)


def _by_bucket(
    read: pl.DataFrame, scope: Scope, names: pl.DataFrame | None, counted: Sequence[str]
) -> Iterator[Found[Counts]]:
    if read.is_empty():
        return
    groups, numbers = _whose(read, scope, names)
    where = numbers, read["bucket"].to_numpy(), read["cell"].to_numpy()
    ordered = {name: in_order(*where, read[name].to_numpy()) for name in counted}
    some, *_ = ordered.values()

    def found(part: slice) -> Counts:
        entries = {}
        for name, rows in ordered.items():
            buckets, cells, counts = rows.rows(part)
            times, places = ranked(cells)  # the same for all: a row tells of each of them, if only 0
            entries[name] = Entries(buckets, places, counts)
        return Counts(entries, times.astype(np.int64) * _width(scope) + _start(scope), _width(scope))

    for group, part in _parts(groups, some.edges):
        yield group, partial(found, part)


def _split(read: pl.DataFrame, scope: Scope, names: pl.DataFrame | None) -> Iterator[Found[Cells]]:
    columns = {name: _column(read[name]) for name in read.columns if name not in {*scope.by, "group"}}
    groups, numbers = _whose(read, scope, names)
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]

    def found(part: slice) -> Cells:
        rows = order[part]
        return _in_time({name: column[rows] for name, column in columns.items()}, scope)

    for group, part in _parts(groups, lambda wanted: np.searchsorted(ordered, wanted)):
        yield group, partial(found, part)


def _whose(read: pl.DataFrame, scope: Scope, names: pl.DataFrame | None) -> tuple[list[Group], Column]:
    """The groups, and of each row the number of its group, from 1; 0 is that of none."""
    if not scope.by:
        return [()], np.ones(read.height, dtype=np.uint16)
    if names is None:
        names = read.select(scope.by).unique().sort(scope.by)
        numbered = names.with_columns(pl.int_range(1, names.height + 1).alias("group"))
        read = read.select(scope.by).join(numbered, on=scope.by, how="left", maintain_order="left")
    return names.rows(), read["group"].fill_null(0).to_numpy()


def _parts(groups: Sequence[Group], edges: Callable[[Sequence[int]], Ints]) -> Iterator[tuple[Group, slice]]:
    """Which of the rows, in the order of their groups' numbers, are whose, of every group that has any."""
    at = edges(range(1, len(groups) + 2)).tolist()
    for group, (first, last) in zip(groups, pairwise(at), strict=True):
        if first < last:
            yield group, slice(first, last)


def _in_time(columns: dict[str, Column], scope: Scope) -> Cells:
    cell = columns.pop("cell")
    if np.any(cell[1:] < cell[:-1]):
        order = np.argsort(cell, kind="stable")
        cell, columns = cell[order], {name: column[order] for name, column in columns.items()}
    return Cells(columns, cell.astype(np.int64) * _width(scope) + _start(scope), _width(scope))
