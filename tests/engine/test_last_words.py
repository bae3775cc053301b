"""Whoever stood in for a channel that failed hears of the end, whatever became of that channel and its notices."""

import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from engine import channel_store, incidents, rules
from engine.secrets import SecretBox
from engine.sweep import sweep
from engine.tick import tick
from tests.engine.receivers import receiving, until
from tests.engine.test_delivery import Clock, hook, sending
from tests.engine.traffic import COSTLY, MINUTE, NOON, SECOND, again, rows, spend, watch

#: One notice at once, and another after twenty minutes.
SLOW = {"burst": 1, "per_minute": 0.05}
OVER, TOLD_AGAIN = NOON + 6 * MINUTE, NOON + 27 * MINUTE


@pytest.fixture
def box(home):
    return SecretBox(home)


@pytest.fixture
def noon():
    """The present, which is noon."""
    return Clock(NOON + SECOND - datetime.now(UTC))


@asynccontextmanager
async def paging(store, box):
    """A PagerDuty that takes everything."""
    async with receiving((202, {}, '{"status": "success"}')) as receiver:
        form = {"routing_key": "0" * 32, "api_url": receiver.url, "allow_private": True}
        channel_store.create(store, box, {"name": "pager", "kind": "pagerduty", "config": form}, by="ada")
        yield receiver


def actions(pager):
    """What PagerDuty was told to do with which of its alerts."""
    bodies = [json.loads(got.body) for got in pager.got]
    return [(body["event_action"], body["dedup_key"]) for body in bodies]


def said(receiver):
    return [json.loads(got.body)["type"] for got in receiver.got]


def settled(store):
    return not [status for (status,) in rows(store, "notifications", "status") if status == "pending"]


def alert_ids(store):
    return [alert for (alert,) in rows(store, "alerts", "id")]


def fired(store, **fields):
    rule = watch(store, **fields)
    spend(store, NOON - SECOND, "2")
    tick(store, [rule], NOON)
    return rule


async def test_an_end_that_goes_into_a_digest_is_told_to_the_stand_in_too(store, box, noon):
    async with receiving(400, 200) as main, paging(store, box) as pager:
        hook(store, box, main.url, "main", **SLOW)
        rule = fired(store, notify=["main"], fallback=["pager"])
        async with sending(store, box, noon) as sender:
            await until(lambda: len(pager.got) == 1 and settled(store))
            tick(store, [rule], OVER)
            assert sweep(store, OVER) == 0  # the end is held back for the digest, which may bring it or fail
            assert sweep(store, TOLD_AGAIN) == 1
            noon.ahead += 28 * MINUTE
            sender.wake()
            await until(lambda: len(main.got) == 2 and settled(store))
            assert sweep(store, TOLD_AGAIN + SECOND) == 1
            sender.wake()
            await until(lambda: settled(store))
    (alert,) = alert_ids(store)
    assert said(main)[1] == "system.message"
    assert actions(pager) == [("trigger", alert), ("resolve", alert)]
    assert sweep(store, TOLD_AGAIN + MINUTE) == 0


async def test_a_digest_that_fails_triggers_nothing_for_what_is_over(store, box, noon):
    async with receiving(400) as main, paging(store, box) as pager:
        hook(store, box, main.url, "main", **SLOW)
        busy = watch(store, name="busy", severity="critical", notify=["main"])
        rule = watch(store, notify=["main"], fallback=["pager"])
        spend(store, NOON - SECOND, "2")
        tick(store, [busy, rule], NOON)
        tick(store, [busy, rule], OVER)
        assert sweep(store, TOLD_AGAIN) == 1
        noon.ahead += 28 * MINUTE
        async with sending(store, box, noon):
            await until(lambda: pager.got and settled(store))
        sweep(store, TOLD_AGAIN + MINUTE)
    assert {action for action, _ in actions(pager)} == {"resolve"}
    assert {alert for _, alert in actions(pager)} == set(alert_ids(store))
    assert settled(store)


