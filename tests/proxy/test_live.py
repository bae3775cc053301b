"""The live counters."""

from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.model import Endpoint, LedgerRecord, Outcome, Protocol, RequestStart
from proxy.live import FEED_LENGTH, Live
from proxy.window import SECONDS, Window, counts_of, quantile_ms

T0 = 1_800_000_000.0


def record(
    number: int = 1, *, outcome: Outcome = Outcome.OK, provider: str = "anthropic", **more: object
) -> LedgerRecord:
    facts = {
        "uncached_input_tokens": 10,
        "output_tokens": 5,
        "cost_usd": Decimal("0.5"),
        "duration_ms": 100.0,
        **more,
    }
    return LedgerRecord(
        id=str(number),
        request_id=str(number),
        started_at=1,
        ended_at=2,
        protocol=Protocol.ANTHROPIC,
        endpoint=Endpoint.MESSAGES,
        provider=provider,
        outcome=outcome,
        **facts,  # type: ignore[arg-type]
    )


def start(number: int = 1, *, provider: str = "anthropic", **more: object) -> RequestStart:
    return RequestStart(
        id=str(number),
        request_id=str(number),
        started_at=int(T0 * 1e6),
        protocol=Protocol.ANTHROPIC,
        endpoint=Endpoint.MESSAGES,
        provider=provider,
        **more,  # type: ignore[arg-type]
    )


def ended(live: Live, record: LedgerRecord, at: float) -> None:
    live.begun(start(int(record.id), provider=record.provider))
    live.ended(record, at)


def test_calls_in_flight_are_counted_a_provider():
    live = Live(T0)
    live.begun(start(1, provider="a"))
    live.begun(start(2, provider="b"))
    live.ended(record(1, provider="a"), T0)
    message = live.message(T0, after=0)
    assert message["in_flight"] == live.in_flight == 1
    assert {name: rates["in_flight"] for name, rates in message["providers"].items()} == {"a": 0, "b": 1}


def test_rates_are_those_of_the_last_minute():
    live = Live(T0)
    for second in range(120):
        ended(live, record(second, outcome=Outcome.ERROR if second % 4 == 0 else Outcome.OK), T0 + second)
    message = live.message(T0 + 119.5, after=0)
    assert (message["requests_per_second"], message["errors_per_second"]) == (1.0, 0.25)
    assert (message["cost_per_minute"], message["tokens_per_second"]) == (30.0, 15.0)
    assert message["totals"]["requests"] == 120
    assert message["totals"]["cost_usd"] == 60.0
    assert message["totals"]["outcomes"] == {"ok": 90, "error": 30}


def test_a_young_proxy_divides_by_its_age():
    live = Live(T0)
    for number in range(20):
        ended(live, record(number), T0 + 5)
    assert live.message(T0 + 10, after=0)["requests_per_second"] == 2.0


def test_a_quiet_minute_has_no_percentiles():
    message = Live(T0).message(T0 + 100, after=0)
    assert (message["requests_per_second"], message["latency_p50_ms"], message["ttft_p50_ms"]) == (0.0, None, None)


def test_percentiles_are_within_the_buckets_error():
    live = Live(T0)
    for ms in range(1, 1001):
        ended(live, record(ms, duration_ms=float(ms), ttft_ms=ms / 10), T0)
    message = live.message(T0, after=0)
    for name, true in (("latency_p50_ms", 500), ("latency_p95_ms", 950), ("latency_p99_ms", 990), ("ttft_p50_ms", 50)):
        assert message[name] == pytest.approx(true, rel=0.06)


def test_a_client_that_hung_up_is_no_error():
    live = Live(T0)
    ended(live, record(outcome=Outcome.DISCONNECTED), T0)
    assert live.message(T0, after=0)["totals"]["errors"] == 0


def test_unpriced_calls_add_no_cost():
    live = Live(T0)
    ended(live, record(cost_usd=None), T0)
    assert live.message(T0, after=0)["totals"]["cost_usd"] == 0
    assert live.feed()[0]["cost_usd"] is None


def test_the_feed_is_newest_first_and_bounded():
    live = Live(T0)
    for number in range(1, FEED_LENGTH + 51):
        ended(live, record(number), T0)
    feed = live.feed()
    assert len(feed) == FEED_LENGTH
    assert [item["number"] for item in feed[:2]] == [FEED_LENGTH + 50, FEED_LENGTH + 49]


def test_polling_after_a_number_misses_nothing_and_repeats_nothing():
    live = Live(T0)
    for number in range(1, 11):
        ended(live, record(number), T0)
    assert [item["number"] for item in live.feed(after=6, limit=2)] == [8, 7]
    assert [item["number"] for item in live.feed(after=8, limit=5)] == [10, 9]
    assert live.feed(after=10) == []


@given(st.lists(st.integers(0, 300), max_size=60))
def test_a_window_holds_exactly_its_last_minute(seconds: list[int]):
    window = Window()
    for second in sorted(seconds):
        window.count(counts_of(record()), second)
    now = max(seconds, default=0) + 10
    expected = sum(1 for second in seconds if now - SECONDS < second <= now)
    assert window.sums(now).requests == expected


def test_no_values_have_no_quantile():
    assert quantile_ms(Counter(), 0.5) is None
