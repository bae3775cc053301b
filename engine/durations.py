"""Lengths of time as people write them: `60s`, `5m`, `1h30m`, `1d`, `1w`, `0s`."""

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, PlainSerializer, PlainValidator

#: Letter, seconds and word of each unit, longest first.
_UNITS: tuple[tuple[str, int, str], ...] = (
    ("w", 604_800, "week"),
    ("d", 86_400, "day"),
    ("h", 3_600, "hour"),
    ("m", 60, "minute"),
    ("s", 1, "second"),
)
_SECONDS = {letter: seconds for letter, seconds, _ in _UNITS}
_PART = re.compile(r"(\d{1,9})([wdhms])")
_WHOLE = re.compile(r"(?:\d{1,9}[wdhms])+")
_LONGEST = timedelta(days=400)


def duration(text: object) -> timedelta:
    """`'1h30m'` as a timedelta; a ValueError says what a duration looks like."""
    if isinstance(text, timedelta):
        return text
    if text == 0 and not isinstance(text, bool):
        return timedelta(0)
    if not isinstance(text, str) or not _WHOLE.fullmatch(text.strip()):
        raise ValueError(f"is not a duration: {text!r}; write a number and a unit, like 60s, 5m, 1h or 1d")
    length = timedelta(seconds=sum(int(n) * _SECONDS[unit] for n, unit in _PART.findall(text)))
    if length > _LONGEST:
        raise ValueError(f"is longer than {_LONGEST.days} days: {text!r}")
    return length


def written(length: timedelta) -> str:
    """The shortest text in one unit: `'90m'`, `'1d'`, `'0s'`; weeks are written in days."""
    seconds = int(length.total_seconds())
    for letter, size, _ in _UNITS[1:]:
        if seconds and seconds % size == 0:
            return f"{seconds // size}{letter}"
    return f"{seconds}s"


def spoken(length: timedelta) -> str:
    """In words: `'1 day'`, `'90 minutes'`, `'24 hours'` is `'1 day'`."""
    seconds = int(length.total_seconds())
    for _, size, word in _UNITS[1:]:
        if seconds and seconds % size == 0:
            count = seconds // size
            return f"{count} {word}" if count == 1 else f"{count} {word}s"
    return f"{seconds} seconds"


def every_spoken(length: timedelta) -> str:
    """A cadence in words: `'every minute'`, `'every 90 seconds'`."""
    return f"every {spoken(length).removeprefix('1 ')}"


def _positive(length: timedelta) -> timedelta:
    if length <= timedelta(0):
        raise ValueError("must be longer than 0s")
    return length


def _plain(value: Any) -> timedelta:
    return duration(value)


Duration = Annotated[timedelta, PlainValidator(_plain), PlainSerializer(written, return_type=str)]
PositiveDuration = Annotated[
    timedelta, PlainValidator(_plain), AfterValidator(_positive), PlainSerializer(written, return_type=str)
]
