"""What caches saved, worked out by hand."""

from datetime import timedelta
from decimal import Decimal

import pytest

from data.cache_savings import CacheUse, cache_use, total
from data.config import PriceOverride
from data.pricing import PriceBook
from data.records import record_table
from tests.data.ledger import NOON, record

HOUR = timedelta(hours=1)
#: Dollars a million: input 10, read 1, five minutes 12.5, one hour 20.
BOOK = PriceBook([PriceOverride("dear", Decimal(10), Decimal(50), Decimal(1), Decimal("12.5"), Decimal(20))])
NOTHING = {"uncached_input_tokens": 0, "cache_read_tokens": 0, "cache_write_5m_tokens": 0, "cache_write_1h_tokens": 0}


def put(store, *rows):
    records = [record(n, model=model, at=NOON, **{**NOTHING, **counts}) for n, (model, counts) in enumerate(rows, 1)]
    store.put(record_table(records), spool_id="s", first=1, last=len(records))


def found(store, book=BOOK):
    return {use.model: use for use in cache_use(store, book, NOON - HOUR, NOON + HOUR)}


def test_reads_save_and_writes_cost(store):
    put(
        store,
        ("dear", {"uncached_input_tokens": 500, "cache_read_tokens": 1_000_000}),
        ("dear", {"cache_write_5m_tokens": 200_000, "cache_write_1h_tokens": 100_000}),
    )
    use = found(store)["dear"]
    # 1,000,000 x (10 - 1) - 200,000 x (12.5 - 10) - 100,000 x (20 - 10), a million
    assert use.saved_usd == Decimal(9) - Decimal("0.5") - Decimal(1)
    assert (use.requests, use.input_tokens, use.cache_write_1h_tokens) == (2, 1_300_500, 100_000)
    assert use.cache_hit_rate == pytest.approx(1_000_000 / 1_300_500 * 100)


def test_writes_that_were_never_read_have_lost_money(store):
    put(store, ("dear", {"cache_write_1h_tokens": 100_000}))
    assert found(store)["dear"].saved_usd == Decimal(-1)


def test_what_has_no_price_is_not_known_to_have_saved_anything(store):
    put(
        store,
        ("strange", {"cache_read_tokens": 10}),
        ("strange", {"uncached_input_tokens": 10}),
        ("plain", {"uncached_input_tokens": 10}),
        ("dear", {"cache_read_tokens": 1_000_000}),
    )
    uses = found(store)
    assert (uses["strange"].saved_usd, uses["strange"].unpriced_requests) == (None, 2)
    assert (uses["plain"].saved_usd, uses["plain"].unpriced_requests) == (Decimal(0), 0)
    together = total(list(uses.values()))
    assert (together.saved_usd, together.requests, together.unpriced_requests) == (Decimal(9), 4, 2)


def test_nothing_saved_nothing(store):
    assert found(store) == {}
    assert total([]) == CacheUse("")
    assert total([]).cache_hit_rate is None


def test_each_request_is_in_its_own_tier(store):
    """Sonnet 4.5: 3 and 0.3 a million, from 200,000 input tokens on 6 and 0.6."""
    below, above = {"cache_read_tokens": 200_000}, {"cache_read_tokens": 200_001}
    put(store, *[("claude-sonnet-4-5", below)] * 3, ("claude-sonnet-4-5", above))
    million = Decimal(1_000_000)
    expected = (600_000 * Decimal("2.7") + 200_001 * Decimal("5.4")) / million
    assert found(store, PriceBook())["claude-sonnet-4-5"].saved_usd == expected


def test_filters_hold_for_all_that_is_counted(store):
    put(store, ("dear", {"cache_read_tokens": 10}), ("plain", {"uncached_input_tokens": 10}))
    uses = cache_use(store, BOOK, NOON - HOUR, NOON + HOUR, {"model": ("plain",)})
    assert [use.model for use in uses] == ["plain"]
