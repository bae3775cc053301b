"""Finds where a member's value stands in JSON text, so that it can be exchanged and every other byte stays."""

import re
from collections.abc import Iterator
from typing import Final

import msgspec

#: A JSON string, or one character of structure.
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[{}\[\],:]', re.DOTALL)

_key_decoder: Final = msgspec.json.Decoder(str)


def member(text: bytes, name: str) -> tuple[int, int] | None:
    """Where the value of the object's last member of that name begins and ends (the last one counts).

    `text` is valid JSON, and an object.
    """
    found = None
    for key, start, end in _members(text):
        if _text(key) == name:
            found = start, end
    return found


def _text(string: bytes) -> str:
    try:
        return _key_decoder.decode(string)
    except (msgspec.MsgspecError, ValueError):  # half a surrogate pair
        return ""


def _members(text: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Each member of the (valid) JSON object: its key, and where its value begins and ends."""
    depth, key, start, last = 0, b"", 0, b""
    for token in _TOKEN.finditer(text):
        match token[0]:
            case b"{" | b"[":
                depth += 1
            case b":" if depth == 1:
                key, start = last, token.end()
            case b"," if depth == 1 and key:
                yield key, *_trimmed(text, start, token.start())
                key = b""
            case b"}" | b"]":
                depth -= 1
                if depth == 0 and key:
                    yield key, *_trimmed(text, start, token.start())
            case string:
                last = string


def _trimmed(text: bytes, start: int, end: int) -> tuple[int, int]:
    value = text[start:end]
    return start + len(value) - len(value.lstrip()), end - len(value) + len(value.rstrip())
