"""Percentiles of many windows at once, from counts in the order of time: a wavelet matrix, level by level. Pure.

At each level, from the highest bit of the buckets to the lowest, the entries are parted by that bit: those without it
first, then those with it, each in the order they had. A window so stays a stretch of entries, or rather two, and how
much lies in the lower one says in which of them its percentile is: a bit of the answer a level, for all windows.
Claude, Navarro, Ordóñez: "The wavelet matrix: an efficient wavelet tree for large alphabets" (2015), with weights.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from data.sliding import Flags, Held, Ints

_Whole = npt.NDArray[np.signedinteger[Any]]
_NARROW = np.iinfo(np.int32).max


def percentile(buckets: _Whole, counts: _Whole, holds: Held, percent: int) -> tuple[Ints, Flags]:
    """The bucket that holds each window's percentile, by nearest rank, and whether it has one.

    A bucket and a count an entry, in the order of time; `holds` says which entries each window has.
    """
    if not len(buckets):
        nothing = np.zeros(len(holds.last), dtype=np.int64)
        return nothing, nothing > 0
    # half as wide is twice as fast: nearly all of the time goes into moving numbers
    narrow = max(int(counts.sum(dtype=np.int64)), len(counts)) < _NARROW
    entries = _Entries(buckets, counts, np.dtype(np.int32 if narrow else np.int64))
    total = entries.within(holds.first, holds.last)
    rank = (-(-total.astype(np.int64) * percent // 100)).astype(total.dtype)
    found = np.zeros(len(rank), dtype=np.int64)
    first, last = holds.first, holds.last
    for bit in entries.bits():
        low_first, low_last, lower = entries.part(bit, first, last)
        below = entries.within(low_first, low_last)
        above = rank > below
        rank -= np.where(above, below, 0)
        first = np.where(above, lower + first - low_first, low_first)
        last = np.where(above, lower + last - low_last, low_last)
        found |= above.astype(np.int64) << bit
    return found + entries.lowest, total > 0


class _Entries:
    """The entries in the order of a level. Its arrays are used again and again: fresh ones cost more than the work."""

    def __init__(self, buckets: _Whole, counts: _Whole, kind: np.dtype[Any]) -> None:
        self.lowest = int(buckets.min())
        self._codes = (buckets - self.lowest).astype(np.uint16)
        self._counts = counts.astype(kind)
        self._spare = np.empty_like(self._codes), np.empty_like(self._counts)
        self._lower = np.zeros(len(counts) + 1, dtype=kind)
        self._running = np.zeros(len(counts) + 1, dtype=kind)
        np.cumsum(self._counts, out=self._running[1:])

    def bits(self) -> range:
        """The bits that tell the buckets apart, highest first."""
        return range(int(self._codes.max()).bit_length())[::-1]

    def within(self, first: _Whole, last: _Whole) -> _Whole:
        """The sum of the counts from `first` up to `last`."""
        total: _Whole = self._running[last]
        total -= self._running[first]
        return total

    def part(self, bit: int, first: _Whole, last: _Whole) -> tuple[_Whole, _Whole, int]:
        """Reorder by a bit; where the lower parts of the windows then begin and end, and how many entries lie below."""
        low = (self._codes & np.uint16(1 << bit)) == 0
        np.cumsum(low.view(np.int8), out=self._lower[1:])
        lower = int(self._lower[-1])
        codes, counts = self._spare
        self._spare = self._codes, self._counts
        for old, new in ((self._codes, codes), (self._counts, counts)):
            np.compress(low, old, out=new[:lower])
            np.compress(~low, old, out=new[lower:])
        self._codes, self._counts = codes, counts
        np.cumsum(counts, out=self._running[1:])
        return self._lower[first], self._lower[last], lower
