"""An acknowledgement that has run out is nobody's any more: in the list, in the record, and where others keep one."""

import orjson
import pytest

from data.queries import alerts as alert_rows
from engine import channel_store, handling, incidents
from engine.expiry import release
from engine.incidents import HistoryFilter
from engine.secrets import SecretBox
from engine.sweep import sweep
from engine.tick import tick
from tests.engine.traffic import MINUTE, NOON, SECOND, one, rows, spend, watch

END = NOON + 20 * MINUTE


@pytest.fixture
def firing(store, home):
    form = {"token": "xoxb-1", "channel": "#ops", "api_url": "http://127.0.0.1:9/api/", "allow_private": True}
    channel_store.create(store, SecretBox(home), {"name": "slack", "kind": "slack", "config": form}, by="ada")
    rule = watch(store, notify=["slack", "in-app"], repeat="5m")
    for n in range(0, 40, 4):
        spend(store, NOON + n * MINUTE - SECOND, "2")
    tick(store, [rule], NOON)
    return rule, one(rows(store, "alerts", "id"))[0]


def status(store):
    return one(rows(store, "alerts", "status", "acknowledged_by", "acknowledged_until", "version"))


def test_what_was_put_off_is_let_go_when_that_ends_and_says_why(store, firing):
    _, alert_id = firing
    handling.snooze(store, [alert_id], by="ada", until=END, at=NOON + MINUTE)
    assert sweep(store, END - SECOND) == 0
    assert status(store) == ("acknowledged", "ada", END, 2)

    assert sweep(store, END) == 1
    assert status(store) == ("firing", "", None, 3)
    assert incidents.history(store, HistoryFilter(status=("acknowledged",))) == []
    said = "The acknowledgement by ada ran out."
    (remark,) = handling.comments(store, alert_id)
    assert (remark["author"], remark["action"], remark["text"]) == ("worker", "unacknowledge", said)
    lines = [line for line in rows(store, "audit_log", "actor", "action", "detail") if line[1] == "unacknowledge"]
    assert [(actor, orjson.loads(detail)["reason"]) for actor, _, detail in lines] == [("worker", said)]
    assert sweep(store, END + SECOND) == 0


def test_only_channels_that_follow_are_told_and_reminders_go_on_as_if_nothing_was(store, firing):
    rule, alert_id = firing
    handling.snooze(store, [alert_id], by="ada", until=END, at=NOON + MINUTE)
    sweep(store, END)
    tick(store, [rule], END)
    assert rows(store, "notifications", "channel", "reason", "status", "created_at")[2:] == [
        ("slack", "acknowledgement", "pending", NOON + MINUTE),
        ("slack", "unacknowledged", "pending", END),
        ("slack", "repeat", "pending", END),
        ("in-app", "repeat", "pending", END),
    ]
    words = orjson.loads(rows(store, "notifications", "notice")[3][0])
    assert (words["status"], words["summary"]) == (
        "firing",
        "The acknowledgement ran out: nobody is on it any more.",
    )


def test_one_without_an_end_is_kept_and_one_that_is_over_too(store, firing):
    _, alert_id = firing
    incidents.acknowledge(store, [alert_id], by="ada", at=NOON + MINUTE)
    assert sweep(store, END) == 0
    assert status(store)[0] == "acknowledged"
    handling.snooze(store, [alert_id], by="ada", until=END, at=NOON + MINUTE)
    incidents.resolve(store, [alert_id], by="ada", at=NOON + 2 * MINUTE)
    assert release(store, END) == 0
    assert status(store)[0] == "resolved"


def test_one_that_somebody_renews_at_the_same_time_stays_theirs(store, firing, monkeypatch):
    _, alert_id = firing
    handling.snooze(store, [alert_id], by="ada", until=END, at=NOON + MINUTE)
    real = alert_rows.releasing

    def renewed_meanwhile(each):
        handling.snooze(store, [each], by="grace", until=END + MINUTE, at=END)
        return real(each)

    monkeypatch.setattr(alert_rows, "releasing", renewed_meanwhile)
    assert release(store, END) == 0
    assert status(store)[:3] == ("acknowledged", "grace", END + MINUTE)


def test_whoever_has_lost_the_lease_lets_nothing_go(store, firing):
    _, alert_id = firing
    handling.snooze(store, [alert_id], by="ada", until=END, at=NOON + MINUTE)
    assert release(store, END, fence=[alert_rows.touching(alert_id, 99)]) == 0
    assert status(store)[0] == "acknowledged"
