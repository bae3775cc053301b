"""When a budget's money counts: calendar periods of a time zone, rolling windows, and once for all. Pure.

Spending is summed in buckets by the time a call ended. A calendar period is one bucket. A rolling window is cut into
fine ones, and each counts in full until the last instant of it has left the window: the sum is never less than what
the window holds, and more by one bucket at most. Times are UTC microseconds since the epoch.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Final, Protocol

from data.periods import Grain, bucket_end, bucket_start

#: The end of what never ends.
NEVER: Final = 2**62
SECOND_US: Final = 1_000_000
_MINUTE_US: Final = 60 * SECOND_US
_HOUR_US: Final = 60 * _MINUTE_US
_DAY_US: Final = 24 * _HOUR_US
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_US: Final = timedelta(microseconds=1)
_LAST: Final = datetime(9998, 1, 1, tzinfo=UTC)


class Period(StrEnum):
    """How long a budget's amount lasts."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    ONCE = "once"


class Window(StrEnum):
    """Where a period begins: with the calendar, or that long ago at every instant."""

    CALENDAR = "calendar"
    ROLLING = "rolling"


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, half-open."""

    start_us: int
    end_us: int

    def holds(self, at_us: int) -> bool:
        """Whether the instant lies in it."""
        return self.start_us <= at_us < self.end_us


class Schedule(Protocol):
    """Which bucket an instant belongs to, and which buckets count."""

    def bucket(self, at_us: int) -> Span:
        """The bucket of what ended at `at_us`."""
        ...

    def counts(self, at_us: int) -> Span:
        """The stretch in which buckets must start to count at `at_us`."""
        ...

    def frees(self, at_us: int, buckets: Sequence[tuple[int, int]], amount: int) -> int:
        """When `amount` of what counts at `at_us` will count no longer, NEVER where it always will.

        `buckets` are (start, sum), oldest first.
        """
        ...


@dataclass(frozen=True, slots=True)
class Calendar:
    """Hours, days, weeks (from Monday) or months of a time zone."""

    grain: Grain
    tz: str

    def bucket(self, at_us: int) -> Span:
        """The period."""
        return _calendar_period(self.grain, self.tz, at_us)

    def counts(self, at_us: int) -> Span:
        """The period."""
        return self.bucket(at_us)

    def frees(self, at_us: int, buckets: Sequence[tuple[int, int]], amount: int) -> int:
        """The period's end."""
        del buckets, amount
        return self.bucket(at_us).end_us


@dataclass(frozen=True, slots=True)
class Rolling:
    """The last `length_us` at every instant, in buckets of `width_us`."""

    length_us: int
    width_us: int

    def bucket(self, at_us: int) -> Span:
        """The fine bucket."""
        start = at_us - at_us % self.width_us
        return Span(start, start + self.width_us)

    def counts(self, at_us: int) -> Span:
        """From the bucket that leaves the window next. What was spent later than now counts too.

        Its clock was ahead: by less than a window, or it could not be told from one that will never come.
        """
        return Span(self.bucket(at_us - self.length_us).start_us, at_us + self.length_us)

    def frees(self, at_us: int, buckets: Sequence[tuple[int, int]], amount: int) -> int:
        """When the oldest buckets that hold `amount` together have left."""
        gone, oldest = 0, self.counts(at_us).start_us
        for start, spent in buckets[bisect_left(buckets, (oldest,)) :]:
            gone += spent
            if gone >= amount:
                return start + self.width_us + self.length_us
        return NEVER


@dataclass(frozen=True, slots=True)
class Once:
    """Everything from an instant on, for good."""

    start_us: int

    def bucket(self, at_us: int) -> Span:
        """All of time since the start."""
        del at_us
        return Span(self.start_us, NEVER)

    def counts(self, at_us: int) -> Span:
        """All of time since the start."""
        return self.bucket(at_us)

    def frees(self, at_us: int, buckets: Sequence[tuple[int, int]], amount: int) -> int:
        """Never."""
        del at_us, buckets, amount
        return NEVER


_GRAINS: Final = {
    Period.HOUR: Grain.HOUR,
    Period.DAY: Grain.DAY,
    Period.WEEK: Grain.WEEK,
    Period.MONTH: Grain.MONTH,
}
#: A rolling month is 30 days. Widths divide an hour or a day, so that a window has some hundred buckets.
_ROLLING: Final = {
    Period.HOUR: Rolling(_HOUR_US, _MINUTE_US),
    Period.DAY: Rolling(_DAY_US, 15 * _MINUTE_US),
    Period.WEEK: Rolling(7 * _DAY_US, _HOUR_US),
    Period.MONTH: Rolling(30 * _DAY_US, 6 * _HOUR_US),
}


def schedule(period: Period, window: Window, tz: str, start_us: int = 0) -> Schedule:
    """The schedule of a budget; `start_us` is where a budget for once begins to count."""
    if period is Period.ONCE:
        return Once(start_us)
    return _ROLLING[period] if window is Window.ROLLING else Calendar(_GRAINS[period], tz)


def to_us(at: datetime) -> int:
    """An aware time as microseconds."""
    return (at - _EPOCH) // _US


def from_us(at_us: int) -> datetime:
    """Microseconds as an aware UTC time; what lies beyond the calendar becomes its last years."""
    return _LAST if at_us >= to_us(_LAST) else _EPOCH + at_us * _US


@lru_cache(1024)
def _period_from(grain: Grain, tz: str, hour_us: int) -> Span:
    at = from_us(hour_us)
    start = bucket_start(at, grain, tz)
    if (own := bucket_start(start, grain, tz)) != start:
        # the clocks changed by less than an hour, and the bucket before reaches into this one
        start = bucket_end(own, grain, tz)
    return Span(to_us(start), to_us(bucket_end(bucket_start(at, grain, tz), grain, tz)))


def _calendar_period(grain: Grain, tz: str, at_us: int) -> Span:
    # a quarter of an hour lies in one period: offsets from UTC are whole quarters
    return _period_from(grain, tz, at_us - at_us % (15 * _MINUTE_US))
