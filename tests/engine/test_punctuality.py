from datetime import timedelta

import pytest

from engine.punctuality import Punctuality, periods
from tests.engine.traffic import MINUTE, NOON, SECOND

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("last", "at", "expected"),
    [
        pytest.param(NOON, NOON + MINUTE, 1, id="the next one"),
        pytest.param(NOON, NOON + 10 * MINUTE, 10, id="a gap"),
        pytest.param(NOON, NOON + 59 * SECOND, 0, id="nothing was due"),
        pytest.param(NOON + 40 * SECOND, NOON + MINUTE, 1, id="after a late one"),
        pytest.param(NOON + 59 * SECOND, NOON + 2 * MINUTE, 2, id="one between a late one and a punctual one"),
        pytest.param(NOON, NOON - HOUR, 0, id="the clock was set back"),
    ],
)
def test_evaluations_fall_due_on_full_multiples(last, at, expected):
    assert periods(last, at, MINUTE) == expected


def test_what_lies_between_two_evaluations_was_missed():
    cadence = Punctuality()
    assert [cadence.evaluated(60, NOON + timedelta(minutes=n)) for n in (0, 1, 2, 5, 6)] == [0, 0, 0, 2, 0]


def test_what_was_counted_as_missed_is_not_counted_again():
    cadence = Punctuality()
    cadence.evaluated(60, NOON)
    assert [cadence.missed(60, NOON + timedelta(minutes=n)) for n in (1, 2)] == [1, 1]
    assert cadence.evaluated(60, NOON + 3 * MINUTE) == 0
    assert cadence.missed(60, NOON + 8 * MINUTE) == 5
    assert cadence.evaluated(60, NOON + 10 * MINUTE) == 1


def test_cadences_are_counted_apart_and_one_that_is_not_known_has_missed_one():
    cadence = Punctuality()
    assert cadence.evaluated(60, NOON) == cadence.evaluated(3600, NOON) == 0
    assert cadence.missed(10, NOON) == 1
    assert (cadence.evaluated(60, NOON + HOUR), cadence.evaluated(3600, NOON + HOUR)) == (59, 0)


def test_a_cadence_that_is_taken_up_has_missed_what_fell_due_since_the_last_evaluation():
    cadence = Punctuality()
    assert cadence.begin(60, NOON, NOON + 5 * MINUTE + 9 * SECOND) == 4
    assert cadence.evaluated(60, NOON + 6 * MINUTE) == 0
    assert cadence.begin(60, NOON + HOUR, NOON + HOUR - SECOND) == 0


def test_what_was_missed_while_a_clock_was_set_back_counts_on_the_new_one():
    cadence = Punctuality()
    cadence.evaluated(60, NOON)
    cadence.set_back(HOUR)
    assert cadence.evaluated(60, NOON - HOUR + 3 * MINUTE) == 2
