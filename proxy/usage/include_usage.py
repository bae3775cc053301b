"""Asks an OpenAI-style provider for a stream's counts and hides what the caller did not ask for.

Both work on the bytes: what is not inserted or hidden stays exactly as it was.
"""

import re
from typing import Any, Final

import msgspec

from proxy.json_span import member
from proxy.sse import parse_block
from proxy.usage import fields

#: An event larger than this is not the usage chunk.
MAX_CHUNK_BYTES: Final = 256 * 1024

#: Longer options than these, or a search for them among more values, are not worth a count.
_MAX_OPTIONS_BYTES: Final = 16 * 1024
_MAX_MEMBERS: Final = 500_000

_OPTIONS: Final = b'"stream_options"'
_ASK: Final = b'"include_usage":true'
_EVENT_END: Final = re.compile(rb"(?>\r\n|\n|\r)(?:\r\n|\n|\r)")
_LINE_END: Final = re.compile(rb"\r\n?")
_NO_CHOICES: Final = re.compile(rb'"choices"\s*:\s*\[\s*\]')


class _Request(msgspec.Struct):
    stream: msgspec.Raw = msgspec.Raw()
    stream_options: msgspec.Raw = msgspec.Raw()


_DECODER: Final = msgspec.json.Decoder(_Request)


def ask_for_usage(body: bytes) -> bytes:
    """The request with `stream_options.include_usage` true.

    Unchanged where it is no streaming request, not a JSON object, or asks already.
    """
    try:
        request = _DECODER.decode(body)
    except fields.UNREADABLE:
        return body
    if memoryview(request.stream_options).nbytes > _MAX_OPTIONS_BYTES or not _is_true(request.stream):
        return body
    options = fields.decode(request.stream_options)
    if fields.mapping(options).get("include_usage") is True:
        return body
    if bytes(request.stream_options) and body.count(b",") > _MAX_MEMBERS:
        return body
    span = member(body, "stream_options") if bytes(request.stream_options) else None
    if span is None:
        end = body.rindex(b"}")
        return body[:end] + b"," + _OPTIONS + b":{" + _ASK + b"}" + body[end:]
    start, end = span
    return body[:start] + _asking(body[start:end], options) + body[end:]


def _is_true(raw: msgspec.Raw) -> bool:
    return memoryview(raw).nbytes == 4 and bytes(raw) == b"true"


def _asking(text: bytes, options: Any) -> bytes:
    """The text of the options, with the question in it."""
    if not isinstance(options, dict):
        return b"{" + _ASK + b"}"
    span = member(text, "include_usage")
    if span is not None:
        return text[: span[0]] + b"true" + text[span[1] :]
    comma = b"," if options else b""
    start = text.index(b"{") + 1
    return text[:start] + _ASK + comma + text[start:]


class UsageChunkFilter:
    """Passes a stream on unchanged but for the chunk that carries nothing but the counts.

    An event is held until it is whole; every way of cutting the stream gives the same bytes.
    """

    def __init__(self, *, max_chunk_bytes: int = MAX_CHUNK_BYTES) -> None:
        self._limit = max_chunk_bytes
        self._rest = bytearray()
        self._passing = False  # the event that has begun is too large to be the one
        self._after_cr = False  # a LF that comes now still belongs to the event before
        self._hidden = False  # and that event was hidden

    def feed(self, data: bytes) -> bytes:
        """Take more of the stream; give what may go on."""
        searched = max(len(self._rest) - 3, 0)
        self._rest += data
        if not (self._passing or self._after_cr or b"\r" in self._rest or _NO_CHOICES.search(self._rest)):
            return self._plain()
        out = bytearray()
        if self._after_cr and data:
            self._line_feed(out)
            searched = 0
        while match := _EVENT_END.search(self._rest, searched):
            self._event(match.end(), out)
            searched = 0
        if self._passing or len(self._rest) > self._limit:
            self._pass_on(out)
        return bytes(out)

    def flush(self) -> bytes:
        """Give what is left of a stream that ended within an event."""
        rest, self._rest = bytes(self._rest), bytearray()
        return b"" if not self._passing and is_usage_chunk(rest) else rest

    def _plain(self) -> bytes:
        """All whole events of a rest that holds none to hide, and no carriage return."""
        found = self._rest.rfind(b"\n\n")
        end = found + 2 if found >= 0 else 0
        out = bytes(self._rest[:end])
        del self._rest[:end]
        self._hidden = False
        if len(self._rest) <= self._limit:
            return out
        late = bytearray()
        self._pass_on(late)
        return out + bytes(late)

    def _event(self, end: int, out: bytearray) -> None:
        event = bytes(self._rest[:end])
        del self._rest[:end]
        self._hidden = not self._passing and len(event) <= self._limit and is_usage_chunk(event)
        self._passing = False
        if not self._hidden:
            out += event
        self._after_cr = event.endswith(b"\r")
        if self._after_cr and self._rest:
            self._line_feed(out)

    def _line_feed(self, out: bytearray) -> None:
        self._after_cr = False
        if self._rest.startswith(b"\n"):
            del self._rest[:1]
            if not self._hidden:
                out += b"\n"

    def _pass_on(self, out: bytearray) -> None:
        """Send on all but what may be the first half of the event's end."""
        keep = len(self._rest) - len(self._rest.rstrip(b"\r\n"))
        end = len(self._rest) - keep
        out += self._rest[:end]
        del self._rest[:end]
        self._passing = True


def is_usage_chunk(event: bytes) -> bool:
    """Whether the event carries counts and no choices."""
    if not _NO_CHOICES.search(event):
        return False
    block = parse_block(_LINE_END.sub(b"\n", event).strip(b"\n"))
    chunk = fields.mapping(fields.decode(block.data)) if block else {}
    return chunk.get("choices") == [] and isinstance(chunk.get("usage"), dict)
