"""Fallbacks take from the limits of where they go, and of all; what is over is told there in a digest, never lost."""

from collections import Counter
from datetime import timedelta

import pytest
from msgspec import structs

from data.queries import notifications, rates
from data.store import Statement
from engine import channel_store, incidents, outbox, rules
from engine.aftermath import consequences, stand_ins
from engine.audit import new_id
from engine.bucket import Limit
from engine.errors import DeliveryError
from engine.notice import NoticeStatus, decode
from engine.post import limit_all, terms
from engine.room import Room
from engine.secrets import SecretBox
from engine.sweep import sweep
from engine.tick import tick
from tests.engine.receivers import FIRING
from tests.engine.traffic import COSTLY, MINUTE, NOON, SECOND, again, rows, spend, watch

GONE = DeliveryError("answered 400", permanent=True)
PAGER = {"routing_key": "0123456789abcdef0123456789abcdef"}


@pytest.fixture
def second(store, home):
    """A fallback that takes two notices at once and one more a minute."""
    config = {"url": "http://127.0.0.1:9/", "allow_private": True, "burst": 2, "per_minute": 1}
    channel_store.create(store, SecretBox(home), {"name": "second", "kind": "webhook", "config": config}, by="ada")


def fired(store, *names, at=NOON, **fields):
    """Rules that fire; the incidents' ids."""
    fields = {"fallback": ["second"], **fields}
    found = [watch(store, name=name, **fields) for name in names]
    spend(store, at - SECOND, "2")
    tick(store, found, at)
    return [alert for (alert,) in rows(store, "alerts", "id")]


def failed(store, *, at=NOON + SECOND, channel="in-app", failure=GONE):
    """Everything that waits for a channel comes to its end there at once."""
    found = [row for row in notifications.due(store, at + timedelta(days=1)) if channel in (row.channel, "any")]
    room, told = Room(store, at), stand_ins(store, found)
    for row in found:
        then = outbox.verdict(row, 1, failure, at, 0.5)
        done = Statement("UPDATE notifications SET status = ? WHERE id = ?", (then.status, row.id))
        store.transact([done, *consequences(store, row, then, failure, room, told)])
    store.transact(room.spending())
    return found


def to_second(store):
    made = store.sql("SELECT reason, status, held, alert_id FROM notifications WHERE channel = 'second' ORDER BY id")
    return made.rows()


def digests(store):
    text = "SELECT notice FROM notifications WHERE channel = 'second' AND reason = 'digest' ORDER BY id"
    return [decode(one) for (one,) in store.sql(text).rows()]


def levels(store, at):
    """What is left in every bucket."""
    return Counter({name: round(bucket.level) for name, bucket in terms(store, at).buckets.items()})


def test_what_a_fallback_takes_no_more_of_is_told_there_in_a_digest(store, second):
    alerts = fired(store, *"abcde")

    failed(store)

    told = to_second(store)
    assert [line[:3] for line in told] == [("fallback", "pending", "")] * 2 + [
        ("rate_limited", "silent", "fallback")
    ] * 3
    assert {alert for *_, alert in told} == set(alerts)
    assert sweep(store, NOON + 2 * SECOND) == 0
    assert sweep(store, NOON + 2 * MINUTE) == 1
    (said,) = digests(store)
    assert said.summary == "Held back: 3 by the rate limit. Of 3 incidents, 3 still fire (3 high)."
    assert sweep(store, NOON + 3 * MINUTE) == 0


def test_fallbacks_take_from_the_bucket_of_all_channels(store, second):
    limit_all(store, Limit(per_minute=1, burst=3), NOON)
    fired(store, "a", "b")

    failed(store)

    assert [(reason, status) for reason, status, *_ in to_second(store)] == [
        ("fallback", "pending"),
        ("rate_limited", "silent"),
    ]
    left = {name: round(bucket.level, 1) for name, bucket in terms(store, NOON + SECOND).buckets.items()}
    assert left == {"": 0.0, "in-app": 58.3, "second": 1.0}


def test_the_end_of_what_a_digest_told_is_told_as_well(store, second):
    alerts = fired(store, *"abcd")
    failed(store)
    sweep(store, NOON + 2 * MINUTE)
    incidents.resolve(store, alerts, by="ada", at=NOON + 10 * MINUTE)

    failed(store, at=NOON + 10 * MINUTE, failure=None)
    sweep(store, NOON + 20 * MINUTE)

    text = "SELECT alert_id FROM notifications WHERE channel = 'second' AND status != 'silent' AND notice LIKE ?"
    over = [alert for (alert,) in store.sql(text, ('%"status":"resolved"%',)).rows()]
    assert sorted(over) == sorted(alerts)
    assert "none fires any more" in digests(store)[-1].summary
    assert [line for line in to_second(store) if line[1] == "silent"] == []


def test_what_is_over_before_its_digest_is_told_once_as_over(store, second):
    alerts = fired(store, *"abc")
    failed(store)
    incidents.resolve(store, alerts, by="ada", at=NOON + 10 * SECOND)
    sweep(store, NOON + 2 * MINUTE)
    (said,) = digests(store)
    assert said.summary == "Held back: 1 by the rate limit. Of 1 incident, none fires any more."

    failed(store, at=NOON + 10 * MINUTE, failure=None)

    ended = [line for line in to_second(store) if line[0] == "resolved"]
    assert len(ended) == 2


