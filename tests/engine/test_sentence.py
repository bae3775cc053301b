from typing import Any

import pytest

from engine.durations import duration, every_spoken, spoken, written
from engine.rule import parse
from engine.sentence import condition_sentence, sentence
from tests.engine.test_rule import CONDITION, FULL, with_condition, with_fields


def test_a_whole_rule_is_told():
    assert sentence(parse(FULL)) == (
        "A high alert fires when, for provider openai, cost over the last day is above $500 (recovering at $450) and "
        "the change in cost over the last day from the window before is above +20 % and "
        "(error rate over the last 5 minutes is above 10 % or "
        "latency p95 for model gpt-5 or gpt-5-mini over the last 5 minutes is above 8,000 ms) and "
        "not (requests this week is below 0.5 requests) for 5 minutes, for each model. "
        "Checked every minute, 30 seconds late, with days of America/New_York. "
        "It ends 10 minutes after it last held. Without data nothing changes. "
        "Notifies email-ops, slack-oncall and in-app (if that fails, pagerduty-main) "
        "mon-fri 08:00-18:00 Europe/Berlin, again every 4 hours until acknowledged, "
        "at most once in 1 hour for the same group. "
        "Unless acknowledged, it tells slack-boss after 15 minutes and pagerduty-main and slack-boss after 30 minutes. "
        "That it comes and goes is told once after 3 times in 30 minutes. "
        "While it fires (those with team plat*), incidents with severity low or info and rule Cost* and the same model "
        "notify nobody."
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {},
            (
                "A medium alert fires when cost over the last 5 minutes is above $10. "
                "Checked every minute. Nobody is notified."
            ),
        ),
        ({"when": {"any": [{"not": CONDITION}]}}, "fires when not (cost over the last 5 minutes is above $10). "),
        (
            {"no_data": "firing", "on_error": "firing"},
            "No data counts as firing. A failed evaluation counts as firing.",
        ),
        ({"no_data": "no_data", "on_error": "keep"}, "Without data it shows no data and keeps open incidents open."),
        ({"group_by": ["team", "model"]}, " is above $10, for each team and model."),
        ({"notify": "in-app"}, "Notifies in-app."),
        ({"notify": "in-app", "flapping": None}, "It is told however often it comes and goes."),
    ],
)
def test_fields_are_told(fields: dict[str, Any], expected: str):
    assert expected in sentence(parse(with_fields(**fields)))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"metric": "error_rate", "op": ">=", "value": 2.5}, "error rate over the last 5 minutes is at least 2.5 %"),
        (
            {"metric": "cost", "window": "this_month", "op": ">", "value": 20, "compare": {"to": "previous"}},
            "the change in cost this month from last month up to the same time is above +20 %",
        ),
        (
            {"metric": "cost", "window": "today", "op": ">", "value": 20, "compare": {"to": "previous"}},
            "the change in cost today from yesterday up to the same time is above +20 %",
        ),
        ({"metric": "requests", "window": "today", "op": "<=", "value": 3}, "requests today is at most 3 requests"),
        ({"metric": "spend_rate", "op": "!=", "value": 0}, "spend rate over the last 5 minutes is anything but $0/h"),
        (
            {"compare": {"to": "1w", "as": "difference"}, "value": -5, "op": "<"},
            "the change in cost over the last 5 minutes from 7 days earlier is below -$5",
        ),
        ({"where": {"tag:env": ["a", "b", "c"]}}, "cost for tag:env a, b or c over the last 5 minutes is above $10"),
    ],
)
def test_conditions_are_told(fields: dict[str, Any], expected: str):
    assert condition_sentence(parse(with_condition(**fields)).conditions[0]) == expected


@pytest.mark.parametrize(
    ("text", "short", "words", "cadence"),
    [
        ("60s", "1m", "1 minute", "every minute"),
        ("1h30m", "90m", "90 minutes", "every 90 minutes"),
        ("24h", "1d", "1 day", "every day"),
        ("1w", "7d", "7 days", "every 7 days"),
        ("45s", "45s", "45 seconds", "every 45 seconds"),
        ("0s", "0s", "0 seconds", "every 0 seconds"),
        ("1s", "1s", "1 second", "every second"),
    ],
)
def test_durations_are_read_written_and_told(text: str, short: str, words: str, cadence: str):
    length = duration(text)

    assert (written(length), spoken(length), every_spoken(length)) == (short, words, cadence)
    assert duration(written(length)) == length
