"""Where buckets begin: minutes to months in any time zone, and the offsets from UTC behind them.

Weeks start on Monday. A local day has 23 or 25 hours where the clocks change.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from data.errors import UnknownMetric
from data.names import unknown

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
_DAY = timedelta(days=1)


class Grain(StrEnum):
    """The width of a time bucket."""

    MINUTE = "minute"
    FIVE_MINUTES = "5minute"
    QUARTER = "15minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"

    @property
    def fixed(self) -> timedelta | None:
        """Its length where that never changes; None for what is counted in local days."""
        return _FIXED.get(self)


_FIXED = {
    Grain.MINUTE: MINUTE,
    Grain.FIVE_MINUTES: 5 * MINUTE,
    Grain.QUARTER: 15 * MINUTE,
    Grain.HOUR: HOUR,
}


@dataclass(frozen=True, slots=True)
class Offset:
    """How far local time is ahead of UTC, from `since` (aware UTC) on."""

    since: datetime
    ahead: timedelta


def zone(name: str) -> ZoneInfo:
    """The IANA time zone of that name; raises UnknownMetric with the nearest names."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UnknownMetric(unknown("time zone", name, sorted(available_timezones()), few=True)) from error


@lru_cache(512)
def offsets(tz: str, start: datetime, end: datetime) -> tuple[Offset, ...]:
    """The offsets that hold in [start, end), oldest first; the first one's `since` is `start`."""
    local = zone(tz)
    found = [Offset(start, _ahead(start, local))]
    at = start
    while at < end:
        after = min(at + _DAY, end)
        while (ahead := _ahead(after, local)) != found[-1].ahead:
            since = _change(at, after, local)
            found.append(Offset(since, _ahead(since, local)))
            if found[-1].ahead == ahead:
                break
            at = since
        at = after
    return tuple(o for o in found if o.since < end)


def _ahead(at: datetime, local: ZoneInfo) -> timedelta:
    return at.astimezone(local).utcoffset() or timedelta()


def _change(before: datetime, after: datetime, local: ZoneInfo) -> datetime:
    """The first second in (before, after] at which the offset is no longer what it is at `before`."""
    old = _ahead(before, local)
    low, high = 0, int((after - before).total_seconds())
    while high - low > 1:
        middle = (low + high) // 2
        if _ahead(before + timedelta(seconds=middle), local) == old:
            low = middle
        else:
            high = middle
    return (before + timedelta(seconds=high)).replace(microsecond=0)


def to_utc(naive: datetime, local: ZoneInfo) -> datetime:
    """The first instant that is, or comes after, this local time."""
    return naive.replace(tzinfo=local).astimezone(UTC)


def bucket_start(at: datetime, grain: Grain, tz: str) -> datetime:
    """Where the bucket that holds `at` begins, aware UTC."""
    local = at.astimezone(zone(tz))
    width = grain.fixed
    if width is not None:
        naive = local.replace(tzinfo=None)
        into = (naive - datetime.combine(naive.date(), datetime.min.time())) % width
        return at.astimezone(UTC) - into
    return to_utc(_local_start(local, grain), zone(tz))


def _local_start(local: datetime, grain: Grain) -> datetime:
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    if grain is Grain.WEEK:
        return midnight - timedelta(days=midnight.weekday())
    return midnight.replace(day=1) if grain is Grain.MONTH else midnight


def bucket_starts(start: datetime, end: datetime, grain: Grain, tz: str) -> Iterator[datetime]:
    """Every bucket that overlaps [start, end), oldest first, aware UTC."""
    at = bucket_start(start, grain, tz)
    while at < end:
        yield at
        after = bucket_end(at, grain, tz)
        # where the offset changes by less than a bucket, the next one begins elsewhere
        at = max(bucket_start(after, grain, tz), at + MINUTE)


def bucket_end(start: datetime, grain: Grain, tz: str) -> datetime:
    """Where the bucket that begins at `start` ends, aware UTC."""
    width = grain.fixed
    if width is not None:
        return start + width
    local = zone(tz)
    # noon is never skipped or doubled: half a day into the bucket its local date is certain
    naive = (start.astimezone(UTC) + _DAY / 2).astimezone(local)
    midnight = naive.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    if grain is Grain.MONTH:
        return to_utc((midnight.replace(day=1) + 32 * _DAY).replace(day=1), local)
    return to_utc(midnight + (7 * _DAY if grain is Grain.WEEK else _DAY), local)
