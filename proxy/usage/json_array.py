"""The elements of a JSON array, as their bytes come: how Gemini streams without server-sent events. No I/O."""

import re
from typing import Final

from proxy.sse import MAX_EVENT_BYTES, SseEvent

#: Up to the next bracket, or to a string that has no end yet; whole strings are passed over.
_OUTSIDE: Final = re.compile(rb'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+")*+(["{}\[\]])', re.DOTALL)
_INSIDE: Final = re.compile(rb'["\\]')
_OPENING: Final = b"{["


class JsonArray:
    """Splits an array into its objects; every way of cutting it gives the same ones, as events without a name.

    `dropped` counts the elements that were larger than `max_element_bytes` and left out.
    """

    def __init__(self, *, max_element_bytes: int = MAX_EVENT_BYTES) -> None:
        self.dropped = 0
        self._limit = max_element_bytes
        self._parts: list[bytes] = []  # the element that has begun
        self._size = 0
        self._depth = 0  # 1: between the elements
        self._in_string = False
        self._escaped = False  # the next byte is a part of the string, whatever it is

    def feed(self, data: bytes) -> list[SseEvent]:
        """Take more of the array; give the elements it completes."""
        found: list[SseEvent] = []
        begin = 0
        at = self._rest_of_string(data) if self._in_string else 0
        while not self._in_string and (match := _OUTSIDE.match(data, at)) is not None:
            token, at = match[1], match.end()
            if token == b'"':
                self._in_string = True
                at = self._rest_of_string(data, at)
            elif token in _OPENING:
                self._depth += 1
                begin = at - 1 if self._depth == 2 else begin
            else:
                self._depth -= 1
                if self._depth == 1:
                    found += self._complete(data[begin:at])
        if self._depth > 1:
            self._hold(data[begin:])
        return found

    def flush(self) -> list[SseEvent]:
        """Nothing: an element without its end is none."""
        return []

    def _rest_of_string(self, data: bytes, at: int = 0) -> int:
        """Where the string that has begun ends in `data`; its end, if it does not."""
        if self._escaped and at < len(data):
            self._escaped, at = False, at + 1
        while (match := _INSIDE.search(data, at)) is not None:
            at = match.end()
            if match[0] == b'"':
                self._in_string = False
                return at
            self._escaped = at == len(data)
            at += 1
        return len(data)

    def _complete(self, last: bytes) -> list[SseEvent]:
        self._hold(last)
        element, fits = b"".join(self._parts), self._size <= self._limit
        self._parts, self._size = [], 0
        self.dropped += not fits
        return [SseEvent("", element)] if fits else []

    def _hold(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size <= self._limit:
            self._parts.append(piece)
        else:
            self._parts = []
