"""Streams for the parsers' tests, written down as their events."""

import json
from typing import Any

from data.model import Endpoint
from proxy.usage import Usage, parser_for


def events(*payloads: dict[str, Any] | str, named: bool = True) -> bytes:
    """A stream of JSON events; a text is put in as it is."""
    return b"".join(_event(payload, named=named) for payload in payloads)


def _event(payload: dict[str, Any] | str, *, named: bool) -> bytes:
    if isinstance(payload, str):
        return payload.encode()
    name = f"event: {payload['type']}\n" if named and "type" in payload else ""
    return f"{name}data: {json.dumps(payload, separators=(',', ':'), ensure_ascii=False)}\n\n".encode()


def read(endpoint: Endpoint, *pieces: bytes, stream: bool = True, status: int = 200) -> Usage:
    parser = parser_for(endpoint, stream=stream, status=status)
    for piece in pieces:
        parser.feed(piece)
    return parser.finish()


def read_at_every_cut(endpoint: Endpoint, body: bytes, expected: Usage) -> None:
    """Every way to cut the body in two, and cutting it at every byte, must give `expected`."""
    assert read(endpoint, *(body[i : i + 1] for i in range(len(body)))) == expected
    for cut in range(1, len(body)):
        assert read(endpoint, body[:cut], body[cut:]) == expected, cut
