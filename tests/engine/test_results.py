"""Results written in groups: a lost claim, or a row that cannot be written, costs no other."""

import asyncio
import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from data.errors import StoreUnavailable
from data.queries import notifications
from data.store import Statement
from data.tasks import Tasks
from engine import claims, outbox, results
from engine.audit import new_id
from engine.errors import DeliveryError
from engine.notice import NoticeStatus
from engine.results import Recorder, judged
from tests.engine.test_delivery import queue
from tests.engine.traffic import rows


def ended(store, failure=None, **options):
    """A claimed notification whose send has just ended."""
    queued = queue(store, notice={"alert_id": new_id(), **options.pop("notice", {})}, **options)
    claim = claims.begun(notifications.by_id(store, queued), datetime.now(UTC))
    claims.take(store, claim)
    error = str(failure) if failure else ""
    return judged(claim.row, replace(claim.attempt, finished_at=datetime.now(UTC), error=error), failure)


class Gate:
    """The store; its writes wait until the gate is opened, and are counted."""

    def __init__(self, store):
        self._store, self.opened, self.writes = store, threading.Event(), 0

    def __getattr__(self, name):
        return getattr(self._store, name)

    def transact(self, statements):
        assert self.opened.wait(60)
        self.writes += 1
        return self._store.transact(statements)


@pytest.fixture
async def tasks():
    made = Tasks()
    yield made
    await made.stop()


async def recorded(store, tasks, *all_results):
    """All of them end while the first is written."""
    gate = Gate(store)
    recorder = Recorder(gate, tasks)
    waiting = [tasks.start(recorder.record(result), name="record") for result in all_results]
    await asyncio.sleep(0)
    gate.opened.set()
    return await asyncio.gather(*waiting, return_exceptions=True), gate.writes


async def test_what_ends_while_one_is_written_is_written_together(store, tasks):
    all_results = [ended(store) for _ in range(20)]
    told, writes = await recorded(store, tasks, *all_results)
    assert told == [True] * 20
    assert writes <= 2
    assert rows(store, "notifications", "status", "claimed_by") == [("sent", "")] * 20
    assert rows(store, "delivery_attempts", "result") == [("sent",)] * 20


async def test_a_lost_claim_costs_no_other_result(store, tasks):
    all_results = [ended(store) for _ in range(5)]
    lost = all_results[2]
    store.transact([Statement("UPDATE notifications SET claimed_by = 'other' WHERE id = ?", (lost.row.id,))])
    told, _ = await recorded(store, tasks, *all_results)
    assert told == [True, True, False, True, True]
    assert [status for (status,) in rows(store, "notifications", "status")] == ["sent"] * 2 + ["pending"] + ["sent"] * 2
    assert rows(store, "delivery_attempts", "result").count(("sending",)) == 1


async def test_a_result_that_cannot_be_written_is_its_own_trouble_alone(store, tasks):
    good = [ended(store) for _ in range(3)]
    row = replace(good[0].row, notice="no JSON")
    told, _ = await recorded(store, tasks, replace(good[0], row=row), *good[1:])
    assert isinstance(told[0], Exception)
    assert told[1:] == [True, True]


async def test_each_result_of_a_group_has_its_own_consequences(store, tasks):
    final = DeliveryError("answered 400", permanent=True)
    all_results = [
        ended(store),
        ended(store, DeliveryError("answered 500")),
        ended(store, final, fallback=["second"]),
        ended(store, final),
    ]
    told, _ = await recorded(store, tasks, *all_results)
    assert told == [True] * 4
    status = rows(store, "notifications", "channel", "status")
    assert status == [
        ("hook", "sent"),
        ("hook", "pending"),
        ("hook", "failed"),
        ("hook", "failed"),
        ("second", "pending"),
    ]
    assert rows(store, "inbox", "title") == [("[MESSAGE] [HIGH] A notification was not delivered",)]


async def test_the_ends_of_many_incidents_reach_those_who_stood_in_for_each(store, tasks):
    over = [
        ended(store, notice={"alert_id": alert, "status": NoticeStatus.RESOLVED}) for alert in ("a-1", "a-2", "a-3")
    ]
    for alert in ("a-1", "a-3"):
        queue(store, "second", notice={"alert_id": alert}, fallback_of="failed")
    told, _ = await recorded(store, tasks, *over)
    assert told == [True] * 3
    ends = rows(store, "notifications", "alert_id", "channel", "fallback_of")[-2:]
    assert [(alert, channel) for alert, channel, _ in ends] == [("a-1", "second"), ("a-3", "second")]
    assert [of for _, _, of in ends] == [over[0].row.id, over[2].row.id]


async def test_results_wait_for_a_store_that_is_away(store, tasks, monkeypatch):
    monkeypatch.setattr(results, "AGAIN_S", 0.01)
    away = [StoreUnavailable("no store answers")] * 3

    class Away(Gate):
        def transact(self, statements):
            if away:
                raise away.pop()
            return store.transact(statements)

    recorder = Recorder(Away(store), tasks)
    all_results = [ended(store) for _ in range(4)]
    assert await asyncio.gather(*map(recorder.record, all_results)) == [True] * 4
    assert rows(store, "notifications", "status") == [("sent",)] * 4


def test_a_result_says_what_becomes_of_its_notification(store):
    skipped = DeliveryError("not tried", permanent=True, tried=False)
    assert ended(store).attempt.result == outbox.Result.SENT
    assert ended(store, skipped).attempt.result == outbox.Result.SKIPPED
    assert ended(store, DeliveryError("answered 500")).attempt.result == outbox.Result.RETRY
