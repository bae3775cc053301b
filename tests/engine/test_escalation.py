"""Escalation in the live engine: who is told, when nobody acknowledges."""

import pytest

from engine import channel_store, incidents, rules
from engine.errors import Refused, RuleError
from engine.secrets import SecretBox
from engine.tick import tick
from tests.engine.traffic import COSTLY, MINUTE, NOON, SECOND, again, one, rows, spend, watch

STEPS = [{"after": "10m", "notify": "boss"}]


@pytest.fixture
def boss(store, home):
    config = {"url": "http://127.0.0.1:9/", "allow_private": True}
    return channel_store.create(store, SecretBox(home), {"name": "boss", "kind": "webhook", "config": config}, by="ada")


def burning(store, minutes, **fields):
    rule = watch(store, escalate=STEPS, **fields)
    for n in range(0, minutes, 4):
        spend(store, NOON + n * MINUTE - SECOND, "2")
    return rule


def told(store):
    return rows(store, "notifications", "channel", "reason")


def test_nobody_acknowledges_and_the_boss_hears_of_it_and_of_the_end(store, boss):
    rule = burning(store, 20)
    for n in (0, 9, 10, 11, 30):
        tick(store, [rule], NOON + n * MINUTE)
    assert told(store) == [("in-app", "first"), ("boss", "escalation"), ("in-app", "resolved"), ("boss", "resolved")]


def test_an_acknowledgement_stops_it_and_its_end_resumes_it(store, boss):
    rule = burning(store, 60)
    tick(store, [rule], NOON)
    alert_id = one(rows(store, "alerts", "id"))[0]
    incidents.acknowledge(store, [alert_id], by="ada", at=NOON + MINUTE, until=NOON + 20 * MINUTE)
    for n in (9, 10, 11, 19):
        tick(store, [rule], NOON + n * MINUTE)
    assert told(store)[1:] == [("boss", "acknowledged")]
    for n in (20, 21):
        tick(store, [rule], NOON + n * MINUTE)
    assert told(store)[2:] == [("boss", "escalation")]


def test_a_channel_of_a_step_must_exist_and_stays_while_it_is_used(store, home, boss):
    with pytest.raises(RuleError) as caught:
        watch(store, escalate=[*STEPS, {"after": "20m", "notify": ["boss", "nobody"]}])
    assert [path for path, _ in caught.value.faults] == ["escalate[1].notify[1]"]
    rules.save(store, {**COSTLY, "escalate": STEPS}, by="ada")
    with pytest.raises(Refused):
        channel_store.delete(store, boss.id, by="ada")


@pytest.mark.parametrize("there", [True, False])
def test_a_channel_that_the_rule_names_no_more_hears_of_the_end_all_the_same(store, home, boss, *, there):
    rule = watch(store, notify=["boss"])
    spend(store, NOON - SECOND, "2")
    tick(store, [rule], NOON)
    edited = rules.save(store, {**COSTLY, "notify": ["in-app"], "repeat": "1m"}, by="ada", rule_id=rule.id)
    if not there:
        channel_store.delete(store, boss.id, by="ada")
    for n in (1, 10):
        tick(store, [again(store, edited.id)], NOON + n * MINUTE)
    first, ends = ("boss", "first"), [("boss", "resolved")] if there else []
    assert told(store) == [first, ("in-app", "first"), ("in-app", "resolved"), *ends]
