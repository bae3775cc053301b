"""Reads single values out of JSON that nobody vouches for: a wrong type is as good as nothing."""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec

T = TypeVar("T")

#: No request has a billion tokens: a larger count is a fault of the provider.
MAX_COUNT: Final = 1_000_000_000
MAX_TEXT: Final = 200
MAX_MESSAGE: Final = 500
MAX_RAW_BYTES: Final = 64 * 1024
#: Counts and errors are short; a million empty lists would take seconds.
MAX_JSON_BYTES: Final = 512 * 1024

#: What decoding JSON that is none, or is nested without end, raises.
UNREADABLE: Final = (msgspec.DecodeError, ValueError, RecursionError)

_DECODER: Final = msgspec.json.Decoder()
_ENCODER: Final = msgspec.json.Encoder()


def decode(data: bytes | msgspec.Raw) -> Any:
    """The JSON value, or None where it is not JSON, or too large to be made of objects."""
    if memoryview(data).nbytes > MAX_JSON_BYTES:
        return None
    try:
        return _DECODER.decode(data)
    except UNREADABLE:
        return None


def decode_whole(data: bytes, decoder: msgspec.json.Decoder[T]) -> T | None:
    """The body with all its fields, or None: one of them may be why, and the others still count."""
    if len(data) > MAX_JSON_BYTES:
        return None
    try:
        return decoder.decode(data)
    except UNREADABLE:
        return None


def encode(value: Mapping[str, Any]) -> str:
    """A usage object as JSON; '' for an empty or absurdly large one."""
    data = _ENCODER.encode(value) if value else b""
    return data.decode() if len(data) <= MAX_RAW_BYTES else ""


def mapping(value: object) -> dict[str, Any]:
    """The JSON object, or an empty one."""
    return value if isinstance(value, dict) else {}


def count(value: object) -> int | None:
    """A count of tokens, or None for anything that cannot be one (negative, fractional, text, absurd)."""
    return value if type(value) is int and 0 <= value <= MAX_COUNT else None


def text(value: object, limit: int = MAX_TEXT) -> str:
    """The text, cut to `limit` characters; '' for anything else."""
    return value[:limit] if isinstance(value, str) else ""


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Both objects as one: per field the last non-null value wins, inner objects likewise."""
    result = dict(old)
    for name, value in new.items():
        if isinstance(value, dict):
            result[name] = merged(mapping(result.get(name)), value)
        elif value is not None or name not in result:
            result[name] = value
    return result


def error_of(value: object) -> tuple[str, str]:
    """Class and message of a provider's `error` value; ('', '') where it is none.

    OpenAI's `code` says more than its `type` (which may be "tokens"); Anthropic has only `type`, Google `status`.
    """
    if isinstance(value, str) and value:
        return "error", text(value, MAX_MESSAGE)
    error = mapping(value)
    if not error:
        return "", ""
    name = text(error.get("code")) or text(error.get("type")) or text(error.get("status")) or "error"
    return name, text(error.get("message"), MAX_MESSAGE)
