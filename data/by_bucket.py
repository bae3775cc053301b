"""Counts of requests by latency, sorted so that percentiles can be taken from them. Pure, in NumPy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data.sliding import Column, Ints

#: Of a number that is not negative.
_BITS = 63
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


def in_order(columns: Sequence[Column]) -> list[Column]:
    """The rows by the first two columns, ascending.

    Whole rows are sorted as one number each if that has the room: gathering the others in another's order costs more.
    """
    lows = [int(column.min(initial=0)) for column in columns]
    bits = [(int(column.max(initial=0)) - low).bit_length() for column, low in zip(columns, lows, strict=True)]
    if sum(bits) > _BITS:
        order = np.lexsort(tuple(columns[1::-1]))
        return [column[order] for column in columns]
    packed = np.zeros(len(columns[0]), dtype=np.int64)
    for column, low, wide in zip(columns, lows, bits, strict=True):
        packed <<= wide
        packed += column
        packed -= low
    packed.sort()
    unpacked = []
    for column, low, wide in reversed(list(zip(columns, lows, bits, strict=True))):
        unpacked.append((packed & ((1 << wide) - 1)).astype(column.dtype) + column.dtype.type(low))
        packed >>= wide
    return unpacked[::-1]


def ranked(cells: Column) -> tuple[Column, Ints]:
    """The different cells, ascending, and which of them each one is."""
    low, high = int(cells.min()), int(cells.max())
    if high - low > _SPARSE * len(cells):
        different, places = np.unique(cells, return_inverse=True)
        return different, places
    there = np.zeros(high - low + 1, dtype=bool)
    there[cells - low] = True
    return np.flatnonzero(there) + low, (np.cumsum(there) - 1)[cells - low]
