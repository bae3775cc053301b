from decimal import Decimal

import pytest

from data.ceilings import ceilings
from data.rates import Rates, RateTable

MILLIONTH = Decimal("0.000001")


def rates(above=-1, **more):
    usual = dict.fromkeys(("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning"), MILLIONTH)
    return Rates(**{"above": above, **usual, "tool_unit": None, "request": Decimal(0), **more})


def table(*tiers):
    return RateTable(tiers, "list")


@pytest.mark.parametrize(("name", "shows_in"), [("cache_read", "input"), ("reasoning", "output"), ("input", "input")])
def test_the_dearest_of_what_a_token_may_be_counts(name, shows_in):
    (found,) = ceilings([table(rates(**{name: 3 * MILLIONTH}))])
    assert getattr(found, shows_in) == 3_000_000_000


def test_the_dearest_of_several_tables_counts_tier_by_tier():
    flat = table(rates(output=5 * MILLIONTH))
    tiered = table(rates(above=100, input=7 * MILLIONTH), rates(input=2 * MILLIONTH))
    low, high = ceilings([flat, tiered])
    assert (low.above, low.input, low.output) == (-1, 2_000_000_000, 5_000_000_000)
    assert (high.above, high.input, high.output) == (100, 7_000_000_000, 5_000_000_000)


def test_a_rate_that_one_table_does_not_know_is_not_known():
    (found,) = ceilings([table(rates()), table(rates(output=None))])
    assert (found.output, found.input) == (None, 1_000_000_000)


def test_fractions_are_rounded_up():
    (found,) = ceilings([table(rates(input=Decimal("1e-16"), cache_read=Decimal("1e-16")))])
    assert found.input == 1


def test_nothing_is_nothing():
    assert ceilings([]) == ()
