"""What a rule's conditions would have measured at every instant of a stretch of time: the simulator's input."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.condition import Condition, written_value
from engine.evaluate import Group, shifts
from engine.rule import Rule, scope
from engine.window import Window

Numbers = npt.NDArray[np.float64]
Ticks = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
#: Where the worker's clock counts full periods from.
EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)


class Series(Protocol):
    """Where history comes from, one metric after the other: its value at many instants.

    Returns columns `time` (aware UTC, `start`, `start + step`, … before `end`), one a name in `by`, and `value`, over
    the window that ends at `time`. Rows without requests may be left out.
    """

    def __call__(
        self,
        *,
        metric: str,
        window: Window,
        by: tuple[str, ...],
        where: Mapping[str, tuple[str, ...]],
        start: datetime,
        end: datetime,
        step: timedelta,
        tz: str,
    ) -> pl.DataFrame:
        """Ask for one series."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The instants of evaluation: `start`, `start + step`, … before `end`."""

    start: datetime
    end: datetime
    step: timedelta

    def __len__(self) -> int:
        return max(0, -((self.start - self.end) // self.step))

    def at(self, tick: int) -> datetime:
        """The instant of a tick."""
        return self.start + tick * self.step

    def tick(self, at: datetime) -> int:
        """The first tick at or after an instant."""
        return -((self.start - at) // self.step)

    @classmethod
    def full(cls, start: datetime, end: datetime, step: timedelta) -> "Grid":
        """The instants in [start, end) on full multiples of `step`, as the worker's clock has them."""
        return cls(EPOCH - (EPOCH - start) // step * step, end, step)

    def times(self) -> pl.Series:
        """All instants, aware UTC."""
        first, step = _microseconds(self.start), self.step // _US
        ticks = pl.Series("time", np.arange(len(self), dtype=np.int64) * step + first)
        return ticks.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


@dataclass(frozen=True, slots=True)
class Points:
    """One series of one group, as it came: ticks and values (NaN: nothing measured)."""

    ticks: Ticks
    values: Numbers


@dataclass(frozen=True, slots=True)
class Wanted:
    """A series that a rule's conditions look at, `shift` before the evaluations; `where` names the requests."""

    metric: str
    window: Window
    where: tuple[tuple[str, tuple[str, ...]], ...]
    shift: timedelta


@runtime_checkable
class Source(Protocol):
    """Where history comes from, for all that a rule wants at once."""

    def points(self, rule: Rule, wanted: Sequence[Wanted], grid: Grid) -> Sequence[Mapping[Group, Points]]:
        """Each one's series by group. Ticks without requests may be left out."""


@dataclass(frozen=True, slots=True)
class History:
    """Per condition, its series and where it compares the baseline's; each by group (values of `group_by`)."""

    grid: Grid
    series: tuple[tuple[Mapping[Group, Points], ...], ...]

    def groups(self) -> list[Group]:
        """Every group that ever was, in order of its labels."""
        return sorted({group for part in self.series for points in part for group in points})

    def most_groups(self) -> int:
        """How many groups there were at most at once."""
        present = np.zeros(len(self.grid) + 1, dtype=np.int64)
        for group in self.groups():
            ticks = [points[group].ticks for part in self.series for points in part if group in points]
            present[np.unique(np.concatenate(ticks))] += 1
        return int(present.max())


def load(rule: Rule, source: Source | Series, grid: Grid) -> History:
    """Ask for all that is needed to replay the rule over the grid; what two conditions share is asked once.

    A rule with other thresholds, timers or policies can be replayed over the same history.
    """
    needed = [[_wanted(rule, condition, shift) for shift in shifts(rule, condition)] for condition in rule.conditions]
    different = list(dict.fromkeys(chain.from_iterable(needed)))
    asked = source if isinstance(source, Source) else _Asking(source)
    found = dict(zip(different, asked.points(rule, different, grid), strict=True))
    return History(grid, tuple(tuple(found[wanted] for wanted in part) for part in needed))


def _wanted(rule: Rule, condition: Condition, shift: timedelta) -> Wanted:
    where = tuple((name, tuple(among)) for name, among in scope(rule, condition).items())
    return Wanted(condition.metric, condition.window, where, shift)


@dataclass(frozen=True, slots=True)
class _Asking:
    """A `Series` as a `Source`."""

    series: Series

    def points(self, rule: Rule, wanted: Sequence[Wanted], grid: Grid) -> list[Mapping[Group, Points]]:
        """Each one's series by group."""
        return [self._points(rule, one, grid) for one in wanted]

    def _points(self, rule: Rule, wanted: Wanted, grid: Grid) -> dict[Group, Points]:
        frame = self.series(
            metric=wanted.metric,
            window=wanted.window,
            by=rule.group_by,
            where=dict(wanted.where),
            start=grid.start - wanted.shift,
            end=grid.end - wanted.shift,
            step=grid.step,
            tz=rule.tz,
        )
        placed = _placed(frame, grid, wanted.shift)
        parts = placed.partition_by(*rule.group_by, as_dict=True) if rule.group_by else {(): placed}
        return {tuple(written_value(v) for v in group): _read(part) for group, part in parts.items()}


def _placed(frame: pl.DataFrame, grid: Grid, shift: timedelta) -> pl.DataFrame:
    first, step = _microseconds(grid.start - shift), grid.step // _US
    since = pl.col("time").dt.epoch("us") - first
    inside = (since >= 0) & (since < step * len(grid)) & (since % step == 0)
    return frame.filter(inside).with_columns((since // step).alias("tick"), pl.col("value").cast(pl.Float64))


def _read(part: pl.DataFrame) -> Points:
    return Points(part["tick"].to_numpy(), part["value"].fill_null(np.nan).to_numpy())


def _microseconds(at: datetime) -> int:
    return (at - datetime.fromtimestamp(0, at.tzinfo)) // _US
