"""Every channel's breaker, pace and room, as the sender keeps them: learned from the rows, then from each send."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from data.queries import failures
from data.queries import notifications as rows
from data.queries.channels import ChannelRow
from data.queries.notifications import AttemptRow, NotificationRow
from data.store import Store
from engine.breaker import OPENS_AFTER, Breaker, counts, of_attempts
from engine.channels import CHANNELS
from engine.channels.channel import AT_ONCE
from engine.outbox import Result

#: How a send ended, and when.
Ended = tuple[str, datetime]


class Plan(StrEnum):
    """What to do with a due notification."""

    SEND = "send"
    GIVE_ON = "give_on"  # its channel rests, its fallback does not
    WAIT = "wait"


class Breakers:
    """For one event loop's thread; a restart learns them again from the rows."""

    def __init__(self, store: Store, now: Callable[[], datetime]) -> None:
        self._store, self._now = store, now
        self._known: dict[str, Breaker] = {}
        self._pauses: dict[str, timedelta] = {}
        self._places: dict[str, int] = {}
        self._started: dict[str, datetime] = {}
        self._ids: dict[str, str] = {}

    def forget(self) -> None:
        """Learn all of it again from the rows: the clock was set back, and they follow it."""
        self._known.clear()

    async def learn(self, channels: Iterable[str], stored: Mapping[str, ChannelRow]) -> None:
        """Look up how the last sends of channels went that are not known yet, and how much each bears.

        Also those of channels that rest: a test, or another sender, may have found them back. `stored` are all channels
        by name; one that was made again under its name has nothing of the one before.
        """
        for channel in set(channels):
            row = stored.get(channel)
            if (row.id if row else "") != self._ids.get(channel):
                self._ids[channel] = row.id if row else ""
                self._known.pop(channel, None)
            known = self._known.get(channel)
            if known is not None and not known.tripped:
                continue
            made = await asyncio.to_thread(failures.last_results, self._store, channel, OPENS_AFTER)
            kind = CHANNELS.get(row.kind) if row else None
            self._pauses[channel] = timedelta(seconds=kind.pause_s if kind else 0)
            self._places[channel] = kind.at_once if kind else AT_ONCE
            if known is None or _is_back(known, made):
                self._known[channel] = of_attempts((result != rows.SENT, at) for result, at in made)

    def places(self, channel: str) -> int:
        """How many sends a channel may have under way."""
        return self._places.get(channel, AT_ONCE)

    def plan(self, row: NotificationRow, busy: int) -> Plan:
        """What to do with a notification while `busy` others are on their way to its channel."""
        breaker = self._known.get(row.channel, Breaker())
        if breaker.is_open(self._now()):
            return Plan.GIVE_ON if row.fallback != "[]" else Plan.WAIT
        return Plan.WAIT if (breaker.tripped and busy) or self._pauses_still(row.channel) else Plan.SEND

    def _pauses_still(self, channel: str) -> bool:
        pause, started = self._pauses.get(channel, timedelta(0)), self._started.get(channel)
        return started is not None and abs(self._now() - started) < pause

    def started(self, channel: str) -> None:
        """A send has begun."""
        self._started[channel] = self._now()

    def rests_until(self, channel: str) -> datetime | None:
        """When a send may try whether a channel that rests is back, None for one that does not rest."""
        breaker = self._known.get(channel, Breaker())
        return breaker.rests_until if breaker.is_open(self._now()) else None

    def note(self, attempt: AttemptRow) -> None:
        """Learn from an attempt's result."""
        failed = attempt.result in (Result.RETRY, Result.FAILED)
        if attempt.result == Result.SENT or (failed and counts(attempt.status)):
            known = self._known.get(attempt.channel, Breaker())
            self._known[attempt.channel] = known.after(failed=failed, at=attempt.finished_at or self._now())


def _is_back(known: Breaker, made: Sequence[Ended]) -> bool:
    """Whether the last send that is on record arrived, after the last failure that is known."""
    return bool(made) and made[0][0] == rows.SENT and known.last_at is not None and made[0][1] > known.last_at
