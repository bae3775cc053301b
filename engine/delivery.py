"""Sends what waits in the outbox: at least once, the same id every time, no channel waiting for another.

For the due notifications that channels have room for, in this order:

1. claim them and record the attempts, in one transaction; whoever loses the race for one leaves that one alone
2. send each, through the channel as it was at the last look
3. record the answers, and with each what follows: sent, due again later, or failed with its fallback queued; what ends
   while some are being recorded is recorded together after them

A channel that rests after failures (`engine.breaker`) is sent nothing: its notifications are given on, or wait.
A sender that dies after 1 leaves claims that run out; the next sender repeats 2 with the same ids.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from data.errors import ConflictError, StoreError
from data.queries import clock_set_back
from data.queries import notifications as rows
from data.queries.notifications import DUE_EACH, AttemptRow, NotificationRow
from data.store import Statement, Store
from data.tasks import Tasks
from engine import channel_store, claims, results
from engine.audit import clock
from engine.backlog import Backlog
from engine.breakers import Breakers, Plan
from engine.channels import Wire
from engine.claims import CLAIM, Claim
from engine.clock_watch import ClockWatch
from engine.errors import DeliveryError
from engine.ready import ReadyChannels
from engine.results import Recorder, Result, judged
from engine.secrets import SecretBox
from engine.sending import SEND_TIMEOUT_S, Sending, too_many

__all__ = ["CLAIM", "POLL_S", "SEND_TIMEOUT_S", "Sender", "attempt_now"]

POLL_S = 1.0
#: While much goes out, looking takes one part in so many of the time; and this long at least lies between two looks.
LOOK_SHARE, LOOK_AGAIN_S = 4, 0.05
_log = logging.getLogger(__name__)


class Sender:
    """The outbox's loop. `wake()`, or setting `woken`, makes it look at once; it looks every second anyway."""

    def __init__(
        self,
        store: Store,
        box: SecretBox,
        wire: Wire,
        *,
        now: Callable[[], datetime] = clock,
        timeout_s: float = SEND_TIMEOUT_S,
        woken: asyncio.Event | None = None,
        public_url: str = "",
    ) -> None:
        self._store, self._now = store, now
        self._sending = Sending(store, wire, now=now, timeout_s=timeout_s, public_url=public_url)
        self._tasks = Tasks()
        self._recorder = Recorder(store, self._tasks)
        self._channels, self._breakers = ReadyChannels(box), Breakers(store, now)
        self._backlog = Backlog(DUE_EACH)
        #: what is claimed or about to be; and what was at any time since the last look began
        self._open: set[str] = set()
        self._taken: set[str] = set()
        self._busy: Counter[str] = Counter()
        self._woken = woken or asyncio.Event()
        #: a channel has room; a channel has got all that the last look found of what is due to it
        self._free, self._used_up = asyncio.Event(), asyncio.Event()
        self._stopping = asyncio.Event()
        self._away = False
        self._clock = ClockWatch(now)
        #: how far the clock was set back, which the rows do not follow yet; at the start that is not known
        self._set_back: timedelta | None = timedelta(0)
        self.counts: Counter[str] = Counter()

    @property
    def public_url(self) -> str:
        """Where links lead in notices that were made without knowing the app's address."""
        return self._sending.public_url

    @public_url.setter
    def public_url(self, url: str) -> None:
        self._sending.public_url = url

    def wake(self) -> None:
        """There is something new in the outbox."""
        self._woken.set()

    async def run(self) -> None:
        """Send until stopped; a store that is away is asked again every second."""
        self._tasks.start(self._start_due(), name="start what is due")
        while not self._stopping.is_set():
            self._woken.clear()
            begun = time.monotonic()
            await self._look()
            ended = time.monotonic()
            again = ended + min(POLL_S, max(LOOK_AGAIN_S, (ended - begun) * (LOOK_SHARE - 1)))
            await _within(POLL_S, self._woken)
            await _within(again - time.monotonic(), self._used_up)

    async def stop(self, grace_s: float = 5.0) -> None:
        """Start nothing more and give what is on its way `grace_s` to end."""
        self._stopping.set()
        self.wake()
        try:
            async with asyncio.timeout(grace_s):
                while self._open:
                    self._woken.clear()
                    await self._woken.wait()
        except TimeoutError:
            _log.warning("%d sends were cut off; they are repeated at the next start", len(self._open))
        await self._tasks.stop()

    async def _look(self) -> None:
        """Learn what is due, while what was known before goes out."""
        self._taken = set(self._open)
        due = await self._due()
        self._backlog.fill(row for row in due if row.id not in self._taken)
        self._used_up.clear()
        self._free.set()
        await self._let_rest({row.channel for row in due})

    async def _start_due(self) -> None:
        """Start what is known to be due whenever there is room for more of it."""
        while not self._stopping.is_set():
            self._free.clear()
            await self._start(self._planned())
            if self._backlog.hides_more:
                self._used_up.set()
            await self._free.wait()

    async def _due(self) -> list[NotificationRow]:
        try:
            await self._follow_clock()
            due = await asyncio.to_thread(rows.due, self._store, self._now())
            if due:
                stored = await asyncio.to_thread(channel_store.all_by_name, self._store)
                self._channels.know(stored)
                await self._breakers.learn((row.channel for row in due), stored)
        except Exception as error:  # noqa: BLE001 - the loop must outlive whatever it is
            if not self._away:
                _log.warning("the outbox cannot be read: %s: %s", type(error).__name__, error)
            self._away = True
            return []
        self._away = False
        return due

    async def _follow_clock(self) -> None:
        """Let nothing wait until a clock that was set back has caught up, also where that was before the start."""
        if by := self._clock.set_back_by():
            self._set_back = (self._set_back or timedelta(0)) + by
        if self._set_back is not None:
            changed = clock_set_back.deliveries(self._now(), self._set_back)
            await asyncio.to_thread(self._store.transact, changed)
            self._set_back = None
            self._breakers.forget()

    async def _let_rest(self, channels: set[str]) -> None:
        """Put off what waits for channels that rest, so that it hides nothing that can go elsewhere."""
        resting = {channel: self._breakers.rests_until(channel) for channel in channels}
        now = self._now()
        later = [rows.postponing(channel, now=now, until=until) for channel, until in resting.items() if until]
        try:
            if later:
                await asyncio.to_thread(self._store.transact, later)
        except StoreError as error:
            _log.warning("what waits for a channel that rests was not put off: %s", error)

    def _planned(self) -> list[tuple[NotificationRow, Plan]]:
        """What is due and need not wait; each has taken one of its channel's places."""
        room = {channel: self._breakers.places(channel) - self._busy[channel] for channel in self._backlog.channels}
        return [
            found
            for channel, places in room.items()
            if places > 0
            for found in self._backlog.take(channel, places, self._plan)
        ]

    def _plan(self, row: NotificationRow) -> Plan:
        plan = self._breakers.plan(row, self._busy[row.channel])
        if plan is not Plan.WAIT:
            self._open.add(row.id)
            self._taken.add(row.id)
            self._busy[row.channel] += 1
        if plan is Plan.SEND:
            self._breakers.started(row.channel)
        return plan

    async def _start(self, planned: Sequence[tuple[NotificationRow, Plan]]) -> None:
        """Claim what is planned, and begin with what could be claimed."""
        if not planned:
            return
        at = self._now()
        wanted = [(claims.begun(row, at), plan) for row, plan in planned]
        held = await self._claimed([claim for claim, _ in wanted])
        for claim, plan in wanted:
            if claim.attempt.id in held:
                instead = _resting() if plan is Plan.GIVE_ON else None
                self._tasks.start(self._deliver(claim, instead), name=f"deliver {claim.row.id} to {claim.row.channel}")
            else:
                self.counts["lost race"] += 1
                self._busy[claim.row.channel] -= 1
                self._open.discard(claim.row.id)

    async def _claimed(self, wanted: list[Claim]) -> set[str]:
        """The ids of the attempts that are on record now. What could not be claimed is found again by a later look."""
        try:
            held = await asyncio.to_thread(claims.take_all, self._store, wanted)
        except Exception as error:  # noqa: BLE001 - the loop must outlive whatever it is
            _log.warning("%d notifications were not claimed: %s: %s", len(wanted), type(error).__name__, error)
            return set()
        return {claim.attempt.id for claim in held}

    async def _deliver(self, claim: Claim, instead: DeliveryError | None) -> None:
        try:
            result = await self._sent(claim, instead)
            recorded = await self._recorder.record(result)
            self.counts[result.attempt.result if recorded else "lost race"] += 1
        finally:
            self._open.discard(claim.row.id)
            self.wake()

    async def _sent(self, claim: Claim, instead: DeliveryError | None) -> Result:
        """Send; the channel's place is free for the next one before the result is on record."""
        try:
            sent = await self._sending.send(claim, self._channels.ready, too_many(claim) or instead)
            result = judged(claim.row, *sent)
            self._breakers.note(result.attempt)
            return result
        finally:
            self._busy[claim.row.channel] -= 1
            self._free.set()


