"""What sends came to, written with what follows from it: all that ended while one write ran go into the next.

A write that one of them spoils is made again for each alone, so that it spoils no other.
"""

import asyncio
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from data.errors import ConflictError, DeadlineExceeded, StoreError, StoreUnavailable
from data.queries import deliveries
from data.queries import notifications as rows
from data.queries.notifications import AttemptRow, NotificationRow
from data.store import Statement, Store
from data.tasks import Tasks
from engine import outbox
from engine.aftermath import consequences, stand_ins
from engine.errors import DeliveryError
from engine.room import Room

AGAIN_S = 1.0
#: Results in one transaction at most.
_MOST = 200
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Result:
    """An attempt that has ended, why it failed, if it did, and what becomes of its notification."""

    row: NotificationRow
    attempt: AttemptRow
    failure: DeliveryError | None
    then: outbox.Verdict

    @property
    def ended_at(self) -> datetime:
        """When the attempt ended."""
        return self.attempt.finished_at or self.attempt.started_at


def judged(row: NotificationRow, attempt: AttemptRow, failure: DeliveryError | None) -> Result:
    """The result of an attempt that has ended."""
    at = attempt.finished_at or attempt.started_at
    then = outbox.verdict(row, attempt.attempt, failure, at, random.random())  # noqa: S311 - spreads load
    skipped = failure is not None and not failure.tried
    named = outbox.Result.SKIPPED if skipped else then.result
    return Result(row, replace(attempt, result=named.value), failure, then)


async def record(store: Store, result: Result) -> bool:
    """Write one result; keeps trying while the store is away. False when the claim had run out."""
    while True:
        try:
            await asyncio.to_thread(_write_one, store, result)
        except ConflictError:
            _log.warning("the claim on notification %s ran out before its result was recorded", result.row.id)
            return False
        except StoreError as error:
            _log.warning("a result waits for the store: %s", error)
            await asyncio.sleep(AGAIN_S)
        else:
            return True


class Recorder:
    """Writes results in groups. For one event loop's thread only."""

    def __init__(self, store: Store, tasks: Tasks) -> None:
        self._store, self._tasks = store, tasks
        self._waiting: list[tuple[Result, asyncio.Future[bool]]] = []
        self._writing = False

    async def record(self, result: Result) -> bool:
        """As `record`, together with whatever else ends now."""
        told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((result, told))
        if not self._writing:
            self._writing = True
            self._tasks.start(self._write(), name="record deliveries")
        return await told

    async def _write(self) -> None:
        try:
            while self._waiting:
                group = self._waiting[:_MOST]
                if await self._is_written([result for result, _ in group]):
                    del self._waiting[: len(group)]
                    for each in group:
                        _tell(each[1], done=True)
                    await asyncio.sleep(0)  # whom that frees goes first
        finally:
            self._writing = False

    async def _is_written(self, group: Sequence[Result]) -> bool:
        """Whether the group is on record; one that cannot be is handed on, each to its own write."""
        try:
            await asyncio.to_thread(_write_all, self._store, group)
        except (StoreUnavailable, DeadlineExceeded) as error:
            _log.warning("%d results wait for the store: %s", len(group), error)
            await asyncio.sleep(AGAIN_S)
            return False
        except Exception as error:  # noqa: BLE001 - whose fault it is shows when each is written alone
            _log.debug("%d results are written one by one: %s", len(group), error)
            apart, self._waiting = self._waiting[: len(group)], self._waiting[len(group) :]
            for result, told in apart:
                self._tasks.start(self._alone(result, told), name=f"record {result.row.id}")
            return False
        return True

    async def _alone(self, result: Result, told: "asyncio.Future[bool]") -> None:
        try:
            _tell(told, done=await record(self._store, result))
        except Exception as error:  # noqa: BLE001 - it is the one's who waits for it
            if not told.done():
                told.set_exception(error)


def _tell(told: "asyncio.Future[bool]", *, done: bool) -> None:
    if not told.done():  # whoever waited may have been cut off
        told.set_result(done)


def _write_one(store: Store, result: Result) -> None:
    attempt, then = result.attempt, result.then
    settled = rows.settling(result.row.id, attempt.id, status=then.status, due_at=then.due_at, at=result.ended_at)
    store.transact([rows.attempt_finished(attempt), settled, *_following(store, [result])])


def _write_all(store: Store, results: Sequence[Result]) -> None:
    if len(results) == 1:
        _write_one(store, results[0])
        return
    settled = [(result.attempt, result.then.status, result.then.due_at) for result in results]
    store.transact([*deliveries.settling(settled), *_following(store, results)])


def _following(store: Store, results: Sequence[Result]) -> list[Statement]:
    told = stand_ins(store, [each.row for each in results if each.then.result is not outbox.Result.RETRY])
    room = Room(store, max(each.ended_at for each in results))
    statements = [
        statement
        for each in results
        for statement in consequences(store, each.row, each.then, each.failure, room, told)
    ]
    return statements + room.spending()
