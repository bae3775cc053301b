"""A metric at many instants, as a rule's condition would have seen it at each: the simulator's input.

The value at an instant t is that of `answer` over the window that ends at t, half-open. All instants come from one
read of the ledger (of a long time: of each half of it), which what else is asked about the same requests shares:
sums per cell (the widest of hour, quarter, five minutes or minute that no window's edge cuts), and sums over any window
are differences of running sums. Edges within a minute are read from `requests`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from data import sliding, sliding_reads
from data.buckets import UTC_TIME
from data.errors import QueryRejected
from data.metrics import Kind, metric
from data.own_sources import OWN_SOURCES
from data.periods import Grain, bucket_starts
from data.pieces import Scope
from data.question import Question, check, own_kind
from data.reads import Reader
from data.sliding import Windows
from data.sliding_reads import Line, SlidingMetric

_US = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CELLS = (Grain.HOUR, Grain.QUARTER, Grain.FIVE_MINUTES, Grain.MINUTE)
_CALENDAR = (Grain.DAY, Grain.WEEK, Grain.MONTH)


@dataclass(frozen=True, slots=True)
class Asked:
    """A metric at start, start + step, … before `end`.

    `window` is a length, or DAY, WEEK or MONTH for the calendar period of `tz` so far (at its very end: whole, so it
    is never empty).
    """

    metric: str
    window: timedelta | Grain
    start: datetime
    end: datetime
    step: timedelta
    by: tuple[str, ...] = ()
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tz: str = "UTC"


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
    """Columns `time` (the instant, aware UTC), *by (text), `value` (Float64) for what is `Asked`.

    As in `answer` only groups with requests in the window have a row; without `by` every instant has one. The value
    is null over nothing. Instants on whole minutes are fast; others read every request.
    Raises as `answer` does, and QueryRejected for a step or a window that is not longer than nothing.
    """
    asked = Asked(metric, window, start, end, step, tuple(by), where or {}, tz)
    (found,) = lines(store, [asked])
    return _frame(asked, _times(start, end, step), found)


def lines(store: Reader, asked: Sequence[Asked]) -> list[list[Line]]:
    """What each comes to, by group, in the groups' order; without `by` there is one line always. Raises as `instants`.

    What sums up the same requests in the same cells is read once.
    """
    found: list[list[Line]] = [[] for _ in asked]
    read: dict[int, SlidingMetric] = {}
    for number, one in enumerate(asked):
        windows = _windows(one)
        question = _question(one, windows)
        check(question)
        if (kind := own_kind(question)) and len(windows):
            found[number] = _of_own_source(store, kind, one, windows)
        elif len(windows):
            read[number] = SlidingMetric(metric(one.metric), windows, _scope(question, windows))
    for number, of in zip(read, sliding_reads.read(store, list(read.values())), strict=True):
        found[number] = of
    return [of or ([] if one.by else [_nothing()]) for one, of in zip(asked, found, strict=True)]


def _nothing() -> Line:
    return Line((), np.empty(0, dtype=np.int64), pl.Series([], dtype=pl.Float64))


def _windows(asked: Asked) -> Windows:
    times = _times(asked.start, asked.end, asked.step)
    return Windows(_starts(times, asked.window, asked.tz), times)


def _question(asked: Asked, windows: Windows) -> Question:
    """About all the time that the windows cover."""
    start, end = asked.start, asked.start + asked.step
    if len(windows):
        start, end = sliding_reads.covered(windows)
    return Question((asked.metric,), start, end, asked.by, where=asked.where, tz=asked.tz)


def _scope(question: Question, windows: Windows) -> Scope:
    grain = _cell(windows)
    return Scope(question.start, question.end, question.by, grain, "UTC", question.where, moments=grain is None)


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
    first, last = _EPOCH + int(times[0]) * _US - _US, _EPOCH + int(times[-1]) * _US
    edges = np.array([(at - _EPOCH) // _US for at in bucket_starts(first, last, window, tz)], dtype=np.int64)
    return edges[np.searchsorted(edges, times, side="left") - 1]


def _cell(windows: Windows) -> Grain | None:
    """The widest cell that no edge of a window cuts; None where an edge lies within a minute."""
    edges = np.concatenate([windows.starts, windows.ends])
    for grain in _CELLS:
        if not np.any(edges % ((grain.fixed or _US) // _US)):
            return grain
    return None


def _frame(asked: Asked, times: sliding.Ints, found: Sequence[Line]) -> pl.DataFrame:
    if not asked.by:
        (line,) = found
        empty = metric(asked.metric).empty
        values = pl.Series("value", [empty] * len(times), dtype=pl.Float64).scatter(line.ticks, line.values)
        return pl.DataFrame({"time": _instants(times), "value": values})
    schema: dict[str, pl.DataType] = {"time": UTC_TIME, **dict.fromkeys(asked.by, pl.String()), "value": pl.Float64()}
    frames = [
        pl.DataFrame({"time": _instants(times[line.ticks]), "value": line.values})
        .with_columns(
            pl.lit(value, dtype=pl.String).alias(name) for name, value in zip(asked.by, line.group, strict=True)
        )
        .select(list(schema))
        for line in found
    ]
    return pl.concat([pl.DataFrame(schema=schema), *frames]).sort("time", *asked.by)


def _instants(times: sliding.Ints) -> pl.Series:
    return pl.Series("time", times).cast(UTC_TIME)


def _of_own_source(store: Reader, kind: Kind, asked: Asked, windows: Windows) -> list[Line]:
    found = OWN_SOURCES[kind].series(store, asked.metric, windows, asked.by, asked.where)
    ticks = np.searchsorted(windows.ends, found["time"].dt.epoch("us").to_numpy())
    placed = found.with_columns(pl.Series("tick", ticks))
    parts = placed.partition_by(asked.by, as_dict=True, include_key=False) if asked.by else {(): placed}
    return [Line(group, part["tick"].to_numpy(), part["value"]) for group, part in parts.items()]
