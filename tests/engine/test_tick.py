from datetime import timedelta

import pytest

from data import query
from data.errors import QueryRejected
from data.queries import alerts, leases
from engine import incidents, rules
from engine.commit import Fenced
from engine.tick import look, tick
from tests.engine.traffic import COSTLY, MINUTE, NOON, SECOND, again, rows, spend, watch

HOUR = timedelta(hours=1)


def test_a_breach_opens_an_incident_and_queues_its_notice_in_one_go(store):
    rule = watch(store)
    spend(store, NOON - SECOND, "2.5")

    done = tick(store, [rule], NOON)

    assert (done.transitions, done.notices, done.conflicted) == (1, 1, ())
    assert rows(store, "alert_instances", "state", "value", "threshold") == [("firing", 2.5, 1.0)]
    assert rows(store, "alerts", "status", "rule_name", "severity", "opened_at") == [
        ("firing", "High cost", "high", NOON)
    ]
    assert rows(store, "notifications", "channel", "reason", "status") == [("in-app", "first", "pending")]
    assert rows(store, "alert_events", "from_state", "to_state", "reason") == [("normal", "firing", "condition")]


def test_nothing_is_told_twice_while_it_fires(store):
    rule = watch(store)
    spend(store, NOON - SECOND, "2")
    for n in range(3):
        tick(store, [rule], NOON + n * MINUTE)
    assert rows(store, "notifications", "reason") == [("first",)]


def test_the_end_of_a_breach_resolves_the_incident_and_says_so(store):
    rule = watch(store)
    spend(store, NOON - SECOND, "2")
    tick(store, [rule], NOON)
    tick(store, [rule], NOON + 6 * MINUTE)
    assert rows(store, "alerts", "status", "resolved_at", "resolved_by") == [("resolved", NOON + 6 * MINUTE, "")]
    assert rows(store, "notifications", "reason") == [("first",), ("resolved",)]
    assert rows(store, "alert_instances", "state", "alert_id") == [("normal", "")]


def test_a_pending_alert_resolves_silently(store):
    rule = watch(store, **{"for": "10m"})
    spend(store, NOON - SECOND, "2")
    tick(store, [rule], NOON)
    tick(store, [rule], NOON + 6 * MINUTE)
    assert rows(store, "alerts", "id") == []
    assert rows(store, "alert_events", "to_state") == [("pending",), ("normal",)]


def test_each_group_has_an_incident_of_its_own(store):
    rule = watch(store, group_by=["model"])
    spend(store, NOON - SECOND, "2", model="opus")
    spend(store, NOON - SECOND, "3", model="sonnet")
    spend(store, NOON - SECOND, "0.5", model="haiku")
    tick(store, [rule], NOON)
    assert sorted(rows(store, "alerts", "labels")) == [('{"model":"opus"}',), ('{"model":"sonnet"}',)]
    assert len(rows(store, "alert_instances", "state")) == 3


def test_the_same_tick_twice_changes_nothing(store):
    rule = watch(store)
    spend(store, NOON - SECOND, "2")
    tick(store, [rule], NOON)
    assert tick(store, [rule], NOON).rules == 0
    assert len(rows(store, "notifications", "id")) == 1


def test_a_group_resolved_by_hand_a_moment_ago_keeps_no_other_from_being_evaluated(store):
    rule = watch(store, group_by=["model"])
    spend(store, NOON - SECOND, "2", model="opus")
    spend(store, NOON - SECOND, "0.5", model="haiku")
    tick(store, [rule], NOON)
    spend(store, NOON + SECOND, "2", model="haiku")
    ((opus,),) = rows(store, "alerts", "id")
    incidents.resolve(store, [opus], by="ada", at=NOON + MINUTE + SECOND)

    assert tick(store, [rule], NOON + MINUTE).transitions == 1

    assert rows(store, "alert_instances", "state") == [("firing",), ("normal",)]


def test_two_workers_at_the_same_instant_open_one_incident(store, monkeypatch):
    rule = watch(store)
    spend(store, NOON - SECOND, "2")
    read = alerts.instances

    def read_then_lose_the_race(*args):
        found = read(*args)
        monkeypatch.setattr(alerts, "instances", read)
        tick(store, [rule], NOON)
        return found

    monkeypatch.setattr(alerts, "instances", read_then_lose_the_race)
    assert tick(store, [rule], NOON).conflicted == (rule.id,)
    assert len(rows(store, "alerts", "id")) == len(rows(store, "notifications", "id")) == 1


