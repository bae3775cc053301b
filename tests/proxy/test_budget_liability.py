"""What budgets count of a call whose cost is not certain: never less than it may have been."""

from decimal import Decimal

import pytest

from data.model import Endpoint, Outcome, Tokens
from data.pricing import PriceBook
from proxy.budget.liability import liability
from proxy.budget.worst_case import Worst
from proxy.record import cost_of
from proxy.recovery import interrupted
from proxy.usage.estimate import with_estimated_input
from proxy.usage.usage import Usage
from tests.proxy.spool_samples import NOW, started

PRICE = PriceBook().price
HELD = Decimal("0.5")
MODEL = "claude-sonnet-4-5"
#: 1,000 in at $3, output at $15 a million
INPUT = Decimal("0.003")
OUTPUT = Decimal("0.000015")
NOTHING = Usage(note="no answer was seen")
BROKEN = Usage(tokens=Tokens(uncached_input=1000, output=50), model=MODEL, note="estimated")


def count(usage, *, billed=True, worst=None, held=HELD, model=MODEL):
    start = started(model_requested=model, reserved_usd=held)
    told = with_estimated_input(usage, start.estimated_input_tokens) if billed else usage
    cost = cost_of(start, told, PRICE, at_us=NOW, billed=billed)
    most = worst or Worst(500_000_000, 10_000, 0)
    found = liability(start, usage, cost, most, PRICE, billed=billed, at_us=NOW)
    return cost.usd if found is None else found


def test_the_providers_own_counts_are_the_cost():
    assert count(Usage(tokens=Tokens(1000, output=100), model=MODEL, complete=True)) == INPUT + 100 * OUTPUT


def test_what_cannot_be_charged_counts_nothing():
    assert count(NOTHING, billed=False) == 0
    assert count(Usage(complete=True, error_class="overloaded_error"), billed=False) == 0


def test_what_may_have_been_charged_without_our_knowing_counts_as_held():
    assert count(NOTHING) == HELD


@pytest.mark.parametrize(
    ("worst", "output"),
    [
        (Worst(500_000_000, 10_000, 0), 4 * 50 + 256),
        (Worst(500_000_000, 100, 0), 100),  # the call's own limit
        (Worst(500_000_000, 10_000, 2_000), 4 * 50 + 2_000 + 256),  # thinking that is not shown
        (Worst(500_000_000, 10_000, None), 10_000),
    ],
)
def test_a_stream_that_broke_off_counts_its_input_and_the_output_there_may_have_been(worst, output):
    assert count(BROKEN, worst=worst) == INPUT + output * OUTPUT


def test_never_more_than_was_held_but_never_less_than_the_cost():
    assert count(BROKEN, held=Decimal("0.0045")) == Decimal("0.0045")
    assert count(BROKEN, held=Decimal("0.001")) == INPUT + 50 * OUTPUT


def test_an_answer_of_a_model_without_a_price_counts_as_held():
    assert count(Usage(tokens=Tokens(1, output=1), model="mystery", complete=True)) == HELD


def test_without_a_hold_there_is_nothing_to_count_besides_the_cost():
    usage = Usage(tokens=Tokens(1, output=1), model="mystery", complete=True)
    assert count(usage, held=None) is None


def test_an_error_that_told_counts_is_charged_by_them():
    usage = Usage(tokens=Tokens(1000, output=10), model=MODEL, error_class="overloaded_error")
    assert count(usage, billed=False) >= INPUT + 10 * OUTPUT


def test_a_call_whose_proxy_died_counts_as_held():
    record = interrupted(started(model_requested=MODEL, reserved_usd=HELD), NOW, PRICE)
    assert (record.outcome, record.liability_usd) == (Outcome.INTERRUPTED, HELD)
    assert interrupted(started(model_requested=MODEL), NOW, PRICE).liability_usd is None


def test_a_call_that_bills_nothing_holds_and_counts_nothing():
    start = started(endpoint=Endpoint.COUNT_TOKENS, reserved_usd=Decimal(0))
    assert interrupted(start, NOW, PRICE).liability_usd == 0


def test_a_broken_stream_does_not_bound_what_other_models_had_in_it():
    assert count(BROKEN, worst=Worst(500_000_000, 10_000, 0, shared=True)) == HELD
