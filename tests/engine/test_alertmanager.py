"""A receiver of Alertmanager's body: every alert that it is told of is told as over too, under the same fingerprint."""

import json
from collections import defaultdict
from datetime import timedelta

import pytest
from msgspec import structs

from engine import incidents
from engine.channels.bodies import Body, alertmanager, render
from engine.notice import NoticeStatus
from engine.secrets import SecretBox
from engine.sweep import sweep
from engine.tick import tick
from tests.engine.receivers import FIRING, receiving, until
from tests.engine.test_delivery import Clock, hook, sending
from tests.engine.traffic import MINUTE, NOON, SECOND, rows, spend, watch


@pytest.fixture
def box(home):
    return SecretBox(home)


def fingerprint(notice):
    (alert,) = alertmanager(notice)["alerts"]
    return alert["fingerprint"]


def told(receiver):
    """By fingerprint, what was said of it: the statuses in order; every body has one alert."""
    said = defaultdict(list)
    for got in receiver.got:
        body = json.loads(got.body)
        (alert,) = body["alerts"]
        assert (body["status"], body["truncatedAlerts"]) == (alert["status"], 0)
        said[alert["fingerprint"], alert["labels"]["alertname"]].append(alert["status"])
    return said


async def test_thirty_groups_are_thirty_alerts_that_all_end(store, box):
    async with receiving() as receiver:
        hook(store, box, receiver.url, body="alertmanager")
        rule = watch(store, group_by=["model"], notify=["hook"])
        for n in range(30):
            spend(store, NOON - SECOND, "2", model=f"m{n}")
        tick(store, [rule], NOON)
        async with sending(store, box, Clock()) as sender:
            await until(lambda: len(receiver.got) == 30)
            incidents.resolve(store, [alert for (alert,) in rows(store, "alerts", "id")], by="ada", at=NOON + SECOND)
            sender.wake()
            await until(lambda: len(receiver.got) == 60)
    assert list(told(receiver).values()) == [["firing", "resolved"]] * 30


async def test_an_end_over_the_rate_limit_comes_by_itself_in_the_end(store, box):
    async with receiving() as receiver:
        hook(store, box, receiver.url, body="alertmanager", burst=1, per_minute=0.5)
        rule = watch(store, notify=["hook"])
        spend(store, NOON - SECOND, "2")
        tick(store, [rule], NOON)
        incidents.resolve(store, [alert for (alert,) in rows(store, "alerts", "id")], by="ada", at=NOON + SECOND)
        assert sweep(store, NOON + 3 * MINUTE) == 1
        async with sending(store, box, Clock()):
            await until(lambda: len(receiver.got) == 2)
    assert [(name, said) for (_, name), said in told(receiver).items()] == [("High cost", ["firing", "resolved"])]
    assert json.loads(receiver.got[1].body)["alerts"][0]["endsAt"] == "2026-03-01T12:00:01+00:00"


def test_fingerprints_tell_rules_and_groups_apart():
    groups = [
        structs.replace(FIRING, alert_id="", rule_id=f"r-{n % 50}", labels={"model": f"m{n // 50}"})
        for n in range(5_000)
    ]
    assert len({fingerprint(group) for group in groups}) == 5_000


def test_a_fingerprint_is_that_of_the_group_whichever_incident_of_it_this_is_and_whatever_is_said():
    again = structs.replace(FIRING, alert_id="a-2", at=NOON + MINUTE, title="Renamed", rule_name="Renamed", value=3.0)
    over = structs.replace(FIRING, status=NoticeStatus.RESOLVED, reason="resolved", resolved_at=NOON + MINUTE)
    assert fingerprint(FIRING) == fingerprint(again) == fingerprint(over)
    assert len(fingerprint(FIRING)) == 16
    assert int(fingerprint(FIRING), 16)


def test_an_end_is_said_as_an_end():
    over = structs.replace(FIRING, status=NoticeStatus.RESOLVED, reason="resolved", resolved_at=NOON + MINUTE)
    body = json.loads(render(Body.ALERTMANAGER, "", over))
    (alert,) = body["alerts"]
    assert (body["status"], alert["status"]) == ("resolved", "resolved")
    assert (alert["startsAt"], alert["endsAt"]) == ("2026-03-01T12:00:00+00:00", "2026-03-01T12:01:00+00:00")


def test_what_is_about_no_incident_says_itself_when_it_is_over():
    news = structs.replace(FIRING, status=NoticeStatus.MESSAGE, alert_id="", rule_id="", rule_name="", reason="budget")
    (alert,) = alertmanager(news)["alerts"]
    assert (alert["status"], alert["labels"]["alertname"]) == ("firing", FIRING.title)
    assert alert["endsAt"] == FIRING.at + timedelta(minutes=5)
    assert alertmanager(FIRING)["alerts"][0]["endsAt"] == "0001-01-01T00:00:00Z"
    assert fingerprint(news) != fingerprint(structs.replace(news, title="Another budget"))
