from datetime import timedelta

import pytest

from engine.breaker import DEAD_AFTER, OPENS_AFTER, REST, Breaker, counts, is_dead, of_attempts
from tests.engine.receivers import NOON

SECOND = timedelta(seconds=1)


def after(*results):
    breaker = Breaker()
    for n, failed in enumerate(results):
        breaker = breaker.after(failed=failed, at=NOON + n * SECOND)
    return breaker


def test_failures_in_a_row_open_it_for_a_while():
    assert not after(*[True] * (OPENS_AFTER - 1)).is_open(NOON)
    opened = after(*[True] * OPENS_AFTER)
    last = NOON + (OPENS_AFTER - 1) * SECOND
    assert opened.is_open(last + REST - SECOND)
    assert not opened.is_open(last + REST)
    assert (opened.tripped, opened.rests_until) == (True, last + REST)


def test_a_success_closes_it_and_a_failed_probe_opens_it_again():
    opened = after(*[True] * OPENS_AFTER)
    assert opened.after(failed=False, at=NOON) == Breaker()
    later = NOON + timedelta(hours=1)
    assert opened.after(failed=True, at=later).is_open(later + REST - SECOND)


def test_failures_must_be_in_a_row():
    assert not after(*[True, True, True, True, False] * 3).tripped


@pytest.mark.parametrize("results", [[], [True], [False, True], [True] * 7, [True, False, True, True]])
def test_what_is_read_from_the_rows_is_what_was_counted(results):
    rows = [(failed, NOON + n * SECOND) for n, failed in enumerate(results)]
    assert of_attempts(reversed(rows)) == after(*results)


def test_patience_asked_for_is_no_failure_of_the_channel():
    assert not counts(429)
    assert counts(None)
    assert counts(500)


@pytest.mark.parametrize(
    ("since", "failures", "dead"),
    [(None, 9, False), (NOON, 9, True), (NOON, 2, False), (NOON + SECOND, 9, False)],
)
def test_a_channel_is_dead_after_days_of_refusals(since, failures, dead):
    assert is_dead(since, failures, NOON + DEAD_AFTER) == dead
