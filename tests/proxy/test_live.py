"""The live counters."""

import json
from collections import Counter
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.model import Endpoint, LedgerRecord, Outcome, Protocol, RequestStart
from proxy.in_flight import SHOWN, Phase
from proxy.live import FEED_LENGTH, Live
from proxy.live_socket import Second
from proxy.provider_health import Circuits, health_of
from proxy.window import SECONDS, Slot, Window, counts_of, quantile_ms

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


class Progress:
    """A call that is being answered."""

    phase, bytes_seen = Phase.RECEIVING, 1234


def test_calls_in_flight_are_shown_newest_first_and_bounded():
    live = Live(T0)
    for number in range(SHOWN + 10):
        live.begun(start(number, model_requested="m", key="k"), Progress())
    shown = live.state(T0 + 2.5)["calls"]
    assert [call["id"] for call in shown] == [str(number) for number in range(SHOWN + 9, 9, -1)]
    assert (shown[0]["age_s"], shown[0]["phase"], shown[0]["bytes"]) == (2.5, "receiving", 1234)
    assert (shown[0]["model"], shown[0]["key"]) == ("m", "k")
    live.ended(record(SHOWN + 9), T0 + 3)
    assert live.state(T0 + 3)["calls"][0]["id"] == str(SHOWN + 8)


def test_a_call_of_which_only_the_end_is_known_counts_and_is_not_in_flight():
    live = Live(T0)
    live.ended(record(1), T0)
    assert (live.in_flight, live.state(T0)["totals"]["requests"]) == (0, 1)


def test_a_clock_that_was_set_back_gives_no_negative_age():
    live = Live(T0)
    live.begun(start())
    assert live.state(T0 - 100)["calls"][0]["age_s"] == 0


@pytest.mark.parametrize(
    ("calls", "circuits", "near", "status", "reasons"),
    [
        ((10, 0), {}, [], "ok", 0),
        ((0, 0), {}, [], "ok", 0),
        ((6, 4), {}, [], "ok", 0),
        ((5, 5), {}, [], "degraded", 1),
        ((1, 3), {}, [], "ok", 0),
        ((0, 5), {}, [], "failing", 1),
        ((0, 1), {("a", "m", ""): {"state": "open"}}, [], "failing", 1),
        ((9, 0), {("a", "m", ""): {"state": "half_open"}}, [], "degraded", 1),
        ((9, 0), {("a", "m", ""): {"state": "closed", "failures": 1}}, [], "ok", 0),
        ((9, 0), {("b", "m", ""): {"state": "open"}}, [], "ok", 0),
        ((9, 0), {}, ["tokens: 1 of 100 left"], "degraded", 1),
    ],
    ids=[
        "well",
        "quiet",
        "some fail",
        "half fail",
        "too few to tell",
        "all fail",
        "circuit open and all fail",
        "half open",
        "failures, closed",
        "another provider's",
        "limit near",
    ],
)
def test_the_health_of_a_provider(
    calls: tuple[int, int], circuits: Circuits, near: list[str], status: str, reasons: int
):
    good, bad = calls
    minute = Slot(requests=good + bad, errors=bad, blamed=bad)
    health = health_of("a", minute, circuits, near)
    assert (health["status"], len(health["reasons"])) == (status, reasons)
    assert health["error_share"] == (None if good + bad == 0 else pytest.approx(bad / (good + bad)))


@pytest.mark.parametrize(
    ("status", "credential", "health"),
    [
        (400, "main", "ok"),
        (404, "main", "ok"),
        (413, "", "ok"),
        (401, "", "ok"),
        (401, "main", "failing"),
        (429, "", "failing"),
        (529, "", "failing"),
        (0, "", "failing"),
    ],
)
def test_what_was_wrong_with_calls_themselves_is_not_their_providers_fault(status: int, credential: str, health: str):
    live = Live(T0)
    for number in range(5):
        ended(live, record(number, outcome=Outcome.ERROR, status=status, credential=credential), T0)
    told = live.state(T0)["providers"]["anthropic"]
    assert (told["errors_per_second"] > 0, told["health"]["status"]) == (True, health)


def test_the_breaker_is_asked_whenever_somebody_looks():
    live = Live(T0)
    live.watch_circuits(lambda: {("anthropic", "opus", "main"): {"state": "open", "asked_again_in_s": 3.0}})
    live.begun(start())
    health = live.state(T0)["providers"]["anthropic"]["health"]
    assert health["circuits"] == [{"model": "opus", "credential": "main", "state": "open", "asked_again_in_s": 3.0}]
    assert health["reasons"] == ["circuit open: opus (main)"]


def test_a_seconds_message_is_encoded_once_for_all_who_saw_the_same():
    live = Live(T0)
    for number in range(5):
        ended(live, record(number), T0)
    second = Second(live, T0)
    assert second.after(3) is second.after(3)
    whole = json.loads(second.after(3))
    assert whole == json.loads(msgspec.json.encode(live.message(T0, after=3)))
    assert [item["number"] for item in whole["recent"]] == [5, 4]


def test_results_of_a_batch_are_no_calls_of_the_minute_and_say_nothing_of_the_providers_health():
    live = Live(T0 - SECONDS)
    ended(live, record(1), T0)
    for number in range(2, 12):
        expired = msgspec.structs.replace(record(number, outcome=Outcome.ERROR), endpoint=Endpoint.BATCH_RESULT)
        live.ended(msgspec.structs.replace(expired, duration_ms=0.0), T0)
    state = live.state(T0)
    told = state["providers"]["anthropic"]
    assert (told["health"]["status"], told["health"]["error_share"]) == ("ok", 0.0)
    assert (state["requests_per_second"], state["errors_per_second"]) == (round(1 / SECONDS, 3), 0.0)
    assert (state["cost_per_minute"], state["totals"]["requests"], state["totals"]["errors"]) == (5.5, 11, 10)


def test_after_the_clock_was_set_back_rates_are_over_the_time_that_passed():
    live = Live(T0)
    assert live.state(T0 - 3600)["totals"]["uptime_s"] == 0.0
    for number in range(30):
        ended(live, record(number), T0 - 3600 + number)
    state = live.state(T0 - 3600 + 30)
    assert (state["requests_per_second"], state["totals"]["uptime_s"]) == (1.0, 30.0)
