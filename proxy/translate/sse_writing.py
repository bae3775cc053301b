"""Writes the events of both protocols' streams. Pure."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

_ENCODER: Final = msgspec.json.Encoder()

DONE: Final = b"data: [DONE]\n\n"


def anthropic_event(value: Mapping[str, Any]) -> bytes:
    """Return an event of Anthropic's, named by its type."""
    return b"event: %b\ndata: %b\n\n" % (value["type"].encode(), _ENCODER.encode(value))


def openai_event(value: Mapping[str, Any]) -> bytes:
    """Return an event of OpenAI's, which have no name."""
    return b"data: %b\n\n" % _ENCODER.encode(value)


def json_text(text: str) -> bytes:
    """Return a string's JSON."""
    return _ENCODER.encode(text)
