"""A metric at many instants, as a rule's condition would have seen it at each: the simulator's input.

The value at an instant t is that of `answer` over the window that ends at t, half-open. All instants come from one
read of the ledger: sums per cell (the widest of hour, quarter, five minutes or minute that no window's edge cuts),
and sums over any window are differences of running sums. Edges within a minute are read from `requests`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from data import budget_metrics, sliding
from data.buckets import UTC_TIME
from data.errors import QueryRejected
from data.finish import latency_ms, measures_of, sum_metric
from data.metrics import Kind, Metric, metric
from data.periods import Grain, bucket_starts
from data.pieces import Scope, Sql
from data.question import Question, budgetary, check
from data.reads import Reader, counts_sql, last_sql, sums_sql, values_sql
from data.sliding import Held, Windows

_US = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NANO = 1_000_000_000
_US_AN_HOUR = 3.6e9
#: Minutes times groups may be many.
_MAX_ROWS = 50_000_000
_CELLS = (Grain.HOUR, Grain.QUARTER, Grain.FIVE_MINUTES, Grain.MINUTE)
_CALENDAR = (Grain.DAY, Grain.WEEK, Grain.MONTH)
_ONE = timedelta(microseconds=1)


def instants(
    store: Reader,
    *,
    metric: str,
    window: timedelta | Grain,
    start: datetime,
    end: datetime,
    step: timedelta,
    by: Sequence[str] = (),
    where: Mapping[str, tuple[str, ...]] | None = None,
    tz: str = "UTC",
) -> pl.DataFrame:
    """Columns `time` (the instant, aware UTC), *by (text), `value` (Float64) at start, start + step, … before `end`.

    `window` is a length, or DAY, WEEK or MONTH for the calendar period of `tz` so far (at its very end: whole, so it
    is never empty). As in `answer` only groups with requests in the window have a row; without `by` every instant has
    one. The value is null over nothing. Instants on whole minutes are fast; others read every request.
    Raises as `answer` does, and QueryRejected for a step or a window that is not longer than nothing.
    """
    times = _times(start, end, step)
    windows = Windows(_starts(times, window, tz), times)
    by, where = tuple(by), where or {}
    if not len(windows):
        check(Question((metric,), start, start + step, by, where=where, tz=tz))
        return _frame(windows, by, [])
    first, last = _EPOCH + int(windows.starts[0]) * _US, _EPOCH + int(windows.ends[-1]) * _US
    question = Question((metric,), first, last, by, where=where, tz=tz)
    check(question)
    if budgetary(question):
        return budget_metrics.series(store, metric, windows, by, where)
    return _slide(store, metric, Scope(first, last, by, where=where), windows)


def _times(start: datetime, end: datetime, step: timedelta) -> sliding.Ints:
    if step <= timedelta():
        raise QueryRejected(f"the step must be longer than nothing, not {step}")
    if start.tzinfo is None or end.tzinfo is None:
        raise QueryRejected("the range needs times with a time zone")
    return np.arange((start - _EPOCH) // _US, (end - _EPOCH) // _US, step // _US, dtype=np.int64)


def _starts(times: sliding.Ints, window: timedelta | Grain, tz: str) -> sliding.Ints:
    if isinstance(window, timedelta):
        if window <= timedelta():
            raise QueryRejected(f"the window must be longer than nothing, not {window}")
        return times - window // _US
    if window not in _CALENDAR:
        raise QueryRejected(f"a calendar window is a day, a week or a month, not {window}")
    if not len(times):
        return times
    # the period that holds the instant just before
    first, last = _EPOCH + int(times[0]) * _US - _ONE, _EPOCH + int(times[-1]) * _US
    edges = np.array([(at - _EPOCH) // _US for at in bucket_starts(first, last, window, tz)], dtype=np.int64)
    return edges[np.searchsorted(edges, times, side="left") - 1]


def _cell(windows: Windows) -> Grain | None:
    """The widest cell that no edge of a window cuts; None where an edge lies within a minute."""
    edges = np.concatenate([windows.starts, windows.ends])
    for grain in _CELLS:
        if not np.any(edges % ((grain.fixed or _ONE) // _US)):
            return grain
    return None


@dataclass(frozen=True, slots=True)
class _Cells:
    """One group's rows of what was read, ordered by time, with the times in microseconds."""

    rows: pl.DataFrame
    times: sliding.Ints


@dataclass(frozen=True, slots=True)
class _Way:
    """How a kind of metric is read, and what a group's cells come to: values at the windows that hold any."""

    statement: Callable[[Scope, Metric], Sql]
    measure: Callable[[_Cells, Windows, Metric], tuple[sliding.Ints, pl.Series]]


def _slide(store: Reader, name: str, scope: Scope, windows: Windows) -> pl.DataFrame:
    m = metric(name)
    grain = _cell(windows)
    scope = Scope(scope.start, scope.end, scope.by, grain, "UTC", scope.where, moments=grain is None)
    way = _WAYS[m.kind]
    sql = way.statement(scope, m)
    read = store.sql(sql.text, sql.params, max_rows=_MAX_ROWS).sort("time")
    found = [(group, *way.measure(cells, windows, m)) for group, cells in _groups(read, scope.by)]
    if scope.by:
        return _frame(windows, scope.by, found)
    which, values = found[0][1:] if found else (np.empty(0, np.int64), pl.Series([], dtype=pl.Float64))
    every = pl.DataFrame(
        {"time": _instants(windows.ends), "value": pl.Series([m.empty] * len(windows), dtype=pl.Float64)}
    )
    return every.with_columns(value=every["value"].scatter(which, values.cast(pl.Float64)))


