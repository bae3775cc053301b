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
from engine.previous import Stretch, stretches
from engine.rule import Rule, scope
from engine.window import Calendar, Window

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
    needed = [_needed(rule, condition, grid) for condition in rule.conditions]
    asked = source if isinstance(source, Source) else _Asking(source)
    found: dict[tuple[Grid, Wanted], Mapping[Group, Points]] = {}
    pieces = list(chain.from_iterable(chain.from_iterable(needed)))
    for some in dict.fromkeys(piece.grid for piece in pieces):
        different = list(dict.fromkeys(piece.wanted for piece in pieces if piece.grid == some))
        points = asked.points(rule, different, some)
        found |= {(some, wanted): of for wanted, of in zip(different, points, strict=True)}
    return History(grid, tuple(tuple(_joined(series, found) for series in part) for part in needed))


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a series: what is wanted at the ticks of `grid`, which stand from `first` to before `end` in all."""

    wanted: Wanted
    grid: Grid
    first: int
    end: int


def _needed(rule: Rule, condition: Condition, grid: Grid) -> list[list[_Piece]]:
    """The series of a condition and, where it compares, of the baseline, each in pieces that look equally far back."""
    shift, *rest = shifts(rule, condition, grid.start)
    whole = [[_Piece(_wanted(rule, condition, shift), grid, 0, len(grid))]]
    compare, window = condition.compare, condition.window
    if compare is None or not isinstance(window, Calendar):
        return whole + [[_Piece(_wanted(rule, condition, other), grid, 0, len(grid))] for other in rest]
    times = grid.times().dt.epoch("us").to_numpy() - shift // _US
    parts = stretches(compare.to or window.period, times, rule.zone)
    return [*whole, [_piece(rule, condition, grid, part) for part in parts]]


def _piece(rule: Rule, condition: Condition, grid: Grid, part: Stretch) -> _Piece:
    first, end = grid.at(part.first), grid.at(part.first + 1 if part.held else part.end)
    some = grid if (part.first, part.end, part.held) == (0, len(grid), False) else Grid(first, end, grid.step)
    return _Piece(_wanted(rule, condition, rule.delay + part.back), some, part.first, part.end)


def _joined(
    pieces: Sequence[_Piece], found: Mapping[tuple[Grid, Wanted], Mapping[Group, Points]]
) -> Mapping[Group, Points]:
    """One series from its pieces; one that has a single tick stands for all that look at the same."""
    if len(pieces) == 1 and pieces[0].end - pieces[0].first == len(pieces[0].grid):
        return found[pieces[0].grid, pieces[0].wanted]
    parts: dict[Group, list[Points]] = {}
    for piece in pieces:
        ticks = np.arange(piece.first, piece.end)
        held = len(piece.grid) < ticks.size
        for group, points in found[piece.grid, piece.wanted].items():
            where = np.zeros(ticks.size, dtype=np.int64) if held and points.ticks.size else points.ticks
            values = points.values[where] if held else points.values
            parts.setdefault(group, []).append(Points(ticks if held and points.ticks.size else ticks[where], values))
    return {
        group: Points(np.concatenate([p.ticks for p in some]), np.concatenate([p.values for p in some]))
        for group, some in parts.items()
    }


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
