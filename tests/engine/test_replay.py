"""What may be sent again by hand, and what would only leave something open over there."""

import json

import pytest

from engine import channel_store, incidents
from engine.errors import Refused
from engine.inbox import Hub
from engine.replay import replay
from engine.secrets import SecretBox
from engine.tick import tick
from tests.engine.receivers import receiving, until
from tests.engine.test_delivery import Clock, hook, sending
from tests.engine.traffic import NOON, SECOND, one, rows, spend, watch

ACCEPTED = (202, {}, json.dumps({"status": "success"}))


@pytest.fixture
def box(home):
    return SecretBox(home)


def pager(store, box, url):
    form = {"routing_key": "0" * 32, "api_url": url, "allow_private": True}
    channel_store.create(store, box, {"name": "pager", "kind": "pagerduty", "config": form}, by="ada")


def said(receiver):
    return [json.loads(got.body)["event_action"] for got in receiver.got]


def firing(store, channel):
    rule = watch(store, notify=[channel])
    spend(store, NOON - SECOND, "2")
    tick(store, [rule], NOON)
    return one(rows(store, "alerts", "id"))[0]


async def failed(store, box):
    """The oldest notification is tried, and fails; its id."""
    async with sending(store, box, Clock()):
        await until(lambda: rows(store, "notifications", "status")[0] == ("failed",))
    return rows(store, "notifications", "id")[0][0]


async def test_what_would_stand_open_for_ever_is_not_sent_again_once_its_incident_is_over(store, box):
    async with receiving(400, ACCEPTED) as receiver:
        pager(store, box, receiver.url)
        alert_id = firing(store, "pager")
        first = await failed(store, box)
        incidents.resolve(store, [alert_id], by="ada")
        async with sending(store, box, Clock()):
            await until(lambda: rows(store, "notifications", "status")[-1] == ("sent",))
        with pytest.raises(Refused, match="the incident is over"):
            await replay(store, box, Hub(), first, by="grace")
    assert said(receiver) == ["trigger", "resolve"]
    assert rows(store, "notifications", "status")[0] == ("failed",)


async def test_while_the_incident_is_open_it_is_sent_again(store, box):
    async with receiving(400, ACCEPTED) as receiver:
        pager(store, box, receiver.url)
        firing(store, "pager")
        assert (await replay(store, box, Hub(), await failed(store, box), by="grace")).delivered
    assert said(receiver) == ["trigger", "trigger"]


async def test_the_end_itself_is_sent_again(store, box):
    async with receiving(ACCEPTED, 400, ACCEPTED) as receiver:
        pager(store, box, receiver.url)
        alert_id = firing(store, "pager")
        async with sending(store, box, Clock()) as sender:
            await until(lambda: rows(store, "notifications", "status")[0] == ("sent",))
            incidents.resolve(store, [alert_id], by="ada")
            sender.wake()
            await until(lambda: rows(store, "notifications", "status")[-1] == ("failed",))
        assert (await replay(store, box, Hub(), rows(store, "notifications", "id")[-1][0], by="grace")).delivered
    assert said(receiver) == ["trigger", "resolve", "resolve"]


async def test_where_nothing_is_kept_open_an_old_notice_may_be_sent_again(store, box):
    async with receiving(400, 200) as receiver:
        hook(store, box, receiver.url)
        alert_id = firing(store, "hook")
        first = await failed(store, box)
        incidents.resolve(store, [alert_id], by="ada")
        assert (await replay(store, box, Hub(), first, by="grace")).delivered