def _groups(read: pl.DataFrame, by: Sequence[str]) -> Iterator[tuple[tuple[object, ...], _Cells]]:
    parts = read.partition_by(by, as_dict=True, include_key=False) if by else {(): read}
    for group, rows in sorted(parts.items(), key=lambda part: str(part[0])):
        if len(rows):
            yield group, _Cells(rows, rows["time"].dt.epoch("us").to_numpy())


def _frame(
    windows: Windows, by: Sequence[str], found: Sequence[tuple[tuple[object, ...], sliding.Ints, pl.Series]]
) -> pl.DataFrame:
    schema: dict[str, pl.DataType] = {
        "time": UTC_TIME,
        **dict.fromkeys(by, pl.String()),
        "value": pl.Float64(),
    }
    frames = [
        pl.DataFrame({"time": _instants(windows.ends[which]), "value": values.cast(pl.Float64)})
        .with_columns(pl.lit(value, dtype=pl.String).alias(name) for name, value in zip(by, group, strict=True))
        .select(list(schema))
        for group, which, values in found
    ]
    return pl.concat([pl.DataFrame(schema=schema), *frames]).sort("time", *by)


def _instants(times: sliding.Ints) -> pl.Series:
    return pl.Series("time", times).cast(UTC_TIME)


def _sums(cells: _Cells, windows: Windows, m: Metric) -> tuple[sliding.Ints, pl.Series]:
    holds = sliding.held(windows, cells.times)
    which = holds.filled
    some = holds.take(which)
    columns = {name: _summed(cells.rows[name], some) for name in measures_of([m])}
    hours = pl.Series("hours", (windows.ends[which] - windows.starts[which]) / _US_AN_HOUR)
    return which, pl.DataFrame({**columns, "hours": hours}).select(sum_metric(m, pl.col("hours"))).to_series()


def _summed(values: pl.Series, holds: Held) -> sliding.Ints | sliding.Floats:
    if values.dtype == pl.Float64:
        return sliding.float_sums(values.to_numpy(), holds)
    if isinstance(values.dtype, pl.Decimal):
        nanos = values.to_physical().cast(pl.Int64).to_numpy()
        return sliding.sums(nanos, holds) / _NANO
    return sliding.sums(values.to_numpy(), holds)


def _percentile(cells: _Cells, windows: Windows, m: Metric) -> tuple[sliding.Ints, pl.Series]:
    times, where = np.unique(cells.times, return_inverse=True)
    holds = sliding.held(windows, times)
    which = holds.filled
    different, back = sliding.runs(holds.take(which))
    buckets, counts = (cells.rows[name].to_numpy().astype(np.int64) for name in ("bucket", m.of[0]))
    counted = sliding.Counts(where.astype(np.int64), buckets, counts)
    found, known = sliding.percentile(counted, different, m.percent)
    ms = pl.DataFrame({"bucket": found}).select(pl.when(pl.Series(known)).then(latency_ms(pl.col("bucket"))))
    return which, ms.to_series().gather(back)


def _distinct(cells: _Cells, windows: Windows, _m: Metric) -> tuple[sliding.Ints, pl.Series]:
    which = sliding.held(windows, np.unique(cells.times)).filled
    known = cells.rows["value"] != ""
    numbers = cells.rows["value"].filter(known).rank("dense").to_numpy().astype(np.int64)
    counts = sliding.distinct(windows, cells.times[known.to_numpy()], numbers)
    return which, pl.Series(counts[which])


def _age(cells: _Cells, windows: Windows, _m: Metric) -> tuple[sliding.Ints, pl.Series]:
    holds = sliding.held(windows, cells.times)
    which = holds.filled
    last = cells.rows["last"].dt.epoch("us").to_numpy()
    return which, pl.Series((windows.ends[which] - last[holds.last[which] - 1]) / 1e6)


def _read_sums(scope: Scope, m: Metric) -> Sql:
    return sums_sql(scope, measures_of([m]))


def _read_counts(scope: Scope, m: Metric) -> Sql:
    return counts_sql(scope, m.of)


def _read_values(scope: Scope, m: Metric) -> Sql:
    return values_sql(scope, m.of[0])


def _read_last(scope: Scope, _m: Metric) -> Sql:
    return last_sql(scope)


_SUMMED = _Way(_read_sums, _sums)
_WAYS: dict[Kind, _Way] = {
    Kind.SUM: _SUMMED,
    Kind.RATIO: _SUMMED,
    Kind.RATE: _SUMMED,
    Kind.QUANTILE: _Way(_read_counts, _percentile),
    Kind.DISTINCT: _Way(_read_values, _distinct),
    Kind.AGE: _Way(_read_last, _age),
}
