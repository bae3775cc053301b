"""The records that were written last, kept in memory for a shipper that has caught up."""

import logging
from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import Final, NamedTuple, Self

import msgspec

from data.model import LedgerRecord, RequestStart
from proxy.segments import Kind, encoded, payload_of
from proxy.storable import storable

TAIL_RECORDS: Final = 8192

_log = logging.getLogger(__name__)


class Written(NamedTuple):
    """An END frame: its number, when the record's call ended, and its bytes."""

    sequence: int
    ended_us: int
    frame: bytes

    @classmethod
    def of(cls, sequence: int, record: LedgerRecord) -> Self:
        """Return a record's frame."""
        return cls(sequence, record.ended_at, frame(Kind.END, sequence, record))


class Tail:
    """At most `TAIL_RECORDS`, without a gap."""

    def __init__(self) -> None:
        self._kept: deque[Written] = deque(maxlen=TAIL_RECORDS)

    def add(self, written: Written) -> None:
        """Keep the next one."""
        self._kept.append(written)

    def drop(self, through: int) -> None:
        """Forget what is numbered up to `through`."""
        while self._kept and self._kept[0].sequence <= through:
            self._kept.popleft()

    def records(self, after: int, count: int) -> list[bytes] | None:
        """Return `count` of those behind `after`, encoded; None where the first of these is not kept."""
        if not self._kept or self._kept[0].sequence > after + 1:
            return None
        begin = after + 1 - self._kept[0].sequence
        return [payload_of(written.frame) for written in islice(self._kept, begin, begin + count)]

    def ended_us(self, sequence: int) -> int | None:
        """Return when the call of this record ended; None unless it is the first that is kept."""
        first = self._kept[0] if self._kept else None
        return first.ended_us if first is not None and first.sequence == sequence else None


def joined(ends: Iterable[Written], start: RequestStart | None) -> bytes:
    """Return what one write takes: frames of records, and a start behind them."""
    frames = [end.frame for end in ends]
    if start is not None:
        frames.append(frame(Kind.START, 0, start))
    return b"".join(frames)


def frame(kind: Kind, number: int, value: msgspec.Struct) -> bytes:
    """Return a frame's bytes; values that cannot be stored are left out, and that is logged."""
    try:
        return encoded(kind, number, value)
    except (ValueError, OverflowError, TypeError):
        _log.exception("spool: a record holds values that cannot be stored and is written without them")
        return encoded(kind, number, storable(value))
