"""What a spool's folder says after its process ended in whatever way, and what becomes of unfinished requests."""

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from data.model import Endpoint, LedgerRecord, Outcome, RequestStart, Tokens
from proxy.record import Ending, Pricer, ledger_record
from proxy.segments import Examined, Frame, Kind, Segment, examine, segment_number
from proxy.usage import PARSERS
from proxy.usage.usage import Billing, Usage

T = TypeVar("T")
_log = logging.getLogger(__name__)
_STARTS = msgspec.msgpack.Decoder(RequestStart)
_ENDS = msgspec.msgpack.Decoder(LedgerRecord)


@dataclass(slots=True)
class Recovered:
    """Everything a new spool must know of the old one. `starts` are those without an end, oldest first."""

    segments: list[Segment] = field(default_factory=list)
    starts: dict[str, RequestStart] = field(default_factory=dict)
    next_sequence: int = 1
    shipped: int = 0
    newest: int = 0  # the highest segment number ever seen
    readable: bool = False  # any frame at all could be read, so the sequence numbers are known


def interrupted(start: RequestStart, at_us: int, price: Pricer) -> LedgerRecord:
    """The row of a request whose proxy died under it: its input as estimated, its output unknown."""
    bills = (start.endpoint, start.stream) in PARSERS
    tokens = Tokens(uncached_input=start.estimated_input_tokens if bills else 0)
    note = f"estimated from {start.estimated_input_tokens} input tokens of the request; the proxy ended during it"
    ending = Ending(
        outcome=Outcome.INTERRUPTED,
        status=0,
        ended_at=max(at_us, start.started_at),
        duration_ms=0.0,  # when it broke off is not known
        error_class="interrupted",
        error_message="the proxy ended while the request was in flight",
    )
    billing = Billing.UNKNOWN if start.endpoint is Endpoint.OTHER else Billing.COUNTED
    record = ledger_record(start, ending, Usage(tokens=tokens, billing=billing, note=note), price)
    return record if start.reserved_usd is None else replace(record, liability_usd=start.reserved_usd)


def recover(folder: Path) -> Recovered:
    """Read every segment, repair what is damaged, and say what is there.

    A torn tail of the last segment is cut off. A segment with damage elsewhere is kept aside as `*.corrupt`,
    and its good frames take its place.
    """
    result = Recovered()
    found = sorted((number, path) for path in folder.iterdir() if (number := segment_number(path)) is not None)
    for number, path in found:
        segment = Segment(number, path)
        for frame in _repaired(path, last=number == found[-1][0]):
            result.readable = True
            _apply(frame, segment, result)
        segment.size = path.stat().st_size
        result.segments.append(segment)
        result.newest = number
    return result


def decoded_records(payloads: Iterable[bytes]) -> list[LedgerRecord]:
    """The ledger records that END frames of this process have as their payloads."""
    return list(map(_ENDS.decode, payloads))


def decode_record(frame: Frame) -> LedgerRecord | None:
    """The ledger record of an END frame; None, with a log line, where it cannot be read."""
    return _decoded(_ENDS, frame)


def decode_start(frame: Frame) -> RequestStart | None:
    """The start in a START frame; None, with a log line, where it cannot be read."""
    return _decoded(_STARTS, frame)


def _decoded(decoder: msgspec.msgpack.Decoder[T], frame: Frame) -> T | None:
    try:
        return decoder.decode(frame.payload)
    except (msgspec.DecodeError, ValueError):
        _log.exception("spool: frame %d of kind %d cannot be read and is left out", frame.number, frame.kind)
        return None


def _apply(frame: Frame, segment: Segment, result: Recovered) -> None:
    match frame.kind:
        case Kind.NEXT:
            result.next_sequence = max(result.next_sequence, frame.number)
        case Kind.START:
            if (start := decode_start(frame)) is not None:
                result.starts[start.id] = start
        case Kind.END:
            result.next_sequence = max(result.next_sequence, frame.number + 1)
            if (record := decode_record(frame)) is not None:
                result.starts.pop(record.id, None)
                segment.ended(frame.number, record.ended_at)
        case Kind.SHIPPED:
            result.shipped = max(result.shipped, frame.number)
            result.next_sequence = max(result.next_sequence, frame.number + 1)


def _repaired(path: Path, *, last: bool) -> list[Frame]:
    data = path.read_bytes()
    examined = examine(data)
    torn = len(data) - examined.good_until
    if torn and not examined.damaged and not data[examined.good_until :].strip(b"\0"):
        _cut(path, examined.good_until)  # reserved and never written
        return examined.frames
    if examined.damaged or (torn and not last):
        _quarantine(path, data, examined)
    elif torn:
        _log.warning("spool: %d bytes of an unfinished write cut off the end of %s", torn, path.name)
        _cut(path, examined.good_until)
    return examined.frames


def _quarantine(path: Path, data: bytes, examined: Examined) -> None:
    """Keep the damaged file aside; a crash in between leaves either the old file or the new one in place."""
    aside = path.with_name(f"{path.name}.corrupt")
    good = b"".join(data[f.begin : f.end] for f in examined.frames)
    lost = len(data) - len(good)
    _log.error("spool: %s is damaged: %d bytes are unreadable, the rest is kept; see %s", path.name, lost, aside.name)
    aside.unlink(missing_ok=True)
    os.link(path, aside)
    draft = path.with_name(f"{path.name}.new")
    with draft.open("wb") as file:
        file.write(good)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _cut(path: Path, size: int) -> None:
    with path.open("r+b") as file:
        file.truncate(size)
        os.fsync(file.fileno())
