import threading

import pytest

from engine import handling, incidents
from engine.errors import NotFound, Refused, RuleError, StaleVersion
from engine.incidents import Action
from engine.tick import tick
from tests.engine.traffic import MINUTE, NOON, SECOND, rows, spend, watch


@pytest.fixture
def two(store):
    """The ids of two open incidents."""
    rule = watch(store, group_by=["model"])
    for model in ("a", "b"):
        spend(store, NOON - SECOND, "2", model=model)
    tick(store, [rule], NOON)
    return [alert for (alert,) in rows(store, "alerts", "id")]


def thread(store, alert_id):
    return [(row["author"], row["action"], row["text"]) for row in incidents.detail(store, alert_id).comments]


def test_the_thread_has_what_everybody_said_in_order(store, two):
    first = two[0]
    handling.comment(store, [first], by="ada", comment="looks like the batch job", at=NOON)
    incidents.acknowledge(store, [first], by="grace", comment="on it", at=NOON + SECOND)
    handling.assign(store, [first], by="grace", assignee="linus", comment="yours", at=NOON + 2 * SECOND)
    incidents.acknowledge(store, [first], by="linus", at=NOON + 3 * SECOND)
    incidents.resolve(store, [first], by="linus", comment="stopped it", at=NOON + 4 * SECOND)
    handling.comment(store, [first], by="ada", comment="thank you", at=NOON + 5 * SECOND)
    assert thread(store, first) == [
        ("ada", "comment", "looks like the batch job"),
        ("grace", "acknowledge", "on it"),
        ("grace", "assign", "yours"),
        ("linus", "resolve", "stopped it"),
        ("ada", "comment", "thank you"),
    ]
    assert thread(store, two[1]) == []
    assert rows(store, "alerts", "assignee", "version") == [("linus", 7), ("", 1)]
    assert [action for (action,) in rows(store, "audit_log", "action")][1:] == [
        "comment",
        "acknowledge",
        "assign",
        "acknowledge",
        "resolve",
        "comment",
    ]


ACTS = {
    Action.COMMENT: lambda store, ids, **o: handling.comment(store, ids, by="ada", comment="x", **o),
    Action.ASSIGN: lambda store, ids, **o: handling.assign(store, ids, by="ada", assignee="ada", **o),
    Action.SNOOZE: lambda store, ids, **o: handling.snooze(store, ids, by="ada", until=NOON + 5 * MINUTE, **o),
    Action.ACKNOWLEDGE: lambda store, ids, **o: incidents.acknowledge(store, ids, by="ada", **o),
    Action.RESOLVE: lambda store, ids, **o: incidents.resolve(store, ids, by="ada", **o),
}


def state(store):
    return rows(store, "alerts", "status", "assignee", "version"), rows(store, "alert_comments", "text")


@pytest.mark.parametrize("action", list(Action))
def test_who_acts_on_what_has_changed_meanwhile_is_told_and_nothing_happens(store, two, action):
    seen = dict.fromkeys(two, 1)
    handling.comment(store, two[1:], by="grace", comment="I was first", at=NOON)
    before = state(store)
    with pytest.raises(StaleVersion, match=two[1]):
        ACTS[action](store, two, versions=seen, at=NOON)
    assert state(store) == before
    done = ACTS[action](store, two, versions={two[0]: 1, two[1]: 2}, at=NOON)
    assert [(one.id, one.changed) for one in done] == [(two[0], True), (two[1], True)]


@pytest.mark.parametrize("action", list(Action))
def test_all_or_none(store, two, action):
    before = state(store)
    with pytest.raises(NotFound, match="nobody"):
        ACTS[action](store, [*two, "nobody"], at=NOON)
    assert state(store) == before


def test_of_two_who_act_on_the_same_version_at_once_one_is_told(store, two):
    barrier, outcomes = threading.Barrier(2), []

    def act(who):
        barrier.wait()
        try:
            handling.assign(store, two[:1], by=who, assignee=who, versions={two[0]: 1})
        except StaleVersion:
            outcomes.append("late")
        else:
            outcomes.append(who)

    threads = [threading.Thread(target=act, args=(who,)) for who in ("ada", "grace")]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert outcomes.count("late") == 1
    assert rows(store, "alerts", "assignee")[0][0] in outcomes


def test_a_comment_needs_words(store, two):
    with pytest.raises(RuleError, match="comment: needs words"):
        handling.comment(store, two, by="ada", comment="  ")


def test_what_was_put_off_and_still_fires_is_told_again(store):
    rule = watch(store, repeat="5m")
    for n in range(0, 40, 4):
        spend(store, NOON + n * MINUTE - SECOND, "2")
    tick(store, [rule], NOON)
    ids = [alert for (alert,) in rows(store, "alerts", "id")]
    handling.snooze(store, ids, by="ada", until=NOON + 20 * MINUTE, at=NOON + MINUTE)
    for n in (5, 19, 20, 21):
        tick(store, [rule], NOON + n * MINUTE)
    assert rows(store, "notifications", "reason", "status", "created_at")[1:] == [
        ("acknowledged", "silent", NOON + 5 * MINUTE),
        ("repeat", "pending", NOON + 20 * MINUTE),
    ]
    assert rows(store, "alerts", "status", "acknowledged_until") == [("acknowledged", NOON + 20 * MINUTE)]


def test_only_what_is_open_can_be_put_off(store, two):
    incidents.resolve(store, two[:1], by="ada", at=NOON)
    with pytest.raises(Refused):
        handling.snooze(store, two, by="ada", until=NOON + MINUTE, at=NOON)
    with pytest.raises(RuleError, match="until: must lie in the future"):
        handling.snooze(store, two[1:], by="ada", until=NOON - MINUTE, at=NOON)
