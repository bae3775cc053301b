"""What a window is compared with: the one before it (`previous`), or the same so long ago (`1d`). Pure.

A calendar's period is compared up to the same time, which is that of the clock on the wall, also where clocks were set
in between: at 10:30 on the 15th, the month before up to 10:30 on its 15th, and today with `1d` the 14th up to 10:30.
Where that month has no such day it is the month before as a whole. A time that a clock skipped is read as if it had not
been set yet, one that came twice is the first. What is no whole number of days is as long ago as it says.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from engine.window import Period, Rolling, Window, period_start

_US = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
#: Days begin, and clocks are set, on quarters of an hour.
_QUARTER = timedelta(minutes=15) // _US


@dataclass(frozen=True, slots=True)
class Stretch:
    """The instants from number `first` to before `end`, which all look `back` equally far.

    `held`: they look at one and the same instant instead, which is so far back from the first of them.
    """

    first: int
    end: int
    back: timedelta
    held: bool = False


def back(window: Window, to: timedelta | None, at: datetime, zone: ZoneInfo) -> timedelta:
    """How long before `at` the window ends that the one ending at `at` is compared with; `to` None: the one before."""
    if isinstance(window, Rolling):
        return to or window.length
    return at - same_time_before(to or window.period, at, zone)


def same_time_before(by: Period | timedelta, at: datetime, zone: ZoneInfo) -> datetime:
    """The same time in the period before the one that `at` lies in or closes, or so many days before.

    Never beyond the end of that period, or day.
    """
    return _looked_at(by, at, zone)[0]


def stretches(by: Period | timedelta, times: npt.NDArray[np.int64], zone: ZoneInfo) -> list[Stretch]:
    """How far instants (microseconds since 1970, rising) look back, in as few stretches as there are."""
    made: list[Stretch] = []
    for first, end in _within_quarters(times):
        at = _EPOCH + int(times[first]) * _US
        then, clipped = _looked_at(by, at, zone)
        new = Stretch(first, end, at - then, clipped)
        if made and _goes_on(made[-1], new, int(times[first] - times[made[-1].first]) * _US):
            made[-1] = replace(made[-1], end=end)
        else:
            made.append(new)
    return made


def _within_quarters(times: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Runs of instants within which nothing about the calendar changes: a quarter's begin, and what follows it."""
    if not times.size:
        return
    quarter, rest = np.divmod(times, _QUARTER)
    begins = np.flatnonzero(np.diff(2 * quarter + (rest != 0), prepend=-1)).tolist()
    yield from zip(begins, [*begins[1:], times.size], strict=True)


def _goes_on(before: Stretch, new: Stretch, elapsed: timedelta) -> bool:
    return before.held == new.held and new.back == before.back + (elapsed if before.held else timedelta(0))


def _looked_at(by: Period | timedelta, at: datetime, zone: ZoneInfo) -> tuple[datetime, bool]:
    """The same time before, and whether it would lie beyond the end of that period."""
    if isinstance(by, timedelta) and by % _DAY:
        return at - by, False
    begun, before = _begun(by, at, zone)
    start, earlier = (datetime.combine(one.astimezone(zone).date(), time.min) for one in (begun, before))
    same = earlier + (at.astimezone(zone).replace(tzinfo=None) - start)
    if same > start:
        return begun, True
    then = same.replace(tzinfo=zone).astimezone(UTC)
    return max(then, before + _US), False


def _begun(by: Period | timedelta, at: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """When the period, or the day, began that `at` lies in or closes, and when the one that it is compared with."""
    if isinstance(by, timedelta):
        begun = period_start(Period.TODAY, at, zone)
        day = begun.astimezone(zone).date() - by
        return begun, datetime.combine(day, time.min, zone).astimezone(UTC)
    begun = period_start(by, at, zone)
    return begun, period_start(by, begun, zone)
