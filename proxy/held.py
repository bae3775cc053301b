"""Answers that are kept from the client: errors after which another attempt may follow."""

from collections.abc import Mapping
from typing import Final

import msgspec
from aiohttp import web

from proxy.decoding import decoder_for
from proxy.errors import UnreadableBody
from proxy.sse import SseEvent, SseParser

#: A longer error is passed on as it comes: nobody writes so much about a failure that another attempt may mend.
MAX_HELD_BYTES: Final = 256 * 1024
_MAX_PLAIN_BYTES: Final = 1024 * 1024


class Failed(msgspec.Struct, frozen=True):
    """An attempt of which the client has seen nothing.

    `status` and `headers` are the provider's, `body` is its error without content coding; where it sent none,
    `status` is 0 and `error_class` says what happened. `answer` is what the client gets if nothing else follows.
    """

    answer: web.StreamResponse
    status: int = 0
    headers: Mapping[str, str] = {}
    body: bytes = b""
    error_class: str = ""


def plain_body(body: bytes, coding: str) -> bytes:
    """Return an error's text without its content coding; b'' where that cannot be read."""
    return read_plain(body, coding) or b""


def read_plain(body: bytes, coding: str) -> bytes | None:
    """Return an error's text without its content coding; None where that cannot be read, or not to its end."""
    try:
        decoder = decoder_for(coding, _MAX_PLAIN_BYTES) if coding else None
        if decoder is None:
            return body
        parts = [decoder.decode(body)]
        while decoder.pending:
            parts.append(decoder.decode(b""))
    except UnreadableBody:
        return None
    return b"".join(parts)


def error_event(first: bytes, coding: str) -> bytes:
    """Return the data of the error event that a stream's first piece holds before anything else; b'' for none."""
    if b"error" not in first and not coding:
        return b""
    events = SseParser().feed(plain_body(first, coding))
    data = next((event.data for event in events if not _says_nothing(event)), b"")
    try:
        said = _decoder.decode(data) if data else None
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return b""
    return data if said is not None and (said.type == "error" or said.error) else b""


class _Event(msgspec.Struct):
    type: str | None = None
    error: msgspec.Raw = msgspec.Raw()


_decoder = msgspec.json.Decoder(_Event)


def _says_nothing(event: SseEvent) -> bool:
    return event.event == "ping"
