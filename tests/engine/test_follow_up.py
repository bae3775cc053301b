import json
from datetime import UTC, datetime

import pytest

from data.queries import alerts
from data.store import Statement
from engine import channel_store, incidents, silences
from engine.secrets import SecretBox
from engine.sweep import sweep
from engine.tick import tick
from tests.engine.receivers import receiving, until
from tests.engine.test_delivery import Clock, hook, sending
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


#: One notice at once, and another after five minutes.
SLOW = {"burst": 1, "per_minute": 0.2}


@pytest.fixture
def noon():
    """The present, which is noon."""
    return Clock(NOON + SECOND - datetime.now(UTC))


def pager(store, box, url, **limits):
    form = {"routing_key": "0" * 32, "api_url": url, "allow_private": True, **limits}
    channel_store.create(store, box, {"name": "pager", "kind": "pagerduty", "config": form}, by="ada")


def actions(receiver, alert_id):
    """What PagerDuty was told to do with its alert of an incident."""
    bodies = [json.loads(got.body) for got in receiver.got]
    return [body["event_action"] for body in bodies if body["dedup_key"] == alert_id]


def settled(store):
    return not [status for (status,) in rows(store, "notifications", "status") if status == "pending"]


async def test_what_was_taken_on_before_it_was_told_late_is_acknowledged_there_too(store, box, noon):
    async with receiving((202, {}, "{}")) as receiver:
        pager(store, box, receiver.url, **SLOW)
        both = [watch(store, name=name, notify=["pager"]) for name in "ab"]
        spend(store, NOON - SECOND, "2")
        tick(store, both, NOON)
        ((held,),) = store.sql("SELECT alert_id FROM notifications WHERE status = 'silent'").rows()
        incidents.acknowledge(store, [held], by="ada", comment="on it", at=NOON + MINUTE)
        assert sweep(store, NOON + 6 * MINUTE) == 2
        assert sweep(store, NOON + 7 * MINUTE) == 0
        noon.ahead += 8 * MINUTE
        async with sending(store, box, noon):
            await until(lambda: settled(store))
    assert actions(receiver, held) == ["trigger", "acknowledge"]
    assert len(receiver.got) == 3
    words = [json.loads(text)["summary"] for (text,) in rows(store, "notifications", "notice")]
    assert words[-1] == "Acknowledged by ada: on it"


async def test_a_stand_in_is_told_who_has_taken_it_on(store, box, noon):
    async with receiving(400) as bad, receiving((202, {}, "{}")) as receiver:
        hook(store, box, bad.url, "main")
        pager(store, box, receiver.url)
        _, alert_id = firing(store, notify=["main"], fallback=["pager"])
        incidents.acknowledge(store, [alert_id], by="ada", at=NOON + SECOND / 2)
        async with sending(store, box, noon) as sender:
            await until(lambda: receiver.got and settled(store))
            assert sweep(store, noon()) == 1
            sender.wake()
            await until(lambda: settled(store))
    assert actions(receiver, alert_id) == ["trigger", "acknowledge"]


async def test_a_first_word_after_a_silence_says_who_has_taken_it_on(store, box, noon):
    async with receiving((202, {}, "{}")) as receiver:
        pager(store, box, receiver.url)
        silences.create(store, {"rule": "High cost"}, ends_at=NOON + 2 * MINUTE, by="ada", now=NOON - MINUTE)
        rule, alert_id = firing(store, notify=["pager"])
        incidents.acknowledge(store, [alert_id], by="ada", at=NOON + MINUTE)
        tick(store, [rule], NOON + 3 * MINUTE)
        assert sweep(store, NOON + 3 * MINUTE) == 1
        noon.ahead += 4 * MINUTE
        async with sending(store, box, noon):
            await until(lambda: settled(store))
    assert actions(receiver, alert_id) == ["trigger", "acknowledge"]


@pytest.mark.parametrize("until_when", [NOON + 2 * MINUTE, None], ids=["run out", "let go"])
def test_what_nobody_is_on_any_more_is_not_called_acknowledged(store, box, until_when):
    pager(store, box, "http://127.0.0.1:9/", **SLOW)
    both = [watch(store, name=name, notify=["pager"]) for name in "ab"]
    spend(store, NOON - SECOND, "2")
    tick(store, both, NOON)
    ((held,),) = store.sql("SELECT alert_id FROM notifications WHERE status = 'silent'").rows()
    incidents.acknowledge(store, [held], by="ada", at=NOON + MINUTE, until=until_when)
    if until_when is None:
        store.transact([alerts.releasing(held)])
    assert sweep(store, NOON + 6 * MINUTE) == 1
    assert sweep(store, NOON + 7 * MINUTE) == 0


def test_an_acknowledgement_is_not_sent_back_to_where_it_was_made(store, box):
    pager(store, box, "http://127.0.0.1:9/")
    _, alert_id = firing(store, notify=["pager"])
    incidents.acknowledge(store, [alert_id], by="ada", at=NOON + MINUTE, told_by="pager")
    assert sweep(store, NOON + 2 * MINUTE) == 0


def test_an_acknowledgement_that_failed_is_not_made_up_for_again_and_again(store, box):
    pager(store, box, "http://127.0.0.1:9/", **SLOW)
    both = [watch(store, name=name, notify=["pager"]) for name in "ab"]
    spend(store, NOON - SECOND, "2")
    tick(store, both, NOON)
    ((held,),) = store.sql("SELECT alert_id FROM notifications WHERE status = 'silent'").rows()
    incidents.acknowledge(store, [held], by="ada", at=NOON + MINUTE)
    assert sweep(store, NOON + 6 * MINUTE) == 2
    store.transact([Statement("UPDATE notifications SET status = 'failed' WHERE reason = 'acknowledgement'")])
    assert sweep(store, NOON + 7 * MINUTE) == 0
