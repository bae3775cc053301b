"""Server-sent events, decoded as their bytes come (WHATWG HTML, 9.2). No I/O."""

from collections.abc import Callable
from typing import Final

import msgspec

#: An event larger than this is dropped. A last event that repeats an answer with its images has several megabytes.
MAX_EVENT_BYTES: Final = 32 * 1024 * 1024

_BOM: Final = b"\xef\xbb\xbf"


class SseEvent(msgspec.Struct, frozen=True, gc=False):
    """One event: its name ('' where the stream gave none) and its data, the lines joined by LF."""

    event: str
    data: bytes


class SseParser:
    """Splits a stream into events; every way of cutting the stream gives the same events.

    `dropped` counts the events that were larger than `max_event_bytes` and left out. `skim`, if any, may read whole
    events before the others: it takes the bytes of some, from the start of an event on and with LF alone at lines'
    ends, and gives back those that it leaves.
    """

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES, skim: Callable[[bytes], bytes] | None = None) -> None:
        self.dropped = 0
        self._limit = max_event_bytes
        self._skim = skim
        self._parts: list[bytes] = []  # the event that has begun, line ends already LF
        self._size = 0
        self._skipping = False
        self._after_cr = False
        self._start: bytes | None = b""  # what may become a byte order mark; None once past it

    def feed(self, data: bytes) -> list[SseEvent]:
        """Take more of the stream; give the events it completes."""
        if self._start is not None:
            data = self._without_bom(data)
        if self._after_cr or b"\r" in data:
            data = self._with_lf(data)
        if not data:
            return []
        if b"\n\n" not in data and not (data[0] == 10 and self._ends_line()):
            self._hold(data)
            return []
        return self._complete(data)

    def flush(self) -> list[SseEvent]:
        """Give the last event of a stream that ended without its blank line."""
        if self._start:
            self._hold(self._start)
        self._start = None
        block, skipping = b"".join(self._parts), self._skipping
        self._parts, self._size, self._skipping = [], 0, False
        event = None if skipping else parse_block(block)
        return [event] if event is not None else []

    def _complete(self, data: bytes) -> list[SseEvent]:
        whole = b"".join((*self._parts, data)) if self._parts else data
        skipping, self._parts, self._size, self._skipping = self._skipping, [], 0, False
        if self._skim is not None and not skipping and len(whole) <= self._limit:
            whole = self._skim(whole)
            if not whole:
                return []
        blocks = whole.split(b"\n\n")
        rest = blocks.pop()
        if skipping:
            del blocks[0]
        parse = parse_block if len(whole) <= self._limit else self._sized
        events = [event for block in blocks if (event := parse(block)) is not None]
        if rest:
            self._hold(rest)
        return events

    def _sized(self, block: bytes) -> SseEvent | None:
        if len(block) <= self._limit:
            return parse_block(block)
        self.dropped += 1
        return None

    def _hold(self, data: bytes) -> None:
        self._size += len(data)
        self._parts.append(data)
        if self._size > self._limit + 1 and not self._skipping:  # its last line end does not count
            self.dropped += 1
            self._skipping = True
        if self._skipping:  # only where it ends is still of interest
            self._parts = [data[-1:]]

    def _ends_line(self) -> bool:
        return bool(self._parts) and self._parts[-1].endswith(b"\n")

    def _without_bom(self, data: bytes) -> bytes:
        data = (self._start or b"") + data
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._start = data
            return b""
        self._start = None
        return data.removeprefix(_BOM)

    def _with_lf(self, data: bytes) -> bytes:
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
            self._after_cr = False
            if not data:
                return data
        if data:
            self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def parse_block(block: bytes) -> SseEvent | None:
    """The event of one block of lines (without its blank line), or None where it has no data."""
    if block.startswith(b"data: ") and b"\n" not in block:
        return SseEvent("", block[6:])
    head, _, rest = block.partition(b"\n")
    if head.startswith(b"event: ") and rest.startswith(b"data: ") and b"\n" not in rest:
        return SseEvent(_name(head[7:]), rest[6:])
    return _parse_lines(block)


def _parse_lines(block: bytes) -> SseEvent | None:
    name, data = b"", []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ")
    return SseEvent(_name(name), b"\n".join(data)) if data else None


def _name(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
