"""What callers are told, and when they may come back."""

import pytest

from proxy.budget.refuse import Shortage, no_room, tightest
from proxy.budget.reservation import FREE, Refusal, Reservation, Why
from tests.proxy.budget_worlds import DOLLAR, NOON, SECOND, begin_counting, budget, proxy
from tests.proxy.spool_samples import started

HOUR = 3600 * SECOND


def refusal_of(at, worst, now_us=NOON, **who) -> Refusal:
    refused = at.reserve(started(**who), worst, now_us)
    assert isinstance(refused, Refusal)
    return refused


def test_without_budgets_nothing_is_asked(home):
    with proxy(home) as at:
        assert not at.budgets.active
        assert at.reserve(started(), 10 * DOLLAR) is FREE


def test_money_that_is_gone_says_so_and_when_it_is_back(home):
    begin_counting(home, [budget("daily", time_zone="Europe/Zurich")])
    with proxy(home) as at:
        at.spend(DOLLAR)
        refused = refusal_of(at, 5_000_000)
        assert (refused.why, refused.status, refused.should_retry) == (Why.EXCEEDED, 429, False)
        # noon UTC: eleven hours before midnight in Zurich
        assert refused.retry_after_s == 11 * 3600
        assert refused.message == (
            "The budget 'daily' has no room for this call: $1.00 of $1.00 spent, this call may cost up to $0.0050. "
            "It resets at 2025-11-26T00:00:00+01:00."
        )


def test_money_that_is_held_is_worth_waiting_for(home):
    begin_counting(home, [budget()])
    with proxy(home) as at:
        held = at.reserve(started(), 900_000_000)
        refused = refusal_of(at, 200_000_000)
        assert (refused.why, refused.should_retry, refused.retry_after_s) == (Why.HELD, True, 1)
        assert "$0.9000 held by calls in flight" in refused.message
        assert isinstance(held, Reservation)
        at.budgets.release(held)
        assert isinstance(at.reserve(started(), 200_000_000), Reservation)


def test_a_call_larger_than_the_budget_is_told_how_to_be_smaller(home):
    begin_counting(home, [budget()])
    with proxy(home) as at:
        refused = refusal_of(at, 2 * DOLLAR)
        assert (refused.why, refused.should_retry) == (Why.EXCEEDED, False)
        assert "a lower limit of output tokens" in refused.message


def test_each_value_of_a_star_has_the_whole_amount_and_is_named(home):
    begin_counting(home, [budget("users", scope={"kind": "user", "value": "*"})])
    with proxy(home) as at:
        at.spend(DOLLAR, user="ann")
        assert "'users' (user 'ann')" in refusal_of(at, 1, user="ann").message
        assert isinstance(at.spend(DOLLAR, user="bob"), Reservation)
        assert at.reserve(started(), 1) is FREE


