"""Asks for another model than the client did; every other byte of the request stays. Pure."""

import re
from typing import Final
from urllib.parse import quote

import msgspec

from proxy.errors import UnreadableBody
from proxy.json_span import member

#: Names are short; a longer text is searched for as JSON.
_MAX_NAME_BYTES: Final = 1024
_IN_PATH: Final = re.compile(r"(?<=/models/)[^:?]+(?=[:?]|$)")


class _Named(msgspec.Struct):
    model: msgspec.Raw = msgspec.Raw()


_decoder = msgspec.json.Decoder(_Named)


def renamed_body(body: bytes, model: str) -> bytes:
    """Return the JSON object with `model` for its member "model". Raises `UnreadableBody` where there is none."""
    wanted = msgspec.json.encode(model)
    name = _name(body)
    found = list(re.finditer(rb'"model"\s*:\s*(' + re.escape(name) + rb")", body)) if name else []
    if len(found) == 1:
        renamed = _replaced(body, found[0].span(1), wanted)
        if _name(renamed) == wanted:  # else it was another object's, and the name itself is written with escapes
            return renamed
    span = member(body, "model")
    if span is None:
        raise UnreadableBody("the request names no model that could be exchanged for another")
    return _replaced(body, span, wanted)


def renamed_path(raw_path: str, model: str) -> str:
    """Return Gemini's path with another model in it."""
    return _IN_PATH.sub(lambda _: quote(model, safe="/-._~@"), raw_path, count=1)


def _name(body: bytes) -> bytes:
    try:
        raw = _decoder.decode(body).model
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return b""
    return bytes(raw) if memoryview(raw).nbytes <= _MAX_NAME_BYTES else b""


def _replaced(body: bytes, span: tuple[int, int], text: bytes) -> bytes:
    return body[: span[0]] + text + body[span[1] :]
