"""How each kind of metric is measured over windows that slide: what is read, and what a group's cells come to."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import polars as pl

from data import cells, percentiles, sliding
from data.by_bucket import Counts
from data.cells import Cells, Found
from data.finish import COST, latencies_ms, measures_of, sum_metric
from data.metrics import Kind, Metric
from data.pieces import Scope
from data.reads import Reader
from data.sliding import Column, Held, Ints, Windows

#: What is read of a group: its sums, or its counts.
Read = TypeVar("Read", Cells, Counts)
_NANO = 1_000_000_000
_US_AN_HOUR = 3.6e9


@dataclass(frozen=True, slots=True)
class Way(Generic[Read]):
    """How a kind of metric is read, with others of the kind or alone, and what a group's cells come to.

    That is: numbers by name at the windows that hold any cells, and for all groups at once what `finish` makes of them.
    """

    read: Callable[[Reader, Scope, Sequence[Metric]], Iterator[Found[Read]]]
    measure: Callable[[Read, Windows, Metric], tuple[Ints, dict[str, Column]]]
    finish: Callable[[pl.DataFrame, Metric], pl.Series]
    alone: bool = False


def _sums(found: Cells, windows: Windows, m: Metric) -> tuple[Ints, dict[str, Column]]:
    holds = sliding.held(windows, found.times, found.width)
    which = holds.filled
    some = holds.take(which)
    columns = {name: _summed(name, found.columns[name], some) for name in measures_of([m])}
    return which, {**columns, "hours": (windows.ends[which] - windows.starts[which]) / _US_AN_HOUR}


def _summed(name: str, values: Column, holds: Held) -> Column:
    if values.dtype == np.float64:
        return sliding.float_sums(values, holds)
    return sliding.sums(values, holds) / _NANO if name == COST else sliding.sums(values, holds)


def _finish_sums(sums: pl.DataFrame, m: Metric) -> pl.Series:
    return sums.select(sum_metric(m, pl.col("hours"))).to_series()


def _percentile(found: Counts, windows: Windows, m: Metric) -> tuple[Ints, dict[str, Column]]:
    holds = sliding.held(windows, found.times, found.width)
    which = holds.filled
    different, back = sliding.runs(holds.take(which))
    some = found.entries[m.of[0]]
    buckets, known = percentiles.percentile(some.buckets, some.places, some.counts, different, m.percent)
    return which, {"value": latencies_ms(buckets, known)[back]}


def _distinct(found: Cells, windows: Windows, _m: Metric) -> tuple[Ints, dict[str, Column]]:
    which = sliding.held(windows, np.unique(found.times), found.width).filled
    values = found.columns["value"]
    known = values > 0
    return which, {"value": sliding.distinct(windows, found.times[known], values[known])[which]}


def _age(found: Cells, windows: Windows, _m: Metric) -> tuple[Ints, dict[str, Column]]:
    holds = sliding.held(windows, found.times, found.width)
    which = holds.filled
    return which, {"value": (windows.ends[which] - found.columns["last"][holds.last[which] - 1]) / 1e6}


def _finish_value(found: pl.DataFrame, _m: Metric) -> pl.Series:
    return found["value"].cast(pl.Float64).fill_nan(None)


def _read_sums(store: Reader, scope: Scope, metrics: Sequence[Metric]) -> Iterator[Found[Cells]]:
    return cells.sums(store, scope, measures_of(metrics))


def _read_counts(store: Reader, scope: Scope, metrics: Sequence[Metric]) -> Iterator[Found[Counts]]:
    return cells.counts(store, scope, [m.of[0] for m in metrics])


def _read_values(store: Reader, scope: Scope, metrics: Sequence[Metric]) -> Iterator[Found[Cells]]:
    return cells.values(store, scope, metrics[0].of[0])


def _read_last(store: Reader, scope: Scope, _metrics: Sequence[Metric]) -> Iterator[Found[Cells]]:
    return cells.last(store, scope)


_SUMMED = Way(_read_sums, _sums, _finish_sums)
#: Every kind that is measured from requests.
WAYS: dict[Kind, Way[Any]] = {
    Kind.SUM: _SUMMED,
    Kind.RATIO: _SUMMED,
    Kind.RATE: _SUMMED,
    Kind.QUANTILE: Way(_read_counts, _percentile, _finish_value),
    Kind.DISTINCT: Way(_read_values, _distinct, _finish_value, alone=True),
    Kind.AGE: Way(_read_last, _age, _finish_value),
}
