"""Parsers by the shape of an answer: a stream, one JSON body, an error, or nothing to read."""

import logging
from collections.abc import Callable
from typing import Final, Protocol

from proxy.sse import SseEvent, SseParser
from proxy.usage.usage import Billing, Usage, UsageParser

Make = Callable[[], UsageParser]
#: Of a plain body no more than this is kept for reading; answers may hold images.
MAX_BODY_BYTES: Final = 32 * 1024 * 1024

#: Spaces before an answer beyond these do not matter.
_MAX_SPACE: Final = 1024
_BOM: Final = b"\xef\xbb\xbf"
UNTOLD: Final = "the provider told no counts"
_log = logging.getLogger(__name__)


class StreamReader(Protocol):
    """What one protocol makes of the events of its stream."""

    output_started: bool

    def take(self, event: SseEvent) -> None:
        """Read one event."""
        ...

    def usage(self, *, damaged: bool) -> Usage:
        """Say what was read; `damaged`: an event was lost on the way."""
        ...


class SkimmingReader(StreamReader, Protocol):
    """A reader that takes most of its events in bulk."""

    def skim(self, events: bytes) -> bytes:
        """Read what it can of whole events; give the others."""
        ...


class Splitter(Protocol):
    """What finds the events of a stream in its bytes."""

    def feed(self, data: bytes) -> list[SseEvent]:
        """Take more of the stream; give the events it completes."""
        ...

    def flush(self) -> list[SseEvent]:
        """Give what a stream that broke off leaves of a last event, if it is one."""
        ...


class StreamParser:
    """Feeds a protocol's reader with the events of a stream; without a splitter, with server-sent ones."""

    def __init__(self, reader: StreamReader, splitter: Splitter | None = None) -> None:
        self._reader = reader
        self._splitter = splitter or SseParser()
        self._damaged = False

    @property
    def output_started(self) -> bool:
        """Whether the first content was seen."""
        return self._reader.output_started

    def feed(self, data: bytes) -> None:
        """Take more of the stream."""
        self._take(self._splitter.feed(data))

    def finish(self) -> Usage:
        """Say what was seen."""
        self._take(self._splitter.flush())
        return _safely(lambda: self._reader.usage(damaged=self._damaged))

    def _take(self, events: list[SseEvent]) -> None:
        for event in events:
            try:
                self._reader.take(event)
            except Exception:  # noqa: BLE001 - the answer must not suffer from its reader
                _log.exception("an event of an answer could not be read")
                self._damaged = True


def skimming(reader: SkimmingReader) -> StreamParser:
    """Return a parser that shows the reader server-sent events in bulk first."""
    return StreamParser(reader, SseParser(skim=reader.skim))


class BodyParser:
    """Keeps a body and reads it at its end."""

    def __init__(self, read: Callable[[bytes], Usage], *, max_bytes: int = MAX_BODY_BYTES) -> None:
        self._read = read
        self._limit = max_bytes
        self._parts: list[bytes] = []
        self._size = 0

    @property
    def output_started(self) -> bool:
        """Whether the first byte was seen."""
        return self._size > 0

    def feed(self, data: bytes) -> None:
        """Take more of the body."""
        self._size += len(data)
        if self._size <= self._limit:
            self._parts.append(data)
        else:
            self._parts.clear()

    def finish(self) -> Usage:
        """Say what the body said."""
        if self._size > self._limit:
            return Usage(note=f"the answer's {self._size} bytes are too many to read")
        return _safely(lambda: self._read(b"".join(self._parts)))


class SniffingParser:
    """Tells by its first byte what a body is: one JSON object, an array, or something else."""

    def __init__(self, body: Make, array: Make, other: Make) -> None:
        self._makes = {b"{": body, b"[": array}
        self._other = other
        self._head = b""
        self._chosen: UsageParser | None = None

    @property
    def output_started(self) -> bool:
        """Whether the first content was seen."""
        return self._chosen is not None and self._chosen.output_started

    def feed(self, data: bytes) -> None:
        """Take more of the body."""
        if self._chosen is None:
            self._head += data
            if _BOM.startswith(self._head):
                return
            data = self._head.removeprefix(_BOM).lstrip()
            if not data:
                self._head = self._head[:_MAX_SPACE]
                return
            self._head = b""
            self._chosen = self._makes.get(data[:1], self._other)()
        self._chosen.feed(data)

    def finish(self) -> Usage:
        """Say what was seen."""
        return (self._chosen or self._makes[b"{"]()).finish()


class UntoldParser:
    """Reads nothing: what the provider charges is told nowhere."""

    def __init__(self) -> None:
        self.output_started = False

    def feed(self, data: bytes) -> None:
        """Take more of the body."""
        self.output_started = self.output_started or bool(data)

    def finish(self) -> Usage:
        """Zero tokens, of unknown cost."""
        return Usage(complete=True, billing=Billing.UNKNOWN, note=UNTOLD)


class FreeParser:
    """Reads nothing: the endpoint bills nothing."""

    def __init__(self) -> None:
        self.output_started = False

    def feed(self, data: bytes) -> None:
        """Take more of the body."""
        self.output_started = self.output_started or bool(data)

    def finish(self) -> Usage:
        """Zero tokens, exactly."""
        return Usage(complete=True, billing=Billing.FREE)


def _safely(read: Callable[[], Usage]) -> Usage:
    try:
        return read()
    except Exception:  # noqa: BLE001 - the answer must not suffer from its reader
        _log.exception("an answer's counts could not be read")
        return Usage(note="the counts could not be read")