def test_a_stale_worker_writes_nothing(store):
    rule = watch(store)
    spend(store, NOON - SECOND, "2")
    old = leases.acquire(store, "evaluator", "old", now=NOON - HOUR, until=NOON - MINUTE)
    new = leases.acquire(store, "evaluator", "new", now=NOON, until=NOON + MINUTE)
    assert old is not None
    assert new == old + 1
    with pytest.raises(Fenced):
        tick(store, [rule], NOON, fence=[leases.holding("evaluator", old, until=NOON + HOUR)])
    assert rows(store, "alerts", "id") == []
    tick(store, [rule], NOON, fence=[leases.holding("evaluator", new, until=NOON + HOUR)])
    assert len(rows(store, "alerts", "id")) == 1


def test_a_lease_is_taken_by_one_until_it_runs_out(store):
    assert leases.acquire(store, "evaluator", "a", now=NOON, until=NOON + MINUTE) == 1
    assert leases.acquire(store, "evaluator", "b", now=NOON, until=NOON + MINUTE) is None
    assert leases.acquire(store, "evaluator", "b", now=NOON + MINUTE, until=NOON + 2 * MINUTE) == 2


def test_a_commit_that_comes_late_does_not_shorten_a_lease_prolonged_meanwhile(store):
    rule = watch(store)
    spend(store, NOON - SECOND, "2")
    token = leases.acquire(store, "evaluator", "a", now=NOON, until=NOON + MINUTE)
    fence = [leases.holding("evaluator", token, until=NOON + MINUTE)]
    store.transact([leases.holding("evaluator", token, until=NOON + HOUR)])

    tick(store, [rule], NOON, fence=fence)

    assert leases.holder(store, "evaluator") == ("a", NOON + HOUR)
    assert leases.acquire(store, "evaluator", "b", now=NOON + 2 * MINUTE, until=NOON + HOUR) is None


def test_a_rule_edited_during_the_tick_is_left_to_the_next(store):
    rule = watch(store)
    spend(store, NOON - SECOND, "2")
    rules.save(store, {**COSTLY, "name": "Other"}, rule_id=rule.id, by="ada")
    assert tick(store, [rule], NOON).conflicted == (rule.id,)
    assert rows(store, "alerts", "id") == []


def test_one_rules_conflict_leaves_the_others_in_peace(store):
    stale, fresh = watch(store), watch(store, name="Fresh")
    spend(store, NOON - SECOND, "2")
    rules.toggle(store, stale.id, by="ada")
    assert tick(store, [stale, fresh], NOON).conflicted == (stale.id,)
    assert rows(store, "alerts", "rule_name") == [("Fresh",)]


@pytest.mark.parametrize("at_once", [1, 2, 5, 1000])
def test_changes_of_many_rules_are_committed_in_portions_and_those_of_one_together(store, monkeypatch, at_once):
    monkeypatch.setattr("engine.commit.AT_ONCE", at_once)
    stale, *fresh = [watch(store, name=f"Rule {n}") for n in range(4)]
    spend(store, NOON - SECOND, "2")
    rules.toggle(store, stale.id, by="ada")

    done = tick(store, [fresh[0], stale, *fresh[1:]], NOON)

    assert (done.rules, done.transitions, done.notices, done.conflicted) == (4, 3, 3, (stale.id,))
    assert sorted(rows(store, "alerts", "rule_name")) == [(f"Rule {n}",) for n in (1, 2, 3)]
    assert len(rows(store, "rule_health", "rule_id")) == len(rows(store, "notifications", "id")) == 3


@pytest.mark.parametrize("part", ["evaluate", "changes"])
def test_a_rule_that_fails_is_in_bad_health_and_the_others_go_on(store, monkeypatch, part):
    broken, fine = watch(store, name="Broken"), watch(store, name="Fine")
    spend(store, NOON - SECOND, "2")
    from engine import tick as module

    real = getattr(module, part)

    def work_or_fail(of, *args):
        if getattr(of, "rule", of).name == "Broken":
            raise ZeroDivisionError("made up")
        return real(of, *args)

    monkeypatch.setattr(module, part, work_or_fail)
    tick(store, [broken, fine], NOON)
    assert rules.get(store, broken.id).health == "error"
    assert "made up" in rules.get(store, broken.id).health_message
    assert rules.get(store, fine.id).state == "firing"


def test_a_question_that_cannot_be_answered_spoils_only_its_own_rule(store, monkeypatch):
    odd = watch(store, name="Odd", where={"model": "odd"})
    fine = watch(store, name="Fine")
    spend(store, NOON - SECOND, "2")
    answer = query.answer

    def answer_or_fail(source, question):
        if question.where:
            raise QueryRejected("made up")
        return answer(source, question)

    def all_fail(*_):
        raise QueryRejected("made up")

    monkeypatch.setattr(query, "answers", all_fail)
    monkeypatch.setattr(query, "answer", answer_or_fail)
    tick(store, [odd, fine], NOON)
    assert rules.get(store, fine.id).state == "firing"
    assert (rules.get(store, odd.id).state, rules.get(store, odd.id).health) == ("error", "error")
    assert "made up" in rules.get(store, odd.id).health_message


