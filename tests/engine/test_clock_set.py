"""Clocks that are set, back or ahead, under the worker's parts as they run."""

import logging
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from data.queries import leases, notifications
from data.schema import notifications as table
from data.store import Statement
from engine import channel_store, incidents, silences
from engine.desk import Desk, EvaluatorStatus
from engine.evaluator import LEASE
from engine.housekeeping.heartbeat import trouble
from engine.housekeeping.job import Job
from engine.secrets import SecretBox
from engine.sweep import sweep
from engine.tick import tick
from tests.engine.housekeeping.test_housekeeper import Counted, keeping
from tests.engine.moved_clock import MovedClock
from tests.engine.receivers import receiving, until
from tests.engine.test_delivery import hook, queue, sending, status
from tests.engine.test_evaluator_lease import evaluating
from tests.engine.traffic import MINUTE, NOON, SECOND, rows, watch

HOUR = timedelta(hours=1)
#: Fires for as long as nothing is asked, as nothing is.
QUIET = {"metric": "requests", "window": "5m", "op": "<", "value": 1}


@pytest.fixture
def clock(monkeypatch):
    return MovedClock(monkeypatch)


@pytest.fixture
def box(home):
    return SecretBox(home)


def told(store):
    return [reason for (reason,) in rows(store, "notifications", "reason")]


async def test_evaluations_go_on_when_the_clock_is_set_back(store, config, clock, caplog):
    watch(store, every="1s", when=QUIET)
    async with evaluating(store, config, now=clock) as (state, _):
        await until(lambda: state.ticks >= 2)
        missed = state.missed_ticks
        with caplog.at_level(logging.WARNING):
            clock.by = -3 * MINUTE
            before = state.ticks
            await until(lambda: state.ticks >= before + 3)
        assert "the clock was set back by 0:0" in caplog.text
        assert state.last_tick_at <= clock()
        # as few as fell due until it was noticed, not three minutes of them
        assert state.missed_ticks - missed < 20
        desk = Desk(config, SecretBox(config.home), connected=store, status=state)
        assert trouble(desk, clock()) == ""
    assert told(store) == ["first"]


async def test_what_is_missed_until_the_clock_is_noticed_is_counted(store, config, clock, monkeypatch):
    monkeypatch.setattr("engine.clock_watch.LOOK_S", 6.0)
    watch(store, every="1s", when=QUIET)
    async with evaluating(store, config, now=clock) as (state, _):
        await until(lambda: state.ticks >= 2)
        missed, before, clock.by = state.missed_ticks, state.ticks, -3 * MINUTE
        await until(lambda: state.ticks >= before + 3)
        assert 1 <= state.missed_ticks - missed < 20


async def test_a_repeat_comes_in_its_time_after_the_clock_was_set_back(store, config, box, clock):
    watch(store, every="1s", when=QUIET, repeat="4m")
    async with evaluating(store, config, now=clock) as (state, _), sending(store, box, clock):
        await until(lambda: told(store) == ["first"])
        clock.by = -30 * MINUTE
        await until(lambda: rows(store, "notifications", "created_at")[0][0] <= clock())
        await until(lambda: rows(store, "alerts", "opened_at")[0][0] <= clock())
        clock.by += 4 * MINUTE
        await until(lambda: told(store) == ["first", "repeat"])
        before = state.ticks
        await until(lambda: state.ticks >= before + 2)
    assert told(store) == ["first", "repeat"]


async def test_what_was_held_back_is_told_after_the_clock_was_set_back(store, config, clock):
    document = {"url": "http://127.0.0.1:9/", "allow_private": True, "burst": 1, "per_minute": 60}
    channel_store.create(store, SecretBox(config.home), {"name": "c", "kind": "webhook", "config": document}, by="ada")
    one, other = watch(store, name="A", notify=["c"], when=QUIET), watch(store, name="B", notify=["c"], when=QUIET)
    ahead = datetime.now(UTC).replace(microsecond=0) + HOUR
    tick(store, [one, other], ahead)
    assert told(store) == ["first", "rate_limited"]
    sweep(store, ahead - HOUR)
    assert "digest" not in told(store)
    async with evaluating(store, config, now=clock):
        await until(lambda: "digest" in told(store))


