"""Warn and critical in one rule: what the document may say, and what the levels make of instances and notices."""

from typing import Any

import orjson
import pytest

from engine import rules, silences
from engine.condition import Condition
from engine.errors import RuleError
from engine.evaluate import Failure, evaluate, questions
from engine.levels import quieted
from engine.notice import decode
from engine.rule import document, parse, same_result
from engine.sentence import sentence
from engine.statistics import statistics
from engine.tick import tick
from engine.truth import Truth
from tests.engine.test_evaluate import frame
from tests.engine.traffic import MINUTE, NOON, SECOND, rows, spend, watch

COST = {"metric": "cost", "window": "5m", "op": ">", "value": 10, "warn": 6}


def rule(condition: dict[str, Any] = COST, **fields: Any):
    return parse({"name": "r", "when": condition, **fields})


@pytest.mark.parametrize(
    ("fields", "path", "message"),
    [
        ({"when": {**COST, "warn": 10}}, "when", "warn must be below value with >"),
        ({"when": {**COST, "warn": 11}}, "when", "warn must be below value with >"),
        ({"when": {**COST, "op": "<="}}, "when", "warn must be above value with <="),
        ({"when": {**COST, "op": "=="}}, "when", "warn has no meaning with =="),
        ({"when": {**COST, "warn": "much"}}, "when.warn", "must be a number"),
        ({"when": {**COST, "warn_recovery": 7}}, "when", "warn_recovery must be at most warn with >"),
        ({"when": {**COST, "op": "<", "warn": 20, "warn_recovery": 19}}, "when", "at least warn with <"),
        ({"when": {**COST, "warn": None, "warn_recovery": 5}}, "when", "warn_recovery has no effect without warn"),
        ({"when": {"not": COST}}, "when.not.warn", "would be the stricter one under a not"),
        ({"warn_severity": "high"}, "warn_severity", "must not be worse than severity, which is medium"),
        ({"warn_notify": []}, "warn_notify", "needs at least one entry"),
        ({"warn_notify": ["a", "a"], "notify": "b"}, "warn_notify", "names 'a' twice"),
        ({"warn_notify": ["a"]}, "warn_notify", "has no effect without notify"),
        ({"labels": {"level": "gold"}}, "labels.level", "is set by warn"),
        ({"group_by": ["level"]}, "group_by[0]", "unknown dimension 'level'"),
        ({"when": {**COST, "warn": None}, "warn_severity": "low"}, "warn_severity", "has no effect without a warn"),
        ({"when": {**COST, "warn": None}, "warn_notify": "a", "notify": "a"}, "warn_notify", "without a warn"),
    ],
)
def test_what_makes_no_sense_is_a_fault(fields: dict[str, Any], path: str, message: str):
    with pytest.raises(RuleError) as caught:
        rule(**{"condition": fields.pop("when", COST), **fields})
    assert message in dict(caught.value.faults)[path]


@pytest.mark.parametrize(
    ("fields", "severity", "notify"),
    [
        ({}, "low", ("ops",)),
        ({"severity": "info"}, "info", ("ops",)),
        ({"severity": "critical", "warn_severity": "critical"}, "critical", ("ops",)),
        ({"warn_severity": "info", "warn_notify": "desk"}, "info", ("desk",)),
    ],
)
def test_a_warning_is_one_step_milder_and_goes_where_all_goes_unless_it_is_said(fields, severity, notify):
    warn = rule(notify=["ops"], escalate=[{"after": "5m", "notify": "boss"}], **fields).of({"level": "warn"})
    assert (warn.severity, warn.notify, warn.escalate, warn.levels) == (severity, notify, (), {})


def test_for_each_level_the_rule_is_a_plain_one_with_that_levels_thresholds():
    condition = {**COST, "recovery": 9, "warn_recovery": 5}
    other = {"metric": "requests", "window": "1h", "op": ">=", "value": 20}
    made = rule({"all": [condition, {"any": [other, {"not": other}]}]}, **{"for": "5m", "group_by": "model"})

    found = {level: [(c.value, c.recovery) for c in each.conditions] for level, each in made.levels.items()}

    assert found == {"critical": [(10, 9), (20, None), (20, None)], "warn": [(6, 5), (20, None), (20, None)]}
    for each in made.levels.values():
        assert not same_result(each, made)
        assert [path for path, _ in each.placed] == [path for path, _ in made.placed]
        assert parse(document(each)) == each
    assert made.of({"model": "a"}) is made
    assert parse(document(made)) == made
    plain = rule({**COST, "warn": None}, labels={"level": "gold"})
    assert plain.of({"level": "warn"}) is plain


def test_the_sentence_tells_of_both():
    condition = {**COST, "recovery": 9, "warn_recovery": 5}
    told = sentence(rule(condition, severity="critical", notify=["ops"], warn_notify=["desk"]))
    assert "is above $10 (recovering at $9; warn above $6, recovering at $5)." in told
    assert (
        "At the warn thresholds it is a high alert that notifies desk, quiet while the critical one fires. Checked"
    ) in told


