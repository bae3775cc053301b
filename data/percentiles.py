"""Percentiles of many windows at once, from counts bucket by bucket. Pure.

While the buckets are gone through from the highest, it is known of each window how many of its requests lie in one of
them or above: a window's percentile is the bucket at which these are enough. An entry is in all windows from the first
that ends after it to the last that begins before it, so that it changes the numbers at two places, whose running sum
they are.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from data.sliding import Flags, Held, Ints

_Whole = npt.NDArray[np.signedinteger[Any]]
_NARROW = np.iinfo(np.int32).max


def percentile(buckets: _Whole, cells: _Whole, counts: _Whole, holds: Held, percent: int) -> tuple[Ints, Flags]:
    """The bucket that holds each window's percentile, by nearest rank, and whether it has one.

    A bucket (ascending), a cell (from 0) and a count an entry; `holds` says which cells each window has, both of its
    sides ascending.
    """
    if not len(buckets) or not len(holds.last):
        nothing = np.zeros(len(holds.last), dtype=np.int64)
        return nothing, nothing > 0
    # half as wide is twice as fast: nearly all of the time goes into moving numbers
    kind = np.dtype(np.int32 if max(int(counts.sum(dtype=np.int64)), len(counts)) < _NARROW else np.int64)
    moves = _Moves(cells, counts.astype(kind), holds)
    enough = moves.enough(percent)
    known = enough > 0
    edges = [0, *(np.flatnonzero(np.diff(buckets)) + 1).tolist(), len(buckets)]
    above = np.zeros(len(enough), dtype=kind)
    waiting, below = known.copy(), np.zeros(len(enough), dtype=np.uint16)  # buckets have 16 bits
    for first, last in zip(edges[-2::-1], edges[:0:-1], strict=True):
        moves.make(first, last, above)
        np.less(above, enough, out=waiting)
        if not waiting.any():
            break
        below += waiting
    return buckets[edges[:-1]].astype(np.int64)[::-1][below], known


class _Moves:
    """How the entries change the windows' numbers."""

    def __init__(self, cells: _Whole, counts: _Whole, holds: Held) -> None:
        length = 1 + max(int(cells.max()), int(holds.last[-1]))
        self._since, self._until = (_windows_before(side, length, cells) for side in (holds.last, holds.first))
        self._counts, self._windows = counts, len(holds.last)
        self._change = np.zeros(self._windows + 1, dtype=counts.dtype)

    def enough(self, percent: int) -> _Whole:
        """How many requests of a window, counted from above, reach down to its percentile; 0 of an empty window."""
        total = np.zeros(self._windows, dtype=self._counts.dtype)
        self.make(0, len(self._counts), total)
        self._change[:] = 0
        rank = -(-total.astype(np.int64) * percent // 100)
        return np.where(total > 0, total - rank + 1, 0).astype(self._counts.dtype)

    def make(self, first: int, last: int, running: _Whole) -> None:
        """Let the entries from `first` up to `last` count; `running` is then what each window has."""
        counts = self._counts[first:last]
        np.add.at(self._change, self._since[first:last], counts)
        np.subtract.at(self._change, self._until[first:last], counts)
        np.cumsum(self._change[:-1], out=running)


def _windows_before(edges: Ints, length: int, cells: _Whole) -> Ints:
    """For each entry, how many windows have this edge at or before its cell."""
    before: Ints = np.cumsum(np.bincount(edges, minlength=length))[cells]
    return before
