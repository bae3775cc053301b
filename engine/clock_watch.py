"""Notices that a clock is set back, by hand or by what keeps it right: timers would stand still until it has caught up.

A clock that is set ahead needs nothing: what falls due meanwhile is done once, and missed evaluations are counted.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timedelta

#: By so little, a timer is only a moment late.
_TOLERANCE = timedelta(seconds=1)
LOOK_S = 1.0


class ClockWatch:
    """Looks at a clock again and again."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._last, self._seen = now(), time.monotonic()

    def set_back_by(self) -> timedelta:
        """How far the clock was set back since the last look; zero where it was not."""
        before, self._last = self._last, self._now()
        seen, self._seen = self._seen, time.monotonic()
        by = before - self._last
        return by + timedelta(seconds=self._seen - seen) if by > _TOLERANCE else timedelta(0)


async def watching(now: Callable[[], datetime], tell: Callable[[timedelta], None]) -> None:
    """Look every second, until cancelled; `tell` is called with how far the clock was set back."""
    watch = ClockWatch(now)
    while True:
        await asyncio.sleep(LOOK_S)
        if by := watch.set_back_by():
            tell(by)