async def test_the_end_of_a_bundle_is_told_to_whom_the_whole_bundle_went_instead(store, box, noon):
    async with receiving(400, 200) as main, receiving() as second:
        hook(store, box, main.url, "main")
        hook(store, box, second.url, "second")
        for n in range(3):
            spend(store, NOON - SECOND, "2", model=f"m{n}")
        rule = watch(store, group_by=["model"], notify=["main"], fallback=["second"])
        tick(store, [rule], NOON)
        async with sending(store, box, noon) as sender:
            await until(lambda: len(second.got) == 1 and settled(store))
            incidents.resolve(store, alert_ids(store), by="ada", at=NOON + SECOND)
            sender.wake()
            await until(lambda: len(second.got) == 4 and settled(store))
    assert said(second) == ["alert.firing"] + ["alert.resolved"] * 3
    assert {json.loads(got.body)["data"]["alert_id"] for got in second.got[1:]} == set(alert_ids(store))


async def test_a_bundle_that_fails_twice_reaches_the_pager_incident_by_incident(store, box, noon):
    async with receiving(400) as bad, paging(store, box) as pager:
        hook(store, box, bad.url, "main")
        hook(store, box, bad.url, "second")
        for n in range(3):
            spend(store, NOON - SECOND, "2", model=f"m{n}")
        tick(store, [watch(store, group_by=["model"], notify=["main"], fallback=["second", "pager"])], NOON)
        async with sending(store, box, noon):
            await until(lambda: len(pager.got) == 3 and settled(store))
    assert sorted(actions(pager)) == sorted(("trigger", alert) for alert in alert_ids(store))


@pytest.mark.parametrize("notify", [["new"], []], ids=["another channel hears of it", "nobody else hears of it"])
async def test_the_stand_in_for_a_channel_that_is_gone_is_told_of_the_end(store, box, noon, notify):
    async with receiving(410) as dead, receiving() as new, paging(store, box) as pager:
        gone = hook(store, box, dead.url, "old")
        hook(store, box, new.url, "new")
        rule = fired(store, notify=["old"], fallback=["pager"])
        async with sending(store, box, noon) as sender:
            await until(lambda: len(pager.got) == 1 and settled(store))
            rules.save(store, {**COSTLY, "notify": notify}, by="ada", rule_id=rule.id, at=NOON + MINUTE)
            channel_store.delete(store, gone.id, by="ada")
            tick(store, [again(store, rule.id)], NOON + MINUTE)
            tick(store, [again(store, rule.id)], OVER)
            noon.ahead += 8 * MINUTE
            sender.wake()
            await until(lambda: settled(store))
            sweep(store, OVER + MINUTE)
            sender.wake()
            await until(lambda: settled(store))
    (alert,) = alert_ids(store)
    assert said(new) == ["alert.firing", "alert.resolved"][: 2 * len(notify)]
    assert actions(pager) == [("trigger", alert), ("resolve", alert)]
    assert sweep(store, OVER + 2 * MINUTE) == 0


async def test_a_stand_in_that_is_gone_itself_is_told_nothing(store, box, noon):
    async with receiving(400) as bad, paging(store, box) as pager:
        hook(store, box, bad.url, "main")
        rule = fired(store, notify=["main"], fallback=["pager"])
        async with sending(store, box, noon):
            await until(lambda: len(pager.got) == 1 and settled(store))
    rules.save(store, {**COSTLY, "notify": []}, by="ada", rule_id=rule.id, at=NOON + MINUTE)
    for channel in channel_store.every(store):
        if channel.name in {"main", "pager"}:
            channel_store.delete(store, channel.id, by="ada")
    incidents.resolve(store, alert_ids(store), by="ada", at=NOON + MINUTE)
    assert sweep(store, OVER) == 0
    assert rows(store, "notifications", "channel", "reason") == [("main", "first"), ("pager", "fallback")]
