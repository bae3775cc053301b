"""Sends what waits in the outbox: at least once, the same id every time, no channel waiting for another.

For each due notification, in this order:

1. claim it and record the attempt, in one transaction; whoever loses the race leaves it alone
2. open the channel's form and secrets, and send
3. record the answer, and with it what follows: sent, due again later, or failed with its fallback queued

A channel that rests after failures (`engine.breaker`) is sent nothing: its notifications are given on, or wait.
A sender that dies after 1 leaves a claim that runs out; the next sender repeats 2 with the same id.
"""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from data.errors import ConflictError, StoreError
from data.queries import notifications as rows
from data.queries.notifications import AttemptRow, NotificationRow
from data.store import Statement, Store
from data.tasks import Tasks
from engine import notice, outbox
from engine.aftermath import consequences
from engine.audit import clock, new_id
from engine.breakers import Breakers, Plan
from engine.channels import Delivery, Receipt, Wire
from engine.channels.channel import ANSWER_CHARS, worded
from engine.errors import DeliveryError
from engine.ready import ready_for
from engine.secrets import SecretBox, redacted

#: One send may take this long, whatever the channel.
SEND_TIMEOUT_S = 15.0
#: After this a claim is free again: longer than a send and its recording take.
CLAIM = timedelta(seconds=30)
#: Sends at the same time per channel.
PER_CHANNEL = 4
POLL_S = 1.0
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
        self._store, self._box, self._wire, self._now = store, box, wire, now
        self._timeout_s, self._public_url = timeout_s, public_url
        self._tasks = Tasks()
        self._sending: dict[str, str] = {}
        self._woken = woken or asyncio.Event()
        self._stopping = asyncio.Event()
        self._breakers = Breakers(store, now)
        self._away = False
        self.counts: Counter[str] = Counter()

    def wake(self) -> None:
        """There is something new in the outbox."""
        self._woken.set()

    async def run(self) -> None:
        """Send until stopped; a store that is away is asked again every second."""
        while not self._stopping.is_set():
            self._woken.clear()
            due = await self._due()
            for row in due:
                self._start(row)
            await self._let_rest({row.channel for row in due})
            await self._pause()

    async def stop(self, grace_s: float = 5.0) -> None:
        """Start nothing more and give what is on its way `grace_s` to end."""
        self._stopping.set()
        self.wake()
        try:
            async with asyncio.timeout(grace_s):
                while self._sending:
                    self._woken.clear()
                    await self._woken.wait()
        except TimeoutError:
            _log.warning("%d sends were cut off; they are repeated at the next start", len(self._sending))
        await self._tasks.stop()

    async def _due(self) -> list[NotificationRow]:
        try:
            due = await asyncio.to_thread(rows.due, self._store, self._now())
            await self._breakers.learn(row.channel for row in due)
        except Exception as error:  # noqa: BLE001 - the loop must outlive whatever it is
            if not self._away:
                _log.warning("the outbox cannot be read: %s: %s", type(error).__name__, error)
            self._away = True
            return []
        self._away = False
        return due

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(POLL_S):
                await self._woken.wait()
        except TimeoutError:
            return

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

    def _start(self, row: NotificationRow) -> None:
        busy = sum(channel == row.channel for channel in self._sending.values())
        plan = self._breakers.plan(row, busy)
        if row.id in self._sending or busy >= PER_CHANNEL or plan is Plan.WAIT:
            return
        self._sending[row.id] = row.channel
        resting = DeliveryError("not tried: the channel rests after failures", permanent=True, tried=False)
        instead = resting if plan is Plan.GIVE_ON else None
        if not instead:
            self._breakers.started(row.channel)
        self._tasks.start(self._deliver(row, instead), name=f"deliver {row.id} to {row.channel}")

    async def _deliver(self, row: NotificationRow, instead: DeliveryError | None) -> None:
        attempt = None
        try:
            attempt = await attempt_now(
                self._store,
                self._box,
                self._wire,
                row,
                now=self._now,
                timeout_s=self._timeout_s,
                public_url=self._public_url,
                instead=instead,
            )
            self.counts[attempt.result if attempt else "lost race"] += 1
            if attempt:
                self._breakers.note(attempt)
        finally:
            self._sending.pop(row.id, None)
            if attempt or self._stopping.is_set():  # what could not be claimed now cannot be claimed at once either
                self.wake()


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
    instead: DeliveryError | None = None,
) -> AttemptRow | None:
    """One attempt from claim to record; None when another sender was faster or the store is away.

    `queue` is committed with the claim (it may be what puts `row` into the outbox); `final`: there is no second try.
    With `instead` nothing is sent, and that is the result.
    """
    started = now()
    attempt = AttemptRow(new_id(), row.id, row.channel, row.attempts + 1, started)
    try:
        await asyncio.to_thread(store.transact, [*queue, *rows.claiming(row, attempt, until=started + CLAIM)])
    except ConflictError:
        return None
    except StoreError as error:
        _log.warning("notification %s was not claimed: %s", row.id, error)
        return None
    begun = time.perf_counter()
    if attempt.attempt > outbox.MOST_CLAIMS and not final:
        instead = DeliveryError("given up: the results of too many attempts were lost", permanent=True)
    if instead:
        return await _record(store, row, replace(attempt, finished_at=now(), error=str(instead)), instead)
    receipt, failure = await _send(store, box, wire, row, attempt, timeout_s, public_url)
    if failure and final:
        failure.permanent = True
    finished = replace(
        attempt,
        finished_at=now(),
        duration_ms=(time.perf_counter() - begun) * 1000,
        status=failure.status if failure else receipt.status,
        answer=(failure.answer if failure else receipt.answer)[:ANSWER_CHARS],
        error=str(failure)[:ANSWER_CHARS] if failure else "",
        provider_id=receipt.provider_id,
    )
    return await _record(store, row, finished, failure)


