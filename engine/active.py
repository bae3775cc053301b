"""The hours in which a rule may notify: `{days: mon-fri, hours: "08:00-18:00", tz: Europe/Berlin}`."""

import re
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, PlainSerializer, PlainValidator

from engine.condition import Document

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(r"\s*(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})\s*")
_MINUTES_A_DAY = 24 * 60


def zone_name(name: str) -> str:
    """The name of a time zone that exists; a ValueError says otherwise."""
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"there is no time zone {name!r}; write one like Europe/Berlin or UTC") from error


def _day(word: str) -> int:
    try:
        return DAYS.index(word.strip().lower()[:3])
    except ValueError as error:
        raise ValueError(
            f"{word.strip()!r} is not a day; write mon, tue, wed, thu, fri, sat, sun or mon-fri"
        ) from error


def _days_of(part: str) -> set[int]:
    first, dash, last = part.partition("-")
    start = _day(first)
    return {(start + n) % 7 for n in range((_day(last) - start) % 7 + 1)} if dash else {start}


def _days(value: Any) -> tuple[int, ...]:
    if isinstance(value, tuple):
        return value
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list) or not parts or not all(isinstance(part, str) for part in parts):
        raise ValueError("must be days like mon-fri or [mon, wed]")
    return tuple(sorted(set().union(*(_days_of(part) for part in parts))))


def written_days(days: tuple[int, ...]) -> str:
    """`mon-fri` where the days follow one another, else `mon,wed`."""
    if len(days) > 2 and days == tuple(range(days[0], days[-1] + 1)):
        return f"{DAYS[days[0]]}-{DAYS[days[-1]]}"
    return ",".join(DAYS[day] for day in days)


def _hours(value: Any) -> tuple[int, int]:
    if isinstance(value, tuple):
        return value[0], value[1]
    match = _HOURS.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"must be hours like '08:00-18:00', not {value!r}")
    hour, minute, last_hour, last_minute = (int(number) for number in match.groups())
    start, end = hour * 60 + minute, last_hour * 60 + last_minute
    if max(minute, last_minute) > 59 or start >= _MINUTES_A_DAY or end > _MINUTES_A_DAY or start == end:
        raise ValueError(f"must be two different times of a day, like '08:00-18:00' or '22:00-06:00', not {value!r}")
    return start, end


def written_hours(hours: tuple[int, int]) -> str:
    """Minutes of the day as `08:00-18:00`."""
    return "-".join(f"{minutes // 60:02}:{minutes % 60:02}" for minutes in hours)


Zone = Annotated[str, AfterValidator(zone_name)]
Days = Annotated[tuple[int, ...], PlainValidator(_days), PlainSerializer(written_days, return_type=str)]
Hours = Annotated[tuple[int, int], PlainValidator(_hours), PlainSerializer(written_hours, return_type=str)]


class Active(Document):
    """When to notify. Hours over midnight (`22:00-06:00`) belong to the day they start on."""

    days: Days = (0, 1, 2, 3, 4, 5, 6)
    hours: Hours = (0, _MINUTES_A_DAY)
    tz: Zone = "UTC"

    def covers(self, at: datetime) -> bool:
        """Whether `at` (aware) lies in the active hours; the end is not included."""
        local = at.astimezone(ZoneInfo(self.tz))
        minute, day = local.hour * 60 + local.minute, local.weekday()
        start, end = self.hours
        if start < end:
            return day in self.days and start <= minute < end
        return (day in self.days and minute >= start) or ((day - 1) % 7 in self.days and minute < end)
