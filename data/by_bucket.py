"""Counts of requests by latency, sorted so that percentiles can be taken from them. Pure, in NumPy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from typing import Protocol as Shape

import numpy as np

from data.sliding import Column, Ints

#: A row as a number of 64 and of 32 bits may have so many: besides its sign, one is for the edge above all groups.
_BITS, _NARROW_BITS = 62, 30
#: Rows that are packed at a time, so that they stay in the processor's cache.
_BLOCK = 1 << 15
#: With more cells than this many times the rows, these are looked for instead of marked.
_SPARSE = 4


@dataclass(frozen=True, slots=True)
class Entries:
    """A group's counts, the lowest bucket first: each one's bucket, which of the group's cells it is in (from 0)."""

    buckets: Column
    places: Ints
    counts: Column


@dataclass(frozen=True, slots=True)
class Counts:
    """One group's counts by what is counted, and when each of its cells starts, UTC microseconds, ascending.

    `width` is how long a cell is, microseconds.
    """

    entries: Mapping[str, Entries]
    times: Ints
    width: int


class Ordered(Shape):
    """Counts by group and bucket, both ascending; those of one bucket are in any order."""

    def edges(self, groups: Sequence[int]) -> Ints:
        """The first row of each group or of one above it."""
        ...

    def rows(self, part: slice) -> tuple[Column, Column, Column]:
        """The buckets, cells and counts of some rows, of which there are any; those of one cell may be summed."""
        ...


def in_order(groups: Column, buckets: Column, cells: Column, counts: Column) -> Ordered:
    """Order counts, of which there are any; all are whole numbers.

    Rows are sorted as one number each if that has the room: gathering the others in another's order costs more.
    """
    columns = (groups, buckets, cells, counts)
    lows, highs = zip(*((int(column.min()), int(column.max())) for column in columns), strict=True)
    bits = [(high - low).bit_length() for low, high in zip(lows, highs, strict=True)]
    return _Gathered(columns) if sum(bits) > _BITS else _Packed(columns, lows, bits)


class _Gathered:
    def __init__(self, columns: Sequence[Column]) -> None:
        order = np.lexsort(tuple(columns[1::-1]))
        self._groups, *self._columns = (column[order] for column in columns)

    def edges(self, groups: Sequence[int]) -> Ints:
        return np.searchsorted(self._groups, groups)

    def rows(self, part: slice) -> tuple[Column, Column, Column]:
        buckets, cells, counts = (column[part] for column in self._columns)
        return buckets, cells, counts


class _Packed:
    """Each row is one number: how far its values lie above the columns' `lows`, side by side in so many bits each."""

    def __init__(self, columns: Sequence[Column], lows: Sequence[int], bits: Sequence[int]) -> None:
        self._lows, self._bits, self._kinds = lows, bits, [column.dtype for column in columns]
        # half as wide is sorted twice as fast
        narrow = sum(bits) <= _NARROW_BITS and all(np.can_cast(kind, np.int32) for kind in self._kinds)
        kind: Any = np.int32 if narrow else np.int64
        self._rows: Ints = np.zeros(len(columns[0]), dtype=kind)
        for first in range(0, len(self._rows), _BLOCK):
            block = self._rows[first : first + _BLOCK]
            for column, low, wide in zip(columns, lows, bits, strict=True):
                block <<= wide
                block += column[first : first + _BLOCK]
                block -= low
        self._rows.sort()

    def edges(self, groups: Sequence[int]) -> Ints:
        most, behind = 1 << self._bits[0], sum(self._bits[1:])
        first = [min(max(group - self._lows[0], 0), most) << behind for group in groups]
        return np.searchsorted(self._rows, np.array(first, dtype=self._rows.dtype))

    def rows(self, part: slice) -> tuple[Column, Column, Column]:
        rows = self._rows[part]
        places = rows >> self._bits[3]
        first = np.flatnonzero(np.append(True, places[1:] != places[:-1]))
        counts = np.add.reduceat(self._low_bits(rows, 3), first, dtype=np.int64)
        counts += np.diff(first, append=len(rows)) * self._lows[3]
        places = places[first]
        return self._column(places >> self._bits[2], 1), self._column(places, 2), counts

    def _column(self, numbers: Ints, n: int) -> Column:
        column: Column = self._low_bits(numbers, n).astype(self._kinds[n])
        column += self._lows[n]
        return column

    def _low_bits(self, numbers: Ints, n: int) -> Ints:
        return numbers & ((1 << self._bits[n]) - 1)


def ranked(cells: Column) -> tuple[Column, Ints]:
    """The different cells, ascending, and which of them each one is."""
    low, high = int(cells.min()), int(cells.max())
    if high - low > _SPARSE * len(cells):
        different, places = np.unique(cells, return_inverse=True)
        return different, places
    there = np.zeros(high - low + 1, dtype=bool)
    there[cells - low] = True
    return np.flatnonzero(there) + low, (np.cumsum(there) - 1)[cells - low]