def test_pending_does_not_run_while_nobody_watches(store):
    rule = watch(store, **{"for": "3m"})
    for n in range(0, 60, 2):
        spend(store, NOON + n * MINUTE - SECOND, "2")
    tick(store, [rule], NOON)
    tick(store, [rule], NOON + MINUTE)
    tick(store, [rule], NOON + 30 * MINUTE)
    assert rows(store, "alert_instances", "state", "reason") == [("pending", "restored")]
    tick(store, [rule], NOON + 31 * MINUTE)
    assert rows(store, "alert_instances", "state", "reason") == [("firing", "condition")]
    assert rows(store, "alert_events", "to_state", "reason")[-1] == ("firing", "restored")


@pytest.mark.parametrize(
    ("evaluated", "edited", "fires"),
    [
        pytest.param([0, 60], 110, 120, id="just as long as for says"),
        pytest.param([0], 110, 120, id="a late evaluation is none that was missed"),
        pytest.param([0], 150, 270, id="what was missed before the edit was not watched"),
    ],
)
def test_a_rule_that_is_evaluated_more_often_from_now_on_was_watched_before(store, evaluated, edited, fires):
    long = {"when": {"metric": "cost", "window": "1d", "op": ">", "value": 1}, "for": "2h"}
    rule = watch(store, every="1h", **long)
    spend(store, NOON - SECOND, "2")
    for minute in evaluated:
        tick(store, [rule], NOON + minute * MINUTE)
    at = NOON + edited * MINUTE - SECOND / 2
    rules.save(store, {**COSTLY, **long, "every": "1m"}, by="ada", rule_id=rule.id, at=at)
    rule, minute = again(store, rule.id), edited
    while not rows(store, "alerts", "id"):
        tick(store, [rule], NOON + minute * MINUTE)
        minute += 1
        assert minute < 500
    assert minute - 1 == fires


def test_a_clock_that_is_set_back_stops_no_rule(store):
    rule = watch(store, **{"for": "2m"})
    spend(store, NOON + 5 * HOUR - SECOND, "2")
    spend(store, NOON - SECOND, "2")
    tick(store, [rule], NOON + 5 * HOUR)
    states = []
    for n in range(3):
        tick(store, [rule], NOON + n * MINUTE)
        states += rows(store, "alert_instances", "state")
    assert states == [("pending",), ("pending",), ("firing",)]


def test_a_silence_is_recorded_once_with_its_reason(store):
    rule = watch(store, cooldown="1h")
    spend(store, NOON - SECOND, "2")
    tick(store, [rule], NOON)
    tick(store, [rule], NOON + 6 * MINUTE)
    spend(store, NOON + 10 * MINUTE - SECOND, "2")
    for n in (10, 11, 12):
        tick(store, [rule], NOON + n * MINUTE)
    assert rows(store, "notifications", "reason", "status") == [
        ("first", "pending"),
        ("resolved", "pending"),
        ("cooldown", "silent"),
    ]


def test_a_look_shows_each_condition_and_changes_nothing(store):
    rule = watch(store)
    spend(store, NOON - SECOND, "2")
    (group,) = look(store, rule.rule, NOON)
    assert (group.truth, group.value, group.conditions[0].path) == ("true", 2.0, "when")
    assert rows(store, "alert_instances", "state") == []


def test_a_look_holds_what_fires_to_its_recovery_threshold_as_a_tick_does_and_a_draft_to_none(store):
    rule = watch(store, when={"metric": "cost", "window": "5m", "op": ">", "value": 500, "recovery": 450})
    spend(store, NOON - SECOND, "510")
    tick(store, [rule], NOON)
    later = NOON + 10 * MINUTE
    spend(store, later - SECOND, "470")
    assert said(look(store, rule.rule, later)) == [("false", 470.0, 500.0)]
    assert said(look(store, rule.rule, later, rule.id)) == [("true", 470.0, 450.0)]
    tick(store, [rule], later)
    assert rows(store, "alert_instances", "state", "value", "threshold") == [("firing", 470.0, 450.0)]


def said(groups):
    return [(group.truth, group.value, group.threshold) for group in groups]


def test_rules_of_one_cadence_are_evaluated_together(store):
    watched = [
        watch(store, name=f"rule {n}", when={"metric": "cost", "window": "5m", "op": ">", "value": n})
        for n in range(50)
    ]
    spend(store, NOON - SECOND, "20.5")
    done = tick(store, watched, NOON)
    assert (done.rules, done.transitions) == (50, 21)
