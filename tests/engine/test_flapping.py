from datetime import timedelta

import pytest

from engine.flapping import flaps, recent, steady_at
from engine.notice import decode
from engine.statistics import statistics
from engine.sweep import sweep
from engine.tick import tick
from tests.engine.test_notify import rule_with
from tests.engine.traffic import MINUTE, NOON, SECOND, rows, spend, watch

RULE = rule_with(flapping={"count": 3, "within": "30m"})


def after(*minutes):
    return tuple(NOON + n * MINUTE for n in minutes)


@pytest.mark.parametrize(
    ("opens", "minute", "count", "steady"),
    [
        ((), 0, 0, None),
        ((0, 10), 10, 2, None),
        ((0, 10, 20), 20, 3, 30),
        ((0, 10, 20), 29, 3, 30),
        ((0, 10, 20), 30, 2, None),
        ((0, 5, 10, 20), 20, 4, 35),
    ],
)
def test_it_flaps_while_it_began_often_enough_of_late(opens, minute, count, steady):
    now = NOON + minute * MINUTE
    assert recent(RULE, after(*opens), now) == count
    assert flaps(RULE, after(*opens), now) is (count >= 3)
    assert steady_at(RULE, after(*opens), now) == (steady and NOON + steady * MINUTE)


def test_a_group_that_comes_and_goes_is_told_once_and_its_end_in_a_digest(store):
    rule = watch(
        store, flapping={"count": 3, "within": "1h"}, when={"metric": "cost", "window": "1m", "op": ">", "value": 1}
    )
    for n in range(0, 50, 10):
        spend(store, NOON + n * MINUTE - SECOND, "2")
    for n in range(0, 50, 5):
        tick(store, [rule], NOON + n * MINUTE)
        assert sweep(store, NOON + n * MINUTE) == 0

    assert rows(store, "notifications", "reason") == [
        ("first",),
        ("resolved",),
        ("first",),
        ("resolved",),
        ("flapping",),
        ("still_flapping",),  # the end of the third
        ("still_flapping",),  # the fourth
        ("still_flapping",),  # the fifth
    ]
    assert rows(store, "alerts", "openings", "flapping") == [(1, False), (2, False), (3, True), (4, True), (5, True)]
    said = [decode(text) for (text,) in rows(store, "notifications", "notice")]
    assert said[4].summary.startswith("It comes and goes, 3 times in 1 hour; nothing more is told until it is steady.")
    assert statistics(store, NOON, NOON + timedelta(hours=1)).flapping == 3

    assert sweep(store, NOON + 79 * MINUTE) == 0
    assert sweep(store, NOON + 80 * MINUTE) == 1  # an hour after the third of the last three
    digest = decode(rows(store, "notifications", "notice")[-1][0])
    assert digest.summary == "Held back: 3 while flapping. Of 3 incidents, none fires any more."

    spend(store, NOON + 90 * MINUTE - SECOND, "2")
    tick(store, [rule], NOON + 90 * MINUTE)
    assert rows(store, "notifications", "reason")[-1] == ("first",)