def test_a_rolling_window_has_room_when_enough_has_left_it(home):
    begin_counting(home, [budget(period="hour", window="rolling")])
    with proxy(home) as at:
        at.spend(400_000_000, now_us=NOON)
        at.spend(600_000_000, now_us=NOON + HOUR // 2)
        at.budgets.tick(NOON + HOUR // 2)
        soon = refusal_of(at, 300_000_000, NOON + HOUR // 2 + SECOND)
        late = refusal_of(at, 500_000_000, NOON + HOUR // 2 + SECOND)
        # a bucket of a minute leaves as a whole
        assert (soon.retry_after_s, late.retry_after_s) == (1800 + 59, 3600 + 59)
        assert "There is room again at" in soon.message
        assert isinstance(refusal_of(at, 300_000_000, NOON + HOUR + 59 * SECOND), Refusal)
        assert isinstance(at.reserve(started(), 300_000_000, NOON + HOUR + 60 * SECOND), Reservation)


def test_a_new_period_begins_with_nothing_spent_and_what_is_held(home):
    begin_counting(home, [budget(period="hour")])
    with proxy(home) as at:
        held = at.reserve(started(), 600_000_000, NOON + HOUR - SECOND)
        at.spend(400_000_000, now_us=NOON + HOUR - SECOND)
        assert refusal_of(at, 1, NOON + HOUR - SECOND).why is Why.HELD
        assert isinstance(at.reserve(started(), 400_000_000, NOON + HOUR), Reservation)
        assert refusal_of(at, 1, NOON + HOUR).why is Why.HELD
        assert isinstance(held, Reservation)


def test_what_is_for_once_says_that_it_does_not_come_back(home):
    begin_counting(home, [budget(period="once")])
    with proxy(home) as at:
        at.spend(DOLLAR)
        refused = refusal_of(at, 1)
        assert "It does not renew itself" in refused.message
        assert refused.retry_after_s == 2**31 - 1


def test_a_grant_that_has_expired_has_nothing_left(home):
    begin_counting(home, [budget(period="once", expires_at="2025-11-25T13:00:00Z")])
    with proxy(home) as at:
        assert isinstance(at.reserve(started(), 400_000_000, NOON), Reservation)
        assert refusal_of(at, 1, NOON + HOUR).why is Why.EXCEEDED


def test_a_raise_that_ends_takes_its_room_with_it_at_once(home):
    more = {"amount_usd": 1, "from": "2025-11-25T12:00:00Z", "until": "2025-11-25T12:30:00Z"}
    begin_counting(home, [budget(raises=[more])])
    with proxy(home) as at:
        assert isinstance(at.spend(1_500_000_000, now_us=NOON), Reservation)
        assert isinstance(at.reserve(started(), 1, NOON + HOUR // 2 - 1), Reservation)
        assert refusal_of(at, 1, NOON + HOUR // 2).why is Why.EXCEEDED


def test_a_soft_budget_lets_through_and_warns(home):
    begin_counting(home, [budget("soft", enforcement="soft")])
    with proxy(home) as at:
        first = at.spend(DOLLAR, worst=3 * DOLLAR)
        assert isinstance(first, Reservation)
        assert first.headers == {}
        second = at.spend(DOLLAR)
        assert isinstance(second, Reservation)
        assert second.headers == {"x-claude-proxy-budget-warning": "the budget 'soft' is used up: $1.00 of $1.00 spent"}


def test_a_warning_is_a_header_whatever_the_budget_is_called(home):
    begin_counting(home, [budget("Zürich ☃", enforcement="soft", amount_usd=0)])
    with proxy(home) as at:
        held = at.reserve(started(), 1)
        assert isinstance(held, Reservation)
        (text,) = held.headers.values()
        assert text.isascii()
        assert text.isprintable()


def test_an_unpriced_model_is_refused_under_a_hard_budget_unless_it_is_allowed(home):
    begin_counting(home, [budget("hard"), budget("soft", enforcement="soft", scope={"kind": "user", "value": "ann"})])
    with proxy(home) as at:
        refused = refusal_of(at, None, model_requested="mystery")
        assert (refused.why, refused.status, refused.budget) == (Why.UNPRICED, 429, "hard")
        assert "'mystery'" in refused.message
        assert "does not tell what it may cost" in refusal_of(at, None, model_requested="").message
    with proxy(home, unpriced="allow") as at:
        assert isinstance(at.reserve(started(), None), Reservation)


def test_an_unpriced_model_passes_where_all_budgets_are_soft(home):
    begin_counting(home, [budget(enforcement="soft")])
    with proxy(home) as at:
        assert isinstance(at.reserve(started(), None), Reservation)


def test_what_costs_nothing_is_let_through_when_the_money_is_gone(home):
    begin_counting(home, [budget()])
    with proxy(home) as at:
        at.spend(DOLLAR)
        assert isinstance(at.reserve(started(), 0), Reservation)


def test_a_call_that_costs_more_than_was_held_counts_in_full(home, caplog):
    begin_counting(home, [budget()])
    with proxy(home) as at:
        at.spend(1_200_000_000, worst=300_000_000)
        at.budgets.tick(NOON)
        refused = refusal_of(at, 1)
        assert "$1.20 of $1.00 spent" in refused.message
        assert "cost more than was held" in caplog.text


def test_an_absurd_worst_case_is_refused_and_breaks_nothing(home):
    begin_counting(home, [budget(), budget("soft", enforcement="soft", scope={"kind": "user", "value": "ann"})])
    with proxy(home) as at:
        assert refusal_of(at, 10**30).why is Why.EXCEEDED
        assert isinstance(at.reserve(started(), 1), Reservation)


@pytest.mark.parametrize(
    ("rooms", "named"),
    [
        ([(900, 0), (990, 0)], 1),
        ([(900, 200), (500, 0)], 0),
        # where waiting does not help it is named, however much is left elsewhere
        ([(0, 1000), (995, 0)], 1),
    ],
)
def test_the_tightest_budget_is_named(rooms, named):
    from proxy.budget.plan import Counter, Plan

    shortages = []
    for n, (spent, held) in enumerate(rooms):
        each = budget(str(n))
        counter = Counter(Plan(str(n), 1, each, n, each.schedule), "")
        counter.limit = 1000
        shortages.append(Shortage(counter, spent, held, 0, 10))
    assert tightest(shortages).counter.plan.id == str(named)
    assert no_room(shortages[named], NOON, NOON + HOUR).budget == str(named)


@pytest.mark.parametrize("window", ["calendar", "rolling"])
def test_a_clock_that_was_years_ahead_leaves_nothing_behind(home, window):
    begin_counting(home, [budget(window=window)])
    with proxy(home) as at:
        at.spend(DOLLAR, now_us=NOON + 20 * 365 * 24 * HOUR)
        at.budgets.tick(NOON)
        assert isinstance(at.reserve(started(), DOLLAR, NOON), Reservation)


def test_a_clock_that_goes_back_a_little_gives_no_money_twice(home):
    begin_counting(home, [budget(period="hour", window="rolling")])
    with proxy(home) as at:
        at.spend(DOLLAR, now_us=NOON + 600 * SECOND)
        at.budgets.tick(NOON)
        assert isinstance(at.reserve(started(), 1, NOON), Refusal)
