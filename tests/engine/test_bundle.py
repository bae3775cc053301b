import json
from dataclasses import replace
from datetime import timedelta

import pytest

from data.queries import notifications
from data.store import Statement
from engine import channel_store, incidents, notice, outbox
from engine.aftermath import consequences, stand_ins
from engine.audit import new_id
from engine.bundle import LISTED, NAMED, carried, named
from engine.channels.bodies import Body, render
from engine.errors import DeliveryError
from engine.notice import NoticeStatus, decode
from engine.room import Room
from engine.secrets import SecretBox
from engine.tick import tick
from tests.engine.test_notify import rule_with
from tests.engine.traffic import MINUTE, NOON, SECOND, rows, spend, watch

MODELS = [f"m{n:02}" for n in range(40)]


def burst(store, at=NOON - SECOND, models=MODELS):
    for n, model in enumerate(models):
        spend(store, at, f"{n + 2}", model=model)


def sent(store):
    wanted = "SELECT id, channel, reason, notice FROM notifications WHERE status = 'pending' ORDER BY id"
    return store.sql(wanted).rows(named=True)


def test_forty_groups_that_begin_at_once_are_one_notice_a_channel(store, home):
    hook = {"name": "hook", "kind": "webhook", "config": {"url": "http://127.0.0.1:9/", "allow_private": True}}
    channel_store.create(store, SecretBox(home), hook, by="ada")
    rule = watch(store, group_by=["model"], notify=["in-app", "hook"])
    burst(store)

    tick(store, [rule], NOON)

    assert sorted((row["channel"], row["reason"]) for row in sent(store)) == [("hook", "first"), ("in-app", "first")]
    said = decode(sent(store)[0]["notice"])
    assert said.summary == "40 groups began to fire: model=m39, model=m38, model=m37 and 37 more."
    assert (said.group_count, len(said.groups), said.groups[0].value) == (40, LISTED, 41.0)
    assert said.message.splitlines()[-1] == "and 20 more"
    assert {member.alert_id for member in said.groups} <= {alert for (alert,) in rows(store, "alerts", "id")}


def test_each_group_is_on_record_as_told_so_that_nothing_is_told_again(store):
    rule = watch(store, group_by=["model"], cooldown="1h", repeat="2h")
    burst(store, models=MODELS[:3])
    for n in (0, 1, 6, 7):
        tick(store, [rule], NOON + n * MINUTE)
    spend(store, NOON + 10 * MINUTE - SECOND, "5", model="m00")
    tick(store, [rule], NOON + 10 * MINUTE)

    found = rows(store, "notifications", "reason", "status")
    assert [row for row in found if row[1] == "pending"] == [("first", "pending"), ("resolved", "pending")]
    assert [row for row in found if row[1] == "bundled"] == [("first", "bundled")] * 3 + [("resolved", "bundled")] * 3
    assert found[-1] == ("cooldown", "silent")


def test_groups_that_begin_alone_are_told_alone(store):
    rule = watch(store, group_by=["model"])
    burst(store, models=MODELS[:1])
    tick(store, [rule], NOON)
    assert rows(store, "notifications", "reason", "status", "bundle") == [("first", "pending", "")]


@pytest.mark.parametrize("how", ["the rule", "the channel"])
def test_bundling_can_be_off(store, monkeypatch, how):
    rule = watch(store, group_by=["model"], **({"grouping": False} if how == "the rule" else {}))
    if how == "the channel":
        monkeypatch.setattr("engine.post.IN_APP_NAME", "another")
    burst(store, models=MODELS[:3])
    tick(store, [rule], NOON)
    assert rows(store, "notifications", "reason", "status") == [("first", "pending")] * 3


def test_incidents_closed_together_by_hand_are_told_together(store):
    rule = watch(store, group_by=["model"])
    burst(store, models=MODELS[:3])
    tick(store, [rule], NOON)
    incidents.resolve(store, [alert for (alert,) in rows(store, "alerts", "id")], by="ada", at=NOON + SECOND)
    (_, over) = sent(store)
    assert decode(over["notice"]).summary.startswith("3 groups are over: model=m0")
    assert decode(over["notice"]).status is NoticeStatus.RESOLVED


def put(store, alert="", **changes):
    said = notice.Notice(**FIELDS, alert_id=alert)
    row = replace(outbox.queued(new_id(), said, channel="a", at=NOON), **changes)
    store.transact([notifications.adding(row)])
    return row.id


def test_an_end_waits_for_the_bundle_that_told_its_beginning(store):
    bundle = put(store)
    put(store, "1", status="bundled", bundle=bundle)
    end, other = put(store, "1"), put(store, "2")
    assert [row.id for row in notifications.due(store, NOON)] == [bundle, other]
    store.transact([Statement("UPDATE notifications SET status = 'sent' WHERE id = ?", (bundle,))])
    assert [row.id for row in notifications.due(store, NOON)] == [end, other]


