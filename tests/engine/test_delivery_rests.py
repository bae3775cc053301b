"""Channels that fail again and again: left alone, fallbacks told at once, tried again, switched off in the end."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from data.queries import notifications
from data.store import Statement
from engine import channel_store, sample, trial
from engine.audit import new_id
from engine.breaker import OPENS_AFTER, REST
from engine.errors import NotFound, Refused
from engine.inbox import Hub
from engine.notice import NoticeStatus
from engine.replay import replay
from engine.secrets import SecretBox
from engine.standing import Standing, standings
from tests.engine.receivers import receiving, until
from tests.engine.test_delivery import Clock, hook, queue, sending, status
from tests.engine.traffic import one, rows


@pytest.fixture
def box(home):
    return SecretBox(home)


@pytest.fixture
def clock():
    return Clock()


def fresh(store, channel="hook", **options):
    return queue(store, channel, notice={"alert_id": new_id()}, **options)


def results(store, notification_id):
    return notifications.attempts(store, [notification_id])["result"].to_list()


async def tripped(store, box, clock, sender, receiver):
    """The channel has just failed often enough."""
    for _ in range(OPENS_AFTER):
        before = len(receiver.got)
        failed = fresh(store)
        sender.wake()
        await until(lambda before=before: len(receiver.got) > before)
        await until(lambda failed=failed: status(store, failed) == "failed")


async def test_a_channel_that_rests_gives_on_at_once_and_is_tried_by_one_send(store, box, clock):
    async with receiving(400, 400, 400, 400, 400, 200) as bad, receiving() as good:
        hook(store, box, bad.url)
        hook(store, box, good.url, "second")
        async with sending(store, box, clock) as sender:
            await tripped(store, box, clock, sender, bad)
            given, waits = fresh(store, fallback=["second"]), [fresh(store) for _ in range(12)]
            sender.wake()
            await until(lambda: len(good.got) == 1)
            assert results(store, given) == ["skipped"]
            await until(lambda: not [r for r in notifications.due(store, clock()) if r.channel == "hook"])
            assert len(bad.got) == OPENS_AFTER
            clock.ahead += REST + timedelta(seconds=1)
            sender.wake()
            await until(lambda: all(status(store, n) == "sent" for n in waits))
    assert len(bad.got) == OPENS_AFTER + len(waits)
    assert {n for (n,) in rows(store, "notifications", "status")} == {"failed", "sent"}


async def test_of_many_that_wait_one_tries_whether_the_channel_is_back(store, box, clock):
    async with receiving(400, 400, 400, 400, 400, "hang") as bad:
        hook(store, box, bad.url)
        async with sending(store, box, clock, timeout_s=30) as sender:
            await tripped(store, box, clock, sender, bad)
            for _ in range(6):
                fresh(store)
            clock.ahead += REST + timedelta(seconds=1)
            sender.wake()
            await until(lambda: len(bad.got) == OPENS_AFTER + 1)
            looks = notifications.due
            sender.wake()
            await asyncio.to_thread(looks, store, clock())
            assert len(bad.got) == OPENS_AFTER + 1
            bad.released.set()
            await until(lambda: not rows_pending(store))


def rows_pending(store):
    return [s for (s,) in rows(store, "notifications", "status") if s == "pending"]


async def test_a_restart_remembers_that_a_channel_rests(store, box, clock):
    async with receiving(400) as bad, receiving() as good:
        hook(store, box, bad.url)
        hook(store, box, good.url, "second")
        async with sending(store, box, clock) as sender:
            await tripped(store, box, clock, sender, bad)
        given = fresh(store, fallback=["second"])
        async with sending(store, box, clock):
            await until(lambda: len(good.got) == 1)
    assert results(store, given) == ["skipped"]
    assert len(bad.got) == OPENS_AFTER


def remade(store, box, made, url):
    """Delete the channel and make another of its name; a notice that goes there."""
    channel_store.delete(store, made.id, by="ada")
    hook(store, box, url)
    return fresh(store)


async def test_a_channel_made_again_under_its_name_does_not_rest(store, box, clock):
    async with receiving(400) as bad, receiving() as good:
        made = hook(store, box, bad.url)
        async with sending(store, box, clock) as sender:
            await tripped(store, box, clock, sender, bad)
            sent = remade(store, box, made, good.url)
            sender.wake()
            await until(lambda: status(store, sent) == "sent", 20)
    assert len(good.got) == 1


async def test_nor_does_it_for_a_sender_that_starts_afterwards(store, box, clock):
    async with receiving(400) as bad, receiving() as good:
        made = hook(store, box, bad.url)
        async with sending(store, box, clock) as sender:
            await tripped(store, box, clock, sender, bad)
        sent = remade(store, box, made, good.url)
        async with sending(store, box, clock):
            await until(lambda: status(store, sent) == "sent", 20)


async def test_a_receiver_that_asks_for_patience_does_not_rest(store, box, clock):
    async with receiving((429, {"Retry-After": "3600"}, "")) as busy:
        hook(store, box, busy.url)
        async with sending(store, box, clock) as sender:
            for _ in range(OPENS_AFTER + 2):
                put_off = fresh(store)
                sender.wake()
                await until(lambda put_off=put_off: results(store, put_off) == ["retry"])
    assert len(busy.got) == OPENS_AFTER + 2


async def test_a_burst_goes_to_slack_at_the_pace_that_slack_asks_for(store, box, clock):
    async with receiving((200, {}, "ok")) as slack, receiving() as other:
        form = {"url": slack.url, "allow_private": True}
        channel_store.create(store, box, {"name": "slack", "kind": "slack", "config": form}, by="ada")
        hook(store, box, other.url)
        burst = [fresh(store, "slack") for _ in range(3)]
        for _ in range(3):
            fresh(store)
        async with sending(store, box, clock):
            await until(lambda: all(status(store, each) == "sent" for each in burst))
    began = rows(store, "delivery_attempts", "channel", "started_at")
    times = sorted(at for channel, at in began if channel == "slack")
    assert min(later - sooner for sooner, later in pairwise(times)) >= timedelta(seconds=0.9)
    assert len(other.got) == 3


async def test_a_channel_that_refuses_for_days_is_switched_off(store, box, clock):
    async with receiving(403) as bad:
        made = hook(store, box, bad.url)
        async with sending(store, box, clock) as sender:
            for days in (0, 1, 3.1):
                clock.ahead = timedelta(days=days) + timedelta(seconds=5)
                failed = fresh(store, at=clock())
                sender.wake()
                await until(lambda failed=failed: status(store, failed) == "failed")
    channel = channel_store.get(store, made.id)
    assert not channel.enabled
    assert "nothing has arrived since" in channel.disabled_reason
    assert "was disabled" in str(rows(store, "inbox", "title"))


@pytest.mark.parametrize("trouble", [500, None], ids=["its own trouble", "no network"])
async def test_trouble_that_may_pass_switches_nothing_off(store, box, clock, trouble):
    async with receiving(trouble) as bad:
        made = hook(store, box, bad.url)
        async with sending(store, box, clock) as sender:
            for days in (1, 2, 5, 9):
                clock.ahead = timedelta(days=days)
                failed = fresh(store, at=clock() + timedelta(seconds=5))
                store.transact([Statement("UPDATE notifications SET attempts = 9 WHERE id = ?", (failed,))])
                clock.ahead += timedelta(seconds=10)
                sender.wake()
                await until(lambda failed=failed: status(store, failed) == "failed")
    assert channel_store.get(store, made.id).enabled


async def test_whoever_stood_in_is_told_of_the_end_once(store, box, clock):
    async with receiving(400, 400, 200) as bad, receiving() as good:
        hook(store, box, bad.url)
        hook(store, box, bad.url, "other")
        hook(store, box, good.url, "second")
        async with sending(store, box, clock) as sender:
            for name in ("hook", "other"):
                queue(store, name, fallback=["second"])
            sender.wake()
            await until(lambda: len(good.got) == 2)
            for name in ("hook", "other"):
                queue(store, name, notice={"status": NoticeStatus.RESOLVED, "reason": "resolved"})
            sender.wake()
            await until(lambda: not rows_pending(store))
            await until(lambda: len(good.got) == 3)
    kinds = [json.loads(got.body)["type"] for got in good.got]
    assert kinds == ["alert.firing", "alert.firing", "alert.resolved"]


async def test_a_failed_notification_is_sent_again_by_hand_under_its_id(store, box, clock):
    async with receiving(400, 400, (200, {}, "welcome")) as receiver, receiving() as second:
        hook(store, box, receiver.url)
        hook(store, box, second.url, "second")
        failed = queue(store, fallback=["second"])
        async with sending(store, box, clock):
            await until(lambda: len(second.got) == 1)
        again = await replay(store, box, Hub(), failed, by="grace")
        assert (again.delivered, again.status) == (False, 400)
        assert status(store, failed) == "failed"
        done = await replay(store, box, Hub(), failed, by="grace")
    assert (done.delivered, done.answer) == (True, "welcome")
    assert [got.headers["webhook-id"] for got in receiver.got] == [failed] * 3
    assert notifications.attempts(store, [failed])["attempt"].to_list() == [1, 2, 3]
    assert len(second.got) == 1
    assert [(a, i) for a, i in rows(store, "audit_log", "action", "object_id") if a == "replay"] == [
        ("replay", failed)
    ] * 2
    with pytest.raises(Refused, match="sent"):
        await replay(store, box, Hub(), failed, by="grace")


async def test_a_replay_works_after_any_number_of_attempts(store, box):
    async with receiving() as receiver:
        hook(store, box, receiver.url)
        failed = queue(store)
        store.transact([Statement("UPDATE notifications SET attempts = 99, status = 'failed' WHERE id = ?", (failed,))])
        assert (await replay(store, box, Hub(), failed, by="grace")).delivered
    assert one(rows(store, "notifications", "attempts")) == (100,)


async def test_what_has_not_failed_is_not_sent_again(store, box):
    hook(store, box, "http://127.0.0.1:9/")
    waiting = queue(store, at=datetime.now(UTC) + timedelta(hours=1))
    with pytest.raises(Refused, match="pending"):
        await replay(store, box, Hub(), waiting, by="grace")
    with pytest.raises(NotFound):
        await replay(store, box, Hub(), "nobody", by="grace")


async def test_of_two_replays_at_once_one_sends(store, box):
    async with receiving() as receiver:
        hook(store, box, receiver.url)
        failed = queue(store)
        store.transact([Statement("UPDATE notifications SET status = 'failed' WHERE id = ?", (failed,))])
        made = await asyncio.gather(
            *(replay(store, box, Hub(), failed, by="grace") for _ in range(4)), return_exceptions=True
        )
    assert len(receiver.got) == 1
    assert sum(not isinstance(each, Exception) for each in made) == 1


async def test_failed_tests_hold_up_nothing_and_one_that_arrives_ends_a_rest(store, box, clock):
    async with receiving(*[500] * OPENS_AFTER, *[400] * OPENS_AFTER, 200) as hooked:
        hook(store, box, hooked.url)
        channel = channel_store.by_name(store, "hook").id
        for _ in range(OPENS_AFTER):
            tried = await trial.send(store, box, Hub(), channel, sample.of_channel(clock()), by="ada")
            assert not tried.delivered
        assert standings(store, clock())["hook"] == Standing()
        async with sending(store, box, clock) as sender:
            await tripped(store, box, clock, sender, hooked)
        assert standings(store, clock())["hook"].failures == OPENS_AFTER
        assert (await trial.send(store, box, Hub(), channel, sample.of_channel(clock()), by="ada")).delivered
        assert standings(store, clock())["hook"] == Standing()
