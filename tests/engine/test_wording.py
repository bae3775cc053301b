import pytest

from engine.notice import quantity
from engine.rule import parse
from engine.sentence import with_unit
from engine.wording import Measured, message, summary
from engine.wording import measured as measured_of

VALUES = {"value": "$2", "rule": "High cost", "team-name": "core", "labels": {"team-name": "core"}}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("", ""),
        ("{{ rule }}: {{value}}", "High cost: $2"),
        ("{{ team-name }}", "core"),
        ("{% if labels.model %}{{ labels.model }}{% else %}all models{% endif %}", "all models"),
    ],
)
def test_a_message_is_filled_in(template, text):
    assert message(template, VALUES) == (text, "")


def test_a_broken_message_stays_as_written_and_is_flagged():
    assert message("call {{ bob }}", VALUES) == (
        "call {{ bob }}",
        "the message names bob, known are labels, rule, team-name, value",
    )
    text, flaw = message("{{ 'x' * 10**9 }}", VALUES)
    assert (text, flaw) == ("{{ 'x' * 10**9 }}", "the message: Pow is not possible in a template")


def seen(measured, threshold=500, **more):
    condition = {"metric": "cost", "window": "1d", "op": ">", "value": threshold, **more}
    rule = parse({"name": "r", "when": {"all": [condition]}})
    return Measured(rule.conditions[0], measured, rule.conditions[0].value)


@pytest.mark.parametrize(
    ("measured", "text"),
    [
        (seen(512.3), "Cost over the last day: $512.30 (threshold: above $500)."),
        (seen(0.004212, 0.001), "Cost over the last day: $0.004212 (threshold: above $0.001)."),
        (
            seen(0.004, 0.001, metric="error_rate"),
            "Error rate over the last day: 0.004 % (threshold: above 0.001 %).",
        ),
        (
            seen(-12.5, -10, compare={"to": "7d", "as": "difference"}, op="<"),
            "The change in cost over the last day from 7 days earlier: -$12.50 (threshold: below -$10).",
        ),
        (
            seen(7, metric="requests", window="today", op="<="),
            "Requests today: 7 (threshold: at most 500).",
        ),
        (
            seen(41.23, 30, compare={"to": "7d", "as": "percent"}),
            "The change in cost over the last day from 7 days earlier: +41.23 % (threshold: above +30 %).",
        ),
        (
            seen(-41, -30, compare={"to": "7d", "as": "percent"}, op="<"),
            "The change in cost over the last day from 7 days earlier: -41 % (threshold: below -30 %).",
        ),
        (seen(1, 0, metric="unpriced_requests"), "Unpriced requests over the last day: 1 (threshold: above 0)."),
        (
            seen(1234, 900.5, metric="latency_p95"),
            "Latency p95 over the last day: 1,234 ms (threshold: above 900.5 ms).",
        ),
        (seen(None), "Cost over the last day: no data (threshold: above $500)."),
    ],
)
def test_what_was_measured_is_told_in_one_sentence(measured, text):
    assert summary(measured) == text


def test_the_rules_own_scope_is_told_with_the_conditions():
    condition = {"metric": "requests", "window": "15s", "op": ">", "value": 1, "where": {"team": ["a"]}}
    rule = parse({"name": "r", "where": {"model": "gpt-5", "team": ["a", "b"]}, "when": {"all": [condition]}})
    told = summary(measured_of(rule, None))
    assert told == "Requests for model gpt-5 and team a over the last 15 seconds: no data (threshold: above 1)."


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1, "requests", "1 request"),
        (2, "requests", "2 requests"),
        (1, "percent", "1 %"),
        (1, "ms", "1 ms"),
        (1, "", "1"),
    ],
)
def test_one_of_them_is_told_as_one(value, unit, text):
    assert (quantity(value, unit), with_unit(value, unit)) == (text, text)


def test_one_counted_thing_needs_no_word_behind_it():
    condition = {"metric": "requests", "window": "15s", "op": ">", "value": 1}
    rule = parse({"name": "r", "when": condition})
    assert summary(Measured(rule.conditions[0], 1, 1)) == "Requests over the last 15 seconds: 1 (threshold: above 1)."


def test_how_it_ended_is_told_with_what_was_measured_last():
    told = summary(seen(3), ended="condition")
    assert told == "The condition no longer holds. Cost over the last day: $3.00 (threshold: above $500)."
    assert summary(seen(None), ended="missing_group") == "The group has vanished from the data."
    assert summary(seen(3), ended="condition", by="anna") == "Resolved by anna."


def test_a_metric_that_there_is_no_more_is_told_by_its_name():
    gone = seen(3)
    object.__setattr__(gone.condition, "metric", "gone")
    assert summary(gone) == "Gone: 3 (threshold: 500)."