def test_a_bundle_of_ends_waits_for_a_beginning_that_is_not_sent_yet(store):
    first = put(store, "1")
    bundle = put(store)
    put(store, "1", status="bundled", bundle=bundle)
    assert [row.id for row in notifications.due(store, NOON)] == [first]


FIELDS = {"title": "t", "status": NoticeStatus.FIRING, "severity": "high", "at": NOON}


def made(values, **rule):
    parts = [
        notice.Notice(**FIELDS, alert_id=str(n), labels={"model": f"m{n}"}, value=value, reason="first")
        for n, value in enumerate(values)
    ]
    return carried(rule_with(**rule), parts)


def test_the_worst_value_comes_first_whichever_way_is_worse():
    below = {"metric": "requests", "window": "5m", "op": "<", "value": 3}
    assert [m.value for m in made([1.0, None, 3.0]).groups] == [3.0, 1.0, None]
    assert [m.value for m in made([2.0, 1.0, None], when=below).groups] == [1.0, 2.0, None]


def test_groups_of_several_labels_are_set_apart():
    assert named(["model=a, team=x", "model=b, team=x"], 2) == "model=a, team=x; model=b, team=x"
    assert named(["model=a", "model=b", "model=c"], 5) == "model=a, model=b, model=c and 2 more"


def test_few_groups_are_all_named():
    assert made([1.0] * NAMED).summary == f"{NAMED} groups began to fire: model=m0, model=m1, model=m2."


def test_a_bundle_is_valid_in_every_body():
    said = made([float(n) for n in range(30)])
    standard = json.loads(render(Body.STANDARD, "", said))
    assert standard["data"]["groups"][0]["labels"] == {"model": "m29"}
    body = json.loads(render(Body.ALERTMANAGER, "", said))
    assert (len(body["alerts"]), body["truncatedAlerts"]) == (LISTED, 30 - LISTED)
    assert len({alert["labels"]["model"] for alert in body["alerts"]}) == LISTED
    assert len({alert["fingerprint"] for alert in body["alerts"]}) == LISTED


def test_many_pending_notifications_are_looked_through_quickly(store):
    text = (
        "INSERT INTO notifications (id, alert_id, rule_id, channel, reason, status, notice, created_at, due_at,"
        " attempts, claimed_by, group_key, fallback, fallback_of)"
        " SELECT format('{:08d}', i), 'a' || (i % 50), 'r', 'c' || (i % 3), 'first', 'pending', '{}', ?, ?, 0, '', '',"
        " '[]', '' FROM range(20000) t(i)"
    )
    store.transact([Statement(text, (NOON.replace(tzinfo=None), NOON.replace(tzinfo=None)))])
    found = notifications.due(store, NOON + timedelta(seconds=1))
    # of each incident the first
    assert {row.alert_id for row in found if row.channel == "c0"} == {f"a{n}" for n in range(50)}
    assert len(found) == 3 * 50


async def test_a_fallback_that_keeps_one_thing_an_incident_gets_each_group_and_each_end(store, home):
    box = SecretBox(home)
    pager = {"name": "pager", "kind": "pagerduty", "config": {"routing_key": "0123456789abcdef0123456789abcdef"}}
    channel_store.create(store, box, pager, by="ada")
    rule = watch(store, group_by=["model"], fallback=["pager"])
    burst(store, models=MODELS[:3])
    tick(store, [rule], NOON)
    ((bundle,),) = store.sql("SELECT id FROM notifications WHERE status = 'pending'").rows()
    row = notifications.by_id(store, bundle)
    failure = DeliveryError("answered 400", permanent=True)

    store.transact(consequences(store, row, outbox.verdict(row, 1, failure, NOON, 0.5), failure, Room(store, NOON), {}))

    told = "SELECT reason, alert_id FROM notifications WHERE channel = 'pager' ORDER BY id"
    alerts = [alert for (alert,) in rows(store, "alerts", "id")]
    assert store.sql(told).rows() == [("fallback", alert) for alert in alerts]
    store.transact([Statement("UPDATE notifications SET status = 'sent' WHERE status = 'pending'")])
    incidents.resolve(store, alerts, by="ada", at=NOON + SECOND)
    ((bundle,),) = store.sql("SELECT id FROM notifications WHERE status = 'pending'").rows()
    row = notifications.by_id(store, bundle)
    ended = outbox.verdict(row, 1, None, NOON, 0.5)
    store.transact(consequences(store, row, ended, None, Room(store, NOON), stand_ins(store, [row])))
    assert sorted(alert for _, alert in store.sql(told).rows()[3:]) == sorted(alerts)
