import json

import pytest

from engine import channel_store, incidents
from engine.secrets import SecretBox
from engine.tick import tick
from tests.engine.receivers import receiving, until
from tests.engine.test_delivery import Clock, sending
from tests.engine.traffic import MINUTE, NOON, SECOND, one, rows, spend, watch


@pytest.fixture
def box(home):
    return SecretBox(home)


def bot(store, box, url="http://127.0.0.1:9/", name="slack"):
    form = {"token": "xoxb-1", "channel": "#ops", "api_url": url.replace("/hook", "/api"), "allow_private": True}
    return channel_store.create(store, box, {"name": name, "kind": "slack", "config": form}, by="ada")


def firing(store, **changes):
    rule = watch(store, **changes)
    spend(store, NOON - SECOND, "2")
    tick(store, [rule], NOON)
    return rule, one(rows(store, "alerts", "id"))[0]


async def test_a_message_follows_its_incident_from_the_first_word_to_the_last(store, box):
    said = [(200, {}, json.dumps({"ok": True, "channel": "C1", "ts": ts})) for ts in ("1.1", "1.1")]
    async with receiving(*said) as receiver:
        bot(store, box, receiver.url)
        _, alert_id = firing(store, notify=["slack"])
        async with sending(store, box, Clock()) as sender:
            await until(lambda: len(receiver.got) == 1)
            incidents.acknowledge(store, [alert_id], by="grace", comment="on it")
            sender.wake()
            await until(lambda: len(receiver.got) == 2)
            incidents.resolve(store, [alert_id], by="grace")
            sender.wake()
            await until(lambda: len(receiver.got) == 3)
    assert [got.path.rpartition("/")[2] for got in receiver.got] == ["chat.postMessage", "chat.update", "chat.update"]
    bodies = [json.loads(got.body) for got in receiver.got]
    assert [body.get("ts") for body in bodies] == [None, "1.1", "1.1"]
    assert "Acknowledged by grace: on it" in receiver.got[1].body.decode()
    assert bodies[2]["text"].startswith("[RESOLVED]")


async def test_where_the_bot_posts_now_hears_of_the_end_of_what_it_said_elsewhere(store, box):
    old = (200, {}, json.dumps({"ok": True, "channel": "C1", "ts": "1.1"}))
    async with receiving(old, (200, {}, json.dumps({"ok": True, "channel": "C2", "ts": "2.2"}))) as receiver:
        made = bot(store, box, receiver.url)
        _, alert_id = firing(store, notify=["slack"])
        async with sending(store, box, Clock()) as sender:
            await until(lambda: len(receiver.got) == 1)
            channel_store.update(store, box, made.id, {"config": {"channel": "#duty"}}, by="ada")
            incidents.resolve(store, [alert_id], by="grace")
            sender.wake()
            await until(lambda: len(receiver.got) == 2)
    last = json.loads(receiver.got[1].body)
    assert (receiver.got[1].path.rpartition("/")[2], last["channel"]) == ("chat.postMessage", "#duty")
    assert last["text"].startswith("[RESOLVED]")


def test_only_channels_that_were_told_and_follow_are_told_of_an_acknowledgement(store, box):
    bot(store, box)
    bot(store, box, name="other")
    _, alert_id = firing(store, notify=["slack", "in-app"])
    incidents.acknowledge(store, [alert_id], by="grace", at=NOON + SECOND)
    told = rows(store, "notifications", "channel", "reason", "status")
    assert told[2:] == [("slack", "acknowledgement", "pending")]


def test_an_acknowledgement_does_not_put_off_the_next_reminder(store, box):
    bot(store, box)
    rule, alert_id = firing(store, notify=["slack"], repeat="4m")
    incidents.acknowledge(store, [alert_id], by="grace", at=NOON + 3 * MINUTE, until=NOON + 3 * MINUTE + SECOND)
    spend(store, NOON + 4 * MINUTE - SECOND, "2")
    tick(store, [rule], NOON + 4 * MINUTE)
    assert rows(store, "notifications", "reason", "status") == [
        ("first", "pending"),
        ("acknowledgement", "pending"),
        ("repeat", "pending"),
    ]


def test_nobody_is_told_twice_by_a_bulk_that_fails(store, box):
    bot(store, box)
    _, alert_id = firing(store, notify=["slack"])
    with pytest.raises(incidents.NotFound):
        incidents.acknowledge(store, [alert_id, "nobody"], by="grace", at=NOON + SECOND)
    assert len(rows(store, "notifications", "id")) == 1
