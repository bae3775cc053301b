from datetime import timedelta

import pytest

from engine import silences
from engine.errors import NotFound, Refused, RuleError
from engine.tick import tick
from tests.engine.traffic import MINUTE, NOON, SECOND, rows, spend, watch

HOUR = timedelta(hours=1)


def silence(store, matchers, **options):
    return silences.create(store, matchers, by="ada", now=NOON - MINUTE, **{"ends_at": NOON + 3 * MINUTE, **options})


@pytest.mark.parametrize(
    ("matchers", "quiet"),
    [
        ({"rule": "High cost"}, True),
        ({"rule": "High*", "severity": "high"}, True),
        ({"model": "opus"}, True),
        ({"model": "op*"}, True),
        ({"model": "sonnet"}, False),
        ({"model": "opus", "severity": "low"}, False),
        ({"team": "*"}, True),
        ({"team": "?*"}, False),
    ],
)
def test_a_matching_incident_is_recorded_and_told_to_nobody(store, matchers, quiet):
    rule = watch(store, group_by=["model"])
    silence(store, matchers)
    spend(store, NOON - SECOND, "2")
    tick(store, [rule], NOON)
    assert rows(store, "alerts", "status") == [("firing",)]
    expected = ("silenced", "silent") if quiet else ("first", "pending")
    assert rows(store, "notifications", "reason", "status") == [expected]


def test_what_still_fires_when_the_silence_ends_is_told_then(store):
    rule = watch(store)
    silence(store, {"rule": "High cost"})
    spend(store, NOON - SECOND, "2")
    for n in range(5):
        tick(store, [rule], NOON + n * MINUTE)
    assert rows(store, "notifications", "reason", "created_at") == [("silenced", NOON), ("first", NOON + 3 * MINUTE)]


def test_a_silence_can_be_ended_early_and_only_once(store):
    made = silence(store, {"rule": "*"})
    silences.end(store, made.id, by="ada", now=NOON)
    assert silences.at(store, NOON) == ()
    with pytest.raises(Refused):
        silences.end(store, made.id, by="ada", now=NOON)
    with pytest.raises(NotFound):
        silences.end(store, "nobody", by="ada", now=NOON)


@pytest.mark.parametrize(
    ("matchers", "options", "field"),
    [
        ({}, {}, "matchers"),
        ({"rule": "x"}, {"ends_at": NOON - HOUR}, "ends_at"),
        ({"rule": "x"}, {"starts_at": NOON + HOUR}, "ends_at"),
    ],
)
def test_a_silence_needs_a_matcher_and_a_time(store, matchers, options, field):
    with pytest.raises(RuleError) as caught:
        silence(store, matchers, **options)
    assert [fault.path for fault in caught.value.faults] == [field]