async def _send(  # noqa: PLR0917 - the shell's own values, in the order of their use
    store: Store,
    box: SecretBox,
    wire: Wire,
    row: NotificationRow,
    attempt: AttemptRow,
    timeout_s: float,
    public_url: str,
) -> tuple[Receipt, DeliveryError | None]:
    """What the channel says; every fault becomes a DeliveryError whose texts hold no secret."""
    try:
        ready = await asyncio.to_thread(ready_for, store, box, row)
    except DeliveryError as error:
        return Receipt(), error
    except StoreError as error:
        return Receipt(), DeliveryError(f"the store is away: {error}")
    delivery = Delivery(row.id, attempt.started_at, attempt.attempt, ready.earlier)
    try:
        async with asyncio.timeout(timeout_s):
            said = notice.linked(notice.decode(row.notice), public_url)
            if ready.config.message:
                said = await asyncio.to_thread(worded, ready.config, said)
            receipt = await ready.kind.notify(ready.config, said, delivery, wire)
    except DeliveryError as error:
        return Receipt(), _without_secrets(error, ready.secrets)
    except TimeoutError:
        return Receipt(), DeliveryError(f"no answer within {timeout_s:g} s")
    except Exception as error:  # noqa: BLE001 - a channel's own fault must not leave its notice without a result
        _log.error("channel %r failed with %s", row.channel, type(error).__name__)
        return Receipt(), DeliveryError(f"the channel failed: {type(error).__name__}")
    return replace(receipt, answer=_kept(receipt.answer, ready.secrets)), None


def _without_secrets(error: DeliveryError, secrets: dict[str, Any]) -> DeliveryError:
    return DeliveryError(
        _kept(str(error), secrets),
        permanent=error.permanent,
        retry_after=error.retry_after,
        gone=error.gone,
        status=error.status,
        answer=_kept(error.answer, secrets),
        tried=error.tried,
    )


def _kept(text: str, secrets: dict[str, Any]) -> str:
    """A receiver's words as they may be stored: mail servers also answer in bytes that are no UTF-8."""
    return redacted(text, secrets).encode("utf-8", "replace").decode()


async def _record(
    store: Store, row: NotificationRow, attempt: AttemptRow, failure: DeliveryError | None
) -> AttemptRow | None:
    """Write the result and what follows from it; keeps trying while the store is away."""
    at = attempt.finished_at or attempt.started_at
    then = outbox.verdict(row, attempt.attempt, failure, at, random.random())  # noqa: S311 - spreads load
    skipped = failure is not None and not failure.tried
    attempt = replace(attempt, result=outbox.Result.SKIPPED.value if skipped else then.result.value)
    settled = rows.settling(row.id, attempt.id, status=then.status, due_at=then.due_at, at=at)

    def settle() -> None:
        follows = consequences(store, row, then, failure, at)
        store.transact([rows.attempt_finished(attempt), settled, *follows])

    while True:
        try:
            await asyncio.to_thread(settle)
        except ConflictError:
            _log.warning("the claim on notification %s ran out before its result was recorded", row.id)
            return None
        except StoreError as error:
            _log.warning("a result waits for the store: %s", error)
            await asyncio.sleep(POLL_S)
        else:
            return attempt
