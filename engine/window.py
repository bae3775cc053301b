"""The stretch of time a condition looks at: rolling (`5m`) or calendar (`today`) in a time zone."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import PlainSerializer, PlainValidator

from engine.durations import duration, spoken, written

_INSTANT = timedelta(microseconds=1)


class Period(StrEnum):
    """A calendar window: from the start of the period in the rule's time zone until now."""

    TODAY = "today"
    THIS_WEEK = "this_week"
    THIS_MONTH = "this_month"


@dataclass(frozen=True, slots=True)
class Span:
    """Half-open [start, end), aware UTC, never empty."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Rolling:
    """The last `length` before an instant."""

    length: timedelta

    def span(self, end: datetime, _zone: ZoneInfo) -> Span:
        """The window that ends at `end`."""
        return Span(end - self.length, end)

    def __str__(self) -> str:
        return written(self.length)


@dataclass(frozen=True, slots=True)
class Calendar:
    """The period so far. At the very instant a period ends it is that period, whole; so it is never empty."""

    period: Period

    def span(self, end: datetime, zone: ZoneInfo) -> Span:
        """The period `end` closes or lies in, up to `end`."""
        return Span(period_start(self.period, end, zone), end)

    def __str__(self) -> str:
        return self.period.value


Window = Rolling | Calendar


def period_start(period: Period, at: datetime, zone: ZoneInfo) -> datetime:
    """Where the period holding the instant just before `at` starts, in UTC; weeks start on Monday."""
    day = (at - _INSTANT).astimezone(zone).date()
    if period is Period.THIS_WEEK:
        day -= timedelta(days=day.weekday())
    elif period is Period.THIS_MONTH:
        day = day.replace(day=1)
    return datetime.combine(day, time.min, zone).astimezone(UTC)


def window(value: object) -> Window:
    """`'5m'` or `'today'` as a window; a ValueError names the possibilities."""
    if isinstance(value, Rolling | Calendar):
        return value
    if isinstance(value, str) and value.strip() in set(Period):
        return Calendar(Period(value.strip()))
    try:
        length = duration(value)
    except ValueError as error:
        raise ValueError(f"{error}; or today, this_week, this_month") from error
    if length <= timedelta(0):
        raise ValueError("must be longer than 0s")
    return Rolling(length)


def spoken_window(value: Window) -> str:
    """In words: `'over the last 5 minutes'`, `'over the last hour'`, `'this month'`."""
    if isinstance(value, Rolling):
        return f"over the last {spoken(value.length).removeprefix('1 ')}"
    return value.period.value.replace("_", " ")


WindowText = Annotated[Rolling | Calendar, PlainValidator(window), PlainSerializer(str, return_type=str)]
