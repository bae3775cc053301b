"""Reads a client's JSON strictly: what is wrong is named by its place, such as `messages.3.content.0.type`. Pure."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from proxy.errors import Untranslatable

UNREADABLE: Final = (msgspec.DecodeError, ValueError, RecursionError)

_DECODER: Final = msgspec.json.Decoder()


def read(body: bytes) -> dict[str, Any]:
    """Return the request. Raises `Untranslatable`."""
    try:
        value = _DECODER.decode(body)
    except UNREADABLE as e:
        raise Untranslatable("body", f"is no valid JSON ({e})") from e
    return mapping(value, "body")


def written(request: dict[str, Any]) -> bytes:
    """Return the request's JSON. Raises `Untranslatable` where it is nested too deeply."""
    try:
        return msgspec.json.encode(request)
    except RecursionError as e:
        raise Untranslatable("body", "is nested too deeply") from e


def mapping(value: object, place: str) -> dict[str, Any]:
    """Return the object. Raises `Untranslatable` for anything else."""
    if isinstance(value, dict):
        return value
    raise Untranslatable(place, "must be an object")


def text(value: object, place: str) -> str:
    """Return the string. Raises `Untranslatable` for anything else."""
    if isinstance(value, str):
        return value
    raise Untranslatable(place, "must be a string")


def whole_number(value: object, place: str) -> int:
    """Return the number. Raises `Untranslatable` for anything but a whole number from 0."""
    if type(value) is int and value >= 0:
        return value
    raise Untranslatable(place, "must be a whole number, 0 or more")


def number(value: object, place: str) -> float:
    """Return the number. Raises `Untranslatable` for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise Untranslatable(place, "must be a number")


def flag(value: object, place: str) -> bool:
    """Return the truth value, null being false. Raises `Untranslatable` for anything else."""
    if isinstance(value, bool) or value is None:
        return bool(value)
    raise Untranslatable(place, "must be true or false")


def items(value: object, place: str) -> Iterator[tuple[Any, str]]:
    """Give each item of the list (null: none) with its place. Raises `Untranslatable` for anything else."""
    if value is not None and not isinstance(value, list):
        raise Untranslatable(place, "must be a list")
    return ((item, f"{place}.{i}") for i, item in enumerate(value or ()))


def texts(value: object, place: str) -> list[str]:
    """Return the list of strings. Raises `Untranslatable` for anything else."""
    return [text(item, at) for item, at in items(value, place)]


def objects(value: object, place: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Give each object of the list (null: none) with its place. Raises `Untranslatable` for anything else."""
    return ((mapping(item, at), at) for item, at in items(value, place))