async def test_a_clock_that_was_set_back_while_nobody_evaluated_is_noticed_when_the_lease_is_taken(
    store, config, clock
):
    one = watch(store, when=QUIET)
    ahead = datetime.now(UTC).replace(microsecond=0) + HOUR
    tick(store, [one], ahead)
    (open_id,) = [row["id"] for row in incidents.active(store)]
    incidents.acknowledge(store, [open_id], by="ada", until=ahead + 10 * MINUTE, at=ahead)
    silences.create(store, {"rule": "x"}, ends_at=ahead + HOUR, by="ada", now=ahead)
    async with evaluating(store, config, now=clock):
        await until(lambda: rows(store, "alerts", "opened_at")[0][0] <= clock())
        for table, column in (
            ("alert_events", "at"),
            ("alert_instances", "since"),
            ("alert_instances", "active_since"),
            ("silences", "starts_at"),
            ("alerts", "acknowledged_at"),
        ):
            assert rows(store, table, column)[0][0] <= clock(), (table, column)
        left = rows(store, "alerts", "acknowledged_until")[0][0] - clock()
        assert 9 * MINUTE < left <= 10 * MINUTE


async def test_another_worker_takes_over_although_the_clock_was_set_back(store, config, clock):
    clock.by, until_ = HOUR, clock() + HOUR + 10 * MINUTE
    assert leases.acquire(store, LEASE, "elsewhere:1:dead", now=clock(), until=until_)
    async with evaluating(store, config, now=clock, lease_for=5 * MINUTE) as (state, _):
        await until(lambda: leases.holder(store, LEASE)[1] < until_)
        assert not state.leading
        clock.by = 5 * MINUTE
        await until(lambda: leases.holder(store, LEASE)[1] < clock() + 6 * MINUTE)
        clock.by += 6 * MINUTE
        await until(lambda: state.leading)


async def test_a_clock_that_is_set_ahead_tells_everything_once(store, config, clock):
    watch(store, every="1s", when=QUIET, repeat="4m", escalate=[{"after": "10m", "notify": ["in-app"]}])
    async with evaluating(store, config, now=clock) as (state, _):
        await until(lambda: told(store) == ["first"])
        missed = state.missed_ticks
        clock.by = 2 * HOUR
        await until(lambda: len(told(store)) > 1)
        before = state.ticks
        await until(lambda: state.ticks >= before + 3)
        assert state.missed_ticks - missed > 3600
    assert len(told(store)) <= 3
    assert len({*told(store)}) == len(told(store))


def test_an_evaluation_that_lies_ahead_is_trouble(config):
    state = EvaluatorStatus(rules=1, cadences_s=(60,), last_tick_at=NOON + HOUR)
    desk = Desk(config, SecretBox(config.home), status=state)
    assert "since the clock was set back" in trouble(desk, NOON)
    assert trouble(desk, NOON + HOUR - 20 * SECOND) == ""


async def test_jobs_go_on_when_the_clock_is_set_back(store, clock, monkeypatch):
    monkeypatch.setattr("engine.housekeeping.housekeeper._AT_START", timedelta(0))
    often = Counted("often", timedelta(seconds=1))
    async with keeping(store, often.job, now=clock) as keeper:
        await until(lambda: often.runs >= 2)
        clock.by, before = -HOUR, often.runs
        await until(lambda: often.runs >= before + 3)
        assert keeper.next_at("often") < clock() + MINUTE


