"""The rules evaluated, when they are due, by the one worker that holds the lease; what fails is tried again."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from data.errors import StoreError, StoreUnavailable
from data.queries import rules as rule_rows
from data.queries.rules import RuleRow
from data.tasks import Tasks
from engine.audit import clock
from engine.cadences import Cadences, cadence, instant
from engine.catching_up import CatchingUp
from engine.clock_following import ClockFollower
from engine.clock_watch import watching
from engine.commit import Fenced
from engine.desk import Desk
from engine.digest import SWEEP_EVERY
from engine.episode import Watched
from engine.errors import RuleError
from engine.lease import Lease, holder_name
from engine.lease_keeper import STUCK_AFTER, LeaseKeeper, News
from engine.noted_store import NotedStore
from engine.progress import Progress
from engine.rules import watched
from engine.sweep import sweep
from engine.tick import fault, tick

LEASE = "evaluator"
#: A worker that has not prolonged the lease for this long is taken for dead.
LEASE_FOR = timedelta(seconds=10)
#: A tick that failed although the store was there is made up for so much later: its own rules may be why it fails.
AGAIN_AFTER = timedelta(seconds=30)
#: How often rules are looked through for changes, or the lease is asked for.
LOOK_S = 1.0
_LOOKING = "the look for changed rules"
_log = logging.getLogger(__name__)


class Evaluator:
    """Evaluates the rules of a cadence together, new and changed ones at once; stands by while another worker leads."""

    def __init__(
        self,
        desk: Desk,
        *,
        now: Callable[[], datetime] = clock,
        lease_for: timedelta = LEASE_FOR,
        stuck_after: timedelta = STUCK_AFTER,
    ) -> None:
        self._desk, self._now = desk, now
        self._status = desk.status
        self._status.holder = holder_name()
        self._lease = Lease(desk.store, LEASE, self._status.holder, lease_for, now=now)
        self._progress = Progress()
        self._keeper = LeaseKeeper(self._lease, self._progress, self._hear_later, stuck_after=stuck_after)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sweep_at = now()
        self._rules: dict[str, Watched] = {}
        self._unreadable: dict[str, int] = {}
        self._fresh: set[str] = set()
        self._again: dict[str, datetime] = {}
        self._catching_up = CatchingUp()
        self._taken_up = 0
        self._stopping = asyncio.Event()
        self._follower = ClockFollower(self._lease, LEASE, now)
        self._cadences = Cadences(
            self._status, rules=lambda: self._rules, evaluate=self._evaluate_due, may=self._may, now=now
        )

    async def run(self) -> None:
        """Evaluate until stopped. Everything that can fail is logged and tried again a second later."""
        self._loop = asyncio.get_running_loop()
        self._cadences.start()
        self._keeper.start()
        watch = Tasks()
        watch.start(watching(self._now, self._clock_set_back), name="watch the clock")
        try:
            with self._progress.under_way(_LOOKING):
                while not self._stopping.is_set():
                    self._progress.further(_LOOKING)
                    await self._guarded(self._look())
                    await self._pause()
        finally:
            await watch.stop()
            self._cadences.shutdown()
            await asyncio.to_thread(self._release)

    def stop(self) -> None:
        """End `run` after what it does now."""
        self._stopping.set()
        self._desk.rules_changed.set()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(LOOK_S):
                await self._desk.rules_changed.wait()
        except TimeoutError:
            return
        self._desk.rules_changed.clear()

    async def _look(self) -> None:
        """Hold the lease, learn of changed rules, and evaluate at once the new ones and those to be made up for."""
        leads = await self._lead()
        anew, store = self._lease.token != self._taken_up, self._store(_LOOKING)
        await asyncio.to_thread(self._follower.follow, store, leads=leads, anew=anew)
        if leads:
            await asyncio.to_thread(self._catching_up.look, store)
            self._status.waiting = self._catching_up.why
            await self._learn()
            if not self._status.waiting:
                await self._evaluate_now()
            await self._sweep()
        self._status.store_error = ""

    def _clock_set_back(self, by: timedelta) -> None:
        """Let nothing wait until the clock has caught up."""
        now, status = self._now(), self._status
        _log.warning("the clock was set back by %s: evaluations, timers and what waits go by it as it is now", by)
        self._cadences.set_back(by)
        self._sweep_at = now
        self._again = {rule_id: at - by for rule_id, at in self._again.items()}
        status.last_tick_at = status.last_tick_at and min(status.last_tick_at, instant(now))
        self._follower.set_back(by)
        self._desk.rules_changed.set()  # the next look is at once

    async def _evaluate_now(self) -> None:
        if due := self._due():
            async with self._cadences.turns.taking({cadence(rule) for rule in due}):
                await self._evaluate(due, _LOOKING)

    def _due(self) -> list[Watched]:
        """The rules that wait for no cadence; those of one that is being evaluated wait for that."""
        now, turns = self._now(), self._cadences.turns
        due = self._fresh | {rule_id for rule_id, at in self._again.items() if at <= now}
        found = [self._rules[rule_id] for rule_id in due & self._rules.keys()]
        return [rule for rule in found if not turns.under_way(cadence(rule))]

    async def _sweep(self) -> None:
        """Tell what was held back, where it can be told by now."""
        now = self._now()
        if now < self._sweep_at:
            return
        self._sweep_at, url = now + SWEEP_EVERY, self._desk.public_url
        fence = self._lease.fence(self._lease.token)
        if await asyncio.to_thread(sweep, self._store(_LOOKING), instant(now), fence=fence, public_url=url):
            self._desk.outbox.set()

    async def _lead(self) -> bool:
        """Ask for the lease, unless it is ours; whether it is. What is ours, the keeper prolongs."""
        if not self._lease.token:
            await asyncio.to_thread(self._lease.take)
        self._say_who_leads()
        return self._status.leading

    def _say_who_leads(self) -> None:
        token = self._lease.token
        self._status.leading, self._status.token = bool(token), token

    def _hear_later(self, news: News) -> None:
        """For the keeper's thread: `_hear` in the loop's, as soon as that has time."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._hear, news)

    def _hear(self, news: News) -> None:
        if news is News.LOST:
            self._stand_by()
        elif news is News.OFFERED:
            self._cadences.turns.give_up()
            self._failed("an evaluation stands still")
        self._say_who_leads()

    def _stand_by(self) -> None:
        if self._status.leading:
            _log.warning("another worker evaluates now; this one stands by")
        self._rules.clear()
        self._cadences.clear()
        # how its last evaluation went says nothing of those to come, should it lead again
        self._status.last_tick_at, self._status.last_error, self._status.waiting = None, "", ""
        self._say_who_leads()

    def _release(self) -> None:
        self._keeper.stop()
        try:
            self._lease.end()
        except StoreError as error:
            _log.warning("the lease was not given back, it runs out by itself: %s", error)

    def _store(self, work: str) -> NotedStore:
        return NotedStore(self._desk.store, lambda: self._progress.further(work))

    async def _learn(self) -> None:
        """Read the rules; new and changed ones become due at once, cadences nobody uses any more end."""
        evaluated = await self._evaluated_before()
        rows = await asyncio.to_thread(rule_rows.every, self._store(_LOOKING), enabled_only=True)
        found: dict[str, Watched] = {}
        for row in rows:
            before = self._rules.get(row.id)
            rule = before if before and before.version == row.version else await self._read(row)
            if rule is not None:
                found[row.id] = rule
        # all at once: an evaluation that begins meanwhile is not to find some of them
        self._fresh.update(rule_id for rule_id, rule in found.items() if rule is not self._rules.get(rule_id))
        self._rules = found
        self._cadences.schedule(evaluated)

    async def _evaluated_before(self) -> Mapping[str, datetime]:
        """When rules were last evaluated, by whichever worker, where the lease was taken just now; else nothing."""
        token = self._lease.token
        if token == self._taken_up:
            return {}
        found = await asyncio.to_thread(rule_rows.evaluated, self._store(_LOOKING))
        self._taken_up = token
        return found

    async def _read(self, row: RuleRow) -> Watched | None:
        try:
            return watched(row)
        except RuleError as error:
            if self._unreadable.get(row.id) != row.version:
                at = instant(self._now())
                await asyncio.to_thread(fault, self._store(_LOOKING), row.id, row.version, str(error), at)
                self._unreadable[row.id] = row.version
            return None

    def _may(self) -> bool:
        return bool(self._lease.token) and not self._stopping.is_set()

    async def _evaluate_due(self, rules: Sequence[Watched], work: str) -> bool:
        """Whether the store was there for it, with a ledger to decide on."""
        if self._catching_up.why:
            self._make_up(rules, timedelta(0))
            return False
        with self._progress.under_way(work):
            await self._guarded(self._evaluate(rules, work))
        return not self._catching_up.why

    async def _evaluate(self, rules: Sequence[Watched], work: str) -> None:
        at, rules = self._taken(rules)
        token, url = self._lease.token, self._desk.public_url
        if not token:
            raise Fenced("the lease was lost meanwhile")
        fence = self._lease.fence(token)
        try:
            done = await asyncio.to_thread(tick, self._store(work), rules, at, fence=fence, public_url=url)
        except Fenced:
            if self._lease.lost(token):
                raise
            self._make_up(rules, timedelta(0))  # the lease may be ours again, by a newer token
            return
        except StoreError as error:
            self._make_up(rules, timedelta(0) if isinstance(error, StoreUnavailable) else AGAIN_AFTER)
            raise
        status = self._status
        status.ticks += 1
        status.last_tick_at, status.last_tick_ms, status.last_error = done.at, done.duration_ms, ""
        # edited meanwhile: read again and evaluated at the next look
        self._make_up([rule for rule in rules if rule.id in done.conflicted], timedelta(0))
        if done.notices:
            self._desk.outbox.set()

    def _taken(self, rules: Sequence[Watched]) -> tuple[datetime, list[Watched]]:
        """The instant to evaluate at, and the rules to evaluate then; they are no longer to be made up for."""
        at = instant(self._now())
        taken = self._cadences.with_due(rules, at)
        for rule in taken:
            self._again.pop(rule.id, None)
            self._fresh.discard(rule.id)
        return at, taken

    def _make_up(self, rules: Sequence[Watched], pause: timedelta) -> None:
        """Evaluate them again by a look to come: what is due once a day must not wait for the next day."""
        self._again.update(dict.fromkeys((rule.id for rule in rules), self._now() + pause))

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Fenced:
            self._stand_by()
        except StoreUnavailable as error:
            if not self._status.store_error:
                _log.warning("nothing is evaluated while the store is away: %s", error)
            self._status.store_error = str(error)
            self._catching_up.away()
        except StoreError as error:
            _log.error("a tick failed: %s", error)
            self._failed(str(error))
        except Exception as error:  # noqa: BLE001 - the scheduler's tick: the next one tries again
            _log.exception("a tick failed")
            self._failed(f"{type(error).__name__}: {error}")

    def _failed(self, message: str) -> None:
        self._status.failed_ticks += 1
        self._status.last_error = message
