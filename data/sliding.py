"""Windows that slide over sorted cells: what each holds, from one pass over the cells. Pure, in NumPy.

A cell is a stretch of time with its sums; `cells` are their starts, ascending. Window i is [starts[i], ends[i]), both
ascending, with every edge between two cells. All times are UTC microseconds.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
#: Numbers of any width.
Column = npt.NDArray[Any]

_MICRO, _FINE = 1e3, 1e12
#: With more places than this many times the cells and moments, these are looked for instead of counted.
_SPARSE = 4
#: So few windows are looked at one by one.
_FEW = 8


@dataclass(frozen=True, slots=True)
class Windows:
    """When each window starts and ends."""

    starts: Ints
    ends: Ints

    def __len__(self) -> int:
        return len(self.ends)


@dataclass(frozen=True, slots=True)
class Held:
    """The cells each window holds: those from `first` up to but not including `last`."""

    first: Ints
    last: Ints

    @property
    def filled(self) -> Ints:
        """The windows that hold any."""
        return np.flatnonzero(self.last > self.first)

    def take(self, which: Ints) -> "Held":
        """The same for some of the windows."""
        return Held(self.first[which], self.last[which])


def held(windows: Windows, cells: Ints, width: int = 1) -> Held:
    """Which cells each window holds; all times are multiples of `width` apart."""
    return Held(_before(cells, windows.starts, width), _before(cells, windows.ends, width))


def _before(cells: Ints, moments: Ints, width: int) -> Ints:
    """How many cells lie before each moment (both ascending)."""
    if not len(cells) or not len(moments):
        return np.zeros(len(moments), dtype=np.int64)
    places = (cells - cells[0]) // width
    if places[-1] > _SPARSE * (len(cells) + len(moments)):
        return np.searchsorted(cells, moments)
    up_to = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(np.bincount(places))])
    before: Ints = up_to[np.clip((moments - cells[0]) // width, 0, len(up_to) - 1)]
    return before


def sums(values: Column, holds: Held) -> Ints:
    """The sum of `values` (one a cell) in each window."""
    running = _running(values)
    return running[holds.last] - running[holds.first]


def float_sums(values: Floats, holds: Held) -> Floats:
    """The same for floats, without the rounding that differences of running sums would add."""
    whole = np.floor(values * _MICRO)
    rest = np.rint((values * _MICRO - whole) * _FINE)
    coarse, fine = (sums(part.astype(np.int64), holds) for part in (whole, rest))
    return coarse / _MICRO + fine / (_MICRO * _FINE)


def _running(values: Column) -> Ints:
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(values)])


def distinct(windows: Windows, cells: Ints, values: Ints) -> Ints:
    """How many different `values` (one a cell, numbered) each window holds; the cells of a value ascend."""
    order = np.lexsort((cells, values))
    cells, values = cells[order], values[order]
    since = np.searchsorted(windows.ends, cells, side="right")
    until = np.searchsorted(windows.starts, cells, side="right")
    again = np.append(values[1:] == values[:-1], False)
    # a value counts once: from its next cell on, that one tells that it is there
    until[:-1] = np.where(again[:-1], np.minimum(until[:-1], since[1:]), until[:-1])
    until = np.maximum(until, since)
    change = np.bincount(since, minlength=len(windows) + 1) - np.bincount(until, minlength=len(windows) + 1)
    counted: Ints = np.cumsum(change)[: len(windows)]
    return counted


def maxima(values: Floats, holds: Held) -> Floats:
    """The largest of `values` (one a cell) in each window; NaN where it holds none."""
    if len(holds.first) <= _FEW:
        spans = zip(holds.first.tolist(), holds.last.tolist(), strict=True)
        return np.array([values[first:last].max() if last > first else np.nan for first, last in spans])
    found = np.full(len(holds.first), np.nan)
    length, width, largest = holds.last - holds.first, 1, values
    while len(largest):
        # two stretches of this width, which may overlap, cover the window
        which = np.flatnonzero((length >= width) & (length < 2 * width))
        found[which] = np.maximum(largest[holds.first[which]], largest[holds.last[which] - width])
        largest, width = np.maximum(largest[:-width], largest[width:]), 2 * width
    return found


def runs(holds: Held) -> tuple[Held, Ints]:
    """The different windows in a row, and for each window which of them it is."""
    new = np.ones(len(holds.last), dtype=bool)
    new[1:] = (np.diff(holds.first) != 0) | (np.diff(holds.last) != 0)
    return holds.take(np.flatnonzero(new)), np.cumsum(new) - 1
