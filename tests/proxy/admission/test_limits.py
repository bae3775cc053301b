"""A key's limits hold in every minute, however the calls come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.admission.limits import Limits, SlidingMinute, seconds

#: Pauses between calls, in seconds, and their tokens.
CALLS = st.lists(st.tuples(st.floats(0, 30), st.integers(0, 500)), max_size=80)


def most_in_a_minute(admitted: list[tuple[float, int]]) -> int:
    """Brute force: the largest sum within any 60 seconds that begin with an admitted call."""
    return max((sum(amount for at, amount in admitted if start <= at < start + 60) for start, _ in admitted), default=0)


@given(CALLS, st.integers(1, 20))
def test_never_more_requests_than_the_limit_within_any_minute(calls: list[tuple[float, int]], limit: int):
    limits, now, admitted = Limits(limit, None, None), 1000.0, []
    for pause, _ in calls:
        now += pause
        if limits.take(0, now) is None:
            admitted.append((now, 1))
    assert most_in_a_minute(admitted) <= limit


@given(CALLS, st.integers(500, 3000))
def test_never_more_tokens_than_the_limit_where_estimates_are_right(calls: list[tuple[float, int]], limit: int):
    limits, now, admitted = Limits(None, limit, None), 1000.0, []
    for pause, tokens in calls:
        now += pause
        if limits.take(tokens, now) is None:
            limits.end(tokens, tokens, now)
            admitted.append((now, tokens))
    assert most_in_a_minute(admitted) <= limit


@given(CALLS, st.integers(1, 5), st.integers(100, 2000))
def test_who_waits_as_long_as_told_is_admitted(calls: list[tuple[float, int]], requests: int, tokens: int):
    limits, now = Limits(requests, tokens, None), 1000.0
    for pause, amount in calls:
        now += pause
        for _ in range(4):  # one wait for each limit, and one more where the wait for one made room for none
            exceeded = limits.take(amount, now)
            if exceeded is None:
                break
            assert exceeded.retry_after_s is not None
            assert 0 <= exceeded.retry_after_s <= 61
            now += exceeded.retry_after_s
        assert exceeded is None
        limits.end(amount, amount, now)


def test_the_limit_itself_is_admitted():
    limits = Limits(3, None, None)
    assert [limits.take(0, 1000.0) is None for _ in range(4)] == [True, True, True, False]


def test_calls_in_parallel_are_counted_until_they_end():
    limits = Limits(None, None, 2)
    assert limits.take(0, 0) is None
    assert limits.take(0, 0) is None
    assert limits.take(0, 0).what == "calls in parallel"
    limits.end(0, 10, 0)
    assert limits.take(0, 0) is None


def test_what_was_refused_counts_for_nothing():
    limits = Limits(1, 100, 5)
    limits.take(50, 1000.0)
    for _ in range(10):
        assert limits.take(50, 1000.0) is not None
    assert limits.quotas(1000.0)["tokens"].remaining == 50
    assert limits.in_flight == 1


def test_a_call_that_used_more_than_estimated_leaves_a_debt():
    limits = Limits(None, 1000, None)
    assert limits.take(10, 1000.0) is None
    limits.end(10, 2500, 1001.0)
    exceeded = limits.take(1, 1002.0)
    assert exceeded is not None
    assert exceeded.retry_after_s == pytest.approx(60.0)
    assert limits.take(1, 1062.1) is None


def test_a_call_that_used_less_gives_the_rest_back():
    limits = Limits(None, 1000, None)
    assert limits.take(900, 1000.0) is None
    limits.end(900, 100, 1001.0)
    assert limits.take(900, 1002.0) is None


def test_a_call_larger_than_the_whole_limit_is_admitted_alone():
    limits = Limits(None, 1000, None)
    assert limits.take(5000, 1000.0) is None
    assert limits.take(1, 1030.0) is not None
    assert limits.take(5000, 1062.0) is None


def test_a_clock_that_jumps_back_gives_nothing_away_and_locks_nobody_out_for_long():
    limits = Limits(2, None, None)
    limits.take(0, 10_000.0)
    limits.take(0, 5_000.0)
    assert limits.take(0, 5_001.0) is not None
    assert limits.take(0, 10_061.0) is None


def test_other_limits_hold_at_once_and_forget_nothing():
    limits = Limits(5, None, None)
    for _ in range(3):
        limits.take(0, 1000.0)
    limits.change(3, None, None)
    assert limits.take(0, 1001.0) is not None


def test_what_an_answer_says():
    limits = Limits(10, 1000, None)
    limits.take(300, 1000.0)
    quotas = limits.quotas(1010.0)
    assert (quotas["requests"].remaining, quotas["tokens"].remaining) == (9, 700)
    assert quotas["requests"].reset_s == 51.0
    assert Limits(None, None, 5).quotas(0) == {}


@pytest.mark.parametrize(("wait", "whole"), [(0.0, 1), (0.2, 1), (1.0, 1), (1.01, 2), (None, 1)])
def test_waits_are_whole_seconds_and_never_too_short(wait: float | None, whole: int):
    assert seconds(wait) == whole


def test_the_memory_of_a_minute_is_bounded():
    window = SlidingMinute()
    for number in range(100_000):
        window.forget(number / 100)
        window.add(1, number / 100)
    assert len(window._seconds) <= 62