async def test_a_job_is_due_once_when_the_clock_is_set_ahead(store, clock, monkeypatch):
    monkeypatch.setattr("engine.housekeeping.housekeeper._AT_START", timedelta(0))
    hourly, often = Counted("hourly"), Counted("often", timedelta(seconds=1))
    async with keeping(store, hourly.job, often.job, now=clock):
        await until(lambda: hourly.runs == 1 and often.runs >= 1)
        clock.by, before = 24 * HOUR, often.runs
        await until(lambda: hourly.runs == 2 and often.runs >= before + 3)
        assert hourly.runs == 2


async def test_a_job_that_was_done_by_a_clock_ahead_is_due_in_its_time(store, clock):
    daily: Job = Counted("daily", 24 * HOUR).job
    clock.by = 72 * HOUR
    async with keeping(store, daily, now=clock) as keeper:
        await keeper.do("daily", by="ada")
    clock.by = timedelta(0)
    async with keeping(store, daily, now=clock) as keeper:
        await until(lambda: keeper.next_at("daily") is not None)
        assert keeper.next_at("daily") <= clock() + 24 * HOUR


async def test_a_retry_comes_in_its_time_after_the_clock_was_set_back(store, box, clock):
    async with receiving(500, 200) as receiver:
        hook(store, box, receiver.url)
        sent = queue(store, at=clock() - HOUR)
        async with sending(store, box, clock):
            await until(lambda: notifications.by_id(store, sent).due_at > clock())
            clock.by = -10 * MINUTE
            await until(lambda: status(store, sent) == "sent")
    assert len(receiver.got) == 2


async def test_what_a_receiver_asks_for_still_holds_after_the_clock_was_set_back(store, box, clock):
    async with receiving((429, {"Retry-After": "300"}, ""), 200) as receiver:
        hook(store, box, receiver.url)
        sent = queue(store)
        async with sending(store, box, clock):
            await until(lambda: notifications.by_id(store, sent).attempts == 1 and not _claimed(store, sent))
            clock.by = -HOUR
            await until(lambda: notifications.by_id(store, sent).due_at < clock() + HOUR / 2)
            left = notifications.by_id(store, sent).due_at - clock()
    assert timedelta(minutes=4, seconds=30) < left <= timedelta(minutes=5, seconds=2)
    assert len(receiver.got) == 1


def _claimed(store, notification_id):
    return notifications.by_id(store, notification_id).claimed_until is not None


async def test_a_channel_that_rests_is_tried_again_after_the_clock_was_set_back(store, box, clock):
    async with receiving(400, 400, 400, 400, 400, 200) as receiver:
        hook(store, box, receiver.url)
        for _ in range(5):
            queue(store)
        async with sending(store, box, clock):
            await until(lambda: len(receiver.got) == 5)
            late = queue(store)
            await until(lambda: notifications.by_id(store, late).due_at > clock() + 30 * SECOND)
            clock.by = -HOUR
            await until(lambda: notifications.by_id(store, late).due_at < clock() + 2 * MINUTE)
            clock.by += 2 * MINUTE
            await until(lambda: status(store, late) == "sent")


async def test_what_was_queued_by_a_clock_ahead_is_sent(store, box, clock):
    async with receiving() as receiver:
        hook(store, box, receiver.url)
        sent = queue(store, at=clock() + HOUR)
        async with sending(store, box, clock):
            await until(lambda: status(store, sent) == "sent")
    assert len(receiver.got) == 1


async def test_a_claim_of_a_sender_that_died_runs_out_after_the_clock_was_set_back(store, box, clock):
    async with receiving() as receiver:
        hook(store, box, receiver.url)
        sent = queue(store, at=clock() - MINUTE)
        store.transact([_claimed_until(sent, clock() + HOUR + 2 * SECOND)])
        clock.by = HOUR
        async with sending(store, box, clock):
            clock.by = timedelta(0)
            await until(lambda: status(store, sent) == "sent")


def _claimed_until(notification_id, end):
    row = update(table).where(table.c.id == notification_id)
    return Statement(row.values(claimed_by="x", claimed_until=end))
