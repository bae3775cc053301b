"""A key's limits hold in every minute, however the calls come and end."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.admission.limits import Exceeded, Limits, SlidingMinute, Ticket, seconds

START = 1000.0
#: Pauses between calls, in seconds, and their tokens.
CALLS = st.lists(st.tuples(st.floats(0, 30), st.integers(0, 500)), max_size=80)
#: For each call: the pause before it, its estimate, how many of those before it end first, and what these have used.
LIVES = st.lists(
    st.tuples(
        st.floats(0, 40) | st.just(0.0),
        st.integers(1, 900),
        st.integers(0, 3),
        st.integers(0, 2500) | st.just(0),
    ),
    max_size=60,
)


def admitted(limits: Limits, tokens: int, now: float) -> bool:
    return isinstance(limits.take(tokens, now), Ticket)


def most_in_a_minute(calls: list[tuple[float, int]]) -> int:
    """Brute force: the largest sum within any 60 seconds that begin with an admitted call."""
    return max((sum(amount for at, amount in calls if start <= at < start + 60) for start, _ in calls), default=0)


@dataclass
class Life:
    """One admitted call, as a plain list of what was charged when."""

    ticket: Ticket
    at: float
    estimated: int
    charges: list[tuple[float, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.charges = [(self.at, self.estimated)]

    def end(self, used: int, now: float) -> None:
        self.ticket.end(used, now)
        self.charges = [(self.at, min(self.estimated, used)), (now, max(used - self.estimated, 0))]


@given(CALLS, st.integers(1, 20))
def test_never_more_requests_than_the_limit_within_any_minute(calls: list[tuple[float, int]], limit: int):
    limits, now, passed = Limits(limit, None, None), START, []
    for pause, _ in calls:
        now += pause
        if admitted(limits, 0, now):
            passed.append((now, 1))
    assert most_in_a_minute(passed) <= limit


@given(LIVES, st.integers(900, 3000))
def test_never_more_tokens_than_the_limit_in_the_minute_before_an_admission(
    calls: list[tuple[float, int, int, int]], limit: int
):
    limits, now, running, over = Limits(None, limit, None), START, [], []
    for pause, estimated, ending, used in calls:
        now += pause
        for _ in range(min(ending, len(running))):
            running[0].end(used, now)
            over.append(running.pop(0))
        taken = limits.take(estimated, now)
        if isinstance(taken, Ticket):
            running.append(Life(taken, now, estimated))
            charges = [charge for life in (*running, *over) for charge in life.charges]
            assert sum(amount for at, amount in charges if at >= now - 60) <= limit
    for life in running:
        life.end(0, now)
    assert limits.in_flight == 0
    assert limits.quotas(now + 61)[0].remaining == limit


@given(LIVES, st.integers(1, 8))
def test_never_more_calls_at_once_than_the_limit(calls: list[tuple[float, int, int, int]], limit: int):
    limits, running = Limits(None, None, limit), []
    for pause, _, ending, used in calls:
        for ticket in running[:ending]:
            ticket.end(used, START + pause)
        del running[:ending]
        taken = limits.take(1, START + pause)
        if isinstance(taken, Ticket):
            running.append(taken)
        else:
            assert len(running) == limit
        assert limits.in_flight == len(running) <= limit


@given(CALLS, st.integers(1, 5), st.integers(100, 2000))
def test_who_waits_as_long_as_told_is_admitted(calls: list[tuple[float, int]], requests: int, tokens: int):
    limits, now = Limits(requests, tokens, None), START
    for pause, amount in calls:
        now += pause
        for _ in range(4):  # one wait for each limit, and one more where the wait for one made room for none
            taken = limits.take(amount, now)
            if isinstance(taken, Ticket):
                break
            assert taken.retry_after_s is not None
            assert 0 < taken.retry_after_s <= 60.25
            now += taken.retry_after_s
        assert isinstance(taken, Ticket)
        taken.end(amount, now)


@given(st.integers(1, 6), st.floats(0, 0.7))
def test_who_asks_before_that_is_refused(requests: int, share: float):
    limits = Limits(requests, None, None)
    for number in range(requests):
        limits.take(0, START + number)
    told = limits.take(0, START + requests)
    assert isinstance(told, Exceeded)
    assert not admitted(limits, 0, START + requests + told.retry_after_s * share)


def test_the_limit_itself_is_admitted():
    limits = Limits(3, None, None)
    assert [admitted(limits, 0, START) for _ in range(4)] == [True, True, True, False]


def test_calls_in_parallel_are_counted_until_they_end():
    limits = Limits(None, None, 2)
    first = limits.take(0, 0)
    assert admitted(limits, 0, 0)
    assert limits.take(0, 0).what == "calls in parallel"
    first.end(10, 0)
    first.end(10, 0)
    assert admitted(limits, 0, 0)
    assert not admitted(limits, 0, 0)


def test_what_was_refused_counts_for_nothing():
    limits = Limits(1, 100, 5)
    limits.take(50, START)
    for _ in range(10):
        assert not admitted(limits, 50, START)
    assert [quota.remaining for quota in limits.quotas(START)] == [0, 50]
    assert limits.in_flight == 1


def test_a_call_that_used_more_than_estimated_leaves_a_debt():
    limits = Limits(None, 1000, None)
    limits.take(10, START).end(2500, START + 1)
    exceeded = limits.take(1, START + 2)
    assert exceeded.retry_after_s == pytest.approx(59.25)
    assert admitted(limits, 1, START + 62)


def test_a_call_that_used_less_gives_the_rest_back():
    limits = Limits(None, 1000, None)
    limits.take(900, START).end(100, START + 1)
    assert limits.quotas(START + 1)[0].remaining == 900
    assert admitted(limits, 900, START + 2)


@pytest.mark.parametrize("lasted", [59, 120])
def test_what_is_given_back_late_makes_room_for_nothing_that_was_not_there(lasted: int):
    limits = Limits(None, 1000, None)
    limits.take(900, START).end(0, START + lasted)
    assert limits.quotas(START + 121)[0].remaining == 1000
    assert [admitted(limits, 500, START + 121) for _ in range(3)] == [True, True, False]


def test_a_call_larger_than_the_whole_limit_is_admitted_alone():
    limits = Limits(None, 1000, None)
    assert admitted(limits, 5000, START)
    assert not admitted(limits, 1, START + 30)
    assert admitted(limits, 5000, START + 62)


def test_a_call_that_uses_no_tokens_waits_for_none():
    limits = Limits(None, 1000, None)
    limits.take(10, START).end(5000, START)
    assert not admitted(limits, 1, START)
    assert admitted(limits, 0, START)


def test_other_limits_hold_at_once_and_forget_nothing():
    limits = Limits(5, None, None)
    for _ in range(3):
        limits.take(0, START)
    limits.change(3, None, None)
    assert not admitted(limits, 0, START + 1)


def test_what_an_answer_says():
    limits = Limits(10, 1000, None)
    limits.take(300, START)
    requests, tokens = limits.quotas(START + 10)
    assert (requests.remaining, tokens.remaining) == (9, 700)
    assert requests.reset_s == 50.25
    assert Limits(None, None, 5).quotas(0) == []


@pytest.mark.parametrize(("wait", "whole"), [(0.0, 1), (0.2, 1), (1.0, 1), (1.01, 2), (None, 1)])
def test_waits_are_whole_seconds_and_never_too_short(wait: float | None, whole: int):
    assert seconds(wait) == whole


def test_the_memory_of_a_minute_is_bounded():
    window = SlidingMinute()
    for number in range(100_000):
        window.forget(number / 100)
        window.add(1, number / 100)
    assert len(window._used) <= 242
