"""Metrics over windows that slide, read of the ledger together: what sums up the same requests is read once."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import polars as pl

from data import sliding
from data.cells import Found, Group
from data.measuring import WAYS, Way
from data.metrics import Metric
from data.pieces import Scope
from data.reads import Reader
from data.sliding import Windows

_US = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Reads that run beside each other, and groups summed up beside each other; what is read is in memory together.
MOST_AT_ONCE = 2
#: What has no groups is read in two halves, each of at least a day (in microseconds) and of so many times the windows'
#: length: what a window at the cut reaches back to is read twice.
_LEAST_HALF, _LEAST_WINDOWS = 86_400_000_000, 8


@dataclass(frozen=True, slots=True)
class Line:
    """One group's values (Float64, null over nothing) at the instants, counted from 0, whose window holds requests."""

    group: Group
    ticks: sliding.Ints
    values: pl.Series


@dataclass(frozen=True, slots=True)
class SlidingMetric:
    """A metric over windows, which `scope` covers, or the piece of one that begins at the tick `first`."""

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

    def piece(self, since: int, until: int) -> "SlidingMetric | None":
        """What of it ends from `since` up to but not at `until`, if anything does."""
        first, last = np.searchsorted(self.windows.ends, [since, until]).tolist()
        if first == last:
            return None
        windows = Windows(self.windows.starts[first:last], self.windows.ends[first:last])
        start, end = covered(windows)
        return replace(self, windows=windows, scope=replace(self.scope, start=start, end=end), first=first)


#: One of those asked, by its number.
_Numbered = tuple[int, SlidingMetric]


def covered(windows: Windows) -> tuple[datetime, datetime]:
    """From when to when they are, of which there is one at least."""
    return _EPOCH + int(windows.starts[0]) * _US, _EPOCH + int(windows.ends[-1]) * _US


def read(store: Reader, asked: Sequence[SlidingMetric]) -> list[list[Line]]:
    """Each one's lines by group, in the groups' order; each covers at least one window. Raises the store's errors."""
    found: dict[int, list[Line]] = {number: [] for number in range(len(asked))}
    shared: dict[Hashable, list[_Numbered]] = {}
    for numbered in enumerate(asked):
        shared.setdefault(numbered[1].read_with, []).append(numbered)
    parts = [half for alike in shared.values() for part in _overlapping(alike) for half in _halves(part)]
    if parts:
        # side by side: the store reads for some while NumPy sums up the windows of others
        with (
            ThreadPoolExecutor(MOST_AT_ONCE, "reading") as reading,
            ThreadPoolExecutor(MOST_AT_ONCE, "summing") as summing,
        ):
            for number, line in chain.from_iterable(reading.map(partial(_slide, store, summing), parts)):
                found[number].append(line)
    return [_joined(of) for of in found.values()]


@dataclass(frozen=True, slots=True)
class _Measured:
    """What a group's cells come to at some ticks, before it is finished."""

    group: Group
    ticks: sliding.Ints
    columns: Mapping[str, sliding.Column]


def _overlapping(alike: Sequence[_Numbered]) -> Iterator[list[_Numbered]]:
    """Those whose times overlap, together: what lies between others is not read for them."""
    part: list[_Numbered] = []
    for number, one in sorted(alike, key=lambda numbered: numbered[1].scope.start):
        if part and one.scope.start > max(before.scope.end for _, before in part):
            yield part
            part = []
        part.append((number, one))
    yield part


def _halves(together: Sequence[_Numbered]) -> Iterator[Sequence[_Numbered]]:
    """Those read together, a long time without groups in two: one half is summed up while the other is read."""
    windows = [one.windows for _, one in together]
    first, last = min(int(of.ends[0]) for of in windows), max(int(of.ends[-1]) for of in windows)
    longest = max(int(np.max(of.ends - of.starts)) for of in windows)
    middle = (first + last) // 2
    if together[0][1].scope.by or middle - first < max(_LEAST_HALF, _LEAST_WINDOWS * longest):
        yield together
        return
    for since, until in ((first, middle), (middle, last + 1)):
        if half := [(number, piece) for number, one in together if (piece := one.piece(since, until))]:
            yield half


def _slide(store: Reader, summing: Executor, together: Sequence[_Numbered]) -> list[tuple[int, Line]]:
    """The lines of those read together, each with the number of the one whose it is."""
    metrics = [one for _, one in together]
    start, end = min(one.scope.start for one in metrics), max(one.scope.end for one in metrics)
    way = WAYS[metrics[0].metric.kind]
    scope = replace(metrics[0].scope, start=start, end=end)

    def measured(of: Found[Any]) -> list[_Measured]:
        group, found = of[0], of[1]()
        return [_measured(way, group, found, one) for one in metrics]

    by_group = list(summing.map(measured, way.read(store, scope, [one.metric for one in metrics])))
    lines_of = (_finished(way, one.metric, [of[n] for of in by_group]) for n, one in enumerate(metrics))
    return [(number, line) for (number, _), found in zip(together, lines_of, strict=True) for line in found]


def _measured(way: Way[Any], group: Group, found: Any, one: SlidingMetric) -> _Measured:
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


def _joined(found: Sequence[Line]) -> list[Line]:
    """As they are; without groups, the halves in the order of time as one."""
    if len(found) < 2 or found[0].group:
        return list(found)
    return [Line((), np.concatenate([line.ticks for line in found]), pl.concat([line.values for line in found]))]
