"""What providers say of their limits, and when one will be exhausted."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.limit_headers import Limit, duration_s, read_limits
from proxy.provider_limits import MAX_ACCOUNTS, ProviderLimits, exhausted_in_s
from tests.proxy.gateway import client, gateway

T0 = 1_790_000_000.0  # 2026-09-21T14:13:20Z
ANTHROPIC = {
    "anthropic-ratelimit-requests-limit": "50",
    "anthropic-ratelimit-requests-remaining": "49",
    "anthropic-ratelimit-requests-reset": "2026-09-21T14:14:20Z",
    "anthropic-ratelimit-input-tokens-limit": "40000",
    "anthropic-ratelimit-input-tokens-remaining": "39000",
    "anthropic-ratelimit-input-tokens-reset": "2026-09-21T16:13:20+02:00",
}
SUBSCRIPTION = {
    "anthropic-ratelimit-unified-status": "allowed",
    "anthropic-ratelimit-unified-reset": "1790009000",
    "anthropic-ratelimit-unified-5h-status": "allowed",
    "anthropic-ratelimit-unified-5h-reset": str(int(T0) + 9000),
    "anthropic-ratelimit-unified-5h-utilization": "0.75",
    "anthropic-ratelimit-unified-7d-reset": str(int(T0) + 86_400),
    "anthropic-ratelimit-unified-7d-utilization": "0.1",
    "anthropic-ratelimit-unified-overage-status": "rejected",
}
OPENAI = {
    "x-ratelimit-limit-requests": "60",
    "x-ratelimit-remaining-requests": "59",
    "x-ratelimit-reset-requests": "1s",
    "x-ratelimit-limit-tokens": "150000",
    "x-ratelimit-remaining-tokens": "149984",
    "x-ratelimit-reset-tokens": "6m0s",
}


def of(told: dict[str, str], **changed: str) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict({"Content-Type": "application/json", **told, **changed}))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6m0s", 360.0),
        ("1.2s", 1.2),
        ("20ms", 0.02),
        ("1h2m3.5s", 3723.5),
        ("2d3h", 183_600.0),
        ("500us", 0.0005),
        ("500µs", 0.0005),
        ("30", 30.0),
        ("0s", 0.0),
        ("", None),
        ("soon", None),
        ("1m soon", None),
        ("-1s", None),
        ("nan", None),
        ("1e400s", None),
    ],
)
def test_durations(text: str, seconds: float | None):
    assert duration_s(text) == (None if seconds is None else pytest.approx(seconds))


def test_anthropics_limits():
    requests, tokens = read_limits(of(ANTHROPIC), T0).limits
    assert requests == Limit("requests", 50.0, 49.0, T0 + 60)
    assert tokens == Limit("input_tokens", 40_000.0, 39_000.0, T0)


def test_a_subscriptions_windows():
    told = read_limits(of(SUBSCRIPTION), T0)
    assert told.status == "allowed"
    five, seven = told.limits
    assert five == Limit("5h", 1.0, 0.25, T0 + 9000, 18_000.0)
    assert (seven.name, seven.remaining, seven.length_s) == ("7d", 0.9, 604_800.0)


def test_openais_limits():
    requests, tokens = read_limits(of(OPENAI), T0).limits
    assert requests == Limit("requests", 60.0, 59.0, T0 + 1)
    assert tokens == Limit("tokens", 150_000.0, 149_984.0, T0 + 360)


@pytest.mark.parametrize(
    "told",
    [
        {"anthropic-ratelimit-requests-remaining": "many"},
        {"anthropic-ratelimit-requests-remaining": "-1"},
        {"anthropic-ratelimit-requests-remaining": "9" * 400},
        {"anthropic-ratelimit-unified-5h-utilization": "nan"},
        {"anthropic-ratelimit-unified-status": "<script>"},
        {"x-ratelimit-remaining-tokens": ""},
    ],
)
def test_what_is_no_limit_is_left_out(told: dict[str, str]):
    limits = ProviderLimits()
    limits.seen("a", "", of(told), T0)
    assert [(item["limits"], item["status"]) for item in limits.report(T0)] == [([], "")]


@given(st.dictionaries(st.sampled_from(sorted({**ANTHROPIC, **SUBSCRIPTION, **OPENAI})), st.text(max_size=40)))
def test_no_header_whatever_it_says_breaks_the_report(told: dict[str, str]):
    limits = ProviderLimits()
    limits.seen("a", "", of(told), T0)
    limits.report(T0 + 10)
    limits.near(T0 + 10)
    list(limits.gauges())


def test_an_answer_without_limits_is_nothing_to_report():
    limits = ProviderLimits()
    limits.seen("a", "", of({}), T0)
    assert limits.report(T0) == []


def item(limits: ProviderLimits, name: str, now_s: float) -> dict[str, object]:
    (only,) = limits.report(now_s)
    return next(limit for limit in only["limits"] if limit["name"] == name)


def say(limits: ProviderLimits, remaining: float, at_s: float, *, limit: int = 1000, reset: str = "10m0s") -> None:
    told = {"x-ratelimit-limit-tokens": str(limit), "x-ratelimit-remaining-tokens": str(remaining)}
    limits.seen("openai", "main", of(told, **{"x-ratelimit-reset-tokens": reset}), at_s)


def test_the_time_to_exhaustion_follows_from_the_last_minutes_pace():
    limits = ProviderLimits()
    for second in range(31):
        say(limits, 900 - 10 * second, T0 + second)
    shown = item(limits, "tokens", T0 + 30)
    assert (shown["remaining"], shown["used_per_second"], shown["exhausted_in_s"]) == (600, 10, 60)
    assert shown["near"] is True


def test_what_lasts_until_the_reset_will_not_be_exhausted():
    limits = ProviderLimits()
    for second in range(31):
        say(limits, 900 - 10 * second, T0 + second, reset="59s")
    shown = item(limits, "tokens", T0 + 30)
    assert (shown["used_per_second"], shown["exhausted_in_s"], shown["near"]) == (10, None, False)


def test_nothing_is_said_of_the_pace_too_early_or_when_nothing_is_used():
    limits = ProviderLimits()
    say(limits, 900, T0)
    say(limits, 800, T0 + 2)
    assert item(limits, "tokens", T0 + 2)["used_per_second"] is None
    limits = ProviderLimits()
    for second in range(20):
        say(limits, 900, T0 + second)
    shown = item(limits, "tokens", T0 + 20)
    assert (shown["used_per_second"], shown["exhausted_in_s"]) == (0, None)


def test_after_a_refill_the_pace_is_measured_anew():
    limits = ProviderLimits()
    for second in range(10):
        say(limits, 100 - 10 * second, T0 + second)
    for second in range(10, 20):
        say(limits, 1000 - (second - 10), T0 + second)
    assert item(limits, "tokens", T0 + 20)["used_per_second"] == pytest.approx(9 / 10)


def test_a_pace_slows_down_when_calls_stop():
    limits = ProviderLimits()
    for second in range(11):
        say(limits, 900 - 10 * second, T0 + second)
    assert item(limits, "tokens", T0 + 20)["used_per_second"] == 5
    assert item(limits, "tokens", T0 + 600)["used_per_second"] is None


def test_a_windows_pace_is_measured_since_it_began():
    """Half of the five hours are over and 75 % is used: at that pace the rest lasts 50 minutes."""
    limits = ProviderLimits()
    limits.seen("anthropic", "key-1", of(SUBSCRIPTION), T0)
    five = item(limits, "5h", T0)
    assert five["exhausted_in_s"] == pytest.approx(3000)
    assert item(limits, "7d", T0)["exhausted_in_s"] is None  # 10 % in six of seven days
    assert limits.near(T0) == {}
    spent = {"anthropic-ratelimit-unified-5h-utilization": "0.97"}
    limits.seen("anthropic", "key-1", of(SUBSCRIPTION, **spent), T0 + 10)
    assert limits.near(T0 + 10) == {"anthropic": ["5h window of key-1: 3% left"]}


@pytest.mark.parametrize(
    ("remaining", "reset_s", "pace", "expected"),
    [
        (100.0, T0 + 60, 10.0, 10.0),
        (100.0, T0 + 10, 10.0, None),
        (100.0, T0 - 1, 10.0, None),
        (100.0, None, 10.0, 10.0),
        (100.0, T0 + 60, 0.0, None),
        (100.0, T0 + 60, None, None),
        (0.0, T0 + 60, None, 0.0),
        (0.0, T0 - 60, None, None),
    ],
)
def test_exhaustion(remaining: float, reset_s: float | None, pace: float | None, expected: float | None):
    assert exhausted_in_s(Limit("tokens", 1000.0, remaining, reset_s), pace, T0) == expected


def test_a_limit_that_was_reset_meanwhile_is_not_near():
    limits = ProviderLimits()
    say(limits, 0, T0, reset="10s")
    assert item(limits, "tokens", T0 + 5)["near"] is True
    shown = item(limits, "tokens", T0 + 11)
    assert (shown["near"], shown["reset_passed"], shown["exhausted_in_s"]) == (False, True, None)


def test_a_clock_that_jumps_back_starts_anew():
    limits = ProviderLimits()
    for second in (0, 10, 20, -500, -490):
        say(limits, 900 - second, T0 + second)
    assert item(limits, "tokens", T0 - 490)["remaining"] == 1390


def test_credentials_are_apart_and_bounded():
    limits = ProviderLimits()
    for number in range(MAX_ACCOUNTS + 10):
        limits.seen("openai", f"key-{number}", of(OPENAI), T0 + number)
    report = limits.report(T0 + 2 * MAX_ACCOUNTS)
    assert len(report) == MAX_ACCOUNTS
    assert report[0]["credential"] == f"key-{MAX_ACCOUNTS + 9}"
    assert "key-0" not in {each["credential"] for each in report}


async def test_limits_are_shown_by_the_api_the_metrics_and_the_live_message(tmp_path: Path):
    async with gateway(tmp_path, "http://127.0.0.1:9") as proxy, client() as c:
        live = proxy.proxy.live
        live.limits.seen("openai", "main", of(OPENAI, **{"x-ratelimit-remaining-requests": "1"}), T0)
        async with c.get(f"{proxy.url}/api/system/limits") as got:
            (shown,) = (await got.json())["items"]
        assert (shown["provider"], shown["credential"]) == ("openai", "main")
        assert [limit["name"] for limit in shown["limits"]] == ["requests", "tokens"]
        async with c.get(f"{proxy.url}/metrics") as got:
            text = await got.text()
        labels = '{credential="main",limit="requests",provider="openai"}'
        assert f"claude_proxy_provider_limit_remaining{labels} 1.0" in text
        assert f"claude_proxy_provider_limit{labels} 60.0" in text
    health = live.providers(T0, also=["openai"])["openai"]["health"]
    assert health["limits_near"] == ["requests of main: 1 of 60 left"]
    assert health["status"] == "degraded"
