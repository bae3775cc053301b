"""Reading records back from the spool's segments, for a shipper that is behind."""

from typing import NamedTuple

from proxy.recovery import decode_record
from proxy.segments import Kind, Segment, frames


class _Place(NamedTuple):
    after: int  # the record before it
    segment: int
    byte: int


class SegmentReader:
    """Reads batches of records, and remembers where the next batch begins."""

    def __init__(self) -> None:
        self._place = _Place(-1, 0, 0)

    def read(self, segments: list[Segment], after: int, limit: int, durable: int) -> tuple[int, list[bytes]]:
        """Records, encoded, behind `after` up to `durable`, at most `limit`, from the first segment that has any.

        They have no gap between them; the number is the first one's. Segments deleted meanwhile are passed over.
        """
        for segment in segments:
            if segment.last > after:
                first, records = self._from(segment, after, limit, durable)
                if records:
                    return first, records
        return after + 1, []

    def _from(self, segment: Segment, after: int, limit: int, durable: int) -> tuple[int, list[bytes]]:
        place = self._place
        begin = place.byte if place[:2] == (after, segment.number) else 0
        first, end, records = after + 1, begin, list[bytes]()
        for frame in frames(_bytes_of(segment, begin)):
            if frame.kind != Kind.END or frame.number <= after:
                continue
            gap = frame.number != first + len(records)
            if frame.number > durable or len(records) == limit or (records and gap):
                break
            if decode_record(frame) is not None:
                first = first if records else frame.number
                records.append(bytes(frame.payload))
                end = begin + frame.end
        self._place = _Place(first + len(records) - 1, segment.number, end)
        return first, records


def _bytes_of(segment: Segment, begin: int) -> bytes:
    try:
        with segment.path.open("rb") as file:
            file.seek(begin)
            return file.read(max(segment.size - begin, 0))
    except FileNotFoundError:
        return b""