def _resting() -> DeliveryError:
    return DeliveryError("not tried: the channel rests after failures", permanent=True, tried=False)


async def _within(seconds: float, event: asyncio.Event) -> None:
    """Wait for an event, so long at most."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


async def attempt_now(
    store: Store,
    box: SecretBox,
    wire: Wire,
    row: NotificationRow,
    *,
    now: Callable[[], datetime] = clock,
    timeout_s: float = SEND_TIMEOUT_S,
    public_url: str = "",
    queue: Sequence[Statement] = (),
    final: bool = False,
) -> AttemptRow | None:
    """One attempt from claim to record; None when another sender was faster or the store is away.

    `queue` is committed with the claim (it may be what puts `row` into the outbox); `final`: there is no second try.
    """
    claim = claims.begun(row, now())
    try:
        await asyncio.to_thread(claims.take, store, claim, queue)
    except ConflictError:
        return None
    except StoreError as error:
        _log.warning("notification %s was not claimed: %s", row.id, error)
        return None
    sending = Sending(store, wire, now=now, timeout_s=timeout_s, public_url=public_url)
    instead, channels = None if final else too_many(claim), ReadyChannels(box)
    try:
        channels.know(await asyncio.to_thread(channel_store.all_by_name, store))
    except StoreError as error:
        instead = instead or DeliveryError(f"the store is away: {error}")
    attempt, failure = await sending.send(claim, channels.ready, instead)
    if failure and final:
        failure.permanent = True
    result = judged(row, attempt, failure)
    return result.attempt if await results.record(store, result) else None