def test_both_levels_are_judged_from_one_reading():
    made = rule(group_by=["model"])
    assert len(questions(made, NOON)) == 1

    truths = evaluate(made, [frame("cost", 7, 11, model=("a", "b"))])

    assert [(t.labels["model"], t.labels["level"], t.truth, t.threshold) for t in truths] == [
        ("a", "critical", Truth.FALSE, 10),
        ("a", "warn", Truth.TRUE, 6),
        ("b", "critical", Truth.TRUE, 10),
        ("b", "warn", Truth.TRUE, 6),
    ]


@pytest.mark.parametrize("group_by", [[], ["model"]])
def test_a_failure_is_told_at_both_levels_also_once_it_was_told(store, group_by):
    def failing(_, asked):
        return [[Failure("no") for _ in part] for part in asked]

    watched = watch(store, group_by=group_by, when=COST)
    for n in range(3):
        tick(store, [watched], NOON + n * MINUTE, asking=failing)

    found = [(orjson.loads(labels), state) for labels, state in rows(store, "alert_instances", "labels", "state")]
    assert sorted(found, key=str) == [({"level": "critical"}, "error"), ({"level": "warn"}, "error")]


def test_each_level_has_its_own_incident_with_its_severity_threshold_and_words(store):
    watched = watch(store, when=COST, severity="critical", warn_severity="low", message="{{ level }} {{ threshold }}")
    spend(store, NOON - SECOND, "7")
    tick(store, [watched], NOON)
    spend(store, NOON + MINUTE - SECOND, "5")
    tick(store, [watched], NOON + MINUTE)

    assert rows(store, "alerts", "severity", "threshold", "group_key") == [
        ("low", 6.0, '{"level":"warn"}'),
        ("critical", 10.0, '{"level":"critical"}'),
    ]
    said = [decode(notice) for (notice,) in rows(store, "notifications", "notice")]
    assert [(n.severity, n.threshold, n.message, n.labels["level"], n.reason) for n in said] == [
        ("low", 6.0, "warn $6", "warn", "first"),
        ("critical", 10.0, "critical $10", "critical", "first"),
    ]
    counted = statistics(store, NOON - MINUTE, NOON + 2 * MINUTE)
    assert {row["severity"]: row["incidents"] for row in counted.by_severity} == {"low": 1, "critical": 1}


def test_a_silence_by_severity_means_one_level(store):
    watched = watch(store, when=COST, severity="critical")
    silences.create(
        store, {"severity": "high", "rule": "High*"}, ends_at=NOON + 60 * MINUTE, by="ada", now=NOON - MINUTE
    )
    spend(store, NOON - SECOND, "7")
    tick(store, [watched], NOON)
    spend(store, NOON + MINUTE - SECOND, "5")
    tick(store, [watched], NOON + MINUTE)

    told = rows(store, "notifications", "group_key", "reason")
    assert told == [('{"level":"warn"}', "silenced"), ('{"level":"critical"}', "first")]


def test_warnings_and_criticals_that_begin_at_once_are_two_notices(store):
    watched = watch(store, when=COST, group_by=["model"])
    for model, cost in {"a": "11", "b": "12", "c": "7", "d": "8"}.items():
        spend(store, NOON - SECOND, cost, model=model)
    tick(store, [watched], NOON)

    sent = store.sql("SELECT notice FROM notifications WHERE status = 'pending' ORDER BY id")["notice"]
    assert sorted((decode(n).severity, decode(n).title) for n in sent) == [
        ("high", "High cost: 2 groups"),
        ("medium", "High cost: 2 groups"),
    ]


def test_warnings_go_only_to_channels_that_there_are(store):
    with pytest.raises(RuleError) as caught:
        watch(store, when=COST, warn_notify=["in-app", "nobody"])
    assert "there is no channel 'nobody'" in dict(caught.value.faults)["warn_notify[1]"]


def test_a_deleted_rule_ends_both_levels_at_their_severity(store):
    watched = watch(store, when=COST)
    spend(store, NOON - SECOND, "11")
    tick(store, [watched], NOON)
    rules.delete(store, watched.id, by="ada", at=NOON + MINUTE)

    assert {status for (status,) in rows(store, "alerts", "status")} == {"resolved"}


@pytest.mark.parametrize(
    ("key", "quiet"),
    [
        ('{"level":"critical","model":"a"}', '{"level":"warn","model":"a"}'),
        ('{"level":"warn","model":"a"}', ""),
        ("{}", ""),
    ],
)
def test_a_critical_keeps_its_own_warn_quiet(key: str, quiet: str):
    assert quieted(key) == quiet


def test_a_condition_says_its_thresholds_as_they_were_written():
    assert Condition.model_validate(COST).model_dump(mode="json", exclude_defaults=True) == COST
