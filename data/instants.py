"""A metric at many instants, as a rule's condition would have seen it at each: the simulator's input.

The value at an instant t is that of `answer` over the window that ends at t, half-open. All instants come from one
read of the ledger (of a long time: of each half of it), which what else is asked about the same requests shares:
sums per cell (the widest of hour, quarter, five minutes or minute that no window's edge cuts), and sums over any window
are differences of running sums. Edges within a minute are read from `requests`.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import polars as pl

from data import sliding
from data.buckets import UTC_TIME
from data.cells import Found, Group
from data.errors import QueryRejected
from data.measuring import WAYS, Way
from data.metrics import Kind, Metric, metric
from data.own_sources import OWN_SOURCES
from data.periods import Grain, bucket_starts
from data.pieces import Scope
from data.question import Question, check, own_kind
from data.reads import Reader
from data.sliding import Windows

_US = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CELLS = (Grain.HOUR, Grain.QUARTER, Grain.FIVE_MINUTES, Grain.MINUTE)
_CALENDAR = (Grain.DAY, Grain.WEEK, Grain.MONTH)
#: Reads that run beside each other, and groups summed up beside each other; what is read is in memory together.
MOST_AT_ONCE = 2
#: What has no groups is read in two halves, each of at least a day (in microseconds) and of so many times the windows'
#: length: what a window at the cut reaches back to is read twice.
_LEAST_HALF, _LEAST_WINDOWS = 86_400_000_000, 8


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


@dataclass(frozen=True, slots=True)
class Line:
    """One group's values (Float64, null over nothing) at the instants, counted from 0, whose window holds requests."""

    group: Group
    ticks: sliding.Ints
    values: pl.Series


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
    shared: dict[Hashable, list[_Sliding]] = {}
    for number, one in enumerate(asked):
        windows = _windows(one)
        question = _question(one, windows)
        check(question)
        if (kind := own_kind(question)) and len(windows):
            found[number] = _of_own_source(store, kind, one, windows)
        elif len(windows):
            sliding_one = _Sliding(number, metric(one.metric), windows, _scope(question, windows))
            shared.setdefault(sliding_one.read_with, []).append(sliding_one)
    parts = [half for alike in shared.values() for part in _overlapping(alike) for half in _halves(part)]
    if parts:
        # side by side: the store reads for some while NumPy sums up the windows of others
        with (
            ThreadPoolExecutor(MOST_AT_ONCE, "reading") as reading,
            ThreadPoolExecutor(MOST_AT_ONCE, "summing") as summing,
        ):
            for number, line in chain.from_iterable(reading.map(partial(_slide, store, summing), parts)):
                found[number].append(line)
    return [_joined(of) or ([] if one.by else [_nothing()]) for one, of in zip(asked, found, strict=True)]


def _joined(found: Sequence[Line]) -> list[Line]:
    """As they are; without groups, the halves in the order of time as one."""
    if len(found) < 2 or found[0].group:
        return list(found)
    return [Line((), np.concatenate([line.ticks for line in found]), pl.concat([line.values for line in found]))]


def _nothing() -> Line:
    return Line((), np.empty(0, dtype=np.int64), pl.Series([], dtype=pl.Float64))


def _windows(asked: Asked) -> Windows:
    times = _times(asked.start, asked.end, asked.step)
    return Windows(_starts(times, asked.window, asked.tz), times)


def _question(asked: Asked, windows: Windows) -> Question:
    """About all the time that the windows cover."""
    start, end = asked.start, asked.start + asked.step
    if len(windows):
        start, end = _covered(windows)
    return Question((asked.metric,), start, end, asked.by, where=asked.where, tz=asked.tz)


def _covered(windows: Windows) -> tuple[datetime, datetime]:
    return _EPOCH + int(windows.starts[0]) * _US, _EPOCH + int(windows.ends[-1]) * _US


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


@dataclass(frozen=True, slots=True)
class _Sliding:
    """One of those asked, by its number, or the piece of it that begins at the tick `first`."""

    number: int
    metric: Metric
    windows: Windows
    scope: Scope
    first: int = 0

    @property
    def read_with(self) -> Hashable:
        """Equal for those that one read can serve."""
        way, scope = WAYS[self.metric.kind], self.scope
        where = tuple(sorted((name, tuple(sorted(wanted))) for name, wanted in scope.where.items()))
        return way.read, way.alone and self.metric.name, scope.by, scope.grain, scope.moments, where

    def piece(self, since: int, until: int) -> "_Sliding | None":
        """What of it ends from `since` up to but not at `until`, if anything does."""
        first, last = np.searchsorted(self.windows.ends, [since, until]).tolist()
        if first == last:
            return None
        windows = Windows(self.windows.starts[first:last], self.windows.ends[first:last])
        start, end = _covered(windows)
        return replace(self, windows=windows, scope=replace(self.scope, start=start, end=end), first=first)


@dataclass(frozen=True, slots=True)
class _Measured:
    """What a group's cells come to at some ticks, before it is finished."""

    group: Group
    ticks: sliding.Ints
    columns: Mapping[str, sliding.Column]


def _overlapping(alike: Sequence[_Sliding]) -> Iterator[list[_Sliding]]:
    """Those whose times overlap, together: what lies between others is not read for them."""
    part: list[_Sliding] = []
    for one in sorted(alike, key=lambda one: one.scope.start):
        if part and one.scope.start > max(before.scope.end for before in part):
            yield part
            part = []
        part.append(one)
    yield part


def _halves(together: Sequence[_Sliding]) -> Iterator[Sequence[_Sliding]]:
    """Those read together, a long time without groups in two: one half is summed up while the other is read."""
    first, last = min(int(one.windows.ends[0]) for one in together), max(int(one.windows.ends[-1]) for one in together)
    longest = max(int(np.max(one.windows.ends - one.windows.starts)) for one in together)
    middle = (first + last) // 2
    if together[0].scope.by or middle - first < max(_LEAST_HALF, _LEAST_WINDOWS * longest):
        yield together
        return
    for since, until in ((first, middle), (middle, last + 1)):
        if half := [piece for one in together if (piece := one.piece(since, until))]:
            yield half


def _slide(store: Reader, summing: Executor, together: Sequence[_Sliding]) -> list[tuple[int, Line]]:
    """The lines of those read together, each with the number of the one whose it is."""
    start, end = min(one.scope.start for one in together), max(one.scope.end for one in together)
    way = WAYS[together[0].metric.kind]
    scope = replace(together[0].scope, start=start, end=end)

    def measured(of: Found[Any]) -> list[_Measured]:
        group, found = of[0], of[1]()
        return [_measured(way, group, found, one) for one in together]

    by_group = list(summing.map(measured, way.read(store, scope, [one.metric for one in together])))
    lines_of = [_finished(way, one.metric, [of[n] for of in by_group]) for n, one in enumerate(together)]
    return [(one.number, line) for one, found in zip(together, lines_of, strict=True) for line in found]


def _measured(way: Way[Any], group: Group, found: Any, one: _Sliding) -> _Measured:
    ticks, columns = way.measure(found, one.windows, one.metric)
    return _Measured(group, ticks + one.first, columns)


def _finished(way: Way[Any], m: Metric, parts: Sequence[_Measured]) -> Iterator[Line]:
    """All groups in one go: each one by itself would cost more than the work. One without any tick has no line."""
    parts = [part for part in parts if len(part.ticks)]
    if not parts:
        return
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    values, first = way.finish(pl.DataFrame(columns), m).cast(pl.Float64), 0
    for part in parts:
        yield Line(part.group, part.ticks, values.slice(first, len(part.ticks)))
        first += len(part.ticks)


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
