"""What the translations of streams have in common: events in, bytes out, and exactly one end. Pure."""

from abc import ABC, abstractmethod

from proxy.sse import SseParser
from proxy.translate.failures import BROKEN, UNFINISHED, Failure


class SseTranslation(ABC):
    """Feeds `_take` with the provider's events; `_fail` does nothing behind the end."""

    def __init__(self) -> None:
        self._parser = SseParser()

    def feed(self, data: bytes) -> bytes:
        """Take more of the provider's stream; give the client's."""
        out: list[bytes] = []
        for event in self._parser.feed(data):
            self._take(event.data, out)
        return b"".join(out)

    def flush(self) -> bytes:
        """Give the end: a proper one if the provider ended properly, else an error event."""
        out: list[bytes] = []
        for event in self._parser.flush():
            self._take(event.data, out)
        if self._has_reason():
            self._end(out)
        self._fail(Failure(UNFINISHED), out)
        return b"".join(out)

    def broken(self) -> bytes:
        """Give the error event of a stream whose connection broke."""
        out: list[bytes] = []
        self._fail(Failure(BROKEN), out)
        return b"".join(out)

    @abstractmethod
    def _take(self, data: bytes, out: list[bytes]) -> None:
        """Translate one event's data."""

    @abstractmethod
    def _has_reason(self) -> bool:
        """Whether the provider has said why the answer ends."""

    @abstractmethod
    def _end(self, out: list[bytes]) -> None:
        """Write the proper end, once."""

    @abstractmethod
    def _fail(self, failure: Failure, out: list[bytes]) -> None:
        """Write an error event as the end, unless there is an end."""
