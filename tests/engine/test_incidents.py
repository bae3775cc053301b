import pytest
from sqlalchemy import update

from data.schema import rules as stored_rules
from data.store import Statement
from engine import incidents, rules
from engine.errors import Refused
from engine.notice import decode
from engine.tick import tick
from tests.engine.traffic import MINUTE, NOON, SECOND, one, rows, spend, watch


def test_repeats_stop_when_acknowledged(store):
    rule = watch(store, repeat="2m")
    for n in range(0, 20, 2):
        spend(store, NOON + n * MINUTE - SECOND, "2")
    tick(store, [rule], NOON)
    tick(store, [rule], NOON + 2 * MINUTE)
    alert_id = one(rows(store, "alerts", "id"))[0]
    incidents.acknowledge(store, [alert_id], by="grace", comment="on it", at=NOON + 3 * MINUTE)
    for n in (4, 6, 8):
        tick(store, [rule], NOON + n * MINUTE)
    sent = [reason for reason, status in rows(store, "notifications", "reason", "status") if status == "pending"]
    assert sent == ["first", "repeat"]
    assert rows(store, "alerts", "status", "acknowledged_by", "comment") == [("acknowledged", "grace", "on it")]


def test_resolving_by_hand_ends_the_episode_and_a_lasting_breach_opens_a_new_one_after_its_for(store):
    rule = watch(store, **{"for": "2m", "cooldown": "30m"})
    for n in range(10):
        spend(store, NOON + n * MINUTE - SECOND, "2")
    for n in range(3):
        tick(store, [rule], NOON + n * MINUTE)
    first = one(rows(store, "alerts", "id"))[0]
    incidents.resolve(store, [first], by="grace", comment="known", at=NOON + 2 * MINUTE + SECOND)
    assert rows(store, "alerts", "status", "resolved_by", "comment") == [("resolved", "grace", "known")]
    assert rows(store, "alert_events", "reason")[-1] == ("by_hand",)
    tick(store, [rule], NOON + 3 * MINUTE)
    assert rows(store, "alert_instances", "state") == [("pending",)]
    for n in (4, 5):
        tick(store, [rule], NOON + n * MINUTE)
    assert rows(store, "alerts", "status") == [("resolved",), ("firing",)]
    assert [r for (r,) in rows(store, "notifications", "reason")] == ["first", "resolved", "cooldown"]


def test_a_resolved_incident_cannot_be_acknowledged_and_nothing_of_the_bulk_happens(store):
    rule = watch(store, group_by=["model"])
    spend(store, NOON - SECOND, "2", model="a")
    spend(store, NOON - SECOND, "2", model="b")
    tick(store, [rule], NOON)
    (first,), (second,) = rows(store, "alerts", "id")
    incidents.resolve(store, [first], by="ada", at=NOON + SECOND)
    with pytest.raises(Refused):
        incidents.acknowledge(store, [second, first], by="ada", at=NOON + SECOND)
    assert {status for (status,) in rows(store, "alerts", "status")} == {"resolved", "firing"}
    done = incidents.resolve(store, [first, second], by="ada", at=NOON + 2 * SECOND)
    assert [(d.id, d.changed) for d in done] == [(first, False), (second, True)]


@pytest.mark.parametrize("how", ["resolved by hand", "deleted"])
def test_the_end_is_told_also_where_the_rules_document_cannot_be_read_any_more(store, how):
    rule = watch(store)
    spend(store, NOON - SECOND, "2")
    tick(store, [rule], NOON)
    store.transact([Statement(update(stored_rules).values(document='{"when": "gone"}'))])
    alert_id = one(rows(store, "alerts", "id"))[0]
    if how == "deleted":
        rules.delete(store, rule.id, by="ada")
    else:
        incidents.resolve(store, [alert_id], by="ada", at=NOON + MINUTE)
    assert rows(store, "alerts", "status") == [("resolved",)]
    assert rows(store, "notifications", "channel", "reason") == [("in-app", "first"), ("in-app", "resolved")]
    said = decode(rows(store, "notifications", "notice")[-1][0])
    assert (said.title, said.severity, said.metric, said.threshold) == ("High cost", "high", "", None)
