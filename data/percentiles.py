"""Percentiles of many windows at once, from counts in the order of time: bucket after bucket, the highest first. Pure.

While the buckets are gone through, it is known of each window how many of its requests lie in one of them or above: a
window's percentile is the bucket at which these are enough. An entry is in all windows from the first that ends after
it to the last that begins before it, so that it changes the numbers at two places, whose running sum they are.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from data.sliding import Flags, Held, Ints

_Whole = npt.NDArray[np.signedinteger[Any]]
_NARROW = np.iinfo(np.int32).max


def percentile(buckets: _Whole, counts: _Whole, holds: Held, percent: int) -> tuple[Ints, Flags]:
    """The bucket that holds each window's percentile, by nearest rank, and whether it has one.

    A bucket and a count an entry, in the order of time; `holds` says which entries each window has, both of its sides
    ascending.
    """
    if not len(buckets) or not len(holds.last):
        nothing = np.zeros(len(holds.last), dtype=np.int64)
        return nothing, nothing > 0
    # half as wide is twice as fast: nearly all of the time goes into moving numbers
    kind = np.dtype(np.int32 if max(int(counts.sum(dtype=np.int64)), len(counts)) < _NARROW else np.int64)
    enough = _enough(counts, holds, percent, kind)
    known = enough > 0
    lowest = int(buckets.min())
    codes = (buckets - lowest).astype(np.uint16)
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes))
    moves = _Moves(counts, holds, order, kind)
    above = np.zeros(len(enough), dtype=kind)
    waiting, below = known.copy(), np.zeros(len(enough), dtype=np.uint16)
    for first, last in zip([*ends[-2::-1].tolist(), 0], ends[::-1].tolist(), strict=True):
        if first < last:
            moves.make(first, last, above)
            np.less(above, enough, out=waiting)
            if not waiting.any():
                break
        below += waiting
    return lowest + len(ends) - 1 - below.astype(np.int64), known


def _enough(counts: _Whole, holds: Held, percent: int, kind: np.dtype[Any]) -> _Whole:
    """How many requests of a window, counted from above, reach down to its percentile; 0 of an empty window."""
    running = np.zeros(len(counts) + 1, dtype=kind)
    np.cumsum(counts, out=running[1:])
    total: _Whole = running[holds.last] - running[holds.first]
    rank = -(-total.astype(np.int64) * percent // 100)
    return np.where(total > 0, total - rank + 1, 0).astype(kind)


class _Moves:
    """How the entries, in an order, change the windows' numbers."""

    def __init__(self, counts: _Whole, holds: Held, order: Ints, kind: np.dtype[Any]) -> None:
        self._since, self._until = (_windows_before(side, len(counts))[order] for side in (holds.last, holds.first))
        self._counts = counts.astype(kind)[order]
        self._change = np.zeros(len(holds.last) + 1, dtype=kind)

    def make(self, first: int, last: int, running: _Whole) -> None:
        """Let the entries from `first` up to `last` (in the order) count; `running` is then what each window has."""
        counts = self._counts[first:last]
        np.add.at(self._change, self._since[first:last], counts)
        np.subtract.at(self._change, self._until[first:last], counts)
        np.cumsum(self._change[:-1], out=running)


def _windows_before(edges: Ints, entries: int) -> Ints:
    """For each entry, how many windows have this edge at or before it."""
    before: Ints = np.cumsum(np.bincount(edges, minlength=entries + 1))[:entries]
    return before