@pytest.mark.parametrize("channels", [["any"], ["in-app", "hook", "chat"]], ids=["together", "one after the other"])
def test_an_end_takes_one_notice_however_many_channels_hear_of_it(store, home, second, channels):
    for name in ("hook", "chat"):
        config = {"url": "http://127.0.0.1:9/", "allow_private": True}
        channel_store.create(store, SecretBox(home), {"name": name, "kind": "webhook", "config": config}, by="ada")
    alerts = fired(store, "a", notify=["in-app", "hook", "chat"])
    failed(store, channel="in-app")
    store.transact([Statement("UPDATE notifications SET status = 'sent' WHERE status = 'pending'")])
    over = NOON + 10 * MINUTE
    incidents.resolve(store, alerts, by="ada", at=over)
    before = levels(store, over)

    for channel in channels:
        failed(store, at=over, channel=channel, failure=None)

    assert before - levels(store, over) == {"second": 1, "": 1}
    assert [line[:2] for line in to_second(store)] == [("fallback", "sent"), ("resolved", "pending")]


def test_of_a_bundle_that_is_held_back_each_incident_is_in_the_digest(store, second):
    fired(store, "x", "y")
    for n in range(3):
        spend(store, NOON - SECOND, "2", model=f"m{n}")
    tick(store, [watch(store, name="many", group_by=["model"], fallback=["second"])], NOON)

    failed(store)

    held = [line for line in to_second(store) if line[2] == "fallback"]
    assert len(held) == 4  # opus was there before
    sweep(store, NOON + 5 * MINUTE)
    assert digests(store)[-1].group_count == 4


def test_a_channel_of_single_incidents_gets_each_as_it_takes_them(store, home):
    pager = {"name": "second", "kind": "pagerduty", "config": {**PAGER, "burst": 1, "per_minute": 1}}
    channel_store.create(store, SecretBox(home), pager, by="ada")
    alerts = fired(store, *"abc")

    failed(store)
    assert sweep(store, NOON + 2 * MINUTE) == 1
    assert sweep(store, NOON + 3 * MINUTE + SECOND) == 1

    sent = [line for line in to_second(store) if line[1] == "pending"]
    assert [(reason, alert) for reason, _, _, alert in sent] == [("fallback", alert) for alert in alerts]


def test_what_is_about_no_incident_is_sent_although_the_limit_is_reached(store, second):
    fired(store, "a", "b")
    said = {"alert_id": "", "rule_id": "", "status": NoticeStatus.MESSAGE, "reason": "budget"}
    row = outbox.queued(new_id(), structs.replace(FIRING, **said), channel="in-app", at=NOON, fallback=["second"])
    store.transact([notifications.adding(row)])
    failed(store)
    assert [status for _, status, _, alert in to_second(store) if not alert] == ["pending"]


def test_the_limit_over_all_is_the_configured_one_whoever_tells(store):
    assert terms(store, NOON).buckets[""].limit == Limit(300.0, 600)
    limit_all(store, Limit(per_minute=2, burst=5), NOON)
    assert terms(store, NOON).buckets[""].limit == Limit(2, 5)
    fired(store, "a", fallback=[])
    level = next(row for row in rates.levels(store).iter_rows(named=True) if row["channel"] == "")
    assert (level["level"], level["per_minute"], level["burst"]) == (4, 2, 5)
    limit_all(store, Limit(per_minute=2, burst=50), NOON)
    assert terms(store, NOON).buckets[""].level == 4
    limit_all(store, Limit(per_minute=2, burst=1), NOON)
    assert terms(store, NOON + MINUTE).buckets[""].level == 1


@pytest.mark.parametrize("notify", [["in-app"], ["quiet"]], ids=["another that is told", "one that was told nothing"])
def test_who_stood_in_for_a_channel_that_is_gone_hears_of_the_end(store, home, second, notify):
    box, form = SecretBox(home), {"url": "http://127.0.0.1:9/", "allow_private": True}
    first, _ = (
        channel_store.create(store, box, {"name": name, "kind": "webhook", "config": form}, by="ada")
        for name in ("main", "quiet")
    )
    fired(store, "a", notify=["main"])
    failed(store, channel="main")
    failed(store, channel="second", failure=None)
    (rule_id,) = (one for (one,) in rows(store, "rules", "id"))
    edited = {**COSTLY, "name": "a", "notify": notify, "active": {"hours": "00:00-00:01"}, "fallback": ["second"]}
    edited |= {} if notify == ["quiet"] else {"active": None}
    rules.save(store, edited, by="ada", rule_id=rule_id, at=NOON + 2 * SECOND)
    channel_store.delete(store, first.id, by="ada")
    for minutes in (1, 10):
        tick(store, [again(store, rule_id)], NOON + minutes * MINUTE)

    for channel in ("main", "in-app", "in-app", "second"):
        gone = DeliveryError("channel 'main' does not exist", permanent=True, tried=False)
        failed(store, at=NOON + 11 * MINUTE, channel=channel, failure=gone if channel == "main" else None)

    text = "SELECT json_extract_string(notice, '$.status') FROM notifications WHERE channel = 'second' ORDER BY id"
    assert store.sql(text).rows() == [("firing",), ("resolved",)]
