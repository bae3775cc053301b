"""When a channel is left alone: after failures in a row it rests, then one send tries whether it is back. Pure.

While it rests, what has a fallback goes there at once; what has none waits.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

#: Failures in a row that open the breaker, and how long it then stays open.
OPENS_AFTER, REST = 5, timedelta(seconds=60)
#: A channel that has had no success for so long, over at least so many notifications, is switched off.
DEAD_AFTER, DEAD_FAILURES = timedelta(days=3), 3


class Phase(StrEnum):
    """Whether a channel is sent to."""

    CLOSED = "closed"  # everything goes out
    OPEN = "open"  # it rests
    HALF_OPEN = "half_open"  # one send tries whether it is back


@dataclass(frozen=True, slots=True)
class Breaker:
    """A channel's failures in a row, and when the last one was."""

    failures: int = 0
    last_at: datetime | None = None

    def after(self, *, failed: bool, at: datetime) -> "Breaker":
        """The breaker after one more send."""
        return Breaker(self.failures + 1, at) if failed else Breaker()

    def is_open(self, now: datetime) -> bool:
        """Whether nothing is to be sent now."""
        return self.tripped and self.last_at is not None and now < self.last_at + REST

    def phase(self, now: datetime) -> Phase:
        """What is sent now: everything, nothing, or one send that tries."""
        if not self.tripped:
            return Phase.CLOSED
        return Phase.OPEN if self.is_open(now) else Phase.HALF_OPEN

    @property
    def tripped(self) -> bool:
        """Whether one success is needed before everything goes out again."""
        return self.failures >= OPENS_AFTER

    @property
    def rests_until(self) -> datetime | None:
        """When a send may try whether the channel is back; None while all is well."""
        return self.last_at + REST if self.tripped and self.last_at is not None else None


def of_attempts(newest_first: Iterable[tuple[bool, datetime]]) -> Breaker:
    """The breaker after these sends (whether each failed, and when)."""
    failures, last_at = 0, None
    for failed, at in newest_first:
        if not failed:
            break
        failures, last_at = failures + 1, last_at or at
    return Breaker(failures, last_at)


def counts(status: int | None) -> bool:
    """Whether a failure says something of the channel: 429 says that it lives, and asks for patience."""
    return status != 429


def is_dead(failing_since: datetime | None, failures: int, now: datetime) -> bool:
    """Whether a channel has failed for so long that it is better switched off."""
    return failing_since is not None and now - failing_since >= DEAD_AFTER and failures >= DEAD_FAILURES
